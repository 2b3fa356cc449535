"""Step 1, inventory: which files there are, and how their text is cut into input groups.

File numbers and groups are append-only: a file that is added, or that changed, gets a new number and
a new group. A group is one task's work: many small files, or a range of a large one; it is read again for each
new technique, so one that has lost a file is given up, and its other files are cut anew. Groups are
cut by size alone; no shard depends on how.
"""

import glob
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from coursepack.pipeline import storage
from coursepack.pipeline.documents import MAX_FILES
from coursepack.pipeline.errors import SourceError
from coursepack.pipeline.recipe import Recipe, Source
from coursepack.pipeline.workspace import Dataset, Workspace
from coursepack.stages.layouts import Layout
from coursepack.stages.reader import Reader, reader_of
from coursepack.stages.records import Split
from coursepack.stages.streams import MAGIC_BYTES, Frame, compression, zst_frames

# An unsplittable compressed file with more text than this is read by several tasks, each
# decompressing all of it and keeping every k-th span (DESIGN, "The workspace").
UNSPLITTABLE_BYTES = 4_000_000_000
_SMALL_GROUP = 8_000_000
_EXPANSION = 4  # text bytes per compressed byte, to plan with
_COMPRESSED = (".zst", ".gz", ".bz2", ".xz", ".parquet")
# what stores call the state of a file; the first there is
_STAMPS = ("ETag", "etag", "md5", "sha256", "blob_id", "mtime", "last_modified", "created")

_FILES = pa.schema(
    [
        ("file_no", pa.int32()),
        ("url", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),  # what the store says of its state: mtime or etag
    ]
)
_SPLITS = pa.schema(
    [
        ("group", pa.int32()),
        ("reader", pa.string()),  # fingerprint of how its files are read
        ("file_no", pa.int32()),
        ("url", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),  # null: to the end of the file
        ("stride", pa.int32()),
        ("index", pa.int32()),
        ("frame", pa.list_(pa.int64())),  # of zst: (compressed, decompressed) offset to begin at
        ("text_bytes", pa.int64()),  # estimated
    ]
)


@dataclass(frozen=True)
class Inventory:
    """What a run reads: its groups, and which source each of its files belongs to."""

    workspace: Workspace
    groups: tuple[int, ...]
    readers: dict[int, str]  # group -> reader fingerprint
    text_bytes: dict[int, int]  # group -> estimate
    sources: dict[int, int]  # file_no -> index of the source in the recipe
    ways: dict[str, Reader]  # reader fingerprint -> how its files are read

    def source_of(self, doc: np.ndarray, place_bits: int) -> np.ndarray:
        """Index of the source of each doc (int16); -1 where the recipe does not read its file."""
        table = np.full(max(self.sources, default=0) + 2, -1, np.int16)
        for file_no, source in self.sources.items():
            table[file_no] = source
        found: np.ndarray = table[np.minimum(doc >> place_bits, len(table) - 1)]
        return found

    def reader(self, group: int) -> Reader:
        """How the files of a group are read."""
        return self.ways[self.readers[group]]

    def splits(self, group: int) -> list[tuple[int, Split]]:
        """(file_no, split) of one group, read from the workspace: the driver ships no paths."""
        return group_splits(self.workspace, group)


def group_splits(workspace: Workspace, group: int) -> list[tuple[int, Split]]:
    """(file_no, split) of one group, in order of file number and start."""
    with storage.open_input(workspace.path("inventory", "splits.parquet")) as raw:
        rows = pq.read_table(raw, filters=[("group", "=", group)]).to_pylist()
    return [
        (
            row["file_no"],
            Split(
                row["url"],
                row["start"],
                row["end"],
                row["stride"],
                row["index"],
                Frame(*row["frame"]) if row["frame"] else None,
            ),
        )
        for row in sorted(rows, key=lambda row: (row["file_no"], row["start"]))
    ]


