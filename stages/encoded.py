"""Data written as text: runs of base64, of hexadecimal bytes and of numbers.

After the filter of encoded data of StarCoder 2 (Lozhkov et al. 2024, arXiv:2402.19173, 2.1), which drops a file
whose longest run has more than 1,024 characters or whose runs are more than half of it. A run is at least
64 bytes (16 of hexadecimal), so it holds a whole block of 32 (or 8) bytes: other text costs next to nothing.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import njit, types, uint64

from coursepack.stages.characters import BYTES, INDEX, load8

BASE64_RUN, HEX_RUN, NUMBER_RUN = 64, 16, 64  # least bytes
BASE64_LINE = 32  # least bytes of a run's longest line: lists of words, one a line, are no base64
HEX_DIGITS = 16  # least digits of a run
NUMBERS = 8  # least numbers of a run

# Classes of bytes, bits.
_BASE64, _HEX_RUN, _NUMBER_RUN, _HEX_DIGIT, _DIGIT, _SPACE = 1, 2, 4, 8, 16, 32
_BLOCK = 32  # bytes looked at together: half a run of the longer two
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
def _flag(data: np.ndarray, i: Any, size: int, flags: np.ndarray) -> None:
    """The first four classes of so many bytes from byte i, by comparisons that LLVM makes vectors of."""
    for k in range(size):
        byte = data[uint64(i) + uint64(k)]
        lower = byte | 0x20
        digit, newline = (byte >= 0x30) & (byte <= 0x39), byte == 0x0A
        space = (byte == 0x20) | (byte == 0x09) | (byte == 0x0D) | newline
        base64 = ((lower >= 0x61) & (lower <= 0x7A)) | digit | newline
        base64 |= (byte == 0x2B) | (byte == 0x2F) | (byte == 0x3D)  # + / =
        hex_digit = ((lower >= 0x61) & (lower <= 0x66)) | digit
        in_hex = (
            hex_digit | space | (lower == 0x78) | (lower == 0x75) | (byte == 0x5C) | (byte == 0x2C)
        )  # x u \ ,
        number = digit | space | (lower == 0x65) | ((byte >= 0x2B) & (byte <= 0x2E))  # e + , - .
        number |= (byte == 0x28) | (byte == 0x29) | (byte == 0x3B)  # ( ) ;
        number |= (lower == 0x7B) | (lower == 0x7D)  # brackets and braces
        flags[k] = base64 | in_hex << 1 | number << 2 | hex_digit << 3


@njit(nogil=True, cache=True)
def _is_foreign(data: np.ndarray, i: Any) -> Any:
    """Whether no eight bytes of a block are all ASCII, as in Chinese."""
    foreign = True
    for k in range(0, _BLOCK, 8):
        foreign &= load8(data, i + k) & uint64(0x8080808080808080) != 0
    return foreign


@njit(nogil=True, cache=True)
def _all_have(held: Any, bit: int) -> Any:
    """Whether eight bytes all have the bit."""
    every = uint64(bit) * uint64(0x0101010101010101)
    return held & every == every


@njit(nogil=True, cache=True)
def _may_be_hex(held: Any) -> Any:
    """Whether eight bytes may be within a run of hexadecimal: of 16 digits in a run two stand where eight bytes are
    all in it, so white space alone is none."""
    return _all_have(held, _HEX_RUN) and held & uint64(_HEX_DIGIT * 0x0101010101010101) != 0


@njit(nogil=True, cache=True)
def _run_around(
    data: np.ndarray, classes: np.ndarray, bit: int, i: Any, start: Any, end: Any
) -> tuple[Any, Any]:
    """First byte and end of the maximal run of a class within data[start:end] that byte i stands in."""
    first, stop = i, i
    while first > start and classes[data[first - 1]] & bit:
        first -= 1
    while stop < end and classes[data[stop]] & bit:
        stop += 1
    return first, stop


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
    flags = np.zeros(_BLOCK, np.uint8)
    for row in range(len(found)):
        start, end = offsets[row], offsets[row + 1]
        base64 = in_hex = numbers = np.int64(0)
        longest: Any = np.int64(0)
        base64_end, hex_end, numbers_end = start, start, start  # up to where runs were looked at
        for i in range(start, end, _BLOCK):
            if i + _BLOCK <= end:
                if _is_foreign(data, i):
                    continue
                _flag(data, i, _BLOCK, flags)
            else:
                flags[:] = 0
                _flag(data, i, end - i, flags)
            a, b, c, d = load8(flags, 0), load8(flags, 8), load8(flags, 16), load8(flags, 24)
            if i >= base64_end and _all_have(a & b & c & d, _BASE64):
                first, base64_end = _run_around(data, classes, _BASE64, i, start, end)
                if base64_end - first >= BASE64_RUN and _is_base64(data, first, base64_end):
                    base64 += base64_end - first
                    longest = max(longest, base64_end - first)
            if i >= numbers_end and _all_have(a & b & c & d, _NUMBER_RUN):
                first, numbers_end = _run_around(data, classes, _NUMBER_RUN, i, start, end)
                if numbers_end - first >= NUMBER_RUN and _is_numbers(
                    data, classes, first, numbers_end
                ):
                    numbers += numbers_end - first
            some = _may_be_hex(a) | _may_be_hex(b) | _may_be_hex(c) | _may_be_hex(d)
            for at in range(i, i + _BLOCK if some else i, 8):
                if at >= hex_end and _may_be_hex(load8(flags, at - i)):
                    first, hex_end = _run_around(data, classes, _HEX_RUN, at, start, end)
                    if hex_end - first >= HEX_RUN:
                        in_word = first > start and _is_word(data[first - 1])
                        word_goes_on = hex_end < end and _is_word(data[hex_end])
                        total, most = _count_hex(
                            data, classes, first, hex_end, in_word, word_goes_on
                        )
                        in_hex += total
                        longest = max(longest, most)
        # In the order of COUNTS.
        counts = found[row]
        counts[0], counts[1], counts[2], counts[3] = base64, in_hex, numbers, longest
