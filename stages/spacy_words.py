"""Words as spaCy's English tokenizer splits them (Honnibal et al., spaCy 3.8): those that datatrove counts in English.

White space separates strings. Of each, signs are cut off at both ends until an exception (`stages.spacy_exceptions`)
is left, or nothing to cut; the rest is cut at signs inside it, if it is no URL. Then neighbours that spell an
exception are joined: the `)` and `:` of "f(x):" are an emoticon to spaCy, and one word.

It differs from spaCy in URLs whose host is a number, in symbols that Unicode got since 2019, and where words that
white space separates spell an exception: there spaCy joins none of the words next to them.
"""

from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types, uint64
from numba.cpython.unsafe.numbers import trailing_zeros

from coursepack.stages.characters import BYTES, INDEX, UINT64S, decode
from coursepack.stages.copies import hash_bytes
from coursepack.stages.pieces import Pieces
from coursepack.stages.spacy_tables import (
    ALPHA,
    BETWEEN,
    BLANK,
    CURRENCY,
    DIGIT,
    DOTTED,
    HYPHEN,
    LETTER,
    LOWER,
    PREFIX,
    QUOTE,
    SEPARABLE,
    SUFFIX,
    SYMBOL,
    TAIL,
    UPPER,
    WORDY,
    classes,
    special_words,
    strings,
    units,
)

_UNIT_CHARS = 5  # of the longest unit
_HOST = 0xA1  # from here to U+FFFF any character may be of a host's name
_BREADTH = 64  # bits of a mask
_lowest_bit: Any = trailing_zeros
_ONE = np.uint64(1)


class SpacyWords(NamedTuple):
    """Words of a batch: its pieces with these words instead, and what each word holds."""

    pieces: Pieces
    alphabetic: np.ndarray  # bool, one a word: some character is a letter
    wordy: np.ndarray  # bool: some character is no punctuation to datatrove


def spacy_words(p: Pieces) -> SpacyWords:
    """The words of each row's head, in the order of the text."""
    found = np.empty(len(p.data) + 4, np.uint16)
    words, starts, ends = _bounds(p.offsets, p.ends, p.data, found, *_exceptions())
    count = len(starts)
    chars, hashes = np.empty(count, np.int32), np.empty(count, np.uint64)
    kinds, bits = np.empty(count, np.uint8), np.empty(count, np.uint16)
    _describe(p.data, p.kinds, found, starts, ends, chars, hashes, kinds, bits)
    pieces = replace(
        p,
        words=words,
        word_starts=starts,
        word_ends=ends,
        word_chars=chars,
        word_hashes=hashes,
        word_kinds=kinds,
    )
    return SpacyWords(pieces, bits & LETTER != 0, bits & WORDY != 0)


_Lookup = tuple[np.ndarray, np.ndarray, np.ndarray]  # of `Strings`


