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

from coursepack.stages.characters import BYTES, INDEX, UINT64S, decode, lowest_bit
from coursepack.stages.copies import hash_bytes
from coursepack.stages.pieces import Pieces
from coursepack.stages.spacy_affixes import (
    BREADTH,
    find_string,
    infix_end,
    is_url,
    prefix_end,
    suffix_start,
)
from coursepack.stages.spacy_tables import (
    BLANK,
    LETTER,
    SEPARABLE,
    TAIL,
    WORDY,
    classes,
    special_words,
    strings,
    units,
)

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
_tuple_of: Any = types.Tuple
_STRINGS = _tuple_of((types.int32[::1], types.uint64[::1], types.uint64[::1]))


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
        after = np.int64(lowest_bit(left))
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
        number = find_string(data, start, end, exceptions)
        if number >= 0:
            break
        left = prefix_end(data, kinds, start, end)
        if left > start:
            number = find_string(data, left, end, exceptions)
            if number >= 0:
                n = _add(found, n, start, left)
                start = left
                break
        right = suffix_start(data, kinds, left, end, units)
        if right < end:
            number = find_string(data, start, right, exceptions)
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
        elif is_url(data, kinds, start, end):
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
            after = infix_end(data, kinds, start, i, end)
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
    number = find_string(data, start, found[1, j - 1], exceptions)
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
            if size > BREADTH or sizes >> uint64(size - 1) == 0:
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
    n, behind = first, 0
    for i in range(count):
        if joined[i]:
            behind = i + int(joined[i])
            start, end = words[0, i], words[1, behind - 1]
            number = find_string(data, start, end, exceptions)
            n = _add_exception(found, n, start, end, word_starts[number])
        elif i >= behind:
            n = _add(found, n, words[0, i], words[1, i])
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
                number = find_string(data, start, i, exceptions)
                starts = word_starts[number] if number >= 0 else _ONE
                n = _add_exception(found, n, start, i, starts)
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
