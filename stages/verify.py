"""Verify: a result is what its manifest says, and follows from the sources; two results are the same.

Three layers. Bytes: every file has its sha256. Invariants: counts balance, runs cover every document
exactly once, hold-outs stay out, nothing repeats within a pass. Replay: a hash-chosen sample of
sequences is made again from the source files. One shard is held at a time.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numba
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from coursepack.pipeline import storage
from coursepack.pipeline.arrow import fixed_binary, fixed_rows
from coursepack.pipeline.documents import MAX_PLACE, PLACE_BITS
from coursepack.pipeline.errors import CoursepackError, WorkspaceError
from coursepack.pipeline.hashing import choice, content_hash
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.workspace import Workspace
from coursepack.shards.format import DOCS, ShardError, docs_path, parse_info, shard_path
from coursepack.shards.manifest import (
    FILES,
    FILES_NAME,
    MANIFEST,
    VALIDATION,
    Manifest,
    Stream,
    parse_manifest,
)
from coursepack.stages.inventory import file_urls, reader_of
from coursepack.stages.layouts import Layout
from coursepack.stages.lineage import Lineage
from coursepack.stages.records import read_places
from coursepack.tokenizers.model import Tokenizer
from coursepack.tokenizers.sentencepiece_proto import read_spec

CHECKS = {
    "manifest": "the manifest's streams are the sums of files.parquet",
    "hashes": "every shard and sidecar has the bytes that files.parquet says",
    "headers": "a shard's own metadata are those of its stream",
    "counts": "sequences, tokens, padding and documents are as files.parquet says",
    "rows": "lengths add up, padding is padding, ids are in the vocabulary",
    "coverage": "each token of each document stands in exactly one run",
    "holdout": "no document of the validation phase stands in another phase",
    "repeats": "no document is there twice in the same pass",
    "replay": "a sample of sequences comes out of the source files again",
    "round_trip": "the sampled documents decode to their texts",
}
COMPARED = {
    "settings": "tokenizer, vocabulary, seed and phases are the same",
    "streams": "the streams have the same shards, sequences and tokens",
    "hashes": CHECKS["hashes"],
    "shards": "the same shards, byte for byte",
}

# keys of documents sorted at a time: 256 MB; larger results are gone through several times
_KEYS = 1 << 25
# problems named one by one; the others are counted
_NAMED = 20
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_LISTS = ("seq_lens", "run_lens", "doc_ids", "doc_starts")
# what Arrow, Parquet, JSON and pydantic raise on damaged bytes, and file systems on what is gone
_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, EOFError, OverflowError)


@dataclass(frozen=True)
class Check:
    """One of `CHECKS` or `COMPARED`: how many things were looked at, and what is wrong."""

    name: str
    checked: int
    problems: tuple[str, ...] = ()
    note: str = ""  # what is no problem, but good to know


@dataclass(frozen=True)
class Verdict:
    """All checks, in a fixed order."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def problems(self) -> list[str]:
        """All that is wrong, each with the name of its check before it."""
        return [f"{check.name}: {text}" for check in self.checks for text in check.problems]

    def check(self, name: str) -> Check:
        """The check of that name."""
        return next(check for check in self.checks if check.name == name)


def verify(workspace_url: str, name: str, sample: int = 200) -> Verdict:
    """Check the result `name` of a workspace; `sample` sequences are made again from the sources.

    Damage is a line in the verdict, never an exception. The sample depends on the result's seed and
    the paths of its shards alone. Raises WorkspaceError when there is no such result.
    """
    workspace = Workspace(workspace_url)
    url = workspace.path("shards", name)
    if not any(storage.exists(storage.join(url, file)) for file in (MANIFEST, FILES_NAME)):
        raise WorkspaceError(
            f"there is no result {name!r} in {workspace_url!r}; a result is there once it is packed"
        )
    found = _Findings(CHECKS)
    result = _open(url, found["manifest"])
    if result is None:
        return found.verdict()
    _check_streams(result, found)
    held = _held_out(result)
    chosen = _choose(result, sample)
    pieces: list[_Piece] = []
    for file in result.files:
        pieces += _check_shard(result, file, held, chosen.get(file.path, []), found)
    origin = _origin(workspace, name, result.manifest, found)
    if origin is not None and not origin.recipe.dedup.exact:
        found["repeats"].note = "dedup.exact is off: equal texts may stand side by side"
    else:
        _check_repeats(result, found)
    if origin is not None:
        _replay(origin, pieces, found)
        rows = sum(file.sequences for file in result.files)
        taken = sum(map(len, chosen.values()))
        found["replay"].note = f"runs of {taken:,} of {rows:,} sequences"
    return found.verdict()


def compare(result_a: str, result_b: str) -> Verdict:
    """Whether two results (folders of shards) are the same, byte for byte.

    Names, and recipes that say the same in other words, may differ. Of the first shard that
    differs, the first row and token are named, and the documents there. Damage is a line in the
    verdict, never an exception.
    """
    found = _Findings(COMPARED)
    results = [_open(url, found["settings"]) for url in (result_a, result_b)]
    a, b = results
    if a is None or b is None:
        return found.verdict()
    _compare_settings(a.manifest, b.manifest, found["settings"])
    _compare_streams(a.manifest, b.manifest, found["streams"])
    _compare_files(a, b, found)
    return found.verdict()


