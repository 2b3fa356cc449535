"""Gopher's quality signals (Rae et al. 2021, arXiv:2112.11446, A1.1), and some plain ones for text and code.

Words and lines are those of `stages.pieces`: a word stands between white space, or is one character of a
script written without spaces; a line counts when it holds anything but white space. Where tools differ,
the arithmetic is datatrove's (`gopher_quality_filter.py`), on these words instead of a tokenizer's.
"""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types, uint64
from numba.cpython.unsafe.numbers import leading_zeros

from coursepack.pipeline.arrow import int32s, ratio
from coursepack.stages.characters import (
    ALL_BITS,
    BYTES,
    INDEX,
    UINT64S,
    characters,
    decode,
    load8,
    lowest_bit,
)
from coursepack.stages.copies import EMPTY, STEP, hash_bytes, mix
from coursepack.stages.pieces import (
    LETTER,
    MARK,
    NUMBER,
    SIGN,
    TAIL,
    UNSPACED,
    TextOrPieces,
    count_chars,
    find_pieces,
    is_blank,
    trimmed,
)

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

_LETTERS = np.uint64(0x0101010101010101)  # LETTER of eight bytes
_zeros_above: Any = leading_zeros
_BLOCK = 256  # bytes looked at together
_ALPHABETIC_UNIT = UNSPACED | MARK  # a vowel sign of Thai is a word of its own, and no number

# What the kernel counts of a row, in this order.
_COUNTS = (
    "chars",
    "space_chars",
    "letters",
    "numbers",
    "digits",
    "unspaced",
    "alpha_words",
    "hashes",
    "ellipses",
    "stop_words",
    "lines",
    "bullet_lines",
    "ellipsis_lines",
    "line_chars",
    "max_line_chars",
)


def gopher_signals(text: TextOrPieces) -> pa.RecordBatch:
    """One column a signal, one row a text; a null text is like an empty one.

    Counts are int32 (`words`, `lines`, `stop_words`) or int64 (`chars`, `max_line_chars`: code points);
    ratios and means are float64, integer by integer, and null where the divisor is 0.

    `stop_words` counts how many different words of STOP_WORDS occur, in this case, after the characters
    that are not letters, marks, numbers or `_` are stripped from a word's ends: "the," counts.
    `bullet_line_ratio` counts lines that start with `•`, `-` or `*` after white space; an ellipsis is
    `...` or `…`; runs of dots hold one for each three. A line's length includes its indentation, but not
    the white space at its end. `unspaced_ratio` is the share of letters whose script is written without
    spaces, null without letters.

    Of a text longer than HEAD_BYTES the head is measured.
    """
    p = find_pieces(text)
    found = np.zeros((len(p.ends), len(_COUNTS)), np.int64)
    _count_characters(p.offsets, p.ends, p.data, p.kinds, p.row_kinds, characters().is_digit, found)
    _count_words(
        *(p.words, p.data, p.kinds, p.word_starts, p.word_ends, p.word_hashes, p.word_kinds),
        *(*_stop_table(), found),
    )
    _count_lines(p.lines, p.data, p.kinds, p.line_starts, p.line_ends, p.line_kinds, found)
    n = dict(zip(_COUNTS, found.T, strict=True)) | {"words": np.diff(p.words)}
    columns = {
        "words": int32s(n["words"]),
        "mean_word_chars": ratio(n["chars"] - n["space_chars"], n["words"]),
        "hash_word_ratio": ratio(n["hashes"], n["words"]),
        "ellipsis_word_ratio": ratio(n["ellipses"], n["words"]),
        "alpha_word_ratio": ratio(n["alpha_words"], n["words"]),
        "stop_words": int32s(n["stop_words"]),
        "lines": int32s(n["lines"]),
        "bullet_line_ratio": ratio(n["bullet_lines"], n["lines"]),
        "ellipsis_line_ratio": ratio(n["ellipsis_lines"], n["lines"]),
        "mean_line_chars": ratio(n["line_chars"], n["lines"]),
        "max_line_chars": pa.array(n["max_line_chars"]),
        "chars": pa.array(n["chars"]),
        "alnum_ratio": ratio(n["letters"] + n["numbers"], n["chars"]),
        "alpha_ratio": ratio(n["letters"], n["chars"]),
        "digit_ratio": ratio(n["digits"], n["chars"]),
        "space_ratio": ratio(n["space_chars"], n["chars"]),
        "unspaced_ratio": ratio(n["unspaced"], n["letters"]),
    }
    return pa.RecordBatch.from_pydict(columns)


