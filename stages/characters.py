"""Classes of Unicode code points as tables, and UTF-8 read inside kernels.

The tables come from the `regex` library alone, not from the interpreter: its Unicode version is pinned
by the lock, so a word is the same word under every Python.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import regex
from numba import njit, types, uint64
from numba.cpython.unsafe.numbers import trailing_zeros

from coursepack.pipeline.arrow import Text, text_buffers

CODE_POINTS = 0x110000
SEPARATOR, WORD, OWN_UNIT = 0, 1, 2
REPLACEMENT = 0xFFFD
ALL_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)
AROUND = 2  # bytes beside a block of 64 that a look at it may need
lowest_bit: Any = trailing_zeros  # its place; one instruction; inside kernels

# Kernel argument types: Arrow's buffers are read-only, and a table or an index may be.
BYTES = types.Array(types.uint8, 1, "C", readonly=True)
INDEX = types.Array(types.int64, 1, "C", readonly=True)
INT32S = types.Array(types.int32, 1, "C", readonly=True)
UINT32S = types.Array(types.uint32, 1, "C", readonly=True)
UINT64S = types.Array(types.uint64, 1, "C", readonly=True)

_WORD = r"[\p{L}\p{M}\p{N}_]"
# Scripts written without spaces: Han, kana, Tibetan, and Line_Break=SA, which Unicode gives to the rest
# (Thai, Lao, Khmer, Myanmar, Tai scripts). Script extensions add letters they share, such as U+30FC.
_OWN_UNIT = (
    r"[[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Tibetan}\p{Line_Break=SA}]"
    r"&&[\p{L}\p{M}\p{N}]]"
    r"|[[\p{Scx=Han}\p{Scx=Hiragana}\p{Scx=Katakana}]&&[\p{L}\p{N}]]"
)


@dataclass(frozen=True)
class Characters:
    """Tables indexed by code point, 0 to 0x10FFFF; bool tables are uint8 (0 or 1)."""

    word_class: np.ndarray  # uint8: SEPARATOR, WORD (letter, mark, number, `_`) or OWN_UNIT
    is_letter: np.ndarray  # general category L
    is_number: np.ndarray  # general category N
    is_digit: np.ndarray  # general category Nd
    is_space: np.ndarray  # property White_Space
    is_terminal: (
        np.ndarray
    )  # ends sentences: Sentence_Terminal, and three Khmer signs that it once had
    is_closer: np.ndarray  # may stand behind such a sign: Pe, Pf, `"`, `'`
    lower: np.ndarray  # int32: the simple lower case, one code point to one


@cache
def characters() -> Characters:
    """The tables, made once a process in about 0.2 s; do not write to them."""
    word_class = class_table(_WORD)
    word_class[class_table(_OWN_UNIT) == 1] = OWN_UNIT
    return Characters(
        word_class,
        class_table(r"\p{L}"),
        class_table(r"\p{N}"),
        class_table(r"\p{Nd}"),
        class_table(r"\p{White_Space}"),
        class_table("[\\p{Sentence_Terminal}\u17d6\u17d9\u17da]"),
        class_table(r"""[\p{Pe}\p{Pf}"']"""),
        _lower(),
    )


