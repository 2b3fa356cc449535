"""What to replace in a batch of texts, as data: found by one function, applied by another, mapped back by a third.

An edit of text is a set of spans, so it can be counted, shown and undone: `trace` goes from a byte of the edited
text to the byte of the source. A chain of edits keeps one `Spans` for each and maps back through them in turn.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numba import njit, types

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.characters import BYTES, INDEX, INT32S

# What a span's first wrong byte is wrong about; the kernel's answers.
_FINE, _ORDER, _RANGE, _BORDER = 0, 1, 2, 3
_WRONG = {
    _ORDER: "starts before the span ahead of it ends, or ends before it starts",
    _RANGE: "ends behind its text",
    _BORDER: "cuts a UTF-8 character",
}


@dataclass(frozen=True)
class Spans:
    """What to replace: row r has spans offsets[r]:offsets[r + 1], ascending, not overlapping.

    Positions are bytes from the start of the row's own text, at borders of UTF-8 characters. An empty span
    inserts; an empty replacement deletes.
    """

    offsets: np.ndarray  # int64, rows + 1
    starts: np.ndarray  # int64, first byte
    ends: np.ndarray  # int64, byte behind the last
    kinds: np.ndarray  # int16, index into `names`
    names: tuple[str, ...]  # kind -> what was found: "email", "line:javascript", "citation", ...
    texts: tuple[bytes, ...]  # replacement -> bytes that stand in place
    replacements: np.ndarray  # int32, index into `texts`

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def widths(self) -> np.ndarray:
        """int64: bytes that stand in place of each span."""
        lengths = np.array([len(text) for text in self.texts], np.int64)
        return lengths[self.replacements] if len(lengths) else np.zeros(len(self.starts), np.int64)


def no_spans(rows: int, names: tuple[str, ...] = ()) -> Spans:
    """A batch of `rows` texts in which nothing is replaced."""
    empty = np.zeros(0, np.int64)
    kinds, replacements = np.zeros(0, np.int16), np.zeros(0, np.int32)
    return Spans(np.zeros(rows + 1, np.int64), empty, empty, kinds, names, (), replacements)


def collect(
    count: int,
    rows: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    kinds: np.ndarray,
    names: tuple[str, ...],
    texts: tuple[bytes, ...],
    replacements: np.ndarray,
) -> Spans:
    """Spans of `count` texts from one entry a find (row, start, end, kind, replacement), in any order.

    Of finds that overlap, the one that starts first stays; then the longer; then the lower kind.
    """
    order = np.lexsort((replacements, kinds, -np.asarray(ends), starts, rows))
    rows, starts, ends = (np.asarray(x, np.int64)[order] for x in (rows, starts, ends))
    kinds, replacements = (
        np.asarray(kinds, np.int16)[order],
        np.asarray(replacements, np.int32)[order],
    )
    kept = np.ones(len(rows), np.bool_)
    _first_of_overlapping(rows, starts, ends, kept)
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows[kept], minlength=count), out=offsets[1:])
    return Spans(offsets, starts[kept], ends[kept], kinds[kept], names, texts, replacements[kept])


def spread(spans: Spans, mask: np.ndarray) -> Spans:
    """The spans of a batch of which only the rows in `mask` (bool) were looked at; the others have none."""
    counts = np.zeros(len(mask), np.int64)
    counts[mask] = np.diff(spans.offsets)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return Spans(
        offsets,
        spans.starts,
        spans.ends,
        spans.kinds,
        spans.names,
        spans.texts,
        spans.replacements,
    )


def count_kinds(spans: Spans) -> np.ndarray:
    """int64 (rows, names): how many spans of each kind a row has."""
    row = np.repeat(np.arange(spans.rows), np.diff(spans.offsets))
    width = len(spans.names)
    flat = np.bincount(row * width + spans.kinds, minlength=spans.rows * width)
    return flat.reshape(spans.rows, width)


def apply(text: Text, spans: Spans) -> pa.Array:
    """The texts with their spans replaced: `large_string`, of a binary column `large_binary`; nulls stay null.

    Without a span in the batch no text is copied. Raises ValueError for spans that are out of order, lie
    outside their text or (in a string column) cut a character.
    """
    array = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    binary = pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type)
    kind = pa.large_binary() if binary else pa.large_string()
    if len(array) != spans.rows:
        raise ValueError(f"{spans.rows} rows of spans for {len(array)} texts")
    if len(spans.starts) == 0:
        return array.cast(kind)
    offsets, data = text_buffers(array)
    wrong = np.zeros(3, np.int64)
    _check(offsets, data, spans.offsets, spans.starts, spans.ends, not binary, wrong)
    if wrong[0] != _FINE:
        what, k, row = wrong.tolist()
        found = f"{spans.starts[k]}:{spans.ends[k]}"
        raise ValueError(f"span {found} of row {row} {_WRONG[what]}")
    sizes = np.diff(offsets)
    growth = np.concatenate([[0], np.cumsum(spans.widths - (spans.ends - spans.starts))])
    sizes = sizes + growth[spans.offsets[1:]] - growth[spans.offsets[:-1]]
    edited = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=edited[1:])
    pool = np.frombuffer(b"".join(spans.texts), np.uint8)
    pool_starts = np.zeros(len(spans.texts) + 1, np.int64)
    np.cumsum([len(part) for part in spans.texts], out=pool_starts[1:])
    buffer = pa.allocate_buffer(int(edited[-1]))  # from Arrow's pool, whose pages are used again
    out = np.frombuffer(buffer, np.uint8)
    _replace(
        offsets,
        data,
        spans.offsets,
        spans.starts,
        spans.ends,
        spans.replacements,
        pool_starts,
        pool,
        edited,
        out,
    )
    validity = array.is_valid() if array.null_count else None
    buffers = [validity and validity.buffers()[1], pa.py_buffer(edited), buffer]
    return pa.Array.from_buffers(kind, len(array), buffers)


def source_bytes(spans: Spans, row: int, positions: np.ndarray) -> np.ndarray:
    """Where bytes of the edited text of `row` stand in the text before this edit; int64.

    A byte of a replacement maps to the first byte of the span that it replaces. The edited text's length
    maps to the source's.
    """
    first, last = spans.offsets[row], spans.offsets[row + 1]
    starts, ends, widths = (x[first:last] for x in (spans.starts, spans.ends, spans.widths))
    edited = _edited_starts(starts, ends, widths)
    positions = np.asarray(positions, np.int64)
    k = np.searchsorted(edited, positions, side="right") - 1
    if len(starts) == 0:
        return positions
    behind = positions - edited[k] - widths[k]
    found = np.where(behind < 0, starts[k], ends[k] + behind)
    return np.where(k < 0, positions, found)


def edited_bytes(spans: Spans, row: int, positions: np.ndarray) -> np.ndarray:
    """Where bytes of the text of `row` before this edit stand in the edited one; int64.

    A byte inside a span maps to the first byte of what replaces it, or of what follows.
    """
    first, last = spans.offsets[row], spans.offsets[row + 1]
    starts, ends, widths = (x[first:last] for x in (spans.starts, spans.ends, spans.widths))
    positions = np.asarray(positions, np.int64)
    if len(starts) == 0:
        return positions
    edited = _edited_starts(starts, ends, widths)
    k = np.searchsorted(starts, positions, side="right") - 1
    behind = positions - ends[k]
    found = np.where(behind < 0, edited[k], edited[k] + widths[k] + behind)
    return np.where(k < 0, positions, found)


def _edited_starts(starts: np.ndarray, ends: np.ndarray, widths: np.ndarray) -> np.ndarray:
    growth = widths - (ends - starts)
    found: np.ndarray = starts + np.cumsum(growth) - growth
    return found


@njit(
    types.void(INDEX, INDEX, INDEX, types.boolean[::1]),
    nogil=True,
    cache=True,
)
def _first_of_overlapping(
    rows: np.ndarray, starts: np.ndarray, ends: np.ndarray, kept: np.ndarray
) -> None:
    row, reached = -1, 0
    for k in range(len(rows)):
        if rows[k] != row:
            row, reached = rows[k], 0
        if starts[k] < reached:
            kept[k] = False
        else:
            reached = ends[k]


@njit(
    types.void(INDEX, BYTES, INDEX, INDEX, INDEX, types.boolean, types.int64[::1]),
    nogil=True,
    cache=True,
)
def _check(
    offsets: np.ndarray,
    data: np.ndarray,
    span_offsets: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    characters: bool,
    wrong: np.ndarray,
) -> None:
    """What is wrong first, with which span, in which row: the three numbers of `wrong`, else left alone."""
    for row in range(len(offsets) - 1):
        begin, size = offsets[row], offsets[row + 1] - offsets[row]
        reached = 0
        for k in range(span_offsets[row], span_offsets[row + 1]):
            start, end = starts[k], ends[k]
            if start < reached or end < start:
                wrong[:] = _ORDER, k, row
                return
            if end > size:
                wrong[:] = _RANGE, k, row
                return
            if characters:
                inside = start < size and data[begin + start] & 0xC0 == 0x80
                if inside or (end < size and data[begin + end] & 0xC0 == 0x80):
                    wrong[:] = _BORDER, k, row
                    return
            reached = end


@njit(
    types.void(INDEX, BYTES, INDEX, INDEX, INDEX, INT32S, INDEX, BYTES, INDEX, types.uint8[::1]),
    nogil=True,
    cache=True,
)
def _replace(
    offsets: np.ndarray,
    data: np.ndarray,
    span_offsets: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    replacements: np.ndarray,
    pool_starts: np.ndarray,
    pool: np.ndarray,
    edited: np.ndarray,
    out: np.ndarray,
) -> None:
    for row in range(len(offsets) - 1):
        begin, i, to = offsets[row], offsets[row], edited[row]
        for k in range(span_offsets[row], span_offsets[row + 1]):
            until = begin + starts[k]
            out[to : to + until - i] = data[i:until]
            to += until - i
            a, b = pool_starts[replacements[k]], pool_starts[replacements[k] + 1]
            out[to : to + b - a] = pool[a:b]
            to += b - a
            i = begin + ends[k]
        out[to : to + offsets[row + 1] - i] = data[i : offsets[row + 1]]


@njit(types.int64(BYTES, types.uint8), nogil=True, cache=True)
def count_byte(data: np.ndarray, byte: int) -> int:
    """How often a byte occurs: for how many spans there must be room."""
    count = 0
    for i in range(len(data)):
        count += data[i] == byte
    return count
