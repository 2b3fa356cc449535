"""What is read, and in which pieces: numbers that stay, groups that lose and double nothing."""

import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from coursepack.pipeline import storage
from coursepack.pipeline.documents import PLACE_BITS
from coursepack.pipeline.errors import SourceError
from coursepack.pipeline.recipe import Recipe, Source, parse
from coursepack.pipeline.workspace import Dataset, Workspace
from coursepack.stages import inventory as tested
from coursepack.stages import records as reading
from coursepack.stages.inventory import (
    Found,
    Inventory,
    cut,
    file_urls,
    group_name,
    group_splits,
    source_files,
    take_inventory,
)
from coursepack.stages.layouts import layout_of
from coursepack.stages.records import Split, read_records

JSONL = layout_of("jsonl")


def lines(count: int, name: str = "t") -> bytes:
    return b"".join(
        json.dumps({"text": f"{name} {n} " + "x" * 50}).encode() + b"\n" for n in range(count)
    )


def write(path: Path, data: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lines(3, path.name) if data is None else data)
    return path


def recipe(folder: Path | str, *paths: Path | str, **changes: Any) -> Recipe:
    """A recipe with a source `s0`, `s1`, ... for each path."""
    return parse(
        {
            "name": "r",
            "workspace": f"{folder}/w",
            "source": [
                {"name": f"s{n}", "layout": changes.get("layout", "jsonl"), "paths": [str(path)]}
                for n, path in enumerate(paths)
            ],
            "tokenizer": {"model": "m"},
            "phase": [{"name": "p", "tokens": 9, "length": 8, "mixture": {"s0": 1}}],
        }
        | {key: value for key, value in changes.items() if key != "layout"}
    )


def taken(made: Recipe, **more: int) -> Inventory:
    return take_inventory(made, Workspace(made.workspace), **more)


def numbers(inventory: Inventory) -> dict[str, int]:
    """File number of each file of the run, by its name."""
    urls = file_urls(inventory.workspace)
    return {urls[number].rsplit("/", 1)[-1]: number for number in inventory.sources}


def members(inventory: Inventory) -> list[list[int]]:
    """File numbers of each group of the run."""
    return [[number for number, _ in inventory.splits(group)] for group in inventory.groups]


def texts(inventory: Inventory) -> list[tuple[int, int, Any]]:
    """(file number, place, text) of all records that the run would read, in order of group."""
    return [
        (file_no, row["place"], row["text"])
        for group in inventory.groups
        for file_no, split in inventory.splits(group)
        for batch in read_records(split, inventory.reader(group).layout)
        for row in batch.to_pylist()
    ]


# --- which files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jsonl", "a.jsonl", "sub/c.jsonl", "sub/deep/d.json", "ü 1.jsonl"):
        write(tmp_path / "in" / name)
    for name in (".x.jsonl", "_SUCCESS", "_delta_log/0.json", ".git/y.jsonl", "sub/_e/z.jsonl"):
        write(tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        ([""], ["a.jsonl", "b.jsonl", "sub/c.jsonl", "sub/deep/d.json", "ü 1.jsonl"]),
        (["/"], ["a.jsonl", "b.jsonl", "sub/c.jsonl", "sub/deep/d.json", "ü 1.jsonl"]),
        (["/*.jsonl"], ["a.jsonl", "b.jsonl", "ü 1.jsonl"]),
        (["/**/*.jsonl"], ["a.jsonl", "b.jsonl", "sub/c.jsonl", "ü 1.jsonl"]),
        (["/s*/*"], ["sub/c.jsonl"]),
        (["/[ab].jsonl", "/a.jsonl"], ["a.jsonl", "b.jsonl"]),
        (["/sub", "/b.jsonl"], ["b.jsonl", "sub/c.jsonl", "sub/deep/d.json"]),
        (["/.x.jsonl"], [".x.jsonl"]),  # who names a hidden file means it
        (["/sub/_e"], ["sub/_e/z.jsonl"]),
        (["/.git/*"], [".git/y.jsonl"]),
    ],
)
def test_files_folders_and_globs(folder: Path, paths: list[str], found: list[str]) -> None:
    for scheme in ("", "file://"):
        source = Source(
            name="s", layout="jsonl", paths=tuple(f"{scheme}{folder}{p}" for p in paths)
        )
        files = source_files(source)
        assert [file.url for file in files] == [f"{folder}/{name}" for name in found]
        assert all(file.size == Path(file.url).stat().st_size for file in files)