@dataclass
class _Finding:
    """A check under way."""

    checked: int = 0
    problems: list[str] = field(default_factory=list)
    note: str = ""

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def differ(self, where: str, what: str, is_now: Any, should: Any, says: str) -> None:
        """A problem where two values differ; whole numbers are written with commas."""
        if is_now != should:
            shown = [f"{v:,}" if isinstance(v, int) else repr(v) for v in (is_now, should)]
            self.problem(f"{where}: {what} is {shown[0]}; {says} {shown[1]}")


class _Findings(dict[str, _Finding]):
    """Checks under way, by name."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__({name: _Finding() for name in names})

    def verdict(self) -> Verdict:
        return Verdict(
            tuple(
                Check(name, one.checked, tuple(_shortened(one.problems)), one.note)
                for name, one in self.items()
            )
        )


def _shortened(problems: list[str]) -> Iterator[str]:
    yield from problems[:_NAMED]
    if len(problems) > _NAMED:
        yield f"and {len(problems) - _NAMED:,} more"


@dataclass(frozen=True)
class _File:
    """A row of files.parquet."""

    path: str
    phase: str
    length: int
    shard: int
    sequences: int
    tokens: int
    padding: int
    documents: int
    bytes: int
    sha256: str
    docs_path: str
    docs_sha256: str


@dataclass(frozen=True)
class _Result:
    """A folder of shards, and what is said of it."""

    url: str
    manifest: Manifest
    files: tuple[_File, ...]

    @property
    def streams(self) -> dict[tuple[str, int], Stream]:
        return _streams(self.manifest)

    def at(self, path: str) -> str:
        return storage.join(self.url, path)


def _streams(manifest: Manifest) -> dict[tuple[str, int], Stream]:
    return {(p.name, s.length): s for p in manifest.phases for s in p.streams}


def _open(url: str, finding: _Finding) -> _Result | None:
    """The manifest and the list of files; None, and a problem, where they cannot be read."""
    at = storage.join(url, MANIFEST)
    try:
        manifest = parse_manifest(storage.read_bytes(at))
        at = storage.join(url, FILES_NAME)
        table = pq.read_table(pa.BufferReader(storage.read_bytes(at)))
        rows = table.select(FILES.names).cast(FILES).to_pylist()
    except _DAMAGE as error:
        finding.problem(f"{at} cannot be read: {_said(error)}; pack the result again")
        return None
    return _Result(url, manifest, tuple(_File(**row) for row in rows))


def _said(error: BaseException) -> str:
    """The first line of an error, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _check_streams(result: _Result, found: _Findings) -> None:
    """Every stream has its shards, numbered from 0, and their sums; no shard has no stream."""
    finding, streams = found["manifest"], result.streams
    finding.checked += len(streams)
    by_stream: dict[tuple[str, int], list[_File]] = {key: [] for key in streams}
    for file in result.files:
        key = (file.phase, file.length)
        if key not in streams:
            finding.problem(f"{file.path}: the manifest has no stream {_named(key)}")
        by_stream.setdefault(key, []).append(file)
        expected = shard_path(*key, file.shard), docs_path(*key, file.shard)
        if (file.path, file.docs_path) != expected:
            finding.problem(f"{file.path}: as a shard it must be called {expected[0]}")
    for key, stream in streams.items():
        files, where = by_stream[key], f"stream {_named(key)}"
        numbers = sorted(file.shard for file in files)
        if numbers != list(range(stream.shards)):
            finding.problem(
                f"{where}: {FILES_NAME} lists {len(numbers):,} shards; the manifest says "
                f"{stream.shards:,}, numbered from 0 without gaps"
            )
        for what in ("sequences", "tokens"):
            total = sum(getattr(file, what) for file in files)
            says = f"the sum of {FILES_NAME} is"
            finding.differ(where, f"{what} in the manifest", getattr(stream, what), total, says)
        for file in files:
            ids = file.sequences * stream.width
            says = "sequences times width is"
            finding.differ(file.path, "tokens and padding", file.tokens + file.padding, ids, says)


def _named(key: tuple[str, int]) -> str:
    return f"{key[0]}/{key[1]}"


def _choose(result: _Result, sample: int) -> dict[str, list[int]]:
    """The rows of each shard whose hash of (seed, path, row) is among the `sample` least."""
    best = np.zeros((0, 3), np.int64)  # hash, file, row
    for number, file in enumerate(result.files):
        rows = np.zeros((max(file.sequences, 0), 2), ">u8")
        rows[:, 1] = np.arange(len(rows))
        keys = fixed_binary(rows.view(np.uint8).reshape(-1, 16))
        hashes = choice(result.manifest.seed, f"verify:{file.path}", keys)
        least = np.argsort(hashes, kind="stable")[:sample]
        mine = np.column_stack([hashes[least], np.full(len(least), number), least])
        best = np.concatenate([best, mine])
        best = best[np.lexsort(best.T[::-1])[:sample]]
    chosen: dict[str, list[int]] = {}
    for _, number, row in sorted(best.tolist(), key=lambda entry: entry[1:]):
        chosen.setdefault(result.files[number].path, []).append(row)
    return chosen


def _held_out(result: _Result) -> pa.Array:
    """The contents of the validation phase."""
    tables = [_documents_or_none(result, f) for f in result.files if f.phase == VALIDATION]
    contents = [t["content"] for t in tables if t is not None]
    chunks = [chunk for column in contents for chunk in column.chunks]
    return pa.chunked_array(chunks, pa.binary(16)).combine_chunks()


def _documents_or_none(result: _Result, file: _File) -> pa.Table | None:
    try:
        return _documents(_buffer(result.at(file.docs_path)))
    except _DAMAGE:
        return None  # said where its hash is checked