def _bounds(
    offsets: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    kinds: np.ndarray,
    exceptions: _Lookup,
    cuts: np.ndarray,
    cut_sizes: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Words of rows (rows + 1), and their starts and ends in bytes; int64. Fills `kinds`, of each byte."""
    words = np.zeros(len(ends) + 1, np.int64)
    sizes = ends - offsets[:-1]
    # A word a byte is the most; memory is taken where it is written.
    found = np.empty((2, int(sizes.sum())), np.int64)
    longest = int(sizes.max(initial=0))
    _split(
        *(offsets, ends, data, classes(), kinds),
        *(exceptions, _word_starts(), cuts, cut_sizes, _lookup(tuple(units()))),
        *(np.empty((2, longest), np.int64), np.empty((2, longest), np.uint8), words, found),
    )
    return words, *found[:, : words[-1]]


@cache
def _exceptions() -> tuple[_Lookup, np.ndarray, np.ndarray]:
    """The exceptions; where words start in those that would be cut if they were none (0 for others); the sizes
    of those."""
    texts = [text for text, _ in special_words()]
    offsets = np.cumsum([0, *map(len, texts)])
    data = np.frombuffer(b"".join(texts), np.uint8)
    cuts, sizes = np.zeros(len(texts), np.uint64), np.zeros(256, np.uint64)
    kinds = np.empty(len(data) + 4, np.uint16)
    words, starts, _ = _bounds(offsets, offsets[1:], data, kinds, _lookup(()), cuts, sizes)
    for number in np.flatnonzero(np.diff(words) > 1):
        for start in starts[words[number] : words[number + 1]] - offsets[number]:
            cuts[number] |= np.uint64(1 << int(start))
    cut = [text for text, starts in zip(texts, cuts, strict=True) if starts]
    return _lookup(tuple(texts)), cuts, strings(cut).sizes


@cache
def _word_starts() -> np.ndarray:
    """Where the words of each exception start, a bit a byte; uint64."""
    return np.array([starts for _, starts in special_words()], np.uint64)


@cache
def _lookup(texts: tuple[bytes, ...]) -> _Lookup:
    of = strings(texts)
    return of.slots, of.hashes, of.sizes


_CLASSES = types.Array(types.uint16, 1, "C", readonly=True)
_STRINGS = types.Tuple((types.int32[::1], types.uint64[::1], types.uint64[::1]))


@njit(nogil=True, cache=True)
def _find(data: np.ndarray, start: Any, end: Any, of: Any) -> Any:
    """The number of the string data[start:end], or -1."""
    slots, hashes, sizes = of
    size = end - start
    if size <= 0 or size > _BREADTH or not sizes[data[start]] >> uint64(size - 1) & _ONE:
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
def _prefix(data: np.ndarray, kinds: np.ndarray, start: Any, end: Any) -> Any:
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
def _suffix(data: np.ndarray, kinds: np.ndarray, start: Any, end: Any, units: Any) -> Any:
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
            return before + 1 if sign or _find(data, before + 1, end, units) >= 0 else end
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
def _infix(data: np.ndarray, kinds: np.ndarray, start: Any, i: Any, end: Any) -> Any:
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
def _is_url(data: np.ndarray, kinds: np.ndarray, start: Any, end: Any) -> bool:
    """Whether a host stands at the start, behind `scheme://` or behind a `@`, and nothing but a port or path after it."""
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
    if scheme and data[i + 1] == 0x2F and data[i + 2] == 0x2F:
        if _is_host(data, kinds, i + 3, end):
            return True
    for i in range(start + 1, end):
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


@njit(nogil=True, cache=True)
def _add(found: np.ndarray, n: Any, start: Any, end: Any) -> Any:
    found[0, n], found[1, n] = start, end
    return n + 1


@njit(nogil=True, cache=True)
def _add_exception(found: np.ndarray, n: Any, start: Any, end: Any, starts: Any) -> Any:
    """Adds the words of an exception."""
    left = uint64(starts) & (uint64(starts) - _ONE)
    word = np.int64(0)
    while left:
        after = np.int64(_lowest_bit(left))
        n = _add(found, n, start + word, start + after)
        word = after
        left &= left - _ONE
    return _add(found, n, start + word, end)


@njit(nogil=True, cache=True)
def _cut(
    data: np.ndarray,
    kinds: np.ndarray,
    start: Any,
    end: Any,
    exceptions: Any,
    word_starts: np.ndarray,
    units: Any,
    suffixes: np.ndarray,
    found: np.ndarray,
    n: Any,
) -> Any:
    """Adds the words of a string without white space; returns how many words there are."""
    cut = 0
    number = np.int64(-1)
    while start < end:
        number = _find(data, start, end, exceptions)
        if number >= 0:
            break
        left = _prefix(data, kinds, start, end)
        if left > start:
            number = _find(data, left, end, exceptions)
            if number >= 0:
                n = _add(found, n, start, left)
                start = left
                break
        right = _suffix(data, kinds, left, end, units)
        if right < end:
            number = _find(data, start, right, exceptions)
            if number >= 0:
                cut = _add(suffixes, cut, right, end)
                end = right
                break
        if left == start and right == end:
            break
        if left > start:
            n = _add(found, n, start, left)
        if right < end:
            cut = _add(suffixes, cut, right, end)
        start, end = left, right
    if start < end:
        if number >= 0:
            n = _add_exception(found, n, start, end, word_starts[number])
        elif _is_url(data, kinds, start, end):
            n = _add(found, n, start, end)
        else:
            n = _cut_inside(data, kinds, start, end, found, n)
    for k in range(cut - 1, -1, -1):
        n = _add(found, n, suffixes[0, k], suffixes[1, k])
    return n


@njit(nogil=True, cache=True)
def _cut_inside(
    data: np.ndarray, kinds: np.ndarray, start: Any, end: Any, found: np.ndarray, n: Any
) -> Any:
    """Adds what stands between signs, and the signs; but for one at the start."""
    word = i = start
    while i < end:
        after = i
        if kinds[i] & SEPARABLE:
            after = _infix(data, kinds, start, i, end)
        if after == i:
            i += 1
            continue
        if i > start:
            if i > word:
                n = _add(found, n, word, i)
            n = _add(found, n, i, after)
            word = after
        i = after
    return _add(found, n, word, end) if word < end else n


@njit(nogil=True, cache=True)
def _exception_at(
    data: np.ndarray, found: np.ndarray, i: Any, j: Any, exceptions: Any, cuts: np.ndarray
) -> Any:
    """The number of the exception that the neighbours found[:, i:j] spell, or -1."""
    start = found[0, i]
    number = _find(data, start, found[1, j - 1], exceptions)
    if number >= 0:
        starts = uint64(0)
        for k in range(i, j):
            starts |= _ONE << uint64(found[0, k] - start)
        if starts != cuts[number]:
            number = np.int64(-1)
    return number


@njit(nogil=True, cache=True)
def _join(
    data: np.ndarray,
    exceptions: Any,
    word_starts: np.ndarray,
    cuts: np.ndarray,
    cut_sizes: np.ndarray,
    copies: np.ndarray,
    marks: np.ndarray,
    found: np.ndarray,
    first: Any,
    n: Any,
) -> Any:
    """Makes exceptions of the words from `first` on that spell them: the most words first, then the first."""
    longest = 0
    for i in range(first, n - 1):
        sizes = cut_sizes[data[found[0, i]]]
        for j in range(i + 2, n + 1):
            size = found[1, j - 1] - found[0, i]
            if size > _BREADTH or sizes >> uint64(size - 1) == 0:
                break
            if j - i > longest and _exception_at(data, found, i, j, exceptions, cuts) >= 0:
                longest = j - i
    if longest == 0:
        return n
    count = n - first
    words = copies[:, :count]
    words[:] = found[:, first:n]
    seen, joined = marks[0, :count], marks[1, :count]
    seen[:] = 0
    joined[:] = 0
    for many in range(longest, 1, -1):
        for i in range(count - many + 1):
            if _exception_at(data, words, i, i + many, exceptions, cuts) < 0:
                continue
            if not seen[i] and not seen[i + many - 1]:
                joined[i] = many
            seen[i : i + many] = 1
    n, i = first, 0
    while i < count:
        many = np.int64(max(joined[i], 1))
        start, end = words[0, i], words[1, i + many - 1]
        if joined[i]:
            number = _find(data, start, end, exceptions)
            n = _add_exception(found, n, start, end, word_starts[number])
        else:
            n = _add(found, n, start, end)
        i += many
    return n


@njit(
    types.void(
        *(INDEX, INDEX, BYTES, _CLASSES, types.uint16[::1]),
        *(_STRINGS, UINT64S, UINT64S, UINT64S, _STRINGS),
        *(types.int64[:, ::1], types.uint8[:, ::1], types.int64[::1], types.int64[:, ::1]),
    ),
    nogil=True,
    cache=True,
)
def _split(
    offsets: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    table: np.ndarray,
    kinds: np.ndarray,
    exceptions: Any,
    word_starts: np.ndarray,
    cuts: np.ndarray,
    cut_sizes: np.ndarray,
    units: Any,
    bounds: np.ndarray,
    marks: np.ndarray,
    words: np.ndarray,
    found: np.ndarray,
) -> None:
    """Fills `kinds`, `words` and, from its start, `found`: starts and ends of words."""
    n = np.int64(0)
    for row in range(len(ends)):
        i, end = offsets[row], ends[row]
        while i < end:
            code, width = decode(data, i, end)
            kinds[i] = table[code]
            for k in range(i + 1, i + width):
                kinds[k] = kinds[i] & np.uint16(BLANK) | np.uint16(TAIL)
            i += width
        i = offsets[row]
        while i < end:
            if kinds[i] & BLANK:
                i += 1
                continue
            start, bits = i, np.uint16(0)
            while i < end and not kinds[i] & BLANK:
                bits |= kinds[i]
                i += 1
            if not bits & SEPARABLE:
                number = _find(data, start, i, exceptions)
                if number < 0:
                    n = _add(found, n, start, i)
                else:
                    n = _add_exception(found, n, start, i, word_starts[number])
                continue
            first = n
            n = _cut(data, kinds, start, i, exceptions, word_starts, units, bounds, found, n)
            if n > first + 1:
                n = _join(
                    *(data, exceptions, word_starts, cuts, cut_sizes, bounds, marks),
                    *(found, first, n),
                )
        words[row + 1] = n


@njit(
    types.void(
        *(BYTES, BYTES, types.uint16[::1], INDEX, INDEX),
        *(types.int32[::1], types.uint64[::1], types.uint8[::1], types.uint16[::1]),
    ),
    nogil=True,
    cache=True,
)
def _describe(
    data: np.ndarray,
    kinds: np.ndarray,
    of_bytes: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    chars: np.ndarray,
    hashes: np.ndarray,
    word_kinds: np.ndarray,
    word_bits: np.ndarray,
) -> None:
    """Code points, hash, and all bits of the characters of each word."""
    for k in range(len(starts)):
        hashes[k] = hash_bytes(data, starts[k], ends[k])
        length, kind, bits = np.int32(0), np.uint8(0), np.uint16(0)
        for i in range(uint64(starts[k]), uint64(ends[k])):
            length += of_bytes[i] & TAIL == 0
            kind |= kinds[i]
            bits |= of_bytes[i]
        chars[k], word_kinds[k], word_bits[k] = length, kind, bits
