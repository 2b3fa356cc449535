"""Data written as text: runs of base64, of hexadecimal bytes and of numbers.

After the filter of encoded data of StarCoder 2 (Lozhkov et al. 2024, arXiv:2402.19173, 2.1), which drops a file
whose longest run has more than 1,024 characters or whose runs are more than half of it. A run is at least
64 bytes (16 of hexadecimal), so looking at every 64th byte finds it: other text costs next to nothing.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import njit, types

from coursepack.stages.characters import BYTES, INDEX

BASE64_RUN, HEX_RUN, NUMBER_RUN = 64, 16, 64  # least bytes
BASE64_LINE = 32  # least bytes of a run's longest line: lists of words, one a line, are no base64
HEX_DIGITS = 16  # least digits of a run
NUMBERS = 8  # least numbers of a run

# Classes of bytes, bits.
_BASE64, _HEX_RUN, _NUMBER_RUN, _HEX_DIGIT, _DIGIT, _SPACE = 1, 2, 4, 8, 16, 32
COUNTS = ("base64", "hex", "numbers", "longest")


def encoded_runs(offsets: np.ndarray, data: np.ndarray) -> dict[str, np.ndarray]:
    """Bytes of each row in runs of `base64`, `hex` and `numbers`, and the `longest` run of the first two.

    base64: letters, digits, `+ / =` and newlines, among them a capital, a small letter and a digit, and a
    line of at least BASE64_LINE bytes, so that neither rulers nor paths nor lists of words are.

    hex: an even number of hexadecimal digits, perhaps behind `0x`, `\\x`, `\\u` or `\\U`, again and again, with
    nothing, commas or white space between them; HEX_DIGITS in all, and a letter or such a prefix among them.

    numbers: digits, `. , ; + - e E`, brackets and white space, at least half digits, NUMBERS numbers.
    """
    found = np.zeros((len(offsets) - 1, len(COUNTS)), np.int64)
    _find_runs(offsets, data, _classes(), found)
    return dict(zip(COUNTS, found.T, strict=True))


@cache
def _classes() -> np.ndarray:
    classes = np.zeros(256, np.uint8)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    digits, spaces = "0123456789", " \t\n\r"
    for signs, bit in (
        (letters + digits + "+/=\n", _BASE64),
        (digits + "abcdefABCDEF\\xXuU," + spaces, _HEX_RUN),
        (digits + ".,;+-eE()[]{}" + spaces, _NUMBER_RUN),
        (digits + "abcdefABCDEF", _HEX_DIGIT),
        (digits, _DIGIT),
        (spaces, _SPACE),
    ):
        classes[[ord(sign) for sign in signs]] |= bit
    return classes


@njit(nogil=True, cache=True)
def _next_run(
    data: np.ndarray, classes: np.ndarray, bit: int, least: int, i: int, end: int
) -> tuple[int, int]:
    """The first maximal run from `i` on of at least `least` bytes of the class; (end, end) if there is none."""
    while i + least <= end:
        last = i + least - 1
        while last >= i and classes[data[last]] & bit:
            last -= 1
        if last >= i:
            i = last + 1
            continue
        stop = i + least
        while stop < end and classes[data[stop]] & bit:
            stop += 1
        return i, stop
    return end, end


@njit(nogil=True, cache=True)
def _is_base64(data: np.ndarray, start: int, end: int) -> bool:
    capital = small = digit = False
    line, longest = 0, 0
    for i in range(start, end):
        byte = data[i]
        capital |= 0x41 <= byte <= 0x5A
        small |= 0x61 <= byte <= 0x7A
        digit |= 0x30 <= byte <= 0x39
        line = 0 if byte == 0x0A else line + 1
        longest = max(longest, line)
    return capital and small and digit and longest >= BASE64_LINE


@njit(nogil=True, cache=True)
def _unit_end(data: np.ndarray, classes: np.ndarray, i: int, end: int) -> tuple[int, int, bool]:
    """The byte after the hexadecimal digits at `i`, perhaps behind a prefix; how many they are; and whether a
    letter or the prefix shows what they are."""
    marked = False
    if i + 1 < end and (data[i] == 0x30 or data[i] == 0x5C):
        escape = data[i + 1] | 0x20
        if escape == 0x78 or (escape == 0x75 and data[i] == 0x5C):
            marked = True
            i += 2
    first = i
    while i < end and classes[data[i]] & _HEX_DIGIT:
        marked |= not classes[data[i]] & _DIGIT
        i += 1
    return i, i - first, marked


@njit(nogil=True, cache=True)
def _is_separator(classes: np.ndarray, byte: int) -> bool:
    return bool(classes[byte] & _SPACE or byte == 0x2C)


@njit(nogil=True, cache=True)
def _is_word(byte: int) -> bool:
    letter_or_digit = 0x61 <= byte | 0x20 <= 0x7A or 0x30 <= byte <= 0x39
    return bool(letter_or_digit or byte == 0x5F or byte >= 0x80)


@njit(nogil=True, cache=True)
def _count_hex(
    data: np.ndarray, classes: np.ndarray, start: int, end: int, in_word: bool, word_goes_on: bool
) -> tuple[int, int]:
    """Bytes of hexadecimal runs within data[start:end], and those of the longest; whether the first and the
    last byte belong to a word that reaches further."""
    total = longest = 0
    first, last, digits, marked = start, start, 0, False
    i = start
    skip = in_word
    while i <= end:
        if i < end and _is_separator(classes, data[i]):
            i += 1
            skip = False
            continue
        fits = False
        if i < end and (not skip or data[i] == 0x5C):
            stop, count, marks = _unit_end(data, classes, i, end)
            fits = count > 0 and count % 2 == 0
            if stop < end:
                fits &= _is_separator(classes, data[stop]) or data[stop] == 0x5C
            else:
                fits &= not word_goes_on
            if fits:
                if digits == 0:
                    first, marked = i, False
                last, digits, marked = stop, digits + count, marked or marks
                i = stop
        if not fits:
            if digits >= HEX_DIGITS and marked:
                total += last - first
                longest = max(longest, last - first)
            digits, skip = 0, i < end and data[i] != 0x5C
            i += 1
    return total, longest


@njit(nogil=True, cache=True)
def _is_numbers(data: np.ndarray, classes: np.ndarray, start: int, end: int) -> bool:
    digits = numbers = 0
    inside = False
    for i in range(start, end):
        digit = classes[data[i]] & _DIGIT != 0
        digits += digit
        numbers += digit and not inside
        inside = digit or (inside and data[i] == 0x2E)
    return numbers >= NUMBERS and 2 * digits >= end - start


@njit(types.void(INDEX, BYTES, BYTES, types.int64[:, ::1]), nogil=True, cache=True)
def _find_runs(
    offsets: np.ndarray, data: np.ndarray, classes: np.ndarray, found: np.ndarray
) -> None:
    for row in range(len(found)):
        start, end = offsets[row], offsets[row + 1]
        base64 = in_hex = numbers = 0
        longest: Any = np.int64(0)
        first, stop = _next_run(data, classes, _BASE64, BASE64_RUN, start, end)
        while first < end:
            if _is_base64(data, first, stop):
                base64 += stop - first
                longest = max(longest, stop - first)
            first, stop = _next_run(data, classes, _BASE64, BASE64_RUN, stop, end)
        first, stop = _next_run(data, classes, _HEX_RUN, HEX_RUN, start, end)
        while first < end:
            in_word = first > start and _is_word(data[first - 1])
            word_goes_on = stop < end and _is_word(data[stop])
            total, most = _count_hex(data, classes, first, stop, in_word, word_goes_on)
            in_hex += total
            longest = max(longest, most)
            first, stop = _next_run(data, classes, _HEX_RUN, HEX_RUN, stop, end)
        first, stop = _next_run(data, classes, _NUMBER_RUN, NUMBER_RUN, start, end)
        while first < end:
            if _is_numbers(data, classes, first, stop):
                numbers += stop - first
            first, stop = _next_run(data, classes, _NUMBER_RUN, NUMBER_RUN, stop, end)
        # In the order of COUNTS.
        counts = found[row]
        counts[0], counts[1], counts[2], counts[3] = base64, in_hex, numbers, longest
