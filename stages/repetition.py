"""Gopher's repetition signals (Rae et al. 2021, arXiv:2112.11446, A1.1): how much of a text says itself again.

Tools that cite the same table compute four different things. These are datatrove's
(`gopher_repetition_filter.py`): only the second and later copies count, and the divisor is all the text's
characters, white space included. Other tools count every copy, or divide by the characters of words.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.characters import BYTES, INDEX, characters, decode
from coursepack.stages.copies import (
    EMPTY,
    STEP,
    clear,
    count_copies,
    earlier,
    head_ends,
    table_size,
)
from coursepack.stages.words import mix

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


def repetition_signals(text: Text) -> pa.RecordBatch:
    """One float64 column a signal, one row a text; null where the text is empty or null.

    Lines stand between runs of newlines, paragraphs between runs of two or more in the text without the
    white space at its ends; as in datatrove, a newline at either end of a text has an empty line beyond it.
    `dup_line_ratio` is the share of lines that repeat an earlier one, `dup_line_char_ratio` their code
    points per code point of the text; the same of paragraphs.

    Words stand between white space (Unicode's White_Space). `top_Ngram_char_ratio` is the length of the
    most frequent N words, with a space between, times their occurrences; the first of equals; its
    occurrences may overlap, so "a a a a" gives more than 1. `dup_Ngram_char_ratio` walks through the
    text: N words that were met before count their letters, and the walk goes on behind them.

    Of a text longer than HEAD_BYTES the head is measured. Equality is that of 64-bit hashes.
    """
    offsets, data = text_buffers(text)
    ends = head_ends(offsets, data)
    longest = int((ends - offsets[:-1]).max(initial=0))
    pieces = longest // 2 + 2  # words, lines or paragraphs take a byte and a separator
    found = np.zeros((len(ends), len(_COUNTS) + len(TOP) + len(DUPLICATE)), np.int64)
    _measure(
        offsets[:-1],
        ends,
        data,
        characters().is_space,
        np.empty(pieces, np.uint64),
        np.empty(pieces, np.uint64),
        np.empty((4, pieces), np.int32),
        np.empty(table_size(pieces), np.int32),
        found,
    )
    n = dict(zip(_COUNTS, found.T[: len(_COUNTS)], strict=True))
    columns = {
        "dup_line_ratio": _ratio(n["dup_lines"], n["lines"]),
        "dup_paragraph_ratio": _ratio(n["dup_paragraphs"], n["paragraphs"]),
        "dup_line_char_ratio": _ratio(n["dup_line_chars"], n["chars"]),
        "dup_paragraph_char_ratio": _ratio(n["dup_paragraph_chars"], n["chars"]),
    }
    names = [f"top_{words}gram_char_ratio" for words in TOP]
    names += [f"dup_{words}gram_char_ratio" for words in DUPLICATE]
    for name, chars in zip(names, found.T[len(_COUNTS) :], strict=True):
        columns[name] = _ratio(chars, n["chars"])
    return pa.RecordBatch.from_pydict(columns)


def _ratio(count: np.ndarray, of: np.ndarray) -> pa.Array:
    return pa.array(count / np.maximum(of, 1), mask=of == 0)


@njit(nogil=True, cache=True)
def _split(
    data: np.ndarray, start: int, end: int, newlines: int, hashes: np.ndarray, chars: np.ndarray
) -> tuple[Any, Any]:
    """Hashes and code points of the pieces between runs of at least `newlines` newlines; how many pieces,
    and the code points of all. An empty piece before the first run and behind the last counts."""
    pieces, total = np.int64(0), np.int64(0)
    held, piece = np.int64(0), EMPTY
    i = start
    while i < end:
        byte = data[i]
        if byte == 0x0A:
            run = i + 1
            while run < end and data[run] == 0x0A:
                run += 1
            total += run - i
            if run - i >= newlines:
                hashes[pieces], chars[pieces] = mix(piece), held
                pieces += 1
                held, piece = np.int64(0), EMPTY
                i = run
                continue
            total -= run - i
        one = np.int64(byte & 0xC0 != 0x80)
        held += one
        total += one
        piece = (piece ^ uint64(byte)) * STEP
        i += 1
    hashes[pieces], chars[pieces] = mix(piece), held
    return pieces + 1, total


@njit(nogil=True, cache=True)
def _stripped(data: np.ndarray, start: Any, end: Any, is_space: np.ndarray) -> tuple[Any, Any]:
    """The bounds of the text without the white space at its ends."""
    while start < end:
        code, width = decode(data, start, end)
        if is_space[code] == 0:
            break
        start += width
    while start < end:
        last: Any = np.int64(end) - 1
        while last > start and data[last] & 0xC0 == 0x80:
            last -= 1
        code, width = decode(data, last, end)
        if is_space[code] == 0 or last + width != end:
            break
        end = last
    return start, end


@njit(nogil=True, cache=True)
def _words(
    data: np.ndarray,
    start: int,
    end: int,
    is_space: np.ndarray,
    hashes: np.ndarray,
    ends: np.ndarray,
) -> Any:
    """The hash of each word, and in `ends` the code points of all words up to and with it."""
    words, chars = np.int64(0), np.int64(0)
    word, inside = EMPTY, False
    i: Any = start
    while i < end:
        code, width = np.int64(data[i]), np.int64(1)
        if code >= 0x80:
            code, width = decode(data, i, end)
        i += width
        if is_space[code] == 0:
            word = (word ^ uint64(code)) * STEP
            chars += 1
            inside = True
        elif inside:
            hashes[words], ends[words] = mix(word), chars
            words += 1
            word, inside = EMPTY, False
    if inside:
        hashes[words], ends[words] = mix(word), chars
        words += 1
    return words


@njit(nogil=True, cache=True)
def _chars(ends: np.ndarray, place: Any, n: int) -> Any:
    """Characters of the n words from `place`, without what stands between them."""
    before = np.int64(ends[place - 1]) if place > 0 else np.int64(0)
    return np.int64(ends[place + n - 1]) - before


@njit(nogil=True, cache=True)
def _walk(
    n: int,
    left: int,
    places: np.ndarray,
    firsts: np.ndarray,
    times: np.ndarray,
    ends: np.ndarray,
) -> Any:
    """Characters of the n-grams that were met before on a walk that leaves out what it counted."""
    chars, free = np.int64(0), np.int64(0)
    for k in range(left):
        place = places[k]
        if place < free:
            continue
        first = firsts[place]
        if times[first] == 0:  # met before: its count is used up
            chars += _chars(ends, place, n)
            free = np.int64(place) + n
        else:
            times[first] = 0
    return chars


@njit(nogil=True, cache=True)
def _count_grams(
    words: int,
    hashes: np.ndarray,
    grams: np.ndarray,
    rows: np.ndarray,
    table: np.ndarray,
    found: np.ndarray,
) -> None:
    """Characters of the top 2- to 4-grams and of the duplicate 5- to 10-grams, into `found`.

    A place stays of interest for n words where the n - 1 words from there and from the next place both
    occur elsewhere: what occurs once cannot be in a longer copy. In most texts few places are left at 3.
    """
    ends, places, firsts, times = rows[0], rows[1], rows[2], rows[3]
    left = words - 1
    for place in range(left):
        places[place] = place
        grams[place] = hashes[place]
    for n in range(2, 11):
        if words < n:
            return
        best, best_place = np.int64(1), np.int64(0)  # without copies the first of all is on top
        shift = clear(table, left)
        kept = 0
        for k in range(left):
            place = places[k]
            if n > 2 and not (k + 1 < left and places[k + 1] == place + 1):
                continue
            grams[place] = grams[place] * STEP + hashes[place + n - 1]
            first = earlier(table, shift, grams, place)
            firsts[place] = first
            if first == place:
                times[place] = 1
            else:
                times[first] += 1
                if times[first] > best or (times[first] == best and first < best_place):
                    best, best_place = np.int64(times[first]), np.int64(first)
            places[kept] = place
            kept += 1
        if n <= 4:
            found[n - 2] = best * (_chars(ends, best_place, n) + n - 1)
        left = 0
        for k in range(kept):
            if times[firsts[places[k]]] > 1:
                places[left] = places[k]
                left += 1
        if n >= 5:
            found[n - 2] = _walk(n, left, places, firsts, times, ends)


@njit(
    types.void(
        INDEX,
        INDEX,
        BYTES,
        BYTES,
        types.uint64[::1],
        types.uint64[::1],
        types.int32[:, ::1],
        types.int32[::1],
        types.int64[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def _measure(
    starts: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    is_space: np.ndarray,
    hashes: np.ndarray,
    grams: np.ndarray,
    rows: np.ndarray,
    table: np.ndarray,
    found: np.ndarray,
) -> None:
    lengths = rows[0]
    for row in range(len(found)):
        start, end = starts[row], ends[row]
        if start == end:
            continue
        counts = found[row]
        counts[1], counts[0] = _split(data, start, end, 1, hashes, lengths)
        counts[2], counts[3] = count_copies(table, hashes, lengths, counts[1])
        first, last = _stripped(data, start, end, is_space)
        counts[4], _ = _split(data, first, last, 2, hashes, lengths)
        counts[5], counts[6] = count_copies(table, hashes, lengths, counts[4])
        words = _words(data, start, end, is_space, hashes, lengths)
        _count_grams(words, hashes, grams, rows, table, counts[7:])
