"""Signals as files that other tools read: Dolma's attributes, RedPajama-V2's quality signals, or Parquet.

They come from the measurements alone: no text is read. Documents stream by in the order of their files. A signal
is of the text after local edits, and so is the span that it is given for.
"""

import difflib
import gzip
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal, cast, get_args

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from coursepack.pipeline import storage
from coursepack.pipeline.arrow import fixed_rows
from coursepack.pipeline.documents import PLACE_BITS
from coursepack.pipeline.errors import RecipeError, WorkspaceError
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.workspace import Workspace
from coursepack.stages.catalogue import Signal
from coursepack.stages.dolma_names import NAMES as DOLMA_NAMES
from coursepack.stages.inventory import Inventory, file_urls, group_name
from coursepack.stages.measure import datasets_of
from coursepack.stages.own_signals import signals_of
from coursepack.stages.published import Documents, decisions, inventory_of, measurements

Form = Literal["dolma", "redpajama", "parquet"]
FORMS: tuple[str, ...] = get_args(Form)

NAME = "coursepack"  # of the attributes among Dolma's
FILE_ROWS = 1 << 20  # of one Parquet file
_LEVEL = 3  # of compression; 6 takes three times as long to save a seventh of such lines
_PLACES = 8  # RedPajama-V2 rounds to as many
_RENAMED = {"chars": "ccnet_length", "rps_lines": "ccnet_nlines"}
_LINES = re.compile(r"\.(jsonl?|ndjson)(\.gz|\.zst)?$")
# read whatever signals are asked for
_ALWAYS = ("id", "url", "host", "content", "reject", "chars", "language")
# of RedPajama-V2's metadata, and two of ours: name there, and column
_ABOUT = {
    "url": "url", "source_domain": "host", "language": "language", "source": "source", "domain": "domain",
}  # fmt: skip
_FIRST = pa.schema(
    [
        ("doc", pa.int64()), ("content", pa.string()), ("id", pa.string()), ("url", pa.string()),
        ("source", pa.string()), ("domain", pa.string()), ("keep", pa.bool_()), ("reason", pa.string()),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """What was written: files, the documents in them, records that are no documents, and whether it was decided."""

    form: str
    output: str
    files: int
    documents: int
    rejected: int
    signals: tuple[str, ...]
    decided: bool


def annotate(recipe: Recipe, form: str, output: str, signals: Sequence[str] = ()) -> Exported:
    """Write the measured signals of all of a recipe's documents below the folder `output`; by default all signals.

    `dolma`: `attributes/coursepack/<path of the document file below documents/>`, compressed as that file is, a
    line a record; with `output` the folder that holds `documents/`, Dolma's mixer finds them. Its mixer pairs
    lines by number and compares ids as they stand, so a rejected record has a line too, without attributes, and
    a document without an id has the id null. A name is `coursepack__<column group>__<signal>`, or for a family that
    follows Dolma's taggers `coursepack__<tagger>__<attribute>`; booleans are 0 and 1, and what is null is left
    out. A text signal is written only when `signals` names it: `..._<value>` with the score 1.

    `redpajama`: `quality_signals/<that path>.signals.json.gz`, a line a document, with its record's id, or its
    content hash where it has none. Signals that have a name in RedPajama-V2 bear it, others that of
    `coursepack_<signal>`; nulls are null, numbers have 8 decimals, and text signals are left out.

    `parquet`: `part-NNNNN.parquet` of FILE_ROWS documents, with all types as they are, ascending by `doc`; `keep` and
    `reason` are null where decide has not run. `attach` joins the tables of such a file by content, id or url.

    Raises RecipeError for unknown names, and WorkspaceError where something was not measured, or where the counts
    of the measurements are others than what was written.
    """
    if form not in FORMS:
        raise RecipeError(f"{form!r} is no form of annotations; the forms are {', '.join(FORMS)}")
    if form == "dolma" and recipe.sample < 1:
        raise RecipeError(
            f"Dolma pairs attributes with documents line by line, and of a sample of {recipe.sample:g} most lines "
            "were not measured; annotate the whole recipe, or write redpajama or parquet"
        )
    chosen = _chosen(recipe, form, signals)
    inventory = inventory_of(recipe)
    measured = measurements(
        recipe, inventory, [*(signal.name for signal in chosen), "chars", "language"]
    )
    decided = decisions(recipe, inventory, measured) if form == "parquet" else None
    names = tuple(dict.fromkeys([*_ALWAYS, *(signal.name for signal in chosen)]))
    documents = Documents(recipe, inventory, measured, decided, names)
    counted = _Counted(documents.tables())
    if form == "parquet":
        files = _write_parquet(counted, chosen, output)
    else:
        lines, place = {
            "dolma": (partial(_dolma_lines, _Dolma.of(chosen)), _dolma_path),
            "redpajama": (partial(_redpajama_lines, _redpajama_names(chosen)), _redpajama_path),
        }[form]
        files = _write_lines(counted, inventory, output, place, lines)
    counted.check(
        sum(
            measured.records["record"][group_name(group)].counts.get(f"file:{number}", 0)
            for group in inventory.groups
            for number in inventory.sources
        )
    )
    return Exported(
        form, output, files, counted.records - counted.rejected, counted.rejected,
        tuple(signal.name for signal in chosen), decided is not None,
    )  # fmt: skip


def _chosen(recipe: Recipe, form: str, signals: Sequence[str]) -> tuple[Signal, ...]:
    """The signals asked for, in that order; all that the recipe measures, and the form can hold, where none is."""
    known = signals_of(recipe)
    if not signals:
        measured = datasets_of(recipe, Workspace(recipe.workspace))
        found = (signal for signal in known.values() if signal.group in measured)
        return tuple(signal for signal in found if form == "parquet" or not _is_text(signal))
    for name in signals:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3)
            hint = (
                f"did you mean {' or '.join(map(repr, near))}?"
                if near
                else "see `coursepack signals`"
            )
            raise RecipeError(f"there is no signal {name!r}; {hint}")
        if form == "redpajama" and _is_text(known[name]):
            raise RecipeError(
                f"{name!r} is text, and RedPajama-V2's quality signals are numbers; leave it out, or write parquet"
            )
    return tuple(known[name] for name in dict.fromkeys(signals))


def _is_text(signal: Signal) -> bool:
    return bool(pa.types.is_string(signal.type))


# Lines of JSON, a file for each document file


Lines = Callable[[pa.Table], Iterator[bytes]]
Place = Callable[[str], str]


class _Counted:
    """Tables that stream by, and what went by."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self.records = 0
        self.rejected = 0

    def __iter__(self) -> Iterator[pa.Table]:
        for table in self._tables:
            self.records += table.num_rows
            self.rejected += table.num_rows - table["reject"].null_count
            yield table

    def check(self, measured: int) -> None:
        """Raises WorkspaceError where as many records were measured as did not go by."""
        if self.records != measured:
            raise WorkspaceError(
                f"{measured:,} records were measured, {self.records:,} were read; delete the measurements and run "
                "`coursepack curate` again"
            )


def _write_lines(
    tables: _Counted, inventory: Inventory, output: str, path_of: Place, lines: Lines
) -> int:
    """A file for each file of the recipe, also where it holds no record; returns their number."""
    urls = {n: u for n, u in file_urls(inventory.workspace).items() if n in inventory.sources}
    places = {n: storage.join(output, p) for n, p in _places(urls, path_of).items()}
    empty = set(places)
    parts = (part for table in tables for part in _by_file(table))
    for number, group in itertools.groupby(parts, key=lambda part: part[0]):
        with _open_text(places[number]) as write:
            for _, table in group:
                for line in lines(table):
                    write(line)
        empty.discard(number)
    for number in sorted(empty):
        with _open_text(places[number]):
            pass
    return len(places)


def _by_file(table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each file, by its number."""
    numbers = table["doc"].to_numpy() >> PLACE_BITS
    starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    for start, end in itertools.pairwise(starts):
        if start < end:
            yield int(numbers[start]), table.slice(start, end - start)


def _places(urls: dict[int, str], path_of: Place) -> dict[int, str]:
    """A path of its own for each file: of those that differ in their endings alone the whole name is kept."""
    paths = _paths(urls)
    times = Counter(map(path_of, paths.values()))
    return {
        n: path_of(path if times[path_of(path)] == 1 else f"{path}.json")
        for n, path in paths.items()
    }


def _paths(urls: dict[int, str]) -> dict[int, str]:
    """What tells the files apart: paths from their common folder, or from the one above `documents/`."""
    roots = {
        n: u.split("/documents/")[0] + "/" if "/documents/" in u else u for n, u in urls.items()
    }
    folders = [root.split("/")[:-1] for root in roots.values()]
    common = list(itertools.takewhile(lambda p: len(set(p)) == 1, zip(*folders, strict=False)))
    return {n: "/".join(filter(None, u.split("/")[len(common) :])) for n, u in urls.items()}


def _dolma_path(path: str) -> str:
    return _instead(f"attributes/{NAME}", path if _LINES.search(path) else f"{path}.json.gz")


def _redpajama_path(path: str) -> str:
    return _instead("quality_signals", f"{_LINES.sub('', path)}.signals.json.gz")


def _instead(folder: str, path: str) -> str:
    """The path with `folder` in place of `documents`, or before all."""
    before, documents, below = f"/{path}".partition("/documents/")
    return f"{before}/{folder}/{below}".lstrip("/") if documents else f"{folder}/{path}"


@contextmanager
def _open_text(url: str) -> Iterator[Callable[[bytes], Any]]:
    """A file of lines, compressed as its name says; the same lines make the same bytes."""
    with storage.open_output(url) as raw:
        packed: Any = raw
        if url.endswith(".zst"):
            packed = zstandard.ZstdCompressor(_LEVEL).stream_writer(cast(Any, raw), closefd=False)
        elif url.endswith(".gz"):
            packed = gzip.GzipFile("", "wb", _LEVEL, cast(Any, raw), mtime=0)
        try:
            yield packed.write
        finally:
            packed.close()


def _values(table: pa.Table, name: str) -> list[Any]:
    """A column as Python's numbers: booleans are 0 and 1."""
    column = table[name]
    values: list[Any] = (
        column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
    ).to_pylist()
    return values


@dataclass(frozen=True)
class _Dolma:
    numbers: tuple[tuple[str, str], ...]  # attribute, column
    texts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, signals: Sequence[Signal]) -> "_Dolma":
        own: dict[str, list[str]] = {}
        for attribute, signal in DOLMA_NAMES.items():
            own.setdefault(signal, []).append(attribute.replace(".", "__"))
        pairs = [
            (f"{NAME}__{attribute}", signal)
            for signal in signals
            for attribute in own.get(signal.name, [f"{signal.group}__{signal.name}"])
        ]
        return cls(
            tuple((a, s.name) for a, s in pairs if not _is_text(s)),
            tuple((a, s.name) for a, s in pairs if _is_text(s)),
        )


