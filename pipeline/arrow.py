"""Arrow arrays as NumPy views of their buffers, and back: the one place that knows offsets, slices and nulls."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Text: TypeAlias = pa.Array | pa.ChunkedArray


def text_buffers(text: Text) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (int64, n + 1) and data (uint8) of a string or binary column; views where possible.

    Row i is `data[offsets[i]:offsets[i + 1]]`. A null row is empty. Slices are honoured: the first
    offset need not be 0.
    """
    array = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    if array.null_count:
        array = pc.fill_null(
            array, pa.scalar(b"" if pa.types.is_binary(array.type) else "", array.type)
        )
    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    if len(array) == 0:
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    _, offsets, data = array.buffers()
    found = np.frombuffer(offsets, np.int64 if wide else np.int32)
    found = found[array.offset : array.offset + len(array) + 1].astype(np.int64)
    return found, np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)


def binary_array(
    offsets: np.ndarray, data: np.ndarray, kind: pa.DataType | None = None
) -> pa.Array:
    """Offsets (n + 1, in bytes) and data (any dtype) as a `large_binary` column, or as `kind`; no copy."""
    return pa.Array.from_buffers(
        kind or pa.large_binary(),
        len(offsets) - 1,
        [None, pa.py_buffer(np.ascontiguousarray(offsets, np.int64)), pa.py_buffer(data)],
    )


def int32_lists(offsets: np.ndarray, values: np.ndarray) -> pa.Array:
    """Offsets (n + 1) and int32 values as a `list<int32>` column."""
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(np.ascontiguousarray(values, np.int32))
    )


def ratio(count: np.ndarray, of: np.ndarray, unknown: np.ndarray | None = None) -> pa.Array:
    """count / of as float64; null where `of` is 0, and where `unknown` (bool) says so."""
    mask = of == 0 if unknown is None else (of == 0) | unknown
    return pa.array(count / np.maximum(of, 1), mask=mask)


def int32s(values: np.ndarray) -> pa.Array:
    """Counts as an int32 column."""
    return pa.array(values.astype(np.int32))


def fixed_binary(rows: np.ndarray) -> pa.Array:
    """A uint8 matrix (n, width) as a `fixed_size_binary[width]` column without nulls."""
    rows = np.ascontiguousarray(rows, np.uint8)
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(rows.shape[1]), rows.shape[0], [None, pa.py_buffer(rows)]
    )


def fixed_rows(column: Text) -> np.ndarray:
    """A `fixed_size_binary[width]` column as a uint8 matrix (n, width); nulls are not allowed."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width = array.type.byte_width
    if len(array) == 0:
        return np.zeros((0, width), np.uint8)
    data = np.frombuffer(array.buffers()[1], np.uint8)
    return data[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width)


def row_classes(table: pa.Table) -> tuple[np.ndarray, pa.Table]:
    """The number (int64) of each row's class, which is its values of all columns, and the classes by number.

    Columns are of strings; a null is a value like others.
    """
    code = np.zeros(table.num_rows, np.int64)
    for column in table.columns:
        codes = column.combine_chunks().cast(pa.string()).dictionary_encode("encode")
        code = code * max(len(codes.dictionary), 1) + codes.indices.to_numpy()
    _, first, number = np.unique(code, return_index=True, return_inverse=True)
    return number.astype(np.int64), table.take(pa.array(first))


def totals(keys: Sequence[Text], name: str, sizes: Text) -> dict[str, int]:
    """Rows and sums by key: `documents:a/b/c` and `<name>:a/b/c`; a null in a key is the empty text."""
    joined = pc.binary_join_element_wise(*(pc.fill_null(key, "") for key in keys), "/")
    table = pa.table({"key": joined, "size": sizes}).group_by("key")
    counts: dict[str, int] = {}
    for row in table.aggregate([("size", "sum"), ([], "count_all")]).to_pylist():
        counts[f"documents:{row['key']}"] = row["count_all"]
        counts[f"{name}:{row['key']}"] = row["size_sum"]
    return counts