def _documents(data: pa.Buffer) -> pa.Table:
    """A sidecar; raises ShardError when it is another table."""
    table = pq.read_table(pa.BufferReader(data))
    if table.schema.names != DOCS.names:
        raise ShardError(f"columns are {table.schema.names}; they must be {DOCS.names}")
    table.validate(full=True)
    for column in DOCS:
        if table[column.name].null_count and not column.nullable:
            raise ShardError(f"{column.name} has nulls; it must have none")
    return table.cast(DOCS).combine_chunks()


def _buffer(url: str) -> pa.Buffer:
    """A file's bytes: mapped where local, else read whole."""
    if not storage.is_local(url) or not storage.size(url):  # an empty file cannot be mapped
        return pa.py_buffer(storage.read_bytes(url))
    return pa.memory_map(storage.filesystem(url)[1]).read_buffer()


@dataclass(frozen=True)
class _Piece:
    """A run of a sampled sequence: where it stands, and which tokens of which document it holds."""

    path: str
    row: int
    at: int  # place of its first token in the row
    content: bytes
    source: str
    tokens: int  # of the whole document
    start: int
    ids: np.ndarray

    @property
    def where(self) -> str:
        return f"{self.path}, row {self.row:,}"


def _check_shard(
    result: _Result, file: _File, held: pa.Array, rows: list[int], found: _Findings
) -> list[_Piece]:
    """Check one shard with its sidecar; returns the runs of the sampled `rows`."""
    docs = None
    data = _hashed(result.at(file.docs_path), file.docs_path, file.docs_sha256, None, found)
    if data is not None:
        try:
            docs = _documents(data)
            _check_documents(file, docs, held, found)
        except _DAMAGE as error:
            found["coverage"].problem(
                f"{file.docs_path} cannot be read as a sidecar: {_said(error)}"
            )
    data = _hashed(result.at(file.path), file.path, file.sha256, file.bytes, found)
    stream = result.streams.get((file.phase, file.length))
    if data is None or stream is None:
        return []
    try:
        return _check_sequences(result.manifest, stream, file, data, docs, rows, found)
    except _DAMAGE as error:
        found["rows"].problem(f"{file.path} cannot be read as a shard: {_said(error)}")
        return []


def _hashed(
    url: str, path: str, sha256: str, size: int | None, found: _Findings
) -> pa.Buffer | None:
    """The bytes of a file, checked; None, and a problem, where it cannot be read."""
    finding = found["hashes"]
    finding.checked += 1
    try:
        data = _buffer(url)
    except FileNotFoundError:
        finding.problem(f"{path} is not there; {FILES_NAME} lists it")
        return None
    except _DAMAGE as error:
        finding.problem(f"{path} cannot be read: {_said(error)}")
        return None
    if size is not None and data.size != size:
        finding.problem(f"{path} has {data.size:,} bytes; {FILES_NAME} says {size:,}")
    elif (digest := hashlib.sha256(memoryview(data)).hexdigest()) != sha256:
        finding.problem(f"{path} has sha256 {digest}; {FILES_NAME} says {sha256}")
    return data


def _check_documents(file: _File, docs: pa.Table, held: pa.Array, found: _Findings) -> None:
    found["counts"].differ(
        file.docs_path, "documents", docs.num_rows, file.documents, f"{FILES_NAME} says"
    )
    if file.phase == VALIDATION:
        return
    found["holdout"].checked += docs.num_rows
    leaked = np.flatnonzero(pc.is_in(docs["content"], held).to_numpy())
    if len(leaked):
        first = docs["content"][int(leaked[0])].as_py().hex()
        found["holdout"].problem(
            f"{file.docs_path}: {len(leaked):,} of {docs.num_rows:,} documents are held out for "
            f"validation; the first is row {leaked[0]:,} (content {first}); none may be"
        )