def _dolma_lines(wanted: _Dolma, table: pa.Table) -> Iterator[bytes]:
    names = [attribute for attribute, _ in wanted.numbers]
    numbers = _rows([_values(table, name) for _, name in wanted.numbers], table.num_rows)
    texts = _rows([table[name].to_pylist() for _, name in wanted.texts], table.num_rows)
    about = (table[name].to_pylist() for name in ("source", "id", "chars", "reject"))
    for source, name, chars, reject, values, words in zip(*about, numbers, texts, strict=True):
        attributes = {}
        if reject is None:
            attributes = {
                n: [[0, chars, value]]
                for n, value in zip(names, values, strict=True)
                if value is not None
            }
            for (attribute, _), word in zip(wanted.texts, words, strict=True):
                if word is not None:
                    attributes[f"{attribute}_{_variable(word)}"] = [[0, chars, 1]]
        yield orjson.dumps(
            {"source": source, "id": name, "attributes": attributes},
            option=orjson.OPT_APPEND_NEWLINE,
        )


def _rows(columns: list[list[Any]], rows: int) -> Iterator[tuple[Any, ...]]:
    return zip(*columns, strict=True) if columns else itertools.repeat((), rows)


@lru_cache(1 << 16)
def _variable(text: str) -> str:
    """A text as the end of a name: letters, digits and `_`."""
    return re.sub(r"\W", "_", text)


