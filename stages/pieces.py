"""The words and lines of a batch, found once and shared by every signal that counts them.

A word is what stands between white space (Unicode's White_Space), save that in scripts written without
spaces (characters.OWN_UNIT: Chinese, Japanese, Thai, ...) each character is a word of its own: "GPT模型"
has the words GPT, 模 and 型. A line is what stands between newlines, blank or not.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.characters import (
    ALL_BITS,
    BYTES,
    INDEX,
    OWN_UNIT,
    SEPARATOR,
    bits_of,
    characters,
    decode,
    lowest_bit,
    side_by_side,
)
from coursepack.stages.characters import load8 as load8
from coursepack.stages.characters import load_few as load_few
from coursepack.stages.copies import EMPTY, STEP, head_ends, mix
from coursepack.stages.copies import hash_bytes as hash_bytes

# Bits of `Pieces.kinds`; those of a row, word or line are all that its characters have.
LETTER, NUMBER, SPACE, MARK, TAIL, UNSPACED, TERMINAL, SIGN = 1, 2, 4, 8, 16, 32, 64, 128

_BLOCK = 64  # bytes looked at together, a bit each
_LOW, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_ONE, _FOUR, _EIGHT = np.uint64(1), np.uint64(4), np.uint64(8)


@dataclass(frozen=True)
class Pieces:
    """Words and lines of a batch, in the order of the text; arrays are not to be written to.

    Row r is `data[offsets[r]:offsets[r + 1]]`, of which `data[offsets[r]:ends[r]]` was measured. Its words are
    `words[r]` to `words[r + 1]`, its lines `lines[r]` to `lines[r + 1]`: a text with n newlines has n + 1 lines,
    an empty one has one. Hashes are of bytes: equal pieces have equal hashes, others do not, save once in 2^64.

    `kinds` has a byte for each byte of `data`: LETTER (general category L), NUMBER (N), SPACE (White_Space), MARK
    (M and `_`) or SIGN (anything else), UNSPACED (a character that is a word of its own) and TERMINAL (it may end
    a sentence) at a character's first byte; at its other bytes TAIL, with SPACE or UNSPACED. A byte that is no
    UTF-8 is a character, a SIGN.

    Of b bytes of text the arrays take about 7 b in English prose, at most 16 b if each word has one letter and
    30 b if each line is empty.
    """

    offsets: np.ndarray  # int64, rows + 1, from 0
    data: np.ndarray  # uint8
    ends: np.ndarray  # int64, rows
    kinds: np.ndarray  # uint8, as long as data; of no meaning behind the end of a row's head
    row_kinds: np.ndarray  # uint8, rows: bits that some byte of the row has
    words: np.ndarray  # int64, rows + 1
    word_starts: np.ndarray  # int64, in bytes
    word_ends: np.ndarray  # int64
    word_chars: np.ndarray  # int32, in code points
    word_hashes: np.ndarray  # uint64
    word_kinds: np.ndarray  # uint8
    lines: np.ndarray  # int64, rows + 1
    line_starts: np.ndarray  # int64
    line_ends: np.ndarray  # int64, without the newline
    line_chars: np.ndarray  # int32
    line_hashes: np.ndarray  # uint64
    line_kinds: np.ndarray  # uint8


TextOrPieces: TypeAlias = Text | Pieces


def find_pieces(text: TextOrPieces) -> Pieces:
    """The pieces of each row's head (copies.HEAD_BYTES); a null row is an empty one. Pieces stay as they are."""
    if isinstance(text, Pieces):
        return text
    offsets, data = text_buffers(text)
    data = data[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    ends = head_ends(offsets, data)
    rows = len(ends)
    kinds = np.empty(len(data) + _BLOCK, np.uint8)  # a last block may be read whole
    row_kinds = np.empty(rows, np.uint8)
    newlines = _classify(offsets, ends, data, _kinds(), kinds, row_kinds)
    words = np.zeros(rows + 1, np.int64)
    # No more than wanted: malloc takes large arrays from the system, which clears their pages each time.
    most_words = _most_words(offsets, ends, kinds, row_kinds)
    bounds = np.empty((2, most_words + 1), np.int64)
    _find_words(offsets, ends, kinds, row_kinds, words, bounds)
    starts, stops = bounds[:, : words[-1]]
    lines = np.zeros(rows + 1, np.int64)
    line_bounds = np.empty((2, newlines + rows), np.int64)
    _find_lines(offsets, ends, data, lines, line_bounds)
    return Pieces(
        *(offsets, data, ends, kinds[: len(data)], row_kinds),
        *(words, starts, stops, *_described(data, kinds, starts, stops)),
        *(lines, *line_bounds, *_described(data, kinds, *line_bounds)),
    )


def _described(
    data: np.ndarray, kinds: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Code points, hashes and kinds of pieces."""
    count = len(starts)
    found = np.empty(count, np.int32), np.empty(count, np.uint64), np.empty(count, np.uint8)
    _describe(data, kinds, starts, ends, *found)
    return found


@cache
def _kinds() -> np.ndarray:
    """The bits of each code point."""
    table = characters()
    bits = table.is_letter * LETTER + table.is_number * NUMBER + table.is_space * SPACE
    bits += (table.word_class != SEPARATOR) * np.uint8(MARK) * (bits == 0)
    bits += np.uint8(SIGN) * (bits == 0)
    bits += (table.word_class == OWN_UNIT) * np.uint8(UNSPACED)
    found: np.ndarray = bits + table.is_terminal * np.uint8(TERMINAL)
    return found


@njit(nogil=True, cache=True, forceinline=True)
def trimmed(kinds: np.ndarray, start: Any, end: Any) -> tuple[Any, Any]:
    """The bounds of data[start:end] without the white space at its ends; inside kernels."""
    while start < end and kinds[uint64(start)] & SPACE:
        start += 1
    while start < end and kinds[uint64(end - 1)] & SPACE:
        end -= 1
    return start, end


@njit(nogil=True, cache=True)
def is_blank(kind: int) -> bool:
    """Whether a piece of these kinds holds nothing but white space; inside kernels."""
    return kind & (LETTER | NUMBER | MARK | SIGN) == 0


@njit(nogil=True, cache=True)
def count_chars(kinds: np.ndarray, start: Any, end: Any) -> Any:
    """Code points of data[start:end]; inside kernels."""
    chars = np.int64(end - start)
    for i in range(uint64(start), uint64(end)):
        chars -= np.int64(kinds[i] >> 4 & 1)
    return chars


@njit(nogil=True, cache=True)
def _newlines(eight: Any) -> Any:
    """The low bit of each of eight bytes that is a newline."""
    other = eight ^ _NEWLINES
    return ~(((other & ~_HIGH) + ~_HIGH) | other) >> uint64(7) & _LOW


@njit(nogil=True, cache=True)
def _sum(eight: Any) -> Any:
    """The sum of eight bytes, below 256."""
    return np.int64(eight * _LOW >> uint64(56))


@njit(types.uint8(types.uint8), nogil=True, cache=True)
def _ascii_kind(byte: Any) -> Any:
    """The bits of an ASCII character by comparisons, which LLVM makes vectors of; SIGN of any other byte."""
    ends_sentence = (byte == 0x2E) | (byte == 0x21) | (byte == 0x3F)
    kind = np.uint8(SIGN | TERMINAL) if ends_sentence else np.uint8(SIGN)
    is_letter = np.uint8((byte | np.uint8(0x20)) - np.uint8(0x61)) < np.uint8(26)
    kind = np.uint8(LETTER) if is_letter else kind
    kind = np.uint8(NUMBER) if np.uint8(byte - np.uint8(0x30)) < np.uint8(10) else kind
    is_space = (byte == 0x20) | (np.uint8(byte - np.uint8(0x09)) < np.uint8(5))
    kind = np.uint8(SPACE) if is_space else kind
    return np.uint8(MARK) if byte == 0x5F else kind


@njit(nogil=True, cache=True)
def _classify_foreign(data: np.ndarray, i: Any, end: Any, table: np.ndarray, kinds: Any) -> None:
    """The kinds of what is not ASCII in data[i:end]."""
    while i < end:
        if i + _EIGHT <= end:
            high = load8(data, i) & _HIGH
            i += lowest_bit(high) >> uint64(3) if high else _EIGHT
        elif data[i] < 0x80:
            i += _ONE
        while i < end and data[i] >= 0x80:
            code, width = decode(data, np.int64(i), np.int64(end))
            kind = table[code]
            kinds[i] = kind
            for k in range(i + _ONE, i + uint64(width)):
                kinds[k] = kind & np.uint8(SPACE | UNSPACED) | np.uint8(TAIL)
            i += uint64(width)


@njit(
    types.int64(INDEX, INDEX, BYTES, BYTES, types.uint8[::1], types.uint8[::1]),
    nogil=True,
    cache=True,
)
def _classify(
    offsets: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    table: np.ndarray,
    kinds: np.ndarray,
    row_kinds: np.ndarray,
) -> Any:
    """Fills `kinds` and `row_kinds`; returns the number of newlines.

    Plain loops with sums no wider than they need be, which LLVM makes vectors of.
    """
    newlines = np.int64(0)
    for row in range(len(ends)):
        start, end = uint64(offsets[row]), uint64(ends[row])
        high, bits, here = np.uint8(0), np.uint8(0), np.int32(0)
        for i in range(start, end):
            kinds[i] = _ascii_kind(data[i])
            high = np.uint8(high | data[i])
        if high >= 0x80:
            _classify_foreign(data, start, end, table, kinds)
        for i in range(start, end):
            bits = np.uint8(bits | kinds[i])
            here = np.int32(here + np.int32(data[i] == 0x0A))
        row_kinds[row] = bits
        newlines += here
    return newlines


@njit(types.int64(INDEX, INDEX, BYTES, BYTES), nogil=True, cache=True)
def _most_words(
    offsets: np.ndarray, ends: np.ndarray, kinds: np.ndarray, row_kinds: np.ndarray
) -> Any:
    """How many words there are at most: the exact number, if no row has UNSPACED or ends in white space."""
    words = np.int64(0)
    for row in range(len(ends)):
        ended, own = np.int32(1), np.int32(0)
        for i in range(uint64(offsets[row]) + _ONE, uint64(ends[row])):
            ended = np.int32(ended + np.int32((kinds[i] & ~kinds[i - _ONE]) >> 2 & 1))
        if row_kinds[row] & UNSPACED:
            for i in range(uint64(offsets[row]), uint64(ends[row])):
                own = np.int32(own + np.int32(kinds[i] >> 5 & ~kinds[i] >> 4 & 1))
        words += ended + 2 * own  # a character that is a word may end another before it
    return words


@njit(
    types.void(INDEX, INDEX, BYTES, BYTES, types.int64[::1], types.Array(types.int64, 2, "C")),
    nogil=True,
    cache=True,
)
def _find_words(
    offsets: np.ndarray,
    ends: np.ndarray,
    kinds: np.ndarray,
    row_kinds: np.ndarray,
    words: np.ndarray,
    bounds: np.ndarray,
) -> None:
    """Starts of words into bounds[0], their ends into bounds[1]: they take turns."""
    n = uint64(0)
    for row in range(len(ends)):
        words[row] = n >> _ONE
        i, end = uint64(offsets[row]), uint64(ends[row])
        own_before, space_before = uint64(0), _ONE
        while i < end:
            space = bits_of(kinds, i, 2)
            if end - i < _BLOCK:
                space |= ALL_BITS << (end - i)
            shifted = space << _ONE | space_before
            space_before = space >> uint64(63)
            cuts = space ^ shifted
            if row_kinds[row] & UNSPACED:
                own = bits_of(kinds, i, 5) & ~space
                cuts |= (own | own << _ONE | own_before) & ~bits_of(kinds, i, 4)
                own_before = own >> uint64(63)
                while cuts:
                    at = lowest_bit(cuts)
                    cuts &= cuts - _ONE
                    bounds[n & _ONE, n >> _ONE] = i + at
                    n += ~shifted >> at & _ONE  # a word ends
                    bounds[n & _ONE, n >> _ONE] = i + at
                    n += ~space >> at & _ONE  # a word starts
            else:
                while cuts:
                    bounds[n & _ONE, n >> _ONE] = i + lowest_bit(cuts)
                    cuts &= cuts - _ONE
                    n += _ONE
            i += uint64(_BLOCK)
        if n & _ONE:
            bounds[1, n >> _ONE] = end
            n += _ONE
    words[-1] = n >> _ONE


@njit(
    types.void(INDEX, INDEX, BYTES, types.int64[::1], types.Array(types.int64, 2, "C")),
    nogil=True,
    cache=True,
)
def _find_lines(
    offsets: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    lines: np.ndarray,
    bounds: np.ndarray,
) -> None:
    """Starts of lines into bounds[0], their ends into bounds[1]."""
    n = uint64(0)
    for row in range(len(ends)):
        lines[row] = n
        i, end = uint64(offsets[row]), uint64(ends[row])
        bounds[0, n] = i
        while i < end:
            found = uint64(0)
            if end - i >= _BLOCK:
                for k in range(8):
                    held = _newlines(load8(data, i + uint64(8 * k)))
                    found |= side_by_side(held) << uint64(8 * k)
            else:
                for k in range(end - i):
                    found |= uint64(data[i + uint64(k)] == 0x0A) << uint64(k)
            while found:
                at = i + lowest_bit(found)
                found &= found - _ONE
                bounds[1, n] = at
                n += _ONE
                bounds[0, n] = at + _ONE
            i += uint64(_BLOCK)
        bounds[1, n] = end
        n += _ONE
    lines[-1] = n


@njit(
    types.void(BYTES, BYTES, INDEX, INDEX, types.int32[::1], types.uint64[::1], types.uint8[::1]),
    nogil=True,
    cache=True,
)
def _describe(
    data: np.ndarray,
    kinds: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    chars: np.ndarray,
    hashes: np.ndarray,
    of_pieces: np.ndarray,
) -> None:
    """`hash_bytes` of each piece and what its `kinds` say, in one walk."""
    whole = uint64(max(len(data) - 7, 0))  # eight bytes may be read before this one
    for k in range(len(starts)):
        at, end = uint64(starts[k]), uint64(ends[k])
        held, bits = EMPTY + (end - at), uint64(0)
        length = np.int64(end - at)
        while end - at > _EIGHT:
            eight = load8(kinds, at)
            bits |= eight
            length -= _sum(eight >> _FOUR & _LOW)
            held = (held ^ load8(data, at)) * STEP
            held ^= held >> uint64(32)
            at += _EIGHT
        if at < end:
            keep = ALL_BITS >> (uint64(64) - (end - at) * _EIGHT)
            eight = load8(kinds, at) & keep
            bits |= eight
            length -= _sum(eight >> _FOUR & _LOW)
            last = load8(data, at) & keep if at < whole else load_few(data, at, end)
            held = (held ^ last) * STEP
        hashes[k] = mix(held)
        bits |= bits >> uint64(32)
        bits |= bits >> uint64(16)
        of_pieces[k] = (bits | bits >> _EIGHT) & uint64(0xFF)
        chars[k] = length