@dataclass(frozen=True)
class _Runs:
    """The runs of a shard: int32 arrays, one entry a run; `offsets` int64 (sequences + 1)."""

    offsets: np.ndarray
    lens: np.ndarray
    doc_ids: np.ndarray
    starts: np.ndarray

    def row(self, run: int) -> int:
        """The sequence a run stands in."""
        return int(np.searchsorted(self.offsets, run, "right")) - 1

    def take(self, runs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """doc_ids, starts and lens (int64) of some runs."""
        columns = (
            column[runs].astype(np.int64) for column in (self.doc_ids, self.starts, self.lens)
        )
        doc, start, length = columns
        return doc, start, length


def _check_sequences(
    manifest: Manifest,
    stream: Stream,
    file: _File,
    data: pa.Buffer,
    docs: pa.Table | None,
    rows: list[int],
    found: _Findings,
) -> list[_Piece]:
    """Check a shard's contents; returns the runs of `rows`. Raises what damaged bytes raise."""
    reader = pa.ipc.open_file(data)
    pad = _check_header(manifest, stream, file, reader.schema, found)
    kept: dict[int, np.ndarray] = {}
    parts: list[_Runs] = []
    seen = np.zeros((len(_ROW_PROBLEMS), 4), np.int64)
    first = 0
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        batch.validate(full=True)  # before its offsets are followed
        ids, seq, runs = _batch_arrays(batch, stream.width)
        _look(
            ids,
            *seq,
            runs.offsets,
            runs.lens,
            np.int32(manifest.vocab_size),
            np.int32(pad),
            first,
            seen,
        )
        kept |= {r: ids[r - first].copy() for r in rows if first <= r < first + len(ids)}
        parts.append(runs)
        first += len(ids)
    runs = _joined(parts)
    found["rows"].checked += first
    for text, (count, row, place, value) in zip(_ROW_PROBLEMS, seen.tolist(), strict=True):
        if count:
            what = text.format(
                count=count, row=row, place=place, value=value, width=stream.width, pad=pad,
                last=manifest.vocab_size - 1,
            )  # fmt: skip
            found["rows"].problem(f"{file.path}: {what}")
    found["counts"].checked += 1
    tokens = int(runs.lens.sum(dtype=np.int64))
    counted = {"sequences": first, "tokens": tokens, "padding": first * stream.width - tokens}
    for what, count in counted.items():
        should = getattr(file, what)
        found["counts"].differ(file.path, what, count, should, f"{FILES_NAME} says")
    if docs is None:
        return []
    _check_coverage(file, runs, docs, found["coverage"])
    return list(_pieces(file, kept, runs, docs))


def _check_header(
    manifest: Manifest, stream: Stream, file: _File, schema: pa.Schema, found: _Findings
) -> int:
    """Compare a shard's metadata with the manifest; returns its pad id."""
    finding = found["headers"]
    finding.checked += 1
    info = parse_info(schema)
    should = {
        "phase": file.phase,
        "length": file.length,
        "targets": stream.targets,
        "tokenizer": manifest.tokenizer,
    }
    for what, value in should.items():
        finding.differ(file.path, what, getattr(info, what), value, "the manifest says")
    if not 0 <= info.pad_id < manifest.vocab_size:
        finding.problem(
            f"{file.path}: pad_id is {info.pad_id}; it must lie in 0..{manifest.vocab_size - 1}"
        )
    return info.pad_id


def _batch_arrays(
    batch: pa.RecordBatch, width: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], _Runs]:
    """ids int32 (rows, width), (offsets, values) of seq_lens, and the runs, as views."""
    kind = batch.schema.field("input_ids").type
    if kind != pa.list_(pa.int32(), width):
        raise ShardError(f"input_ids are {kind}; they must be {pa.list_(pa.int32(), width)}")
    lists = {}
    for name in ("input_ids", *_LISTS):
        column = batch.column(name)
        if name != "input_ids" and column.type != pa.list_(pa.int32()):
            raise ShardError(f"{name} is {column.type}; it must be {pa.list_(pa.int32())}")
        if column.null_count or column.values.null_count:
            raise ShardError(f"{name} has nulls; it must have none")
    for name in _LISTS:
        column = batch.column(name)
        offsets = column.offsets.to_numpy().astype(np.int64)
        lists[name] = (offsets - offsets[0], column.flatten().to_numpy())
    bounds, lens = lists["run_lens"]
    for name in ("doc_ids", "doc_starts"):
        if not np.array_equal(lists[name][0], bounds):
            raise ShardError(f"{name} and run_lens have different numbers of entries in some rows")
    ids = batch.column("input_ids").flatten().to_numpy().reshape(-1, width)
    return ids, lists["seq_lens"], _Runs(bounds, lens, lists["doc_ids"][1], lists["doc_starts"][1])


def _joined(parts: Sequence[_Runs]) -> _Runs:
    """The runs of all record batches, copied."""
    counts = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.offsets) for part in parts)])
    empty = np.zeros(0, np.int32)
    columns = (
        np.concatenate([empty, *(getattr(part, name) for part in parts)])
        for name in ("lens", "doc_ids", "starts")
    )
    return _Runs(np.cumsum(counts), *columns)


_ROW_PROBLEMS = (
    "{count:,} ids are not in the vocabulary; the first is {value} in row {row:,}, token {place:,}; "
    "ids lie in 0..{last}",
    "{count:,} places of padding hold something else; the first holds {value} in row {row:,}, "
    "token {place:,}; it must be {pad}",
    "in {count:,} rows run_lens sum to more than the width; the first is row {row:,} with {value:,}; "
    "at most {width:,} fit",
    "in {count:,} rows seq_lens and run_lens have different sums; the first is row {row:,} with "
    "{value:,} and {place:,}",
    "{count:,} runs or segments are empty; the first is in row {row:,} and has {value} tokens; "
    "each must have at least 1",
    "in {count:,} rows a segment ends within a run; the first is row {row:,}, at token {place:,}",
)
_ID, _PADDING, _LONG, _SUMS, _EMPTY, _BORDER = range(len(_ROW_PROBLEMS))


@numba.njit(nogil=True, cache=True)
def _look(
    ids: np.ndarray,
    seq_offsets: np.ndarray,
    seq_lens: np.ndarray,
    run_offsets: np.ndarray,
    run_lens: np.ndarray,
    vocabulary: np.int32,
    pad: np.int32,
    first_row: int,
    seen: np.ndarray,
) -> None:
    """Look for _ROW_PROBLEMS in int32 ids (rows, width); `seen` (kinds, 4) gets the count, and
    row, place and value of the first."""
    rows, width = ids.shape
    for i in range(rows):
        row = first_row + i
        used = 0
        for k in range(run_offsets[i], run_offsets[i + 1]):
            if run_lens[k] < 1:
                _note(seen, _EMPTY, row, 0, run_lens[k])
            used += max(run_lens[k], 0)
        attended = 0
        k, end = run_offsets[i], 0
        within = False
        for s in range(seq_offsets[i], seq_offsets[i + 1]):
            if seq_lens[s] < 1:
                _note(seen, _EMPTY, row, 0, seq_lens[s])
            attended += max(seq_lens[s], 0)
            while end < attended and k < run_offsets[i + 1]:
                end += max(run_lens[k], 0)
                k += 1
            if end > attended and not within:
                within = True
                _note(seen, _BORDER, row, attended, 0)
        if attended != used:
            _note(seen, _SUMS, row, used, attended)
        if used > width:
            _note(seen, _LONG, row, 0, used)
            used = width
        wrong = 0
        for j in range(used):
            wrong += (ids[i, j] < 0) | (ids[i, j] >= vocabulary)
        if wrong:
            for j in range(used):
                if ids[i, j] < 0 or ids[i, j] >= vocabulary:
                    _note(seen, _ID, row, j, ids[i, j])
        for j in range(used, width):
            if ids[i, j] != pad:
                _note(seen, _PADDING, row, j, ids[i, j])


