"""Verify: a result is what its manifest says, and follows from the sources.

Three layers. Bytes: every file has its sha256. Invariants: counts balance, runs cover every document
exactly once, hold-outs stay out, nothing repeats within a pass. Replay: a hash-chosen sample of
sequences is made again from the source files. One shard is held at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline import storage
from coursepack.pipeline.arrow import fixed_binary, fixed_rows
from coursepack.pipeline.documents import CONTENT
from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.hashing import choice
from coursepack.pipeline.workspace import Workspace
from coursepack.shards.format import DOCS, docs_path, shard_path
from coursepack.shards.manifest import FILES_NAME, MANIFEST, VALIDATION
from coursepack.stages.invariants import coverage_problems, read_lists, row_problems
from coursepack.stages.replay import Piece, open_origin, pieces_of, replay
from coursepack.stages.result import Result, hashed, open_result, read_shard, read_table
from coursepack.stages.verdict import DAMAGE, Check, Verdict, differences

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
_LISTED, _SAID = f"{FILES_NAME} says", "the manifest says"

# documents compared for repeats at a time (about 100 bytes each); larger results take several passes
_DOCUMENTS = 1 << 23

_Checks = Mapping[str, Check]
_File = dict[str, Any]  # a row of files.parquet


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
    checks = {check: Check(check) for check in CHECKS}
    result = origin = None
    with checks["manifest"].noting("nothing can be checked"):
        result = open_result(url)
    if result is None:
        return Verdict(tuple(checks.values()))
    checks["manifest"].add(_stream_problems(result), len(result.streams))
    pieces = list(_check_shards(result, sample, checks))
    with checks["replay"].noting("nothing can be replayed"):
        origin = open_origin(workspace, name, result.manifest)
    if origin is not None and not origin.recipe.dedup.exact:
        checks["repeats"].note = "dedup.exact is off: equal texts may stand side by side"
    else:
        _check_repeats(result, checks["repeats"])
    if origin is not None:
        made, tokens = replay(origin, pieces, checks["replay"], checks["round_trip"])
        total = sum(file["sequences"] for file in result.files)
        checks["replay"].note = f"{made:,} of {total:,} sequences, {tokens:,} tokens"
    return Verdict(tuple(checks.values()))


def _stream_problems(result: Result) -> Iterator[str]:
    """Every stream has its shards, numbered from 0, and their sums; no shard has no stream."""
    for key, stream in result.streams.items():
        name = "stream {}/{}".format(*key)
        files = [file for file in result.files if (file["phase"], file["length"]) == key]
        numbers = sorted(file["shard"] for file in files)
        if len(files) != stream.shards or numbers != list(range(len(files))):
            yield (
                f"{name}: {FILES_NAME} lists {len(files):,} shards; the manifest says "
                f"{stream.shards:,}, numbered from 0 without gaps"
            )
        sums = {what: sum(file[what] for file in files) for what in ("sequences", "tokens")}
        yield from (f"{name}: {text}" for text in differences(sums, vars(stream), _SAID))
    for file in result.files:
        number = file["phase"], file["length"], file["shard"]
        if number[:2] not in result.streams:
            yield f"{file['path']}: the manifest has no stream {number[0]}/{number[1]}"
        if (file["path"], file["docs_path"]) != (shard_path(*number), docs_path(*number)):
            yield f"{file['path']}: as a shard it must be called {shard_path(*number)}"


def choose(result: Result, sample: int) -> dict[str, list[int]]:
    """The rows of each shard whose hash of (seed, path, row) is among the `sample` least."""
    best: list[tuple[int, str, int]] = []  # hash, path, row
    for file in result.files:
        keys = np.zeros((max(file["sequences"], 0), 2), ">u8")
        keys[:, 1] = np.arange(len(keys))
        rows = fixed_binary(keys.view(np.uint8).reshape(-1, 16))
        hashes = choice(result.manifest.seed, f"verify:{file['path']}", rows)
        least = np.argsort(hashes, kind="stable")[:sample].tolist()
        best = sorted([*best, *((int(hashes[row]), file["path"], row) for row in least)])[:sample]
    chosen: dict[str, list[int]] = {}
    for _, path, row in best:
        chosen.setdefault(path, []).append(row)
    return chosen


def _check_shards(result: Result, sample: int, checks: _Checks) -> Iterator[Piece]:
    """Check all shards with their sidecars, one by one; yields the runs of sampled sequences."""
    chosen = choose(result, sample)
    held_out: list[pa.Array] = []  # contents of the validation phase, which comes first
    for file in sorted(result.files, key=lambda file: file["phase"] != VALIDATION):
        docs = None
        side, url = (storage.join(result.url, file[name]) for name in ("docs_path", "path"))
        data = hashed(side, file["docs_sha256"], checks["hashes"])
        if data is not None:
            with checks["coverage"].noting(f"{side} cannot be read"):
                docs = read_table(data, DOCS)
                _check_documents(file, docs, held_out, checks)
        data = hashed(url, file["sha256"], checks["hashes"])
        if data is not None and (file["phase"], file["length"]) in result.streams:
            rows = chosen.get(file["path"], [])
            with checks["rows"].noting(f"{url} cannot be read"):
                yield from _check_sequences(result, file, data, docs, rows, checks)


def _check_documents(
    file: _File, docs: pa.Table, held_out: list[pa.Array], checks: _Checks
) -> None:
    counted = {"documents": len(docs)}
    checks["counts"].add(differences(counted, file, _LISTED), where=file["docs_path"])
    if file["phase"] == VALIDATION:
        held_out += docs["content"].chunks
        return
    leaked = pc.is_in(docs["content"], pa.chunked_array(held_out, CONTENT)).to_numpy()
    rows = np.flatnonzero(leaked).tolist()
    names = (f"row {row:,}: content {docs['content'][row].as_py().hex()}" for row in rows)
    problems = (f"{name} is held out for validation; it must not be here" for name in names)
    checks["holdout"].add(problems, len(docs), file["docs_path"])


def _check_sequences(
    result: Result,
    file: _File,
    data: bytes,
    docs: pa.Table | None,
    rows: Sequence[int],
    checks: _Checks,
) -> Iterator[Piece]:
    """Check a shard's contents; yields the runs of `rows`. Raises what damaged bytes raise."""
    path, manifest = file["path"], result.manifest
    info, table = read_shard(data)
    should = file | vars(result.streams[file["phase"], file["length"]]) | vars(manifest)
    checks["headers"].add(differences(vars(info), should, _SAID), 1, path)
    if not 0 <= info.pad_id < manifest.vocab_size:
        text = f"pad_id is {info.pad_id}; it must lie in 0..{manifest.vocab_size - 1}"
        checks["headers"].add([text], where=path)
    lists = read_lists(table)
    problems = row_problems(table, lists, manifest.vocab_size, info.pad_id)
    checks["rows"].add(problems, len(table), path)
    tokens = int(lists.used.sum())
    counted = {"bytes": len(data), "sequences": len(table), "tokens": tokens}
    counted["padding"] = len(table) * info.width - tokens
    checks["counts"].add(differences(counted, file, _LISTED), 1, path)
    if docs is not None:
        checks["coverage"].add(coverage_problems(lists, docs), len(docs), path)
        there = [row for row in rows if row < len(table)]
        yield from pieces_of(path, there, table, lists, docs)


