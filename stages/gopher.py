"""Gopher's quality signals (Rae et al. 2021, arXiv:2112.11446, A1.1), and some plain ones for text and code.

A word is what stands between white space; a line is what stands between newlines, and counts when it
holds anything but white space. White space is Unicode's White_Space. Where tools differ, the arithmetic
is datatrove's (`gopher_quality_filter.py`), on white-space words instead of a tokenizer's.
"""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.characters import BYTES, INDEX, SEPARATOR, characters, decode

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

# Bits of a code point.
_LETTER, _NUMBER, _DIGIT, _SPACE, _WORD = 1, 2, 4, 8, 16

# What the kernel counts of a row, in this order.
_COUNTS = (
    "chars",
    "space_chars",
    "letters",
    "numbers",
    "digits",
    "words",
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


def gopher_signals(text: Text) -> pa.RecordBatch:
    """One column a signal, one row a text; a null text is like an empty one.

    Counts are int32 (`words`, `lines`, `stop_words`) or int64 (`chars`, `max_line_chars`: code points);
    ratios and means are float64, integer by integer, and null where the divisor is 0.

    `stop_words` counts how many different words of STOP_WORDS occur, in this case, after the characters
    that are not letters, marks, numbers or `_` are stripped from a word's ends: "the," counts.
    `bullet_line_ratio` counts lines that start with `•`, `-` or `*` after white space; an ellipsis is
    `...` or `…`; runs of dots hold one for each three. A line's length includes its indentation, but not
    the white space at its end.
    """
    offsets, data = text_buffers(text)
    found = np.zeros((len(offsets) - 1, len(_COUNTS)), np.int64)
    _count(offsets, data, _bits(), _packed_stop_words(), found)
    n = dict(zip(_COUNTS, found.T, strict=True))
    columns = {
        "words": pa.array(n["words"].astype(np.int32)),
        "mean_word_chars": _ratio(n["chars"] - n["space_chars"], n["words"]),
        "hash_word_ratio": _ratio(n["hashes"], n["words"]),
        "ellipsis_word_ratio": _ratio(n["ellipses"], n["words"]),
        "alpha_word_ratio": _ratio(n["alpha_words"], n["words"]),
        "stop_words": pa.array(n["stop_words"].astype(np.int32)),
        "lines": pa.array(n["lines"].astype(np.int32)),
        "bullet_line_ratio": _ratio(n["bullet_lines"], n["lines"]),
        "ellipsis_line_ratio": _ratio(n["ellipsis_lines"], n["lines"]),
        "mean_line_chars": _ratio(n["line_chars"], n["lines"]),
        "max_line_chars": pa.array(n["max_line_chars"]),
        "chars": pa.array(n["chars"]),
        "alnum_ratio": _ratio(n["letters"] + n["numbers"], n["chars"]),
        "alpha_ratio": _ratio(n["letters"], n["chars"]),
        "digit_ratio": _ratio(n["digits"], n["chars"]),
        "space_ratio": _ratio(n["space_chars"], n["chars"]),
    }
    return pa.RecordBatch.from_pydict(columns)


def _ratio(count: np.ndarray, of: np.ndarray) -> pa.Array:
    return pa.array(count / np.maximum(of, 1), mask=of == 0)


@cache
def _bits() -> np.ndarray:
    """The classes this module asks for, as bits of one uint8 a code point: one look-up, not five."""
    table = characters()
    bits = table.is_letter * _LETTER + table.is_number * _NUMBER + table.is_digit * _DIGIT
    bits += table.is_space * _SPACE + (table.word_class != SEPARATOR) * np.uint8(_WORD)
    found: np.ndarray = bits.astype(np.uint8)
    return found


@cache
def _packed_stop_words() -> np.ndarray:
    """Each stop word as its bytes in one int64, first byte lowest."""
    return np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS])


