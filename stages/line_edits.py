"""Edits that drop lines: lines of a batch as arrays, for kernels to judge, and spans made of the verdicts."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types

from coursepack.stages.characters import BYTES, INDEX, characters, decode
from coursepack.stages.spans import Spans

# Verdicts on a line, then kinds of its spans plus one.
KEPT, INVISIBLE = 0, 255
SPACE = 0  # the kind of white space that goes, or becomes one line feed

_BLOCK = 32  # bytes that are passed over at once


@dataclass(frozen=True)
class Lines:
    """Lines of a batch: row r has lines offsets[r]:offsets[r + 1]; places are bytes of the text buffer."""

    offsets: np.ndarray  # int64, rows + 1
    starts: np.ndarray  # int64
    ends: np.ndarray  # int64, where the break starts
    nexts: np.ndarray  # int64, behind the break
    lefts: np.ndarray  # int64: what stays of a kept line is lefts:rights, without its cuts
    rights: np.ndarray  # int64
    verdicts: np.ndarray  # uint8: KEPT, or the kind of span that takes the line, plus one


@dataclass(frozen=True)
class Cuts:
    """What is deleted inside kept lines: line k has cuts offsets[k]:offsets[k + 1], ascending."""

    offsets: np.ndarray  # int64, lines + 1
    starts: np.ndarray  # int64
    ends: np.ndarray  # int64
    kinds: np.ndarray  # int16


@cache
def python_spaces() -> np.ndarray:
    """What `str.isspace` holds for white space, as uint8 a code point: White_Space and U+001C to U+001F."""
    found = characters().is_space.copy()
    found[0x1C:0x20] = 1
    return found


def room_for_lines(offsets: np.ndarray, data: np.ndarray, all_breaks: bool) -> Lines:
    """Arrays that hold the lines of each row, to be filled by a kernel with `find_row_lines`.

    Lines end at LF, or with `all_breaks` where `str.splitlines` ends them. A break at the end of a row ends its
    last line; an empty row has none.
    """
    rows = len(offsets) - 1
    most = rows + _count_breaks(data[offsets[0] : offsets[-1]], all_breaks)
    starts, ends, nexts, lefts, rights = np.empty((5, most), np.int64)
    offsets, verdicts = np.zeros(rows + 1, np.int64), np.zeros(most, np.uint8)
    return Lines(offsets, starts, ends, nexts, lefts, rights, verdicts)


def line_spans(
    offsets: np.ndarray, data: np.ndarray, lines: Lines, cuts: Cuts, names: tuple[str, ...]
) -> Spans:
    """Spans that leave the kept lines, one line feed between two of them."""
    most = 2 * len(lines.starts) + len(cuts.starts)
    starts, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    kinds, replacements = np.empty(most, np.int16), np.empty(most, np.int32)
    row_offsets = np.zeros(len(offsets), np.int64)
    _write(
        offsets,
        data,
        lines.offsets,
        lines.starts,
        lines.ends,
        lines.nexts,
        lines.lefts,
        lines.rights,
        lines.verdicts,
        cuts.offsets,
        cuts.starts,
        cuts.ends,
        cuts.kinds,
        row_offsets,
        starts,
        ends,
        kinds,
        replacements,
    )
    n = row_offsets[-1]
    return Spans(
        row_offsets, starts[:n], ends[:n], kinds[:n], names, (b"", b"\n"), replacements[:n]
    )


@cache
def break_bytes(all_breaks: bool) -> np.ndarray:
    """By byte: 1 where it is a break, 2 where it may start one (U+0085, U+2028, U+2029)."""
    table = np.zeros(256, np.uint8)
    table[0x0A] = 1
    if all_breaks:
        table[[0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E]] = 1
        table[[0xC2, 0xE2]] = 2
    return table


@njit(types.int64(BYTES, types.boolean), nogil=True, cache=True)
def _count_breaks(data: np.ndarray, all_breaks: bool) -> int:
    """No fewer than there are."""
    count = 0
    if all_breaks:
        for i in range(len(data)):
            control = (data[i] < 0x20) & (data[i] != 0x09)
            count += control | (data[i] == 0xC2) | (data[i] == 0xE2)
    else:
        for i in range(len(data)):
            count += data[i] == 0x0A
    return count


@njit(nogil=True, cache=True)
def _holds_break(block: np.ndarray) -> Any:
    """Whether a block may hold a break of any kind; without branches, so for many bytes at a time."""
    found = np.uint8(0)
    for i in range(len(block)):
        byte = block[i]
        found |= np.uint8((byte < 0x20) | (byte == 0xC2) | (byte == 0xE2))
    return found


@njit(nogil=True, cache=True)
def find_row_lines(
    data: np.ndarray,
    start: int,
    end: int,
    break_bytes: np.ndarray,
    count: int,
    starts: np.ndarray,
    ends: np.ndarray,
    nexts: np.ndarray,
) -> Any:
    """Writes the lines of data[start:end] behind the `count` that are there; returns how many are there then."""
    i = slow_until = start
    while i < end:
        if i >= slow_until:
            while i + _BLOCK <= end and not _holds_break(data[i : i + _BLOCK]):
                i += _BLOCK
            slow_until = i + _BLOCK
            if i == end:
                break
        kind = break_bytes[data[i]]
        if kind == 0:
            i += 1
            continue
        width: Any = np.int64(1)
        if kind == 2:
            code, width = decode(data, i, end)
            if not (code == 0x85 or code == 0x2028 or code == 0x2029):
                i += width
                continue
        elif data[i] == 0x0D and i + 1 < end and data[i + 1] == 0x0A:
            width = np.int64(2)
        starts[count], ends[count], nexts[count] = start, i, i + width
        count += 1
        i += width
        start = i
    if start < end:
        starts[count], ends[count], nexts[count] = start, end, end
        count += 1
    return count


@njit(nogil=True, cache=True)
def skip_spaces(data: np.ndarray, i: int, end: int, is_space: np.ndarray) -> Any:
    """The first place from i that holds no white space, or `end`; inside kernels."""
    while i < end:
        code, width = decode(data, i, end)
        if not is_space[code]:
            break
        i += width
    return i


@njit(nogil=True, cache=True)
def skip_spaces_back(data: np.ndarray, start: int, i: int, is_space: np.ndarray) -> Any:
    """The place behind the last byte before i that belongs to no white space, or `start`; inside kernels."""
    while i > start:
        k = i - 1
        while k > start and data[k] & 0xC0 == 0x80:
            k -= 1
        code, width = decode(data, k, i)
        if not is_space[code] or k + width != i:
            break
        i = k
    return i


@njit(nogil=True, cache=True)
def count_line_words(data: np.ndarray, i: int, end: int, is_space: np.ndarray, most: int) -> Any:
    """Words of data[i:end]; counts to `most` at most; inside kernels."""
    words, inside = 0, False
    code: Any = np.int64(0)
    width: Any = np.int64(0)
    while i < end and words < most:
        code, width = np.int64(data[i]), np.int64(1)
        if code >= 0x80:
            code, width = decode(data, i, end)
        words += not inside and not is_space[code]
        inside = not is_space[code]
        i += width
    return words


_THREE = (INDEX, INDEX, INDEX)


@njit(
    types.void(
        INDEX,
        BYTES,
        *_THREE,
        *_THREE,
        BYTES,
        *_THREE,
        types.int16[::1],
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
        types.int16[::1],
        types.int32[::1],
    ),
    nogil=True,
    cache=True,
)
def _write(
    offsets: np.ndarray,
    data: np.ndarray,
    line_offsets: np.ndarray,
    line_starts: np.ndarray,
    line_ends: np.ndarray,
    nexts: np.ndarray,
    lefts: np.ndarray,
    rights: np.ndarray,
    verdicts: np.ndarray,
    cut_offsets: np.ndarray,
    cut_starts: np.ndarray,
    cut_ends: np.ndarray,
    cut_kinds: np.ndarray,
    row_offsets: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    kinds: np.ndarray,
    replacements: np.ndarray,
) -> None:
    n = 0
    for row in range(len(offsets) - 1):
        begin = offsets[row]
        last = line_offsets[row + 1] - 1
        while last >= line_offsets[row] and verdicts[last] != KEPT:
            last -= 1
        for line in range(line_offsets[row], line_offsets[row + 1]):
            start, end, behind = line_starts[line], line_ends[line], nexts[line]
            if verdicts[line] != KEPT:
                starts[n], ends[n] = start - begin, behind - begin
                kinds[n], replacements[n] = np.int16(verdicts[line]) - 1, 0
                n += 1
                continue
            if lefts[line] > start:
                starts[n], ends[n] = start - begin, lefts[line] - begin
                kinds[n], replacements[n] = SPACE, 0
                n += 1
            for k in range(cut_offsets[line], cut_offsets[line + 1]):
                starts[n], ends[n] = cut_starts[k] - begin, cut_ends[k] - begin
                kinds[n], replacements[n] = cut_kinds[k], 0
                n += 1
            # White space at the line's end, and a break that is not a line feed, go as one.
            right, feed = rights[line], 0
            if line < last:
                if behind == end + 1 and data[end] == 0x0A:
                    behind = end
                else:
                    feed = 1
            if behind > right:
                starts[n], ends[n] = right - begin, behind - begin
                kinds[n], replacements[n] = SPACE, feed
                n += 1
        row_offsets[row + 1] = n