@cache
def every_code_point() -> str:
    """U+0000 to U+10FFFF, surrogates too, for patterns to search: the place of a match is its code point."""
    return np.arange(CODE_POINTS, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")


def code_point_runs(pattern: str) -> Iterator[slice]:
    """Runs of code points that a pattern of one character (of `regex`, version 1) matches."""
    for run in _runs(f"(?:{pattern})+", every_code_point()):
        yield slice(run.start(), run.end())


def class_table(pattern: str) -> np.ndarray:
    """uint8 a code point: 1 where a pattern of one character matches."""
    table = np.zeros(CODE_POINTS, np.uint8)
    for run in code_point_runs(pattern):
        table[run] = 1
    return table


def utf8_valid(text: Text) -> np.ndarray:
    """Whether each row is UTF-8, as strict as `bytes.decode`: no overlong form, surrogate or code
    point past 10FFFF; a null row is valid. Bool, one a row of a binary or string column."""
    offsets, data = text_buffers(text)
    valid = np.ones(len(offsets) - 1, np.bool_)
    _check_utf8(offsets, data, valid)
    return valid


@njit(nogil=True, cache=True, forceinline=True)
def decode(data: np.ndarray, i: Any, end: Any) -> tuple[Any, Any]:
    """The code point at byte `i` of data[:end], i < end, and its width in bytes; inside kernels.

    A byte that starts no valid sequence gives (REPLACEMENT, 1); a real U+FFFD has width 3.
    """
    at = uint64(i)  # an index that is not negative saves its test
    a = np.int64(data[at])
    if a < 0x80:
        return a, np.int64(1)
    if 0xC2 <= a <= 0xDF and i + 1 < end:
        b = np.int64(data[at + uint64(1)])
        if b & 0xC0 == 0x80:
            return (a & 0x1F) << 6 | b & 0x3F, np.int64(2)
    elif 0xE0 <= a <= 0xEF and i + 2 < end:
        b = np.int64(data[at + uint64(1)])
        c = np.int64(data[at + uint64(2)])
        code = (a & 0x0F) << 12 | (b & 0x3F) << 6 | c & 0x3F
        tails = b & 0xC0 == 0x80 and c & 0xC0 == 0x80
        if tails and code >= 0x800 and not 0xD800 <= code <= 0xDFFF:
            return code, np.int64(3)
    elif 0xF0 <= a <= 0xF4 and i + 3 < end:
        b = np.int64(data[at + uint64(1)])
        c = np.int64(data[at + uint64(2)])
        d = np.int64(data[at + uint64(3)])
        code = (a & 0x07) << 18 | (b & 0x3F) << 12 | (c & 0x3F) << 6 | d & 0x3F
        tails = b & 0xC0 == 0x80 and c & 0xC0 == 0x80 and d & 0xC0 == 0x80
        if tails and 0x10000 <= code <= 0x10FFFF:
            return code, np.int64(4)
    return np.int64(REPLACEMENT), np.int64(1)


@njit(nogil=True, cache=True)
def load8(data: np.ndarray, i: Any) -> Any:
    """The eight bytes from byte i as a uint64, the first lowest: one load to LLVM. Inside kernels."""
    j = uint64(i)
    low = uint64(data[j]) | uint64(data[j + uint64(1)]) << uint64(8)
    low |= uint64(data[j + uint64(2)]) << uint64(16) | uint64(data[j + uint64(3)]) << uint64(24)
    high = uint64(data[j + uint64(4)]) | uint64(data[j + uint64(5)]) << uint64(8)
    high |= uint64(data[j + uint64(6)]) << uint64(16) | uint64(data[j + uint64(7)]) << uint64(24)
    return low | high << uint64(32)


@njit(nogil=True, cache=True)
def store8(held: Any, data: np.ndarray, i: Any) -> None:
    """Write a uint64 as the eight bytes from byte i, the lowest first: one store to LLVM. Inside kernels."""
    j = uint64(i)
    for k in range(8):
        data[j + uint64(k)] = held >> uint64(8 * k) & uint64(0xFF)


@njit(nogil=True, cache=True)
def without(held: Any, byte: Any) -> Any:
    """Whether none of eight bytes is `byte`, which stands eight times in its argument. Inside kernels."""
    held ^= byte
    return (held - uint64(0x0101010101010101)) & ~held & uint64(0x8080808080808080) == 0


@njit(nogil=True, cache=True)
def load_few(data: np.ndarray, i: Any, end: Any) -> Any:
    """The one to eight bytes data[i:end] like `load8`, with zeros above them; inside kernels."""
    width = uint64(end) - uint64(i)
    if uint64(i) + uint64(8) <= uint64(len(data)):
        return load8(data, i) & ALL_BITS >> (uint64(64) - uint64(8) * width)
    held = uint64(0)
    for k in range(width):
        held |= uint64(data[uint64(i) + uint64(k)]) << uint64(8) * uint64(k)
    return held


@njit(nogil=True, cache=True)
def has_around(data: np.ndarray, i: Any) -> bool:
    """Whether `data` has all of a block of 64 bytes from byte i, and AROUND bytes on either side; inside kernels."""
    return bool(i >= AROUND and i + 64 + AROUND <= len(data))


@njit(nogil=True, cache=True)
def copy_around(data: np.ndarray, i: Any, block: np.ndarray) -> None:
    """Copy those bytes, as far as there are any, and zeros for others; inside kernels."""
    block[:] = 0
    first = i - AROUND
    for at in range(max(first, 0), min(first + len(block), len(data))):
        block[at - first] = data[at]


@njit(nogil=True, cache=True)
def side_by_side(eight: Any) -> Any:
    """The lowest bits of eight bytes, of which no other is set, as eight bits; inside kernels."""
    return eight * uint64(0x0102040810204080) >> uint64(56)


@njit(nogil=True, cache=True)
def bits_of(flags: np.ndarray, i: Any, bit: Any) -> Any:
    """A bit for each of the 64 bytes from byte i, the first lowest: whether it has 1 << bit; inside kernels."""
    found = uint64(0)
    for k in range(8):
        held = load8(flags, uint64(i) + uint64(8 * k)) >> uint64(bit)
        found |= side_by_side(held & uint64(0x0101010101010101)) << uint64(8 * k)
    return found


@njit(nogil=True, cache=True)
def chars_of(data: np.ndarray, start: Any, end: Any) -> Any:
    """Code points of data[start:end]: bytes that continue none; inside kernels."""
    chars = np.int64(0)
    for i in range(uint64(start), uint64(end)):  # an index that is not negative saves its test
        chars += (data[i] & 0xC0) != 0x80
    return chars


@njit(types.void(INDEX, BYTES, types.boolean[::1]), nogil=True, cache=True)
def _check_utf8(offsets: np.ndarray, data: np.ndarray, valid: np.ndarray) -> None:
    for row in range(len(valid)):
        i, end = offsets[row], offsets[row + 1]
        while i < end:
            if data[i] < 0x80:
                i += 1
                continue
            code, width = decode(data, i, end)
            if code == REPLACEMENT and width == 1:
                valid[row] = False
                break
            i += width


def _runs(pattern: str, text: str) -> Any:
    return regex.finditer(pattern, text, regex.VERSION1)


def _lower() -> np.ndarray:
    """Simple lower-casing, drawn from the library's caseless matching (it offers no mapping).

    Each capital is matched without case against all small letters. The letters that case folding
    leaves alone come first, so capital sigma finds sigma before final sigma.
    """
    capitals, plain, others = (
        "".join(run[0] for run in _runs(f"{pattern}+", every_code_point()))
        for pattern in (r"\p{CWL}", r"[\p{CWU}&&\P{CWCF}]", r"[\p{CWU}&&\p{CWCF}]")
    )
    pair = r"(?i)(.)(?=[^\n]*\n[^\n]*?(\1))"
    lower = np.arange(CODE_POINTS, dtype=np.int32)
    for match in _runs(pair, f"{capitals}\n{plain}{others}"):
        lower[ord(match[1])] = ord(match[2])
    return lower