@njit(nogil=True, cache=True)
def _stop_word(data: np.ndarray, start: int, end: int, stop_words: np.ndarray) -> int:
    """The bit of the stop word data[start:end], or 0."""
    if not 2 <= end - start <= 4:
        return 0
    packed = np.int64(0)
    for i in range(start, end):
        packed |= np.int64(data[i]) << (8 * (i - start))
    for k in range(len(stop_words)):
        if stop_words[k] == packed:
            return 1 << k
    return 0


@njit(nogil=True, cache=True)
def _starts_with_bullet(data: np.ndarray, start: int, end: int) -> bool:
    code, _ = decode(data, start, end)
    return bool(code == 0x2022 or code == 0x2D or code == 0x2A)


@njit(nogil=True, cache=True)
def _ends_with_ellipsis(data: np.ndarray, start: int, end: int) -> bool:
    if end - start < 3:
        return False
    a, b, c = data[end - 3], data[end - 2], data[end - 1]
    dots = a == 0x2E and b == 0x2E and c == 0x2E
    return bool(dots or (a == 0xE2 and b == 0x80 and c == 0xA6))


@njit(types.void(INDEX, BYTES, BYTES, INDEX, types.int64[:, ::1]), nogil=True, cache=True)
def _count(
    offsets: np.ndarray,
    data: np.ndarray,
    bits: np.ndarray,
    stop_words: np.ndarray,
    found: np.ndarray,
) -> None:
    for row in range(len(found)):
        end = offsets[row + 1]
        chars = space_chars = letters = numbers = digits = 0
        words = alpha_words = hashes = ellipses = 0
        lines = bullets = ellipsis_lines = line_chars = max_line_chars = 0
        seen = 0  # bit k: stop word k
        line_start = -1  # byte of the line's first character that is no space
        line_end, length = 0, 0  # byte after the last one, and characters of the line up to it
        chars_before = 0  # of the line
        i = offsets[row]
        while i <= end:
            # A word, perhaps of no characters.
            word_start, letters_before, dots = i, letters, 0
            core_start, core_end = -1, -1  # the word without what is stripped from its ends
            code: Any = np.int64(0x0A)
            width: Any = np.int64(1)
            while i < end:
                code, width = np.int64(data[i]), np.int64(1)
                if code >= 0x80:
                    code, width = decode(data, i, end)
                kind = bits[code]
                if kind & _SPACE:
                    break
                chars += 1
                letters += kind & _LETTER  # bit 0
                numbers += (kind & _NUMBER) >> 1
                digits += (kind & _DIGIT) >> 2
                if kind & _WORD:
                    if core_start < 0:
                        core_start = i
                    core_end = i + width
                    dots = 0
                elif code == 0x2E:
                    dots += 1
                    if dots == 3:
                        ellipses += 1
                        dots = 0
                else:
                    dots = 0
                    hashes += code == 0x23
                    ellipses += code == 0x2026
                i += width
            if i > word_start:
                words += 1
                alpha_words += letters > letters_before
                seen |= _stop_word(data, core_start, core_end, stop_words)
                line_end, length = i, chars - chars_before
                if line_start < 0:
                    line_start = word_start
            # The white space after it; the end of a text ends its last line.
            if i < end:
                chars += 1
                space_chars += 1
            else:
                code = np.int64(0x0A)
            if code == 0x0A:
                if line_start >= 0:
                    lines += 1
                    bullets += _starts_with_bullet(data, line_start, line_end)
                    ellipsis_lines += _ends_with_ellipsis(data, line_start, line_end)
                    line_chars += length
                    max_line_chars = max(max_line_chars, length)
                line_start = -1
                chars_before = chars
            i += width
        stops = 0
        for k in range(len(stop_words)):
            stops += seen >> k & 1
        # In the order of _COUNTS.
        counts = found[row]
        counts[0], counts[1], counts[2], counts[3] = chars, space_chars, letters, numbers
        counts[4], counts[5], counts[6], counts[7] = digits, words, alpha_words, hashes
        counts[8], counts[9], counts[10], counts[11] = ellipses, stops, lines, bullets
        counts[12], counts[13], counts[14] = ellipsis_lines, line_chars, max_line_chars
