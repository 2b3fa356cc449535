"""Terms of word lists in a text, such as LDNOOBW's lists of bad words, which C4 and RedPajama-V2 use.

A text and a term are sequences of units: a run of letters, marks, numbers and `_` in lower case; a character of a
script without spaces; any other sign. White space only separates units. So a term stands between borders of
words, as in C4's pattern, but anywhere in Chinese, Japanese or Thai, and "s&m" and emoji are terms like others.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, int32s, ratio, text_buffers
from coursepack.pipeline.errors import SourceError
from coursepack.stages.characters import (
    BYTES,
    INDEX,
    INT32S,
    OWN_UNIT,
    UINT64S,
    WORD,
    characters,
    decode,
)
from coursepack.stages.copies import EMPTY, STEP, mix

MOST_UNITS = 64  # of a term; a power of two
_SIEVE_BITS = 16
_ONE = np.uint64(1)
_TERMS, _COVERED, _WORDS = range(3)  # what is counted of a row
_SPACE = 3  # beside SEPARATOR (here a sign that is a unit), WORD and OWN_UNIT of characters


@dataclass(frozen=True, eq=False)
class Terms:
    """Terms ready to be looked for, by their last unit."""

    last: np.ndarray  # uint64, ascending: the hashes that terms end with
    first_term: np.ndarray  # int64, one more: term number of the first that ends with each
    starts: np.ndarray  # int64, terms + 1: places in `units`
    units: np.ndarray  # uint64, the hashes of all terms
    sieve: np.ndarray  # uint8: whether some hash of `last` has these top bits


def bad_word_signals(text: Text, terms: Terms) -> pa.RecordBatch:
    """`bad_words` (int32): occurrences of terms, each that begins anywhere, as RedPajama-V2 counts; C4 drops from 1 on.

    `bad_word_ratio` (float64, 0 to 1): words inside such occurrences, each once, among all words; null without a
    word. A null text is like an empty one. Equality is that of 64-bit hashes.
    """
    offsets, data = text_buffers(text)
    found = np.zeros((len(offsets) - 1, 3), np.int64)
    _count(
        *(offsets, data, _kinds(), characters().lower),
        *(terms.last, terms.first_term, terms.starts, terms.units, terms.sieve),
        found,
    )
    columns = {
        "bad_words": int32s(found[:, _TERMS]),
        "bad_word_ratio": ratio(found[:, _COVERED], found[:, _WORDS]),
    }
    return pa.RecordBatch.from_pydict(columns)


def load_terms(paths: Sequence[str]) -> Terms:
    """The terms of local UTF-8 files, one a line, as LDNOOBW has them; read once a process.

    Raises SourceError where a file is missing, is not UTF-8, or has no term, or one of more than MOST_UNITS units.
    """
    for path in paths:
        if not os.path.isfile(path):
            raise SourceError(
                f"there is no word list at {path!r}; give a file with a term on each line"
            )
    return _load(tuple((path, os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in paths))


def terms_of(lines: Iterable[str]) -> Terms:
    """Terms as they are written; blank ones are left out. Raises SourceError where one is too long."""
    offsets, data = text_buffers(pa.array(list(lines), pa.string()))
    hashes = np.empty(int(offsets[-1] - offsets[0]) + 1, np.uint64)
    ends = np.zeros(len(offsets), np.int64)
    _hash_units(offsets, data, _kinds(), characters().lower, ends, hashes)
    units = [hashes[a:b].tolist() for a, b in pairwise(ends.tolist()) if a < b]
    if (longest := max(map(len, units), default=0)) > MOST_UNITS:
        raise SourceError(
            f"a term of a word list has {longest} words and signs; terms have {MOST_UNITS} at most, one on each line"
        )
    ordered = sorted({tuple(reversed(term)) for term in units})
    last, firsts = np.unique(np.array([term[0] for term in ordered], np.uint64), return_index=True)
    sieve = np.zeros(1 << _SIEVE_BITS, np.uint8)
    sieve[(last >> np.uint64(64 - _SIEVE_BITS)).astype(np.int64)] = 1
    return Terms(
        last,
        np.append(firsts, len(ordered)).astype(np.int64),
        np.cumsum([0, *map(len, ordered)], dtype=np.int64),
        np.array([unit for term in ordered for unit in term], np.uint64),
        sieve,
    )


@cache
def _load(files: tuple[tuple[str, int, int], ...]) -> Terms:
    lines: list[str] = []
    for path, _, _ in files:
        try:
            with open(path, encoding="utf-8-sig") as file:
                terms = [line for line in file.read().splitlines() if line.strip()]
        except UnicodeDecodeError as error:
            raise SourceError(f"the word list {path!r} is not UTF-8: {error}") from None
        if not terms:
            raise SourceError(f"the word list {path!r} has no term; it takes one on each line")
        lines += terms
    return terms_of(lines)


@cache
def _kinds() -> np.ndarray:
    """What each code point is."""
    table = characters()
    kinds: np.ndarray = np.where(table.is_space == 1, _SPACE, table.word_class).astype(np.uint8)
    return kinds


@njit(
    types.void(INDEX, BYTES, BYTES, INT32S, types.int64[::1], types.uint64[::1]),
    nogil=True,
    cache=True,
)
def _hash_units(
    offsets: np.ndarray,
    data: np.ndarray,
    kinds: np.ndarray,
    lower: np.ndarray,
    ends: np.ndarray,
    hashes: np.ndarray,
) -> None:
    """The units of short texts, all of them."""
    n = 0
    for row in range(len(offsets) - 1):
        i, end = offsets[row], offsets[row + 1]
        word, inside = EMPTY, False
        while i < end:
            code, width = decode(data, i, end)
            i += width
            if kinds[code] == WORD:
                word, inside = (word ^ uint64(lower[code])) * STEP, True
                continue
            if inside:
                hashes[n] = mix(word)
                n += 1
            if kinds[code] != _SPACE:
                hashes[n] = mix((EMPTY ^ uint64(lower[code])) * STEP)
                n += 1
            word, inside = EMPTY, False
        if inside:
            hashes[n] = mix(word)
            n += 1
        ends[row + 1] = n


@njit(nogil=True, cache=True)
def _look(
    n: Any,
    hashes: np.ndarray,
    open_words: np.ndarray,
    last: np.ndarray,
    first_term: np.ndarray,
    starts: np.ndarray,
    units: np.ndarray,
    counts: np.ndarray,
) -> None:
    """The terms that end with unit n of a row; the rings hold the last MOST_UNITS units."""
    around = uint64(MOST_UNITS - 1)
    unit = hashes[uint64(n) & around]
    low, high = 0, len(last)
    while low < high:
        middle = (low + high) // 2
        if last[middle] < unit:
            low = middle + 1
        else:
            high = middle
    if low == len(last) or last[low] != unit:
        return
    for term in range(first_term[low], first_term[low + 1]):
        first = starts[term]
        length = starts[term + 1] - first
        if length > n + 1:
            continue
        same = True
        for k in range(1, length):
            if hashes[uint64(n - k) & around] != units[first + k]:
                same = False
                break
        if same:
            counts[_TERMS] += 1
            for k in range(length):
                place = uint64(n - k) & around
                counts[_COVERED] += open_words[place]
                open_words[place] = 0


@njit(
    types.void(
        *(INDEX, BYTES, BYTES, INT32S, UINT64S, INDEX, INDEX, UINT64S, BYTES),
        types.int64[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def _count(
    offsets: np.ndarray,
    data: np.ndarray,
    kinds: np.ndarray,
    lower: np.ndarray,
    last: np.ndarray,
    first_term: np.ndarray,
    starts: np.ndarray,
    units: np.ndarray,
    sieve: np.ndarray,
    found: np.ndarray,
) -> None:
    around, top = uint64(MOST_UNITS - 1), uint64(64 - _SIEVE_BITS)
    hashes = np.zeros(MOST_UNITS, np.uint64)
    open_words = np.zeros(MOST_UNITS, np.uint8)  # 1: a word that no term has covered so far
    letters = np.zeros(128, np.uint64)
    for letter in range(128):
        letters[letter] = uint64(lower[letter]) if kinds[letter] == WORD else uint64(0)
    for row in range(len(found)):
        i, end = uint64(offsets[row]), uint64(offsets[row + 1])
        n: Any = np.int64(0)  # units
        words: Any = np.int64(0)
        code: Any = np.int64(0)
        word: Any = EMPTY
        while True:
            kind = np.uint8(_SPACE)  # of what ends the word, if anything does
            while i < end:
                byte = data[i]
                if byte < 0x80:
                    i += _ONE
                    low = letters[byte]
                    if low:
                        word = (word ^ low) * STEP
                        continue
                    code, kind = np.int64(byte), kinds[byte]
                    break
                code, width = decode(data, np.int64(i), np.int64(end))
                i += uint64(width)
                kind = kinds[code]
                if kind != WORD:
                    break
                word = (word ^ uint64(lower[code])) * STEP
            if word != EMPTY:  # it has a letter
                unit = mix(word)
                hashes[uint64(n) & around], open_words[uint64(n) & around] = unit, 1
                if sieve[unit >> top]:
                    _look(n, hashes, open_words, last, first_term, starts, units, found[row])
                n += 1
                words += 1
                word = EMPTY
            if kind != WORD and kind != _SPACE:
                unit = mix((EMPTY ^ uint64(lower[code])) * STEP)
                own = np.uint8(kind == OWN_UNIT)
                hashes[uint64(n) & around], open_words[uint64(n) & around] = unit, own
                if sieve[unit >> top]:
                    _look(n, hashes, open_words, last, first_term, starts, units, found[row])
                n += 1
                words += np.int64(own)
            if i >= end:
                break
        found[row, _WORDS] = words
