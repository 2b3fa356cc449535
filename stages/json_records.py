"""A block of JSON lines as RECORDS: columns from a kernel, and row by row only what it does not take.

The rows are those of `fields.json_row`, which reads the lines that the kernel leaves, and says why a record is none.
"""

from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit, types

from coursepack.pipeline.arrow import text_buffers
from coursepack.pipeline.documents import METADATA, RECORDS
from coursepack.stages.characters import BYTES, INDEX
from coursepack.stages.fields import Asked, Fields, Row, find, json_row
from coursepack.stages.json_lines import (
    ABSENT,
    ESCAPED,
    OTHER,
    PLAIN,
    Lines,
    parse_lines,
)


def is_columnar(fields: Fields) -> bool:
    """Whether the text is at the top level of a record, where the kernel finds it."""
    return all(len(path) == 1 for path in fields.text)


def json_records(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, places: np.ndarray, fields: Fields
) -> pa.RecordBatch:
    """RECORDS of the lines `data[starts[i]:ends[i]]` (uint8, int64), which are not blank."""
    paths = (*fields.text, *(path for asked in fields.metadata for path in asked.paths))
    keys = tuple(dict.fromkeys(path[0] for path in paths))
    lines = parse_lines(data, starts, ends, keys)
    number = {key: n for n, key in enumerate(keys)}
    chosen = _first_present(lines, [number[path[0]] for path in fields.text])
    kinds = lines.kinds[chosen, np.arange(len(starts))]
    good = lines.good & (chosen >= 0) & ((kinds == PLAIN) | (kinds == ESCAPED))
    text = lines.strings(np.where(good, chosen, -1))
    good &= _has_ink(text)
    columns: dict[str, Any] = {"place": pa.array(places, pa.int64()), "text": text}
    for name in (*METADATA, "reject", "detail"):
        columns[name] = pa.nulls(len(starts), pa.string())
    parsed: dict[int, dict[str, Any]] = {}
    for asked in fields.metadata:
        columns[METADATA[asked.place]] = _metadata(lines, good, asked, number, parsed)
    for name, default in zip(METADATA, fields.defaults, strict=True):
        if default is not None:
            columns[name] = pc.fill_null(columns[name], default)
    batch = pa.RecordBatch.from_arrays([columns[name] for name in RECORDS.names], schema=RECORDS)
    if good.all():
        return batch
    left = np.flatnonzero(~good)
    rows = [json_row(data[starts[line] : ends[line]].tobytes(), fields) for line in left]
    order = np.arange(len(starts))
    order[left] = len(starts) + np.arange(len(left))
    both = pa.Table.from_batches([batch, of_rows(places[left].tolist(), rows)])
    return both.take(pa.array(order)).combine_chunks().to_batches()[0]


def of_rows(places: list[int], rows: list[Row]) -> pa.RecordBatch:
    """RECORDS of rows that Python objects hold."""
    columns = [places, *(zip(*rows, strict=True) if rows else [()] * (len(RECORDS) - 1))]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, RECORDS, strict=True)],
        schema=RECORDS,
    )


def _first_present(lines: Lines, keys: list[int]) -> np.ndarray:
    """Of each line the first of the keys that has a value other than null, by its number; -1 where none has."""
    found = np.full(len(lines.good), -1)
    for key in reversed(keys):
        found[lines.kinds[key] != ABSENT] = key
    return found


def _metadata(
    lines: Lines,
    good: np.ndarray,
    asked: Asked,
    number: dict[str, int],
    parsed: dict[int, dict[str, Any]],
) -> pa.Array:
    """One field of METADATA as strings; null where a record does not say, or is not good.

    Only records in which it is neither a string nor an integer are parsed, and just for the keys of the field; `parsed`
    keeps them by line.
    """
    chosen = _first_present(lines, [number[path[0]] for path in asked.paths])
    chosen[~good] = -1
    if (chosen < 0).all():
        return pa.nulls(len(chosen), pa.string())
    kinds = np.where(chosen < 0, ABSENT, lines.kinds[chosen, np.arange(len(chosen))])
    other = kinds == OTHER if asked.keys else kinds != ABSENT
    column = lines.strings(np.where(other, -1, chosen))
    if not other.any():
        return column
    values: list[str | None] = []
    for line in np.flatnonzero(other).tolist():
        record = parsed.setdefault(line, {})
        for key in dict.fromkeys(path[0] for path in asked.paths):
            if key not in record and lines.kinds[number[key], line] != ABSENT:
                record[key] = orjson.loads(lines.value(number[key], line))
        value = find(record, asked.paths)
        values.append(None if value is None else asked.write(value))
    return pc.replace_with_mask(column, pa.array(other), pa.array(values, pa.string()))


def _has_ink(text: pa.Array) -> np.ndarray:
    """Whether a text surely holds more than white space: a sign of ASCII, or a letter of most other scripts."""
    offsets, data = text_buffers(text)
    found = np.zeros(len(text), np.bool_)
    _find_ink(offsets, data, found)
    return found


@njit(types.void(INDEX, BYTES, types.Array(types.boolean, 1, "C")), nogil=True, cache=True)
def _find_ink(offsets: Any, data: Any, found: Any) -> None:
    for row in range(len(found)):
        i = offsets[row]
        # white space beyond ASCII begins with C2, E1, E2 or, U+3000, with E3 80
        while i < offsets[row + 1] and not (
            0x20 < data[i] < 0x7F
            or 0xC3 <= data[i] <= 0xE0
            or data[i] >= 0xE4
            or (data[i] == 0xE3 and data[i + 1] > 0x80)
        ):
            i += 1
        found[row] = i < offsets[row + 1]