@cache
def _stop_table() -> tuple[np.ndarray, int]:
    """64 hashes of stop words, each of which has a place of its own, and the shift that gives a hash's place."""
    hashes = find_pieces(pa.array([" ".join(STOP_WORDS)])).word_hashes
    shift = next(n for n in range(58) if len(np.unique(hashes >> n & 63)) == len(hashes))
    table = np.full(64, hashes[0], np.uint64)  # elsewhere no hash of that place equals it
    table[hashes >> shift & 63] = hashes
    return table, shift


_FOUND = types.Array(types.int64, 2, "C")


@njit(nogil=True, cache=True, forceinline=True)
def _is_ellipsis(data: np.ndarray, i: int) -> bool:
    a, b, c = data[uint64(i)], data[uint64(i + 1)], data[uint64(i + 2)]
    dots = (a == 0x2E) & (b == 0x2E) & (c == 0x2E)
    return bool(dots | (a == 0xE2) & (b == 0x80) & (c == 0xA6))


@njit(nogil=True, cache=True)
def _count_triples(text: np.ndarray, start: Any, end: Any, a: int, b: int, c: int) -> Any:
    """How many times the bytes a, b, c stand in a row and end in text[start:end], start >= 2."""
    found = np.int32(0)
    for i in range(uint64(start), uint64(end)):
        here = (text[i - uint64(2)] == a) & (text[i - uint64(1)] == b) & (text[i] == c)
        found = np.int32(found + np.int32(here))
    return np.int64(found)


@njit(nogil=True, cache=True)
def _count_dots(text: np.ndarray) -> Any:
    """How many times three dots stand in runs of dots."""
    found = np.int64(0)
    for start in range(2, len(text), _BLOCK):
        end = min(start + _BLOCK, len(text))
        if not _count_triples(text, start, end, 0x2E, 0x2E, 0x2E):
            continue
        for i in range(start, end):
            dots = 0
            if i == 2 or text[i - 3] != 0x2E:  # a run that is counted begins two before
                while i - 2 + dots < len(text) and text[i - 2 + dots] == 0x2E:
                    dots += 1
            found += dots // 3
    return found


@njit(types.void(INDEX, INDEX, BYTES, BYTES, BYTES, BYTES, _FOUND), nogil=True, cache=True)
def _count_characters(
    offsets: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    kinds: np.ndarray,
    row_kinds: np.ndarray,
    is_digit: np.ndarray,
    found: np.ndarray,
) -> None:
    for row in range(len(found)):
        text = data[offsets[row] : ends[row]]
        kinds_here = kinds[offsets[row] : ends[row]]
        # Plain loops of few sums each, no wider than they need be, which LLVM makes vectors of.
        tails, spaces, letters, numbers = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
        unspaced, hashes, foreign = np.int32(0), np.int32(0), np.int32(0)
        for i in range(uint64(len(text))):
            kind = kinds_here[i]
            spaces = np.int32(spaces + np.int32(kind >> 2 & 1))
            letters = np.int32(letters + np.int32(kind & 1))
            numbers = np.int32(numbers + np.int32(kind >> 1 & 1))
            hashes = np.int32(hashes + np.int32(text[i] == 0x23))
        digits, ellipses = np.int64(numbers), _count_dots(text)
        if row_kinds[row] & TAIL:
            for i in range(uint64(len(text))):
                kind = kinds_here[i]
                tails = np.int32(tails + np.int32(kind >> 4 & 1))
                spaces = np.int32(spaces - np.int32(kind >> 4 & kind >> 2 & 1))
                unspaced = np.int32(unspaced + np.int32(kind & kind >> 5 & 1))
                foreign = np.int32(foreign + np.int32(text[i] >> 7 & kind >> 1 & 1))
            if foreign:
                for i in range(len(text)):
                    if text[i] >= 0x80 and kinds_here[i] & NUMBER:
                        digits -= is_digit[decode(text, i, len(text))[0]] == 0
            ellipses += _count_triples(text, 2, len(text), 0xE2, 0x80, 0xA6)
        counts = found[row]
        counts[0], counts[1], counts[2] = len(text) - tails, spaces, letters
        counts[3], counts[4], counts[5] = numbers, digits, unspaced
        counts[7], counts[8] = hashes, ellipses


@njit(nogil=True, cache=True)
def _stop_word(table: np.ndarray, shift: Any, word: Any) -> Any:
    """The bit of the stop word of hash `word`, or 0."""
    place = word >> shift & uint64(63)
    return uint64(table[place] == word) << place