@pytest.mark.parametrize("path", ["/none.jsonl", "/none/", "/*.parquet", "/sub/deep/d.json/x"])
def test_a_path_that_matches_nothing(folder: Path, path: str) -> None:
    source = Source(name="s", layout="jsonl", paths=(f"{folder}", f"{folder}{path}"))
    with pytest.raises(SourceError) as caught:
        source_files(source)
    assert str(caught.value) == (
        f"source 's': no file matches {str(folder) + path!r}; paths are files, folders or globs "
        "(relative ones start at the current folder), local or s3://, hf://, ..."
    )


def test_a_store_that_cannot_be_asked() -> None:
    with pytest.raises(SourceError, match=r"'nowhere://x' cannot be listed: "):
        source_files(Source(name="s", layout="jsonl", paths=("nowhere://x",)))


def test_relative_paths_start_at_the_current_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (file,) = source_files(Source(name="s", layout="jsonl", paths=("sub/c.jsonl",)))
    assert file.url == f"{folder}/sub/c.jsonl"


def test_names_that_look_like_globs(tmp_path: Path) -> None:
    write(tmp_path / "v[1]" / "a?.jsonl")
    for path in ("v[1]", "v[1]/a?.jsonl"):
        (file,) = source_files(Source(name="s", layout="jsonl", paths=(f"{tmp_path}/{path}",)))
        assert file.url == f"{tmp_path}/v[1]/a?.jsonl"


def test_links_lead_to_files(tmp_path: Path) -> None:
    """As in the cache of the Hugging Face hub: the link's name, the file's size and time."""
    target = write(tmp_path / "blobs" / "0a1b")
    os.utime(target, (1, 1))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.jsonl").symlink_to(target)
    for path in ("in", "in/*.jsonl", "in/x.jsonl"):
        source = Source(name="s", layout="jsonl", paths=(f"{tmp_path}/{path}",))
        assert source_files(source) == [
            Found(f"{tmp_path}/in/x.jsonl", target.stat().st_size, "1.0")
        ]
    (tmp_path / "in" / "more").symlink_to(tmp_path / "blobs")
    with pytest.raises(SourceError, match="in/more' is a link to a folder; name it in paths, or"):
        source_files(Source(name="s", layout="jsonl", paths=(f"{tmp_path}/in",)))
    (tmp_path / "in" / "more").unlink()
    target.unlink()
    with pytest.raises(SourceError, match="cannot be listed"):
        source_files(Source(name="s", layout="jsonl", paths=(f"{tmp_path}/in",)))


# --- numbers and groups


def test_numbers_and_groups_are_kept(tmp_path: Path) -> None:
    made = recipe(tmp_path, tmp_path / "in")
    write(tmp_path / "in" / "b.jsonl")
    first = taken(made)
    assert taken(made) == first
    write(tmp_path / "in" / "a.jsonl")
    write(tmp_path / "in" / "c.jsonl")
    second = taken(made)
    assert numbers(second) == {"b.jsonl": 0, "a.jsonl": 1, "c.jsonl": 2}
    assert members(second) == [[0], [1, 2]]
    assert second.groups == (0, 1)
    assert second.text_bytes[0] == first.text_bytes[0]
    assert group_name(second.groups[1]) == "g0000001"