@numba.njit(nogil=True, cache=True)
def _note(seen: np.ndarray, kind: int, row: int, place: int, value: int) -> None:
    if seen[kind, 0] == 0:
        seen[kind, 1] = row
        seen[kind, 2] = place
        seen[kind, 3] = value
    seen[kind, 0] += 1


def _check_coverage(file: _File, runs: _Runs, docs: pa.Table, finding: _Finding) -> None:
    """Each token of each document of the sidecar stands in exactly one run."""
    tokens = docs["tokens"].to_numpy().astype(np.int64)
    finding.checked += len(tokens)
    known = (runs.doc_ids >= 0) & (runs.doc_ids < len(tokens))
    if not known.all():
        run = int(np.flatnonzero(~known)[0])
        finding.problem(
            f"{file.path}: {np.count_nonzero(~known):,} runs name documents that the sidecar does "
            f"not have; the first is document {runs.doc_ids[run]} in row {runs.row(run):,}; it has "
            f"{len(tokens):,} documents"
        )
    inside = np.flatnonzero(known)
    doc, start, length = runs.take(inside)
    beyond = np.flatnonzero((start < 0) | (length < 0) | (start + length > tokens[doc]))
    if len(beyond):
        k = beyond[0]
        finding.problem(
            f"{file.path}: {len(beyond):,} runs lie outside their documents; the first holds tokens "
            f"{start[k]:,} to {start[k] + length[k]:,} of document {doc[k]:,} in row "
            f"{runs.row(int(inside[k])):,}; that has {tokens[doc[k]]:,}"
        )
    wrong = _not_once(doc, start, length, tokens)
    if len(wrong):
        d = wrong[0]
        mine = np.flatnonzero(doc == d)
        mine = mine[np.argsort(start[mine], kind="stable")][:4]
        held = ", ".join(
            f"{a:,} to {b:,}" for a, b in zip(start[mine], (start + length)[mine], strict=True)
        )
        finding.problem(
            f"{file.path}: {len(wrong):,} of {len(tokens):,} documents are not covered exactly once; "
            f"the first is document {d:,} (content {docs['content'][int(d)].as_py().hex()}) of "
            f"{tokens[d]:,} tokens; its runs hold {held or 'nothing'}"
            f"{', ...' if np.count_nonzero(doc == d) > len(mine) else ''}"
        )


def _not_once(
    doc: np.ndarray, start: np.ndarray, length: np.ndarray, tokens: np.ndarray
) -> np.ndarray:
    """Documents, ascending, whose runs do not follow each other from 0 to their last token."""
    order = np.lexsort((start, doc))
    doc, start, end = doc[order], start[order], (start + length)[order]
    fresh = np.ones(len(doc), np.bool_)
    fresh[1:] = doc[1:] != doc[:-1]
    expected = np.zeros(len(doc), np.int64)
    expected[1:] = end[:-1]
    expected[fresh] = 0
    last = np.zeros(len(tokens), np.int64)
    closing = np.append(fresh[1:], True)[: len(doc)]
    last[doc[closing]] = end[closing]
    wrong = last != tokens
    wrong[doc[start != expected]] = True
    return np.flatnonzero(wrong)


def _pieces(
    file: _File, kept: Mapping[int, np.ndarray], runs: _Runs, docs: pa.Table
) -> Iterator[_Piece]:
    """The runs of sampled rows; what is no run of the row or the sidecar has been reported."""
    for row, ids in kept.items():
        at = 0
        numbers = np.arange(runs.offsets[row], runs.offsets[row + 1])
        for d, start, length in zip(*(c.tolist() for c in runs.take(numbers)), strict=True):
            if 0 <= d < docs.num_rows and start >= 0 and 0 < length <= len(ids) - at:
                doc = {name: docs[name][d].as_py() for name in ("content", "source", "tokens")}
                yield _Piece(file.path, row, at, **doc, start=start, ids=ids[at : at + length])
            at += max(length, 0)


