"""Compare: whether two results are the same, byte for byte, and where they begin to differ."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import pyarrow as pa

from coursepack.pipeline import storage
from coursepack.shards.format import DOCS
from coursepack.stages.result import Result, hashed, open_result, read_shard, read_table
from coursepack.stages.verdict import DAMAGE, Check, Verdict, differences, said

COMPARED = {
    "settings": "tokenizer, vocabulary, seed, phases and streams are the same",
    "hashes": "every shard and sidecar has the bytes that files.parquet says",
    "shards": "the same shards, byte for byte",
}
_OTHER = "the other has"


def compare(result_a: str, result_b: str) -> Verdict:
    """Whether two results (folders of shards) are the same, byte for byte.

    Names, and recipes that say the same in other words, may differ. Of a shard that differs, the
    first row and token are named. Damage is a line in the verdict, never an exception.
    """
    settings, hashes, shards = checks = tuple(Check(name) for name in COMPARED)
    results = []
    for url in (result_a, result_b):
        with settings.noting(f"{url} cannot be compared"):
            results.append(open_result(url))
    if len(results) == 2:
        a, b = results
        found, should = _settings(a), _settings(b)
        names = dict.fromkeys([*found, *should])
        x, y = ({name: one.get(name) for name in names} for one in (found, should))
        settings.add(differences(x, y, _OTHER), len(names))
        if a.manifest.recipe != b.manifest.recipe:
            settings.note = f"the recipes differ: {a.manifest.recipe} and {b.manifest.recipe}"
        files_a, files_b = ({file["path"]: file for file in result.files} for result in results)
        for path in dict.fromkeys([*files_a, *files_b]):
            if path in files_a and path in files_b:
                files = ((a.url, files_a[path]), (b.url, files_b[path]))
                shards.add(_shard_problems(files, hashes), 1, path)
            else:
                which = "first" if path in files_a else "second"
                shards.add([f"is in the {which} result alone"], 1, path)
    return Verdict(checks)


def _settings(result: Result) -> dict[str, Any]:
    names, manifest = ("tokenizer", "vocab_size", "seed", "version"), result.manifest
    found = {name: getattr(manifest, name) for name in names}
    streams = {f"stream {phase}/{length}": s for (phase, length), s in result.streams.items()}
    return found | {"order of phases": [phase.name for phase in manifest.phases]} | streams


def _shard_problems(files: Sequence[tuple[str, dict[str, Any]]], hashes: Check) -> Iterator[str]:
    """Whether two shards, each the URL of its result and a row of files.parquet, differ, and where."""
    names = (("path", "sha256"), ("docs_path", "docs_sha256"))
    read = (
        hashed(storage.join(url, file[path]), file[sha256], hashes)
        for url, file in files
        for path, sha256 in names
    )
    data = [one for one in read if one is not None]  # shard, sidecar, shard, sidecar
    if len(data) < 4 or data[:2] == data[2:]:
        return
    try:
        (info_a, rows_a), (info_b, rows_b) = (read_shard(shard) for shard in data[::2])
        docs_a, docs_b = (read_table(side, DOCS) for side in data[1::2])
        yield (
            next(differences(vars(info_a), vars(info_b), _OTHER), None)
            or _first_difference(rows_a, rows_b, "row")
            or _first_difference(docs_a, docs_b, "document")
            or "the values are the same; the bytes differ, so another release of Arrow wrote them"
        )
    except DAMAGE as error:
        yield f"the bytes differ, and one of the two is damaged: {said(error)}"


def _first_difference(a: pa.Table, b: pa.Table, what: str) -> str | None:
    """Where two tables of the same columns begin to differ; None where they do not."""
    rows = min(len(a), len(b))
    for name in a.column_names:
        x, y = a[name].slice(0, rows), b[name].slice(0, rows)
        if not x.equals(y):
            row = next(i for i in range(rows) if x[i] != y[i])
            p, q = x[row].as_py(), y[row].as_py()
            if isinstance(p, list):  # name the first entry that differs
                k = next(k for k, (u, v) in enumerate(zip_longest(p, q)) if u != v)
                name, p, q = f"entry {k:,} of {name}", p[k : k + 1], q[k : k + 1]
            return f"{name} of {what} {row:,} is {p!r}; {_OTHER} {q!r}"
    return None if len(a) == len(b) else f"it has {len(a):,} {what}s; {_OTHER} {len(b):,}"