@pytest.mark.parametrize("how", ["longer", "same size"])
def test_a_file_that_changed_gets_a_new_number(tmp_path: Path, how: str) -> None:
    made = recipe(tmp_path, tmp_path / "in")
    path = write(tmp_path / "in" / "a.jsonl", lines(3, "a"))
    taken(made)
    path.write_bytes(lines(4, "a") if how == "longer" else lines(3, "z"))
    os.utime(path, (9, 9))
    after = taken(made)
    assert after.sources == {1: 0}
    assert after.groups == (1,)
    assert file_urls(after.workspace) == {0: str(path), 1: str(path)}
    assert taken(made) == after


def changing(path: Path) -> None:
    path.write_bytes(lines(5, "new"))


@pytest.mark.parametrize("change", [Path.unlink, changing])
def test_a_group_that_lost_a_file_is_given_up(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Its tasks would read what is gone or other; the files that are left are cut anew, once."""
    made = recipe(tmp_path, tmp_path / "in")
    names = ("a", "b", "c")
    for name in names:
        write(tmp_path / "in" / f"{name}.jsonl")
    before = taken(made)
    assert members(before) == [[0, 1, 2]]
    path = tmp_path / "in" / "b.jsonl"
    data, times = path.read_bytes(), path.stat()
    change(path)
    after = taken(made)
    changed = change is changing
    assert members(after) == [[0, 2, 3] if changed else [0, 2]]
    assert after.groups == (1,)
    assert len(texts(after)) == (11 if changed else 6)
    assert set(file_urls(after.workspace)) == {0, 1, 2, 3} if changed else {0, 1, 2}
    assert taken(made) == after

    path.write_bytes(data)  # it comes back as it was: its old group holds others that moved on
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    again = taken(made)
    assert sorted(again.sources) == [0, 1, 2]
    assert sorted(row[0] for row in texts(again)) == [0] * 3 + [1] * 3 + [2] * 3
    assert taken(made) == again


def test_a_recipe_that_reads_less_shares_the_groups(tmp_path: Path) -> None:
    """A file that a recipe does not read, but that is there, spoils no group."""
    for name in ("a", "b"):
        write(tmp_path / "in" / f"{name}.jsonl")
    wide = taken(recipe(tmp_path, tmp_path / "in"))
    narrow = taken(recipe(tmp_path, tmp_path / "in" / "a.jsonl"))
    assert narrow.groups == wide.groups == (0,)
    assert narrow.sources == {0: 0}
    docs = np.array([0, 1, 2, 1 << 20]) << PLACE_BITS | 7
    assert narrow.source_of(docs, PLACE_BITS).tolist() == [0, -1, -1, -1]
    assert wide.source_of(docs, PLACE_BITS).tolist() == [0, 0, -1, -1]
    (tmp_path / "in" / "b.jsonl").unlink()
    assert taken(recipe(tmp_path, tmp_path / "in" / "a.jsonl")).groups == (1,)


def test_a_file_of_two_sources_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "a.jsonl")
    with pytest.raises(SourceError) as caught:
        taken(recipe(tmp_path, tmp_path / "in", f"file://{path}"))
    assert str(caught.value) == (
        f"{str(path)!r} belongs to source 's0' and to 's1'; each file belongs to one source"
    )
    assert not (tmp_path / "w").exists()


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "MAX_FILES", 1)
    made = recipe(tmp_path, tmp_path / "in")
    write(tmp_path / "in" / "a.jsonl")
    assert taken(made).groups == (0,)
    write(tmp_path / "in" / "b.jsonl")
    with pytest.raises(SourceError, match="2 files; a workspace holds 1: merge small files first"):
        taken(made)


def test_sources_have_groups_of_their_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name / f"{name}.jsonl")
    made = taken(recipe(tmp_path, tmp_path / "a", tmp_path / "b"))
    assert members(made) == [[0], [1]]
    assert made.sources == {0: 0, 1: 1}
    turned = taken(recipe(tmp_path, tmp_path / "b", tmp_path / "a"))
    assert turned.sources == {0: 1, 1: 0}
    assert turned.groups == made.groups


def test_one_file_read_by_two_layouts(tmp_path: Path) -> None:
    """By two recipes: one number, a group for each way of reading."""
    write(tmp_path / "in" / "a.jsonl")
    objects = taken(recipe(tmp_path, tmp_path / "in"))
    plain = taken(recipe(tmp_path, tmp_path / "in", layout="text-lines"))
    limited = taken(recipe(tmp_path, tmp_path / "in", limits={"record_bytes": 99}))
    assert objects.sources == plain.sources == limited.sources == {0: 0}
    assert [i.groups for i in (objects, plain, limited)] == [(0,), (1,), (2,)]
    assert texts(objects)[0][2].startswith("a.jsonl 0 ")
    assert texts(plain)[0][2].startswith('{"text": ')
    assert taken(recipe(tmp_path, tmp_path / "in")) == objects


def test_splits_of_a_group_are_in_order_of_number(tmp_path: Path) -> None:
    write(tmp_path / "in" / "b.jsonl")
    taken(recipe(tmp_path, tmp_path / "in"))
    write(tmp_path / "in" / "a.jsonl")
    taken(recipe(tmp_path, tmp_path / "in"))
    assert members(taken(recipe(tmp_path, tmp_path / "in", layout="text-lines"))) == [[0, 1]]


@pytest.mark.parametrize("killed_at", ["files.parquet", "splits.parquet"])
def test_killed_while_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    made = recipe(tmp_path, tmp_path / "in")
    write(tmp_path / "in" / "b.jsonl")
    before = taken(made)
    write(tmp_path / "in" / "a.jsonl")
    real = storage.write_bytes

    def killed(url: str, data: bytes) -> None:
        if url.endswith(killed_at):
            raise KeyboardInterrupt
        real(url, data)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            taken(made)
    after = taken(made)
    assert numbers(after) == {"b.jsonl": 0, "a.jsonl": 1}
    assert after.groups == (*before.groups, 1)
    assert len(texts(after)) == 6


def test_a_workspace_and_sources_in_memory(tmp_path: Path) -> None:
    base = f"memory://{tmp_path.name}"
    fs = fsspec.filesystem("memory")
    for name in ("in/a.jsonl", "in/sub/b.jsonl", "in/_no.jsonl"):
        storage.write_bytes(f"{base}/{name}", lines(2, name))
    made = recipe(base, f"{base}/in")
    found = taken(made)
    assert members(found) == [[0, 1]]
    assert len(texts(found)) == 4
    assert taken(made) == found
    storage.write_bytes(f"{base}/in/a.jsonl", lines(2, "in/A.jsonl"))  # of the same size
    assert sorted(taken(made).sources) == [1, 2]
    assert taken(recipe(base, f"{base}/in/*.jsonl")).sources == {2: 0}
    fs.rm(f"/{tmp_path.name}", recursive=True)


# --- cuts


def sizes(*text: int, suffix: str = ".jsonl") -> list[tuple[int, Found]]:
    return [(n, Found(f"/none/{n}{suffix}", size, "")) for n, size in enumerate(text)]


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ([], []),
        ([0], [[0]]),
        ([10, 10, 10], [[0], [1], [2]]),
        ([5, 5, 5], [[0, 1], [2]]),
        ([3, 3, 3, 3, 1], [[0, 1, 2], [3, 4]]),
        ([0, 0, 10, 0, 0, 1], [[0, 1, 2, 3, 4], [5]]),
    ],
)
def test_small_files_go_together(text: list[int], groups: list[list[int]]) -> None:
    cuts = list(cut(sizes(*text), JSONL, 10))
    assert [[member["file_no"] for member in group] for group in cuts] == groups
    for group in cuts:
        assert all(
            m["text_bytes"] == text[m["file_no"]] for m in group if isinstance(m["file_no"], int)
        )


def test_compressed_files_hold_more_text() -> None:
    cuts = list(cut(sizes(5, 5, suffix=".json.gz"), JSONL, 20))
    assert [[member["text_bytes"] for member in group] for group in cuts] == [[20], [20]]


@pytest.mark.parametrize(
    ("parallel", "group_bytes", "groups"),
    [(1, 256_000_000, 2), (2, 256_000_000, 4), (64, 256_000_000, 4), (1, 4_000_000, 8)],
)
def test_groups_are_small_enough_for_all_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parallel: int, group_bytes: int, groups: int
) -> None:
    """8 MB where the tasks are many, and never more than the recipe's own."""
    listed = [Found(f"/none/{n}.jsonl", 4_000_000, "") for n in range(8)]
    big = [Found("/none/z.txt", 96_000_000, "")]
    monkeypatch.setattr(tested, "source_files", lambda s: listed if s.name == "s0" else big)
    made = recipe(tmp_path, "a", "b", layout="text", execution={"group_bytes": group_bytes})
    inventory = taken(made, parallel=parallel)
    assert len(inventory.groups) == groups + 1  # a file that cannot be cut is one group
    assert sum(inventory.text_bytes.values()) == 128_000_000


def frames(data: bytes, step: int) -> bytes:
    compress = zstandard.ZstdCompressor().compress
    return b"".join(compress(data[at : at + step]) for at in range(0, len(data), step))


def parquet(data: bytes, rows: int) -> bytes:
    out = io.BytesIO()
    table = pa.Table.from_pylist([json.loads(line) for line in data.splitlines()])
    pq.write_table(table, out, row_group_size=rows)
    return out.getvalue()


SPLITTABLE: dict[str, Callable[[bytes], bytes]] = {
    "a.jsonl": bytes,
    "cut in lines.jsonl.zst": lambda data: frames(data, 777),
    "small frames.zst": lambda data: frames(data, 40),
    "a.parquet": lambda data: parquet(data, 7),
}


@pytest.mark.parametrize("name", SPLITTABLE)
@pytest.mark.parametrize("group_bytes", [100, 1000, 5000])
def test_ranges_of_a_large_file_are_all_of_it(tmp_path: Path, name: str, group_bytes: int) -> None:
    path = write(tmp_path / name, SPLITTABLE[name](lines(200)))
    layout = layout_of("jsonl" if name != "a.parquet" else "parquet")
    file = Found(str(path), max(path.stat().st_size, group_bytes + 1), "")
    if name == "a.jsonl":
        file = Found(str(path), path.stat().st_size, "")
    whole = list(rows_of(Split(str(path)), layout))
    assert len(whole) == 200
    parts: list[Any] = [member for (member,) in cut([(3, file)], layout, group_bytes)]
    assert len(parts) > 1
    assert parts[0]["start"] == 0
    assert parts[-1]["end"] is None
    assert [part["end"] for part in parts[:-1]] == [part["start"] for part in parts[1:]]
    assert all(part["file_no"] == 3 for part in parts)
    # the byte before the start tells whether a record begins there: the frame has to hold it
    assert all(part["frame"][1] < part["start"] for part in parts[1:] if part["frame"])
    assert ".zst" not in name or all(part["frame"] for part in parts)
    read = [row for part in parts for row in rows_of(split_of(part), layout)]
    assert read == whole
    most = max(len(list(rows_of(split_of(part), layout))) for part in parts)
    assert most <= group_bytes / 60 + 15  # about as much as was asked for


def split_of(member: dict[str, Any]) -> Split:
    keys = ("url", "start", "end", "stride", "index", "frame")
    return Split(**{key: member[key] for key in keys})


def rows_of(split: Split, layout: Any) -> Iterator[dict[str, Any]]:
    for batch in read_records(split, layout):
        yield from batch.to_pylist()


UNSPLITTABLE: dict[str, tuple[str, bytes]] = {
    "gz": ("jsonl", gzip.compress(lines(200), mtime=0)),
    "zst of one frame": ("jsonl", frames(lines(200), 1 << 20)),
    "parquet of one row group": ("parquet", parquet(lines(200), 999)),
    "damaged parquet": ("parquet", b"PAR1" + bytes(5000) + b"PAR1"),
    "one document": ("text", lines(200)),
}


@pytest.mark.parametrize("name", UNSPLITTABLE)
def test_what_cannot_be_cut_is_one_group(tmp_path: Path, name: str) -> None:
    layout, data = UNSPLITTABLE[name]
    path = write(tmp_path / name, data)
    file = Found(str(path), len(data), "")
    groups = list(cut([(0, file), (1, Found("/none", 1, ""))], layout_of(layout), 100))
    assert [[m["file_no"] for m in group] for group in groups] == [[0], [1]]
    assert [(m["start"], m["end"], m["stride"]) for m in groups[0]] == [(0, None, 1)]


@pytest.mark.parametrize("name", ["gz", "zst of one frame"])
def test_a_large_stream_is_read_in_strides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    data = UNSPLITTABLE[name][1]
    path = write(tmp_path / name, data)
    monkeypatch.setattr(tested, "UNSPLITTABLE_BYTES", len(data) * 4 // 3)  # a bit over three
    monkeypatch.setattr(reading, "SPAN_BYTES", 1000)
    parts = [m for (m,) in cut([(0, Found(str(path), len(data), ""))], JSONL, 100)]
    assert [(m["stride"], m["index"]) for m in parts] == [(4, n) for n in range(4)]
    read = [list(rows_of(split_of(part), JSONL)) for part in parts]
    assert all(read)
    rows = sorted((row for part in read for row in part), key=lambda row: row["place"])
    assert rows == list(rows_of(Split(str(path)), JSONL))


def test_a_large_file_through_the_workspace(tmp_path: Path) -> None:
    """Numbers, frames and ends survive the table of splits."""
    write(tmp_path / "in" / "a.jsonl.zst", frames(lines(200), 777))
    write(tmp_path / "in" / "b.parquet", parquet(lines(100), 9))
    write(tmp_path / "in" / "c.jsonl", b"")
    made = recipe(
        tmp_path, f"{tmp_path}/in/[ac]*", f"{tmp_path}/in/b*", execution={"group_bytes": 900}
    )
    as_any = made.model_copy(
        update={
            "source": (made.source[0], made.source[1].model_copy(update={"layout": "parquet"})),
        }
    )
    inventory = taken(as_any)
    assert len(inventory.groups) > 10
    rows = texts(inventory)
    assert [row[0] for row in rows] == [0] * 200 + [2] * 100
    assert len(set(rows)) == 300
    splits = [
        split for group in inventory.groups for _, split in group_splits(inventory.workspace, group)
    ]
    assert any(split.frame for split in splits)
    assert taken(as_any) == inventory
    os.utime(tmp_path / "in" / "b.parquet", (5, 5))
    (tmp_path / "in" / "c.jsonl").unlink()
    later = taken(as_any)
    assert {row[0] for row in texts(later)} == {0, 3}
    assert len(texts(later)) == 300


def test_a_folder_that_a_step_published_is_what_it_lists(tmp_path: Path) -> None:
    dataset = Dataset(str(tmp_path / "in"))
    schema = pa.schema([("text", pa.string())])
    records = []
    for name in ("g0000000", "g0000001"):
        with dataset.attempt(name, schema) as out:
            out.write(pa.table({"text": [name]}))
        records.append(out.record)
    with dataset.attempt("g0000002", schema) as out:  # committed, and never published
        out.write(pa.table({"text": ["garbage"]}))
    dataset.publish(records, {"step": "ingest"})
    source = Source(name="s", layout="parquet", paths=(dataset.url,))
    found = source_files(source)
    assert [file.url for file in found] == sorted(dataset.file(r) for r in records if r)
    assert {file.version for file in found} == {r.sha256 for r in records if r}