def _redpajama_lines(wanted: Sequence[tuple[str, str]], table: pa.Table) -> Iterator[bytes]:
    table = table.filter(pc.is_null(table["reject"]))
    names = [name for name, _ in wanted]
    columns = [
        pc.round(table[column].cast(pa.float64()), _PLACES).to_pylist() for _, column in wanted
    ]
    ids = pc.coalesce(table["id"], _hex(table["content"])).to_pylist()
    chars = table["chars"].to_pylist()
    abouts = zip(*(table[name].to_pylist() for name in _ABOUT.values()), strict=True)
    for name, size, about, values in zip(
        ids, chars, abouts, _rows(columns, table.num_rows), strict=True
    ):
        digest = hashlib.sha1(name.encode(), usedforsecurity=False).digest()
        line = {
            "id": name,
            "id_int": int.from_bytes(digest[:8], "little"),
            "metadata": dict(zip(_ABOUT, about, strict=True)),
            "quality_signals": {
                n: [[0, size, value]] for n, value in zip(names, values, strict=True)
            },
        }
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _redpajama_names(signals: Sequence[Signal]) -> list[tuple[str, str]]:
    """Name there, and column: what measures a document as the tool does has the tool's name."""
    return [
        (
            s.name if s.name.startswith("rps_doc_") else _RENAMED.get(s.name, f"{NAME}_{s.name}"),
            s.name,
        )
        for s in signals
    ]


