"""Gopher's repetition signals (Rae et al. 2021, arXiv:2112.11446, A1.1): how much of a text says itself again.

Tools that cite the same table compute four different things. These are datatrove's
(`gopher_repetition_filter.py`): only the second and later copies count, and the divisor is all the text's
characters, white space included. Other tools count every copy, or divide by the characters of words.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types

from coursepack.pipeline.arrow import ratio
from coursepack.stages.characters import BYTES, INDEX, INT32S, UINT64S
from coursepack.stages.copies import (
    EMPTY,
    STEP,
    count_copies,
    gram_scratch,
    hash_bytes,
    mix,
    repeats,
    table_size,
)
from coursepack.stages.pieces import TextOrPieces, count_chars, find_pieces, trimmed

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)

# What the kernel finds of a row, in this order; then the characters of TOP and of DUPLICATE.
_COUNTS = (
    "chars",
    "lines",
    "dup_lines",
    "dup_line_chars",
    "paragraphs",
    "dup_paragraphs",
    "dup_paragraph_chars",
)


def repetition_signals(text: TextOrPieces) -> pa.RecordBatch:
    """One float64 column a signal, one row a text; null where the text is empty or null.

    Lines stand between runs of newlines, paragraphs between runs of two or more in the text without the
    white space at its ends; as in datatrove, a newline at either end of a text has an empty line beyond it.
    `dup_line_ratio` is the share of lines that repeat an earlier one, `dup_line_char_ratio` their code
    points per code point of the text; the same of paragraphs.

    Words are those of `stages.pieces`. `top_Ngram_char_ratio` is the length of the
    most frequent N words, with a space between, times their occurrences; the first of equals; its
    occurrences may overlap, so "a a a a" gives more than 1. `dup_Ngram_char_ratio` walks through the
    text: N words that were met before count their letters, and the walk goes on behind them.

    Of a text longer than HEAD_BYTES the head is measured. Equality is that of 64-bit hashes.
    """
    p = find_pieces(text)
    found = np.zeros((len(p.ends), len(_COUNTS) + len(TOP) + len(DUPLICATE)), np.int64)
    most = int(np.diff(p.lines).max(initial=0)) + 2  # an empty line at either end
    _count_pieces(
        *(p.offsets, p.ends, p.data, p.kinds),
        *(p.lines, p.line_starts, p.line_ends, p.line_chars, p.line_hashes),
        *(np.empty(most, np.uint64), np.empty(most, np.int32)),
        *(np.empty(table_size(most), np.int32), found),
    )
    scratch = gram_scratch(int(np.diff(p.words).max(initial=0)))
    _count_grams(p.words, p.word_hashes, p.word_chars, *scratch, found[:, len(_COUNTS) :])
    n = dict(zip(_COUNTS, found.T[: len(_COUNTS)], strict=True))
    columns = {
        "dup_line_ratio": ratio(n["dup_lines"], n["lines"]),
        "dup_paragraph_ratio": ratio(n["dup_paragraphs"], n["paragraphs"]),
        "dup_line_char_ratio": ratio(n["dup_line_chars"], n["chars"]),
        "dup_paragraph_char_ratio": ratio(n["dup_paragraph_chars"], n["chars"]),
    }
    names = [f"top_{words}gram_char_ratio" for words in TOP]
    names += [f"dup_{words}gram_char_ratio" for words in DUPLICATE]
    for name, chars in zip(names, found.T[len(_COUNTS) :], strict=True):
        columns[name] = ratio(chars, n["chars"])
    return pa.RecordBatch.from_pydict(columns)


_FOUND = types.Array(types.int64, 2, "C")


@njit(
    types.void(
        *(INDEX, INDEX, BYTES, BYTES, INDEX, INDEX, INDEX, INT32S, UINT64S),
        *(types.uint64[::1], types.int32[::1], types.int32[::1], types.int64[:, ::1]),
    ),
    nogil=True,
    cache=True,
)
def _count_pieces(
    offsets: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    kinds: np.ndarray,
    lines: np.ndarray,
    line_starts: np.ndarray,
    line_ends: np.ndarray,
    line_chars: np.ndarray,
    line_hashes: np.ndarray,
    hashes: np.ndarray,
    chars: np.ndarray,
    table: np.ndarray,
    found: np.ndarray,
) -> None:
    """Of lines and paragraphs: how many, how many are copies, and the code points of those."""
    for row in range(len(found)):
        if offsets[row] == ends[row]:
            continue
        counts, first_line, end_line = found[row], lines[row], lines[row + 1]
        total, held = end_line - first_line - 1, 0
        for line in range(first_line, end_line):
            total += line_chars[line]
            at_end = line == first_line or line == end_line - 1
            if line_starts[line] < line_ends[line] or at_end:
                hashes[held], chars[held] = line_hashes[line], line_chars[line]
                held += 1
        counts[0], counts[1] = total, held
        counts[2], counts[3] = count_copies(table, hashes, chars, held)

        first, last = trimmed(kinds, offsets[row], ends[row])
        held, paragraph = 0, EMPTY
        length: Any = np.int64(-1)
        for line in range(first_line, end_line):
            start, end = max(line_starts[line], first), min(line_ends[line], last)
            if start < end:
                value, line_length = line_hashes[line], np.int64(line_chars[line])
                if end - start < line_ends[line] - line_starts[line]:
                    value = hash_bytes(data, start, end)
                    line_length = count_chars(kinds, start, end)
                paragraph = (paragraph ^ value) * STEP
                length += line_length + 1  # and the newline before it, if it is not the first
            elif length >= 0:
                hashes[held], chars[held] = mix(paragraph), length
                held += 1
                paragraph, length = EMPTY, -1
        if length >= 0 or held == 0:
            hashes[held], chars[held] = mix(paragraph), max(length, 0)
            held += 1
        counts[4] = held
        counts[5], counts[6] = count_copies(table, hashes, chars, held)


@njit(nogil=True, cache=True)
def _chars(word_chars: np.ndarray, place: Any, n: int) -> Any:
    """Characters of the n words from `place`, without what stands between them."""
    chars = np.int64(0)
    for k in range(place, place + n):
        chars += word_chars[k]
    return chars


@njit(nogil=True, cache=True)
def _walk(n: int, left: int, rows: np.ndarray, word_chars: np.ndarray) -> Any:
    """Characters of the n-grams that were met before on a walk that leaves out what it counted."""
    places, firsts, times = rows[0], rows[1], rows[2]
    chars, free = np.int64(0), np.int64(0)
    for k in range(left):
        place = places[k]
        if place < free:
            continue
        first = firsts[place]
        if times[first] == 0:  # met before: its count is used up
            chars += _chars(word_chars, place, n)
            free = np.int64(place) + n
        else:
            times[first] = 0
    return chars


@njit(
    types.void(
        *(INDEX, UINT64S, INT32S, types.uint64[::1], types.int32[:, ::1]),
        *(types.int32[::1], types.uint8[::1], types.int64[:, :]),
    ),
    nogil=True,
    cache=True,
)
def _count_grams(
    words: np.ndarray,
    word_hashes: np.ndarray,
    word_chars: np.ndarray,
    grams: np.ndarray,
    rows: np.ndarray,
    table: np.ndarray,
    sieve: np.ndarray,
    found: np.ndarray,
) -> None:
    """Characters of the top 2- to 4-grams and of the duplicate 5- to 10-grams."""
    for row in range(len(found)):
        hashes = word_hashes[words[row] : words[row + 1]]
        chars = word_chars[words[row] : words[row + 1]]
        left = 0
        for n in range(2, min(len(hashes), 10) + 1):
            best, best_place = 1, 0  # without copies the first of all is on top
            if n == 2 or left:
                left, best, best_place = repeats(n, left, hashes, grams, rows, table, sieve)
            if n <= 4:
                found[row, n - 2] = best * (_chars(chars, best_place, n) + n - 1)
            elif left:
                found[row, n - 2] = _walk(n, left, rows, chars)
            else:
                break