def _check_repeats(result: Result, check: Check, most: int = _DOCUMENTS) -> None:
    """No (content, epoch) twice, neither in the phases of training nor in validation."""
    for held_out in (False, True):
        files = [file for file in result.files if (file["phase"] == VALIDATION) == held_out]
        documents = sum(max(file["documents"], 0) for file in files)
        parts = max(1, -(-documents // most))
        for part in range(parts):
            check.add(_repeats(result, files, part, parts))
        check.checked += documents


def _repeats(result: Result, files: Sequence[_File], part: int, parts: int) -> Iterator[str]:
    """Repeats among the contents whose leading 16 bits fall into one of equal `parts`."""
    schema = pa.schema([("content", CONTENT), ("epoch", pa.int32()), ("place", pa.int64())])
    tables = [schema.empty_table()]
    for number, file in enumerate(files):
        with suppress(*DAMAGE):  # said where its bytes are checked
            docs = read_table(storage.read_bytes(storage.join(result.url, file["docs_path"])), DOCS)
            leading = fixed_rows(docs["content"])[:, :2].astype(np.int64) @ np.array([256, 1])
            rows = np.flatnonzero(leading * parts >> 16 == part)
            mine = docs.select(["content", "epoch"]).take(pa.array(rows))
            tables.append(mine.append_column("place", pa.array((number << 32) + rows)).cast(schema))
    groups = pa.concat_tables(tables).group_by(["content", "epoch"])
    counted = groups.aggregate([([], "count_all"), ("place", "min"), ("place", "max")])
    for row in counted.filter(pc.field("count_all") > 1).to_pylist():
        places = (row["place_min"], row["place_max"])
        where = [f"{files[p >> 32]['docs_path']} row {p & 0xFFFFFFFF:,}" for p in places]
        yield (
            f"content {row['content'].hex()} is there {row['count_all']:,} times in pass "
            f"{row['epoch']}: {where[0]}, {where[1]}; once is allowed"
        )