def _hex(content: pa.ChunkedArray) -> pa.Array:
    """Content hashes as 32 hex digits."""
    digits = fixed_rows(content).tobytes().hex().encode()
    offsets = np.arange(0, len(digits) + 1, 32, dtype=np.int32)
    return pa.StringArray.from_buffers(len(content), pa.py_buffer(offsets), pa.py_buffer(digits))


# Parquet


def _write_parquet(tables: _Counted, signals: Sequence[Signal], output: str) -> int:
    """Files of FILE_ROWS documents; at least one."""
    if any(url.endswith(".parquet") for url in storage.listing(output)):
        raise WorkspaceError(f"{output!r} holds Parquet files already; give an empty folder")
    schema = pa.schema(
        [*_FIRST, *((s.name, s.type) for s in signals if s.name not in _FIRST.names)]
    )
    number = 0
    for number, group in itertools.groupby(_numbered(tables, schema), key=lambda part: part[0]):
        url = storage.join(output, f"part-{number:05d}.parquet")
        with (
            storage.open_output(url) as raw,
            pq.ParquetWriter(pa.PythonFile(raw, mode="w"), schema, compression="zstd") as out,
        ):
            for _, table in group:
                out.write_table(table)
    return number + 1


def _numbered(tables: _Counted, schema: pa.Schema) -> Iterator[tuple[int, pa.Table]]:
    """Documents, cut where a file ends, with its number; an empty table where there are none."""
    rows = 0
    for table in itertools.chain(tables, [None]):
        if table is None:
            if rows == 0:
                yield 0, schema.empty_table()
            return
        table = table.filter(pc.is_null(table["reject"]))
        table = table.set_column(
            table.schema.get_field_index("content"), "content", _hex(table["content"])
        )
        for name in ("keep", "reason"):
            if name not in table.schema.names:
                table = table.append_column(name, pa.nulls(table.num_rows, schema.field(name).type))
        table = table.select(schema.names).cast(schema)
        while table.num_rows:
            part = table.slice(0, FILE_ROWS - rows % FILE_ROWS)
            yield rows // FILE_ROWS, part
            rows += part.num_rows
            table = table.slice(part.num_rows)
