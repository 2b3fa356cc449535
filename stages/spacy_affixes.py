"""Where spaCy's English tokenizer cuts a string: the expressions of its `punctuation.py` and of its URLs, over bytes.

For use inside kernels. `kinds` has the bits of `stages.spacy_tables` at each character's first byte, TAIL at others.
"""

from typing import Any

import numpy as np
from numba import njit, uint64

from coursepack.stages.characters import decode
from coursepack.stages.copies import hash_bytes
from coursepack.stages.spacy_tables import (
    ALPHA,
    BETWEEN,
    CURRENCY,
    DIGIT,
    DOTTED,
    HYPHEN,
    LETTER,
    LOWER,
    PREFIX,
    QUOTE,
    SUFFIX,
    SYMBOL,
    TAIL,
    UPPER,
)

BREADTH = 64  # bits of a mask, and bytes of a string
_UNIT_CHARS = 5  # of the longest unit
_HOST = 0xA1  # from here to U+FFFF any character may be of a host's name
_ONE = np.uint64(1)


@njit(nogil=True, cache=True)
def find_string(data: np.ndarray, start: Any, end: Any, of: Any) -> Any:
    """The number of the string data[start:end], or -1."""
    slots, hashes, sizes = of
    size = end - start
    if size <= 0 or size > BREADTH or not sizes[data[start]] >> uint64(size - 1) & _ONE:
        return np.int64(-1)
    wanted = hash_bytes(data, start, end)
    slot = np.int64(wanted & uint64(len(slots) - 1))
    while slots[slot]:
        if hashes[slots[slot] - 1] == wanted:
            return np.int64(slots[slot]) - 1
        slot = slot + 1 & len(slots) - 1
    return np.int64(-1)


@njit(nogil=True, cache=True)
def _after(kinds: np.ndarray, i: Any, end: Any) -> Any:
    """Where the character at byte i ends."""
    i += 1
    while i < end and kinds[i] & TAIL:
        i += 1
    return i


@njit(nogil=True, cache=True)
def _before(kinds: np.ndarray, i: Any) -> Any:
    """Where the character before byte i starts."""
    i -= 1
    while kinds[i] & TAIL:
        i -= 1
    return i


@njit(nogil=True, cache=True)
def prefix_end(data: np.ndarray, kinds: np.ndarray, start: Any, end: Any) -> Any:
    """Where the sign ends that is cut off at the start; `start` where none is."""
    byte, left = data[start], end - start
    if kinds[start] & PREFIX:
        return _after(kinds, start, end)
    if byte == 0x2B:  # +
        return start if left > 1 and kinds[start + 1] & DIGIT else start + 1
    if byte == 0x2E:  # .
        i = start + 1
        while i < end and data[i] == 0x2E:
            i += 1
        return i if i > start + 1 else start
    if left > 1 and (byte == 0x43 or byte == 0x41) and data[start + 1] == 0x24:  # C$, A$
        return start + 2
    if left > 2 and byte == 0x55 and data[start + 1] == 0x53 and data[start + 2] == 0x24:  # US$
        return start + 3
    return start


@njit(nogil=True, cache=True)
def suffix_start(data: np.ndarray, kinds: np.ndarray, start: Any, end: Any, units: Any) -> Any:
    """Where the sign starts that is cut off at the end; `end` where none is."""
    if start == end:
        return end
    last = _before(kinds, end)
    byte = data[last]
    if byte == 0x2E:  # .
        i = last
        while i > start and data[i - 1] == 0x2E:
            i -= 1
        if i < last:
            return i
        return last if _stops(data, kinds, start, last) else end
    if last == start:
        return last if kinds[last] & SUFFIX else end
    before = _before(kinds, last)
    if byte == 0x2B and kinds[before] & DIGIT:  # +
        return last
    if byte | 0x20 == 0x73 and _is_apostrophe(data, before):  # s, S
        return before
    if kinds[last] & SUFFIX:
        return before if _is_ellipsis(data, last) and _is_ellipsis(data, before) else last
    for _ in range(_UNIT_CHARS):
        if kinds[before] & DIGIT:
            sign = kinds[last] & CURRENCY and last == before + 1
            return before + 1 if sign or find_string(data, before + 1, end, units) >= 0 else end
        if before == start:
            break
        before = _before(kinds, before)
    return end


@njit(nogil=True, cache=True)
def _is_apostrophe(data: np.ndarray, i: Any) -> bool:
    if data[i] == 0x27:
        return True
    return bool(data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0x99)


@njit(nogil=True, cache=True)
def _is_ellipsis(data: np.ndarray, i: Any) -> bool:
    return bool(data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0xA6)


