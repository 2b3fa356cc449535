"""Views of Arrow buffers against `to_pylist`, where kernels break: slices, nulls, chunks, empty arrays."""

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.arrow import (
    Text,
    binary_array,
    fixed_binary,
    fixed_rows,
    int32_lists,
    row_classes,
    text_buffers,
)

KINDS = [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()]
texts = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=9))


def encoded(values: list[str | None]) -> list[bytes]:
    return [(value or "").encode() for value in values]


def rows_of(text: Text) -> list[bytes]:
    offsets, data = text_buffers(text)
    assert offsets.dtype == np.int64
    assert data.dtype == np.uint8
    return [bytes(data[a:b]) for a, b in itertools.pairwise(offsets)]


@given(texts, st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_rows_of_text(
    values: list[str | None], kind: pa.DataType, start: int, length: int, cut: int
) -> None:
    raw: list[Any] = [None if v is None else v.encode() for v in values]
    array = pa.array(raw, pa.large_binary()).cast(kind)
    assert rows_of(array) == encoded(values)
    assert rows_of(array.slice(start, length)) == encoded(values[start:][:length])
    again = array.slice(start).slice(cut, length)
    assert rows_of(again) == encoded(values[start:][cut:][:length])
    chunks = pa.chunked_array([array.slice(0, cut), array.slice(cut)], kind)
    assert rows_of(chunks) == encoded(values)
    assert rows_of(chunks.slice(start, length)) == encoded(values[start:][:length])


@pytest.mark.parametrize("kind", KINDS)
def test_text_of_nothing(kind: pa.DataType) -> None:
    assert rows_of(pa.chunked_array([], kind)) == []
    assert rows_of(pa.array([], kind)) == []
    assert rows_of(pa.array(["", None, ""], kind)) == [b"", b"", b""]
    assert rows_of(pa.nulls(2, kind)) == [b"", b""]


def test_text_of_a_null_that_hides_bytes() -> None:
    """Arrow allows a null row to have bytes; they are not text."""
    full = pa.array(["ab", "cd", "ef"])
    hidden = pa.Array.from_buffers(
        pa.string(), 3, [pa.py_buffer(bytes([0b101])), *full.buffers()[1:]]
    )
    assert rows_of(hidden) == [b"ab", b"", b"ef"]


def test_text_is_a_view() -> None:
    array = pa.array(["one", "two"] * 50)
    _, data = text_buffers(array.slice(7))
    assert data.ctypes.data == array.buffers()[2].address


@given(st.lists(st.lists(st.integers(-5, 5), max_size=4)))
def test_int32_lists(values: list[list[int]]) -> None:
    offsets = np.cumsum([0, *map(len, values)])
    flat = np.array([v for row in values for v in row], np.int64)
    lists = int32_lists(offsets, flat)
    lists.validate(full=True)
    assert lists.type == pa.list_(pa.int32())
    assert lists.to_pylist() == values
    doubled = np.repeat(flat.astype(np.int32), 2)[::2]  # not contiguous
    assert int32_lists(offsets, doubled).to_pylist() == values


def test_lists_beyond_int32_are_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        int32_lists(np.array([0, 1 << 31]), np.zeros(0, np.int32))


@given(st.lists(st.binary(max_size=5)))
def test_binary_array_is_the_inverse_of_text_buffers(values: list[bytes]) -> None:
    offsets, data = text_buffers(pa.array([b"ab", *values], pa.binary()).slice(1))
    for kind in (None, pa.large_binary()):
        array = binary_array(offsets, data, kind)
        array.validate(full=True)
        assert array.type == pa.large_binary()
        assert array.to_pylist() == values


def test_binary_array_of_numbers() -> None:
    ids = np.array([1, 256, -1], np.int32)
    array = binary_array(np.array([0, 1, 1, 3]) * 4, ids)
    assert [np.frombuffer(v, np.int32).tolist() for v in array.to_pylist()] == [[1], [], [256, -1]]
    text = binary_array(np.array([0, 2]), np.frombuffer("é".encode(), np.uint8), pa.large_string())
    assert text.to_pylist() == ["é"]


@given(st.lists(st.binary(min_size=3, max_size=3)), st.integers(0, 5), st.integers(0, 5))
def test_fixed_width_there_and_back(values: list[bytes], start: int, length: int) -> None:
    column = pa.array(values, pa.binary(3))
    part = column.slice(start, length)
    rows = fixed_rows(part)
    assert rows.shape == (len(part), 3)
    assert [row.tobytes() for row in rows] == part.to_pylist()
    back = fixed_binary(rows)
    back.validate(full=True)
    assert back.equals(part)
    assert fixed_binary(rows[::-1]).to_pylist() == part.to_pylist()[::-1]
    chunks = pa.chunked_array([column, part], pa.binary(3))
    assert [row.tobytes() for row in fixed_rows(chunks)] == chunks.to_pylist()
    assert fixed_rows(pa.chunked_array([], pa.binary(3))).shape == (0, 3)


@given(st.lists(st.tuples(*[st.none() | st.sampled_from(["", "a", "b", "a/b"])] * 3), max_size=9))
def test_row_classes(rows: list[tuple[str | None, ...]]) -> None:
    columns = [pa.array([row[k] for row in rows], pa.string()) for k in range(3)]
    number, classes = row_classes(pa.table(columns, ["x", "y", "z"]))
    found = [tuple(row.values()) for row in classes.to_pylist()]
    assert [found[k] for k in number.tolist()] == rows
    assert len(found) == len(set(rows))
    no_chunks = pa.table({"x": pa.chunked_array([], pa.string())})
    assert row_classes(no_chunks)[0].tolist() == []