def group_name(group: int) -> str:
    """The name of a group in file names and commit records."""
    return f"g{group:07d}"


@dataclass(frozen=True)
class Found:
    """A file of a source, as its store describes it."""

    url: str
    size: int
    version: str


def source_files(source: Source) -> list[Found]:
    """The files of a source, sorted by URL; raises SourceError where a path matches nothing."""
    found: dict[str, Found] = {}
    for pattern in source.paths:
        matches = list(_expand(pattern))
        if not matches:
            raise SourceError(
                f"source {source.name!r}: no file matches {pattern!r}; paths are files, folders or globs "
                "(relative ones start at the current folder), local or s3://, hf://, ..."
            )
        found.update({match.url: match for match in matches})
    return [found[url] for url in sorted(found)]


def _expand(pattern: str) -> Iterator[Found]:
    scheme = "" if storage.is_local(pattern) else pattern.split("://")[0] + "://"
    try:
        fs, path = storage.filesystem(pattern)
        fs.invalidate_cache()  # of a run before, in this process
        published = _published(pattern) if fs.isdir(path) else []
        infos = [] if published else _infos(fs, path)
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"{pattern!r} cannot be listed: {error}") from error
    yield from published
    for info in infos:
        name = info["name"]
        stamp = next((info[key] for key in _STAMPS if info.get(key)), "")
        yield Found(
            name if name.startswith(scheme) else scheme + name, int(info["size"]), str(stamp)
        )


def _published(folder: str) -> list[Found]:
    """The files that a dataset of ours lists, such as what `coursepack ingest` wrote; none of any other folder."""
    names = ("manifest.json", "files.parquet")
    if not all(storage.exists(storage.join(folder, name)) for name in names):
        return []
    dataset = Dataset(folder)
    return [Found(dataset.file(r), r.size, r.sha256) for r in dataset.published()]


def _infos(fs: Any, path: str) -> list[dict[str, Any]]:
    """The file at `path`, whatever its name; or those below a folder or of a glob, but for hidden ones.

    Hidden is what lies under a name that begins with `.` or `_`, as Spark has it: `_delta_log/`, `_SUCCESS`.
    """
    if fs.isdir(path):
        base, found = path, fs.find(path, detail=True)
    elif fs.exists(path):
        return [fs.info(path)]
    elif glob.has_magic(path):
        base = "/".join(takewhile(lambda part: not glob.has_magic(part), path.split("/")))
        found = fs.glob(path, detail=True)
    else:
        return []
    infos = []
    for name, info in found.items():
        if any(part.startswith((".", "_")) for part in name[len(base) :].split("/")):
            continue
        if info.get("islink") or info["size"] is None:
            info = fs.info(
                name
            )  # a listing describes the link, not what it leads to; HTTP's has no sizes
            if info["type"] == "directory":
                raise ValueError(f"{name!r} is a link to a folder; name it in paths, or remove it")
        if info["type"] == "file":
            infos.append(info)
    return infos


