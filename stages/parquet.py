"""Parquet files as records: only the columns needed, a few rows at a time, good rows and bad."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from coursepack.pipeline.documents import METADATA, RECORDS
from coursepack.pipeline.storage import open_input
from coursepack.stages.characters import utf8_valid
from coursepack.stages.fields import (
    DETAIL_CHARACTERS,
    Keys,
    Reject,
    find,
    license_text,
    metadata_defaults,
    metadata_text,
    split_paths,
)
from coursepack.stages.layouts import Layout

MAGIC = b"PAR1"

# what pyarrow raises for a damaged file; a missing or refused one is an OSError with a number
_DAMAGE = (pa.ArrowException, OSError, ValueError)
_BUFFER = 1 << 20  # a column chunk is read in such pieces, not whole
_MOST_ROWS = 8192
_REJECTED = ("no_text", "too_large", "invalid_utf8", "empty")


class Reach(NamedTuple):
    """How to reach a field: columns and struct fields to follow, then keys within a JSON string."""

    columns: Keys
    keys: Keys
    type: pa.DataType


def read_parquet(
    url: str, start: int, end: int | None, layout: Layout, record_bytes: int, batch_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Rows `start` to `end` as batches of RECORDS, in order; place is the row number.

    A file without a readable footer is one rejected record at place 0; of a row group with a
    damaged page, the rows not yet read are rejected. Errors of the storage are raised.
    """
    with open_input(url) as raw:
        try:
            file = pq.ParquetFile(raw, buffer_size=_BUFFER, pre_buffer=False)
            schema = file.schema_arrow
        except _DAMAGE as error:
            if not _is_damage(error):
                raise
            if start == 0:
                yield _rejects(0, 1, Reject("broken_record", f"damaged Parquet file: {error}"))
            return
        reader = _Reader.of(file, schema, layout, url, record_bytes, batch_bytes)
        last = file.metadata.num_rows if end is None else min(end, file.metadata.num_rows)
        if (reject := reader.unreadable(layout)) is not None:
            for row in range(start, last, _MOST_ROWS):
                yield _rejects(row, min(_MOST_ROWS, last - row), reject)
            return
        first = 0
        for group in range(file.metadata.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if first < last and first + rows > start:
                yield from reader.row_group(group, first, start, min(last, first + rows))
            first += rows


class _Reader(NamedTuple):
    file: pq.ParquetFile
    names: tuple[str, ...]
    text: tuple[Reach, ...]
    metadata: tuple[tuple[Reach, ...], ...]
    defaults: tuple[str | None, ...]
    record_bytes: int
    batch_bytes: int

    @classmethod
    def of(
        cls,
        file: pq.ParquetFile,
        schema: pa.Schema,
        layout: Layout,
        url: str,
        record_bytes: int,
        batch_bytes: int,
    ) -> "_Reader":
        return cls(
            file,
            tuple(schema.names),
            _reaches(schema, layout, "text"),
            tuple(_reaches(schema, layout, name) for name in METADATA),
            metadata_defaults(layout, url),
            record_bytes,
            batch_bytes,
        )

    def unreadable(self, layout: Layout) -> Reject | None:
        """Why no row has a text, if so."""
        if not self.text:
            wanted = " or ".join(repr(path) for path in layout.text)
            present = ", ".join(repr(name) for name in self.names)
            return Reject("no_text", f"no column {wanted}; the columns are {present}")
        found = self.text[0]
        if not found.keys and not _is_text(found.type) and not pa.types.is_null(found.type):
            return Reject("wrong_type", f"column {'.'.join(found.columns)!r} is {found.type}")
        return None

    def row_group(self, group: int, first: int, start: int, end: int) -> Iterator[pa.RecordBatch]:
        """Rows `start` to `end` of a row group that begins at row `first`."""
        leaves = self._leaves()
        batches = self.file.iter_batches(
            self._rows(group, leaves), row_groups=[group], columns=leaves, use_threads=False
        )
        row = first
        while row < end:
            try:
                batch = next(batches, None)
            except _DAMAGE as error:
                if not _is_damage(error):
                    raise
                row = max(row, start)
                reject = Reject("broken_record", f"damaged row group {group}: {error}")
                yield _rejects(row, end - row, reject)
                return
            if batch is None:
                return
            skipped = min(max(start - row, 0), batch.num_rows)
            wanted = batch.slice(skipped, end - row - skipped)
            if wanted.num_rows:
                yield from self._batches(wanted, row + skipped)
            row += batch.num_rows

    def _leaves(self) -> list[str]:
        reaches = [*self.text, *(reach for name in self.metadata for reach in name)]
        return list(dict.fromkeys(".".join(reach.columns) for reach in reaches))

    def _rows(self, group: int, leaves: list[str]) -> int:
        """Rows that make about `batch_bytes`, going by the row group's mean."""
        found = self.file.metadata.row_group(group)
        size = 0
        for index in range(found.num_columns):
            column = found.column(index)
            if any(f"{column.path_in_schema}.".startswith(f"{leaf}.") for leaf in leaves):
                size += column.total_uncompressed_size
        return int(min(max(self.batch_bytes * found.num_rows // max(size, 1), 1), _MOST_ROWS))

    def _batches(self, batch: pa.RecordBatch, place: int) -> Iterator[pa.RecordBatch]:
        """Pieces of about `batch_bytes` of text; a larger text is alone in its batch."""
        text = _first([_reached(batch, reach, "text") for reach in self.text])
        sizes = pc.fill_null(pc.binary_length(text), 0).to_numpy(zero_copy_only=False)
        ends = np.cumsum(sizes, dtype=np.int64)
        row = 0
        while row < len(ends):
            limit = (ends[row - 1] if row else 0) + self.batch_bytes
            stop = max(int(np.searchsorted(ends, limit, "right")), row + 1)
            piece = batch.slice(row, stop - row)
            yield self._records(piece, text.slice(row, stop - row), sizes[row:stop], place + row)
            row = stop

    def _records(
        self, batch: pa.RecordBatch, text: pa.Array, sizes: np.ndarray, place: int
    ) -> pa.RecordBatch:
        strings = _as_strings(text)
        absent = _mask(pc.is_null(strings))
        large = sizes > self.record_bytes
        wrong = ~_valid_rows(strings)
        strings = _without(strings, absent | large | wrong)
        blank = _mask(pc.or_(pc.utf8_is_space(strings), pc.equal(pc.binary_length(strings), 0)))
        codes = np.select([absent, large, wrong, blank], [1, 2, 3, 4], 0).astype(np.int8)
        columns = [self._metadata(batch, index) for index in range(len(METADATA))]
        details = (
            "the text is null",
            f"more than {self.record_bytes} bytes",
            "bytes that are not UTF-8",
            "no characters, or white space alone",
        )
        return pa.RecordBatch.from_arrays(
            [
                pa.array(np.arange(place, place + len(text), dtype=np.int64)),
                _without(strings, blank),
                *columns,
                pa.array([None, *_REJECTED], pa.string()).take(pa.array(codes)),
                pa.array([None, *details], pa.string()).take(pa.array(codes)),
            ],
            schema=RECORDS,
        )

    def _metadata(self, batch: pa.RecordBatch, index: int) -> pa.Array:
        name = METADATA[index]
        found = [_reached(batch, reach, name) for reach in self.metadata[index]]
        column = (
            _repaired(_as_strings(_first(found)))
            if found
            else pa.nulls(batch.num_rows, pa.string())
        )
        default = self.defaults[index]
        return column if default is None else pc.fill_null(column, default)


def _reaches(schema: pa.Schema, layout: Layout, name: str) -> tuple[Reach, ...]:
    """The candidates that this file has; of texts, those that hold text where any does."""
    found = [_reach(schema, keys) for keys in split_paths(layout, name)]
    present = [reach for reach in found if reach is not None]
    if name == "text":
        texts = [reach for reach in present if reach.keys or _is_text(reach.type)]
        present = texts or present[:1]
    return tuple(present)


def _reach(schema: pa.Schema, keys: Keys) -> Reach | None:
    index = schema.get_field_index(keys[0])
    if index < 0:
        return None
    kind = schema.field(index).type
    depth = 1
    while depth < len(keys) and pa.types.is_struct(kind):
        index = kind.get_field_index(keys[depth])
        if index < 0:
            return None
        kind = kind.field(index).type
        depth += 1
    if depth < len(keys) and not _is_text(kind):
        return None
    return Reach(keys[:depth], keys[depth:], kind)


def _reached(batch: pa.RecordBatch, reach: Reach, name: str) -> pa.Array:
    """The field as a string or binary column."""
    column = batch.column(reach.columns[0])
    for key in reach.columns[1:]:
        column = pc.struct_field(column, key)
    if reach.keys:
        return _within_json(_textual(column), reach.keys, name)
    if _is_text(column.type):
        return _textual(column)
    return _written(column, name)


def _within_json(column: pa.Array, keys: Keys, name: str) -> pa.Array:
    """A field of a JSON string; each row is parsed, for no kernel can."""
    values = [_json_value(row.as_py(), keys) for row in _as_strings(column).view(pa.binary())]
    if name == "text":
        return pa.array([value if type(value) is str else None for value in values], pa.string())
    write = license_text if name == "license" else metadata_text
    return pa.array([write(value) for value in values], pa.string())


def _json_value(text: bytes | None, keys: Keys) -> Any:
    try:
        record = orjson.loads(text or b"null")
    except orjson.JSONDecodeError:
        return None
    return find(record, (keys,)) if type(record) is dict else None


def _written(column: pa.Array, name: str) -> pa.Array:
    """A metadata column of another type as strings: numbers by a cast, the nested row by row."""
    kind = column.type
    if pa.types.is_null(kind) or not pa.types.is_nested(kind):
        return column.cast(pa.string())
    if name == "license" and pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        values = column.flatten()
        if values.null_count == 0:
            joined = pc.binary_join(column, ",")
            return _without(joined, _mask(pc.equal(joined, "")))
    write = license_text if name == "license" else metadata_text
    return pa.array([write(_value(row)) for row in column], pa.string())


def _value(row: pa.Scalar) -> Any:
    try:
        return row.as_py()
    except UnicodeDecodeError:
        return None


def _first(columns: list[pa.Array]) -> pa.Array:
    """The first value that is not null in each row."""
    if len(columns) == 1:
        return columns[0]
    return pc.coalesce(*(_as_binary(column) for column in columns))


def _as_binary(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        return column.view(pa.binary()).cast(pa.large_binary())
    return column.cast(pa.large_binary())


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return any(
        check(kind)
        for check in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
        )
    )


def _textual(column: pa.Array) -> pa.Array:
    """A text column of any type as string, large_string, binary or large_binary."""
    if pa.types.is_dictionary(column.type):
        return _textual(column.dictionary_decode())
    if pa.types.is_string_view(column.type):
        return column.cast(pa.large_string())
    if pa.types.is_binary_view(column.type):
        return column.cast(pa.large_binary())
    return column


def _as_strings(column: pa.Array) -> pa.Array:
    """A text column as `string`, whether its bytes are UTF-8 or not."""
    if pa.types.is_large_string(column.type):
        column = column.view(pa.large_binary())
    if pa.types.is_large_binary(column.type):
        column = column.cast(pa.binary())
    return column if pa.types.is_string(column.type) else column.view(pa.string())


def _valid_rows(strings: pa.Array) -> np.ndarray:
    """Whether each row is UTF-8. Arrow checks a column at once, ten times as fast as row by row."""
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        valid: np.ndarray = utf8_valid(strings)
        return valid
    return np.ones(len(strings), np.bool_)


def _repaired(strings: pa.Array) -> pa.Array:
    """The strings with U+FFFD for what is not UTF-8."""
    if _valid_rows(strings).all():
        return strings
    raw = strings.view(pa.binary())
    rows = (row.as_py() for row in raw)
    return pa.array(
        [None if row is None else row.decode("utf-8", "replace") for row in rows], pa.string()
    )


def _without(strings: pa.Array, dropped: np.ndarray) -> pa.Array:
    """The strings, null where `dropped`."""
    if not dropped.any():
        return strings
    return pc.if_else(pa.array(dropped), pa.scalar(None, pa.string()), strings)


def _mask(column: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), np.bool_)


def _rejects(place: int, count: int, reject: Reject) -> pa.RecordBatch:
    """`count` rejected records of which nothing is known, from `place` on."""
    nulls = pa.nulls(count, pa.string())
    return pa.RecordBatch.from_arrays(
        [
            pa.array(np.arange(place, place + count, dtype=np.int64)),
            *([nulls] * (1 + len(METADATA))),
            pa.repeat(reject.reason, count),
            pa.repeat(reject.detail[:DETAIL_CHARACTERS], count),
        ],
        schema=RECORDS,
    )


def _is_damage(error: Exception) -> bool:
    """Whether the file is at fault. Arrow's own OSErrors have no number; those of a storage have."""
    return not isinstance(error, OSError) or (type(error) is OSError and error.errno is None)