@njit(nogil=True, cache=True)
def _stops(data: np.ndarray, kinds: np.ndarray, start: Any, dot: Any) -> bool:
    """Whether the full stop at byte `dot` is no part of what stands before it."""
    if dot == start:
        return False
    before = _before(kinds, dot)
    if kinds[before] & DOTTED:
        return True
    if before == start:
        return False
    two = _before(kinds, before)
    if kinds[before] & UPPER and kinds[two] & UPPER:
        return True
    degrees = data[two] == 0xC2 and data[two + 1] == 0xB0
    letter = data[before] | 0x20
    return bool(degrees and (letter == 0x66 or letter == 0x63 or letter == 0x6B))  # f, c, k


@njit(nogil=True, cache=True)
def infix_end(data: np.ndarray, kinds: np.ndarray, start: Any, i: Any, end: Any) -> Any:
    """Where the sign at byte i ends at which data[start:end] is cut; i where it is not."""
    byte, kind = data[i], kinds[i]
    after = _after(kinds, i, end)
    if kind & SYMBOL or (byte == 0xE2 and _is_ellipsis(data, i)):
        return after
    if byte == 0x2E and after < end and data[after] == 0x2E:
        while after < end and data[after] == 0x2E:
            after += 1
        return after
    if i == start or after == end:
        return i
    left, right = kinds[_before(kinds, i)], kinds[after]
    if byte == 0x2E:
        return after if left & (LOWER | QUOTE) and right & (UPPER | QUOTE) else i
    sign = byte == 0x2B or byte == 0x2D or byte == 0x2A or byte == 0x5E  # + - * ^
    if sign and left & DIGIT and (right & DIGIT or data[after] == 0x2D):
        return after
    if byte == 0x2C:  # ,
        return after if left & ALPHA and right & ALPHA else i
    if not left & (ALPHA | DIGIT):
        return i
    if kind & BETWEEN:
        return after if right & ALPHA else i
    if kind & HYPHEN:
        dash = byte == 0xE2 and data[i + 2] == 0x94
        for _ in range(3 if byte == 0x2D else 2 if dash else 1):  # -, --, ---; —, ——; others
            if after == end:
                break
            if kinds[after] & ALPHA:
                return after
            if data[after] != byte or (dash and data[after + 2] != 0x94):
                break
            after = _after(kinds, after, end)
    return i


@njit(nogil=True, cache=True)
def is_url(data: np.ndarray, kinds: np.ndarray, start: Any, end: Any) -> bool:
    """Whether a host stands at the start, behind `scheme://` or behind a `@`; then a port and a path, or nothing."""
    dots = False
    for i in range(start, end):
        dots |= data[i] == 0x2E
    if not dots:
        return False
    if _is_host(data, kinds, start, end):
        return True
    i = start
    while i < end and (
        kinds[i] & (LETTER | DIGIT | TAIL)
        or data[i] == 0x5F
        or data[i] == 0x2B
        or data[i] == 0x2D
        or data[i] == 0x2E
    ):
        i += 1
    scheme = i > start + 1 and i + 3 < end and data[i] == 0x3A
    slashes = scheme and data[i + 1] == 0x2F and data[i + 2] == 0x2F
    if slashes and _is_host(data, kinds, i + 3, end):
        return True
    for i in range(start + 1, end):  # noqa: SIM110 - a generator is slow in a kernel
        if data[i] == 0x40 and _is_host(data, kinds, i + 1, end):
            return True
    return False


@njit(nogil=True, cache=True)
def _is_host(data: np.ndarray, kinds: np.ndarray, start: Any, end: Any) -> bool:
    """Whether labels and dots, a last label of small letters, and perhaps a port and a path fill data[start:end]."""
    label, chars, small, before, labels = start, 0, True, 0x2D, 0
    i = start
    while i < end:
        byte = data[i]
        if byte == 0x2E:
            if chars == 0 or chars > 64 or before == 0x2D:
                return False
            label, chars, small, before, labels = i + 1, 0, True, 0x2D, labels + 1
            i += 1
            continue
        inner = byte == 0x5F or byte == 0x2D
        if byte < 0x80:
            if not (inner or kinds[i] & (ALPHA | DIGIT)):
                break
        else:
            code, _ = decode(data, i, end)
            if not _HOST <= code <= 0xFFFF:
                break
        if inner and i == label:
            return False
        before = 0x2D if inner else 0
        small &= kinds[i] & LOWER != 0
        chars += 1
        i = _after(kinds, i, end)
    if labels == 0 or not small or not 2 <= chars <= 63:
        return False
    if i < end and data[i] == 0x3A:
        port = i = i + 1
        while i < end and kinds[i] & DIGIT:
            i += 1
        if not 2 <= i - port <= 5:
            return False
    return bool(i == end or data[i] == 0x2F or data[i] == 0x3F or data[i] == 0x23)  # / ? #