def take_inventory(recipe: Recipe, workspace: Workspace, parallel: int = 1) -> Inventory:
    """List all sources, number new files, cut them into groups, and record both.

    New groups hold `execution.group_bytes` of text, or less where that leaves some of the `parallel` tasks
    that run at a time without work.
    Raises SourceError where a source has no files, or two sources claim one file.
    """
    files = _read(workspace, "files.parquet", _FILES)
    splits = _read(workspace, "splits.parquet", _SPLITS)
    known = {(row["url"], row["size"], row["version"]): row["file_no"] for row in files.to_pylist()}
    sources: dict[int, int] = {}
    ways: dict[str, Reader] = {}
    new_files: list[dict[str, object]] = []
    new_splits: list[dict[str, object]] = []
    next_group = max(splits["group"].to_pylist(), default=-1) + 1
    listed = [source_files(source) for source in recipe.source]
    total = sum(text_bytes(file) for files in listed for file in files)
    group_bytes = min(recipe.execution.group_bytes, max(_SMALL_GROUP, total // (8 * parallel)))
    for index, source in enumerate(recipe.source):
        for file in listed[index]:
            key = (file.url, file.size, file.version)
            if key not in known:
                known[key] = len(known)
                new_files.append(
                    {
                        "file_no": known[key],
                        "url": file.url,
                        "size": file.size,
                        "version": file.version,
                    }
                )
            file_no = known[key]
            if file_no in sources:
                other = recipe.source[sources[file_no]].name
                raise SourceError(
                    f"{file.url!r} belongs to source {other!r} and to {source.name!r}; "
                    "each file belongs to one source"
                )
            sources[file_no] = index
    live = splits.filter(pc.is_in(splits["group"], _live_groups(splits, files, sources)))
    assigned = set(zip(live["reader"].to_pylist(), live["file_no"].to_pylist(), strict=True))
    for index, source in enumerate(recipe.source):
        reader, way = reader_of(source, recipe)
        ways[reader] = way
        numbered = [(known[file.url, file.size, file.version], file) for file in listed[index]]
        fresh = [(number, file) for number, file in numbered if (reader, number) not in assigned]
        for members in cut(fresh, way.layout, group_bytes):
            new_splits += [{"group": next_group, "reader": reader, **member} for member in members]
            next_group += 1
    if len(known) > MAX_FILES:
        raise SourceError(
            f"{len(known):,} files; a workspace holds {MAX_FILES:,}: merge small files first"
        )
    if new_files or new_splits:
        _append(workspace, "files.parquet", files, new_files)
        _append(workspace, "splits.parquet", splits, new_splits)
    new = pa.Table.from_pylist(new_splits, _SPLITS)
    return _select(workspace, pa.concat_tables([live, new]), sources, ways)


def _live_groups(splits: pa.Table, files: pa.Table, sources: dict[int, int]) -> pa.Array:
    """The groups whose files are all as they were: those that a technique can still read alike.

    A group of several files dies with the first that is gone or changed, and stays dead when that
    file comes back: by then the others are in a later group.
    """
    rows = zip(*(splits[name].to_pylist() for name in ("group", "reader", "file_no")), strict=True)
    members: dict[int, list[tuple[str, int]]] = {}
    latest: dict[tuple[str, int], int] = {}
    for group, *file in rows:
        members.setdefault(group, []).append((file[0], file[1]))
        latest[file[0], file[1]] = group
    known = {row["file_no"]: row for row in files.to_pylist()}

    def is_live(group: int) -> bool:
        held = members[group]
        if len(held) == 1:  # a file of its own, or a range of one
            return True
        others = [number for _, number in held if number not in sources]
        return (
            len(others) < len(held)
            and all(latest[file] == group for file in held)
            and all(_is_there(known[number]) for number in others)
        )

    return pa.array([group for group in members if is_live(group)], pa.int32())


def _is_there(row: dict[str, Any]) -> bool:
    """Whether a file that this run does not read is still as it was."""
    return list(_expand(row["url"])) == [Found(row["url"], row["size"], row["version"])]


def _select(
    workspace: Workspace, splits: pa.Table, sources: dict[int, int], ways: dict[str, Reader]
) -> Inventory:
    """The groups that hold any file of this run, read the way this run reads it."""
    wanted = pc.and_(
        pc.is_in(splits["reader"], pa.array(list(ways), pa.string())),
        pc.is_in(splits["file_no"], pa.array(list(sources), pa.int32())),
    )
    rows = splits.filter(wanted).group_by(["group", "reader"]).aggregate([("text_bytes", "sum")])
    found = sorted(rows.to_pylist(), key=lambda row: row["group"])
    return Inventory(
        workspace,
        tuple(row["group"] for row in found),
        {row["group"]: row["reader"] for row in found},
        {row["group"]: row["text_bytes_sum"] for row in found},
        sources,
        ways,
    )


def text_bytes(file: Found) -> int:
    """An estimate of a file's text, to plan with."""
    return file.size * (_EXPANSION if file.url.endswith(_COMPRESSED) else 1)


def cut(
    files: Sequence[tuple[int, Found]], layout: Layout, group_bytes: int
) -> Iterator[list[dict[str, object]]]:
    """Input groups of about `group_bytes` of text: small files together, large ones in ranges."""
    members: list[dict[str, object]] = []
    filled = 0
    for file_no, file in files:
        size = text_bytes(file)
        whole = {
            "file_no": file_no,
            "url": file.url,
            "start": 0,
            "end": None,
            "stride": 1,
            "index": 0,
            "frame": None,
        }
        if size > group_bytes and len(pieces := list(_pieces(file, layout, group_bytes))) > 1:
            for piece in pieces:
                yield [whole | piece | {"text_bytes": size // len(pieces)}]
            continue
        if members and filled + size > group_bytes:
            yield members
            members, filled = [], 0
        members.append(whole | {"text_bytes": size})
        filled += size
    if members:
        yield members


def _pieces(file: Found, layout: Layout, group_bytes: int) -> Iterator[dict[str, object]]:
    """Ranges of one large file; nothing where its format cannot be cut."""
    if layout.container == "text":
        return
    with storage.open_input(file.url) as raw:
        head = raw.read(MAGIC_BYTES)
    if head[:4] == b"PAR1":
        yield from _ranges(_row_group_starts(file, group_bytes))
        return
    kind = compression(head)
    if kind == "none":
        yield from _ranges(list(range(0, file.size, group_bytes)))
    elif kind == "zst" and (frames := zst_frames(file.url)):
        starts, begin = [0], [frames[0]]
        for before, frame in pairwise(frames):
            if frame.decompressed - starts[-1] >= group_bytes:
                starts.append(frame.decompressed)
                begin.append(before)  # a record may begin in it and end in the next
        for piece, found in zip(_ranges(starts), begin, strict=True):
            yield piece | {"frame": list(found)}
    elif file.size * _EXPANSION > UNSPLITTABLE_BYTES:
        stride = -(-file.size * _EXPANSION // UNSPLITTABLE_BYTES)
        for index in range(stride):
            yield {"stride": stride, "index": index}


def _row_group_starts(file: Found, group_bytes: int) -> list[int]:
    """Row numbers at which a new range begins, at borders of row groups."""
    with storage.open_input(file.url) as raw:
        try:
            metadata = pq.ParquetFile(raw).metadata
        except (pa.ArrowInvalid, OSError):
            return [0]  # damaged: its one task will say so
    starts, row, filled = [0], 0, 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if filled and filled + group.total_byte_size > group_bytes:
            starts.append(row)
            filled = 0
        filled += group.total_byte_size
        row += group.num_rows
    return starts


def _ranges(starts: Sequence[int]) -> Iterator[dict[str, object]]:
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        yield {"start": start, "end": end}


def _read(workspace: Workspace, name: str, schema: pa.Schema) -> pa.Table:
    url = workspace.path("inventory", name)
    if not storage.exists(url):
        return schema.empty_table()
    return pq.read_table(io.BytesIO(storage.read_bytes(url)))


def _append(
    workspace: Workspace, name: str, table: pa.Table, rows: Iterable[dict[str, object]]
) -> None:
    grown = pa.concat_tables([table, pa.Table.from_pylist(list(rows), table.schema)])
    out = io.BytesIO()
    pq.write_table(grown, out, compression="zstd", row_group_size=10_000)
    storage.write_bytes(workspace.path("inventory", name), out.getvalue())


def file_urls(workspace: Workspace) -> dict[int, str]:
    """URL of each file number ever given out in this workspace."""
    files = _read(workspace, "files.parquet", _FILES)
    return dict(zip(files["file_no"].to_pylist(), files["url"].to_pylist(), strict=True))