def _check_repeats(result: _Result, found: _Findings, most_keys: int = _KEYS) -> None:
    """No (content, epoch) twice, neither in the phases of training nor in validation.

    Hashes of (content, epoch) are sorted, `most_keys` at a time; what shares one is then compared.
    """
    for held in (False, True):
        files = [file for file in result.files if (file.phase == VALIDATION) == held]
        documents = sum(max(file.documents, 0) for file in files)
        found["repeats"].checked += documents
        bits = max(0, -(-documents // most_keys) - 1).bit_length()
        for part in range(1 << bits):
            keys = [np.zeros(0, np.uint64)]
            for file in files:
                mine = _document_keys(_documents_or_none(result, file))
                keys.append(mine[mine >> np.uint64(64 - bits) == part] if bits else mine)
            ordered = np.sort(np.concatenate(keys))
            twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
            if len(twice):
                _name_repeats(result, files, twice, found["repeats"])


def _document_keys(docs: pa.Table | None) -> np.ndarray:
    """A 64-bit hash of (content, epoch) of each document."""
    if docs is None:
        return np.zeros(0, np.uint64)
    leading = fixed_rows(docs["content"]).view(">u8")[:, 0].astype(np.uint64)
    with np.errstate(over="ignore"):
        keys: np.ndarray = leading + docs["epoch"].to_numpy().astype(np.uint64) * _GOLDEN
    return keys


def _name_repeats(
    result: _Result, files: Iterable[_File], twice: np.ndarray, finding: _Finding
) -> None:
    places: dict[tuple[bytes, int], list[str]] = {}
    for file in files:
        docs = _documents_or_none(result, file)
        for row in np.flatnonzero(np.isin(_document_keys(docs), twice)).tolist():
            assert docs is not None
            key = (docs["content"][row].as_py(), docs["epoch"][row].as_py())
            places.setdefault(key, []).append(f"{file.docs_path} row {row:,}")
    for (content, epoch), where in places.items():
        if len(where) > 1:
            finding.problem(
                f"content {content.hex()} is there {len(where):,} times in pass {epoch}: "
                f"{', '.join(where[:4])}{', ...' if len(where) > 4 else ''}; once is allowed"
            )


@dataclass(frozen=True)
class _Origin:
    """What a result was made from."""

    recipe: Recipe
    model: bytes
    tokenizer: Tokenizer
    lineage: Lineage
    urls: dict[int, str]  # by file number
    read: dict[str, set[int]]  # reader fingerprint -> numbers of the files read that way


def _origin(
    workspace: Workspace, name: str, manifest: Manifest, found: _Findings
) -> _Origin | None:
    """What the result was made from; None, and a problem, where something is gone or other."""
    finding = found["replay"]
    at = workspace.path("recipes", name + ".json")
    try:
        recipe = Recipe.model_validate_json(storage.read_bytes(at))
        if recipe.fingerprint() != manifest.recipe:
            finding.problem(
                f"{at} is another recipe than the result's ({recipe.fingerprint()}; the manifest says "
                f"{manifest.recipe}), so nothing can be replayed; run the recipe again"
            )
            return None
        at = workspace.path("shards", name, "plan.json")
        plan = orjson.loads(storage.read_bytes(at))
        lineage_url, at = workspace.path("lineage", plan["decisions"]), plan["tokenizer_url"]
        model = storage.read_bytes(at)
        tokenizer = Tokenizer(model)
        if tokenizer.sha256 != manifest.tokenizer:
            finding.problem(
                f"the tokenizer {at} has sha256 {tokenizer.sha256}; the manifest says "
                f"{manifest.tokenizer}; bring the old one back"
            )
            return None
        finding.differ(
            at, "its vocabulary", tokenizer.vocab_size, manifest.vocab_size, "the manifest says"
        )
        at = lineage_url
        lineage = Lineage.open(at)
        at = workspace.path("inventory", "splits.parquet")
        return _Origin(recipe, model, tokenizer, lineage, file_urls(workspace), _files_read(at))
    except (CoursepackError, *_DAMAGE) as error:
        finding.problem(f"{at} cannot be read, so nothing can be replayed: {_said(error)}")
        return None


def _files_read(splits_url: str) -> dict[str, set[int]]:
    with storage.open_input(splits_url) as raw:
        splits = pq.read_table(raw, columns=["reader", "file_no"])
    found = {}
    for reader in pc.unique(splits["reader"]):
        mine = splits.filter(pc.equal(splits["reader"], reader))
        found[reader.as_py()] = set(mine["file_no"].to_numpy().tolist())
    return found


_Key = tuple[bytes, str]
"""A sampled document: its content and its source's name."""


def _replay(origin: _Origin, pieces: Sequence[_Piece], found: _Findings) -> None:
    """Make the sampled runs again from the source files and compare them."""
    wanted: dict[_Key, list[_Piece]] = {}
    for piece in pieces:
        wanted.setdefault((piece.content, piece.source), []).append(piece)
    finding = found["replay"]
    finding.checked += len(pieces)
    differing = _RoundTrip(origin.model)
    try:
        docs = origin.lineage.docs([content for content, _ in wanted])
    except (CoursepackError, *_DAMAGE) as error:
        finding.problem(f"the lineage cannot be read, so nothing can be replayed: {_said(error)}")
        return
    for (file_no, _), (layout, places) in sorted(
        _by_file(origin, wanted, docs, finding).items(), key=lambda entry: entry[0]
    ):
        url = origin.urls.get(file_no, f"file number {file_no}")
        lost = []
        for place, text in _texts(url, layout, places, origin.recipe, finding):
            for key in places[place]:
                where = f"{url}, place {place:,}"
                if text is None or (now := _content(text)) != key[0]:
                    what = "no record" if text is None else f"content {now.hex()}"
                    lost.append(
                        f"{where}: found {what}; {wanted[key][0].where} has content {key[0].hex()} "
                        "from there"
                    )
                    continue
                ids = _encoded(origin, text)
                for piece in wanted[key]:
                    _compare_run(origin.tokenizer, piece, ids, where, finding)
                frame = origin.recipe.tokenizer
                body = ids[int(frame.bos) : len(ids) - int(frame.eos)]
                differing.look(origin.tokenizer, body, text, where)
        if lost:
            more = f" (so it is with {len(lost):,} of its sampled documents)" * (len(lost) > 1)
            finding.problem(
                f"{lost[0]}{more}; the file changed since it was measured, or the shard names "
                "the wrong document"
            )
    differing.report(found["round_trip"])


def _by_file(
    origin: _Origin,
    wanted: Mapping[_Key, list[_Piece]],
    docs: Mapping[bytes, list[int]],
    finding: _Finding,
) -> dict[tuple[int, str], tuple[Layout, dict[int, list[_Key]]]]:
    """(file number, reader) -> its layout, and the documents to be read at each place."""
    readers = {s.name: reader_of(s, origin.recipe) for s in origin.recipe.source}
    files: dict[tuple[int, str], tuple[Layout, dict[int, list[_Key]]]] = {}
    for key, its in wanted.items():
        content, source = key
        if source not in readers:
            finding.problem(
                f"{its[0].where}: content {content.hex()} is of source {source!r}; the recipe has "
                f"{', '.join(readers)}"
            )
            continue
        reader, layout = readers[source]
        read = origin.read.get(reader, set())
        doc = next((d for d in docs.get(content, []) if d >> PLACE_BITS in read), None)
        if doc is None:
            finding.problem(
                f"{its[0].where}: content {content.hex()} is nowhere in source {source!r}, says the "
                f"lineage in {origin.lineage.dataset.url}; it must name a file and place"
            )
            continue
        _, places = files.setdefault((doc >> PLACE_BITS, reader), (layout, {}))
        places.setdefault(doc & MAX_PLACE, []).append(key)
    return files


def _texts(
    url: str, layout: Layout, places: Iterable[int], recipe: Recipe, finding: _Finding
) -> Iterator[tuple[int, str | None]]:
    """(place, text) as `read_places` gives them, until the file turns out to be gone or damaged."""
    ordered = sorted(places)
    try:
        yield from read_places(url, layout, ordered, recipe.limits.record_bytes)
    except (CoursepackError, *_DAMAGE) as error:
        finding.problem(
            f"{url} cannot be read ({_said(error)}); {len(ordered):,} sampled documents stand there; "
            "bring the file back"
        )


def _content(text: str) -> bytes:
    return bytes(content_hash(pa.array([text], pa.large_string()))[0].as_py())


def _encoded(origin: _Origin, text: str) -> np.ndarray:
    frame = origin.recipe.tokenizer
    one = pa.array([text], pa.large_string())
    return origin.tokenizer.encode(one, bos=frame.bos, eos=frame.eos)[1]


def _compare_run(
    tokenizer: Tokenizer, piece: _Piece, ids: np.ndarray, where: str, finding: _Finding
) -> None:
    if len(ids) != piece.tokens:
        finding.problem(
            f"{piece.where}: content {piece.content.hex()} has {piece.tokens:,} tokens; encoded again "
            f"from {where} it has {len(ids):,}"
        )
    again = ids[piece.start : piece.start + len(piece.ids)]
    same = piece.ids[: len(again)] == again
    if len(again) < len(piece.ids) or not same.all():
        k = len(again) if same.all() else int(np.argmin(same))
        should = _spelled(tokenizer, int(again[k])) if k < len(again) else "nothing"
        finding.problem(
            f"{piece.where}: token {piece.at + k:,} is {_spelled(tokenizer, int(piece.ids[k]))}; "
            f"{where} gives {should}"
        )


def _spelled(tokenizer: Tokenizer, token: int) -> str:
    """A token as number and piece."""
    known = 0 <= token < tokenizer.vocab_size
    return f"{token} ({tokenizer.piece(token)!r})" if known else str(token)


class _RoundTrip:
    """Decodes what was encoded; texts come back where the model neither normalises nor loses bytes."""

    def __init__(self, model: bytes) -> None:
        spec = read_spec(model)
        self._expected = spec.identity and spec.byte_fallback and not spec.removes_extra_whitespaces
        # the model's sign for a space, written out in a text, is read back as a space
        self._folds = spec.escapes_whitespaces
        self._checked = 0
        self._differing: list[str] = []

    def look(self, tokenizer: Tokenizer, ids: np.ndarray, text: str, where: str) -> None:
        self._checked += 1
        back = tokenizer.decode(ids)
        should = text.replace("\u2581", " ") if self._folds else text
        if back != should:
            pairs = enumerate(zip(back, should, strict=False))
            k = next((i for i, (a, b) in pairs if a != b), min(len(back), len(should)))
            self._differing.append(
                f"{where}: encoded and decoded, character {k:,} is {back[k : k + 10]!r}; the text "
                f"has {should[k : k + 10]!r}"
            )

    def report(self, finding: _Finding) -> None:
        finding.checked += self._checked
        if self._expected:
            finding.problems += self._differing
        else:
            finding.note = (
                f"{len(self._differing):,} of {self._checked:,} documents do not decode to their "
                "texts; this tokenizer normalises them or has no pieces for some bytes"
            )


def _compare_settings(a: Manifest, b: Manifest, finding: _Finding) -> None:
    for what in ("tokenizer", "vocab_size", "seed", "version"):
        finding.checked += 1
        finding.differ("manifests", what, getattr(a, what), getattr(b, what), "the other has")
    mine, other = ([phase.name for phase in one.phases] for one in (a, b))
    finding.checked += 1
    finding.differ("manifests", "the order of phases", mine, other, "the other has")
    if a.recipe != b.recipe:
        finding.note = f"the recipes differ: {a.name!r} {a.recipe} and {b.name!r} {b.recipe}"


def _compare_streams(a: Manifest, b: Manifest, finding: _Finding) -> None:
    mine, other = _streams(a), _streams(b)
    for key in dict.fromkeys([*mine, *other]):
        finding.checked += 1
        if key not in mine or key not in other:
            which = "first" if key in mine else "second"
            finding.problem(f"stream {_named(key)} is in the {which} result alone")
            continue
        theirs = asdict(other[key])
        for what, value in asdict(mine[key]).items():
            finding.differ(f"stream {_named(key)}", what, value, theirs[what], "the other has")


def _compare_files(a: _Result, b: _Result, found: _Findings) -> None:
    """Re-hash all files; of the first shard that differs, say where."""
    mine, other = ({file.path: file for file in result.files} for result in (a, b))
    explained = False
    for path in dict.fromkeys([*mine, *other]):
        found["shards"].checked += 1
        if path not in mine or path not in other:
            which = "first" if path in mine else "second"
            found["shards"].problem(f"{path} is in the {which} result alone")
            continue
        pairs = [_both(result, files[path], found) for result, files in ((a, mine), (b, other))]
        if any(data is None for pair in pairs for data in pair):
            continue
        if pairs[0] != pairs[1]:
            text = (
                f"{path} or its sidecar has other bytes" if explained else _difference(path, pairs)
            )
            found["shards"].problem(text)
            explained = True


_Both = tuple[pa.Buffer | None, pa.Buffer | None]
"""The bytes of a shard and of its sidecar."""


def _both(result: _Result, file: _File, found: _Findings) -> _Both:
    shard = _hashed(result.at(file.path), result.at(file.path), file.sha256, file.bytes, found)
    side = result.at(file.docs_path)
    return shard, _hashed(side, side, file.docs_sha256, None, found)


def _difference(path: str, pairs: Sequence[_Both]) -> str:
    """Where two shards of one path begin to differ."""
    try:
        docs = [_documents(side) for _, side in pairs]
        readers = [pa.ipc.open_file(shard) for shard, _ in pairs]
        return f"{path}: {_first_difference(readers, docs)}"
    except _DAMAGE as error:
        return f"{path}: the bytes differ, and one of the two is damaged: {_said(error)}"


def _first_difference(readers: Sequence[Any], docs: Sequence[pa.Table]) -> str:
    infos = [parse_info(reader.schema) for reader in readers]
    if infos[0] != infos[1]:
        return f"the metadata are {infos[0]}; the other has {infos[1]}"
    first = 0
    for number in range(min(reader.num_record_batches for reader in readers)):
        batches = [reader.get_batch(number) for reader in readers]
        for batch in batches:
            batch.validate(full=True)
        if not batches[0].equals(batches[1]):
            if text := _first_row(batches, infos[0].width, first, docs):
                return text
            break
        first += batches[0].num_rows
    rows = [sum(r.get_batch(i).num_rows for i in range(r.num_record_batches)) for r in readers]
    if rows[0] != rows[1]:
        return f"it has {rows[0]:,} sequences, all in the other; the other has {rows[1]:,}"
    for name in DOCS.names:
        if not docs[0][name].equals(docs[1][name]):
            columns = [table[name] for table in docs]
            both = range(min(map(len, columns)))
            row = next((i for i in both if columns[0][i] != columns[1][i]), None)
            if row is not None:
                found = [_shown(column[row].as_py()) for column in columns]
                return (
                    f"{name} of document {row:,} in the sidecar is {found[0]}; "
                    f"the other has {found[1]}"
                )
    if docs[0].num_rows != docs[1].num_rows:
        return f"it has {docs[0].num_rows:,} documents; the other has {docs[1].num_rows:,}"
    return "the values are the same; the bytes differ, so another release of Arrow wrote them"


def _shown(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)


def _first_row(
    batches: Sequence[pa.RecordBatch], width: int, first: int, docs: Sequence[pa.Table]
) -> str | None:
    """The first row of two record batches that differs; None where one only has more rows."""
    arrays = [_batch_arrays(batch, width) for batch in batches]
    common = min(batch.num_rows for batch in batches)
    ids = [part[0][:common] for part in arrays]
    differs = np.any(ids[0] != ids[1], axis=1)
    for name in _LISTS:
        lists = [batch.column(name).slice(0, common) for batch in batches]
        if not lists[0].equals(lists[1]):
            row = next(i for i in range(common) if lists[0][i] != lists[1][i])
            if not differs[: row + 1].any():
                found = [_shown(column[row].as_py()[:20]) for column in lists]
                return f"{name} of row {first + row:,} is {found[0]}; the other has {found[1]}"
    if not differs.any():
        return None
    row = int(np.argmax(differs))
    token = int(np.argmax(ids[0][row] != ids[1][row]))
    named = [
        _document_at(part[2], row, token, table) for part, table in zip(arrays, docs, strict=True)
    ]
    return (
        f"row {first + row:,}, token {token:,} is {ids[0][row, token]} of {named[0]}; "
        f"the other has {ids[1][row, token]} of {named[1]}"
    )


def _document_at(runs: _Runs, row: int, token: int, docs: pa.Table) -> str:
    """The document whose run holds a token."""
    bounds = runs.offsets[row : row + 2].tolist()
    ends = np.cumsum(runs.lens[bounds[0] : bounds[1]], dtype=np.int64)
    k = int(np.searchsorted(ends, token, "right"))
    if k == len(ends):
        return "padding"
    doc = int(runs.doc_ids[bounds[0] + k])
    if not 0 <= doc < docs.num_rows:
        return f"document {doc}, which the sidecar lacks"
    return f"content {docs['content'][doc].as_py().hex()}"