@njit(nogil=True, cache=True)
def _core(kinds: np.ndarray, start: Any, end: Any) -> tuple[Any, Any]:
    """The bounds of a word without what is no letter, number or mark at its ends."""
    while start < end and not kinds[start] & (LETTER | NUMBER | MARK):
        start += 1
    while start < end:
        last = end - 1
        while kinds[last] & TAIL:
            last -= 1
        if kinds[last] & (LETTER | NUMBER | MARK):
            break
        end = last
    return start, end


@njit(
    types.void(INDEX, BYTES, BYTES, INDEX, INDEX, UINT64S, BYTES, UINT64S, types.uint64, _FOUND),
    nogil=True,
    cache=True,
)
def _count_words(
    words: np.ndarray,
    data: np.ndarray,
    kinds: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    hashes: np.ndarray,
    of_words: np.ndarray,
    stop_table: np.ndarray,
    shift: Any,
    found: np.ndarray,
) -> None:
    for row in range(len(found)):
        alphabetic = np.int64(0)
        seen = uint64(0)  # the bits of stop words
        for block in range(words[row], words[row + 1], 64):
            signed = uint64(0)  # a bit for each word that has signs beside its letters
            for k in range(min(64, words[row + 1] - block)):
                word = uint64(block + k)
                kind = of_words[word]
                unit = kind & _ALPHABETIC_UNIT == _ALPHABETIC_UNIT
                alphabetic += np.int64((kind & LETTER != 0) | unit)
                seen |= _stop_word(stop_table, shift, hashes[word])
                has_signs = kind & (LETTER | NUMBER | MARK | SIGN) == LETTER | SIGN
                signed |= uint64(has_signs) << uint64(k)
            while signed:
                word = uint64(block) + lowest_bit(signed)
                signed &= signed - uint64(1)
                # The core lies between the first letter and the last: no branch depends on the text, if the first
                # and the last eight bytes have one, as most do. Of a core of more bytes the hash is another.
                start, end = starts[word], ends[word]
                head = tail = uint64(0)
                if end >= 8 and start + 16 <= len(data):
                    beyond = uint64(64) - uint64(8) * uint64(min(end - start, 8))
                    head = load8(kinds, start) & _LETTERS & ALL_BITS >> beyond
                    tail = load8(kinds, end - 8) & _LETTERS & ALL_BITS << beyond
                if head == 0 or tail == 0:
                    start, end = _core(kinds, start, end)
                    core = hash_bytes(data, start, end)
                else:
                    start += np.int64(lowest_bit(head) >> uint64(3))
                    end -= np.int64(_zeros_above(tail) >> uint64(3))
                    beyond = uint64(64) - uint64(8) * uint64(min(end - start, 8))
                    core = load8(data, start) & ALL_BITS >> beyond
                    core = mix((EMPTY + uint64(end - start) ^ core) * STEP)
                seen |= _stop_word(stop_table, shift, core)
        found[row, 6] = alphabetic
        while seen:
            seen &= seen - uint64(1)
            found[row, 9] += 1


@njit(nogil=True, cache=True, forceinline=True)
def _starts_with_bullet(data: np.ndarray, start: Any, end: Any) -> bool:
    first = data[uint64(start)]
    if first == 0xE2 and end - start >= 3:
        return bool(data[uint64(start + 1)] == 0x80 and data[uint64(start + 2)] == 0xA2)
    return bool((first == 0x2D) | (first == 0x2A))


@njit(types.void(INDEX, BYTES, BYTES, INDEX, INDEX, BYTES, _FOUND), nogil=True, cache=True)
def _count_lines(
    lines: np.ndarray,
    data: np.ndarray,
    kinds: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    of_lines: np.ndarray,
    found: np.ndarray,
) -> None:
    for row in range(len(found)):
        held = bullets = ellipses = chars = longest = 0
        for line in range(uint64(lines[row]), uint64(lines[row + 1])):
            if is_blank(of_lines[line]):
                continue
            first, last = trimmed(kinds, starts[line], ends[line])
            held += 1
            bullets += _starts_with_bullet(data, first, last)
            ellipses += last - first >= 3 and _is_ellipsis(data, last - 3)
            length = last - starts[line]
            if of_lines[line] & TAIL:
                length = count_chars(kinds, starts[line], last)
            chars += length
            longest = max(longest, length)
        counts = found[row]
        counts[10], counts[11], counts[12] = held, bullets, ellipses
        counts[13], counts[14] = chars, longest
