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

from coursepack.pipeline.arrow import int32s, ratio
from coursepack.stages.characters import BYTES, INDEX, UINT64S, characters, decode
from coursepack.stages.copies import hash_bytes
from coursepack.stages.pieces import (
    LETTER,
    MARK,
    NUMBER,
    SIGN,
    TAIL,
    UNSPACED,
    TextOrPieces,
    find_pieces,
    trimmed,
)

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

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
        *(_stop_hashes(), found),
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
def _stop_hashes() -> np.ndarray:
    """The hash of each stop word."""
    return find_pieces(pa.array([" ".join(STOP_WORDS)])).word_hashes


_FOUND = types.Array(types.int64, 2, "C")


@njit(nogil=True, cache=True)
def _is_ellipsis(data: np.ndarray, i: int) -> bool:
    a, b, c = data[i], data[i + 1], data[i + 2]
    dots = a == 0x2E and b == 0x2E and c == 0x2E
    return bool(dots or (a == 0xE2 and b == 0x80 and c == 0xA6))


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
def _stop_word(stop_hashes: np.ndarray, word: Any) -> Any:
    """The bit of the stop word of hash `word`, or 0."""
    found = np.int64(0)
    for k in range(len(stop_hashes)):
        found |= np.int64(stop_hashes[k] == word) << k
    return found


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
    types.void(INDEX, BYTES, BYTES, INDEX, INDEX, UINT64S, BYTES, UINT64S, _FOUND),
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
    stop_hashes: np.ndarray,
    found: np.ndarray,
) -> None:
    every = (1 << len(stop_hashes)) - 1
    for row in range(len(found)):
        alphabetic = 0
        seen = 0  # bit k: stop word k
        for word in range(words[row], words[row + 1]):
            kind = of_words[word]
            unit = kind & _ALPHABETIC_UNIT == _ALPHABETIC_UNIT
            alphabetic += (kind & LETTER != 0) | unit
        for word in range(words[row], words[row + 1]):
            if seen == every:
                break
            if of_words[word] & (LETTER | NUMBER | MARK) != LETTER:
                continue
            start, end = starts[word], ends[word]
            if of_words[word] & SIGN:
                start, end = _core(kinds, start, end)
                if 2 <= end - start <= 4:
                    seen |= _stop_word(stop_hashes, hash_bytes(data, start, end))
            elif 2 <= end - start <= 4:
                seen |= _stop_word(stop_hashes, hashes[word])
        stops = 0
        for k in range(len(stop_hashes)):
            stops += seen >> k & 1
        found[row, 6], found[row, 9] = alphabetic, stops


@njit(nogil=True, cache=True)
def _starts_with_bullet(data: np.ndarray, start: int, end: int) -> bool:
    code, _ = decode(data, start, end)
    return bool(code == 0x2022 or code == 0x2D or code == 0x2A)


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
        for line in range(lines[row], lines[row + 1]):
            first, last = trimmed(kinds, starts[line], ends[line])
            if first == last:
                continue
            held += 1
            bullets += _starts_with_bullet(data, first, last)
            ellipses += last - first >= 3 and _is_ellipsis(data, last - 3)
            length = last - starts[line]
            if of_lines[line] & TAIL:
                for i in range(starts[line], last):
                    length -= np.int64(kinds[i] >> 4 & 1)
            chars += length
            longest = max(longest, length)
        counts = found[row]
        counts[10], counts[11], counts[12] = held, bullets, ellipses
        counts[13], counts[14] = chars, longest
