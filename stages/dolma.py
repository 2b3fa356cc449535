"""The signals of Dolma's taggers gopher_v1, gopher_v2, c4_v1 and c4_v2, in their arithmetic, and a stand-in for its
repetition tagger (Soldaini et al. 2024, arXiv:2402.00159; allenai/dolma 1.2.1, `python/dolma/taggers`).

Three things set it apart from others that cite Gopher: a blank line is a line (a repeated one is a duplicate),
every copy of a repeated line or n-gram counts, and its divisors are characters without the white space.
"""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types

from coursepack.pipeline.arrow import int32s, ratio
from coursepack.stages.characters import BYTES, INDEX, INT32S, UINT64S, load_few
from coursepack.stages.copies import STEP, clear, earlier, gram_scratch
from coursepack.stages.grams import (
    ALL_CHARS,
    COPY_CHARS,
    COUNTS,
    SIZES,
    TOP_CHARS,
    TOP_TIMES,
    count_grams,
)
from coursepack.stages.pieces import LETTER, TextOrPieces, find_pieces
from coursepack.stages.spaced import behind

REQUIRED_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
FEW_WORDS = 3  # c4: a line of fewer is too short
# The repetition tagger: words in a period, and how often it must stand in a row.
LONGEST_PERIOD, LEAST_TIMES = 13, 3
TOP, DUPLICATE = (2, 3, 4), (5, 6, 7, 8, 9, 10)

# What the kernel counts of a row, by place.
_CHARS, _WORDS, _LETTERS, _MEDIAN_TWICE, _SYMBOL_WORDS, _ALPHA_WORDS, _REQUIRED = range(7)
_LINES, _BULLETS, _ELLIPSES, _DUP_LINES, _DUP_LINE_CHARS, _BLANKS, _OUTER_BLANKS = range(7, 14)
_UNPUNCTUATED, _SHORT, _LOREMS, _CURLIES, _JAVASCRIPTS, _JAVASCRIPT_WORDS, _REPEATS = range(14, 21)


def dolma_signals(text: TextOrPieces) -> pa.RecordBatch:
    """One column a signal, one row a text; a null text is like an empty one.

    Counts are int32 (`dolma_chars` int64, in code points), `has_` columns bool, the rest float64: the tool's
    values, but null where it writes 0 for want of a divisor, or nothing for want of n words. A text of white
    space alone has null for the characters in duplicate lines.

    Words stand between white space in every script, as in the tool, so Chinese has few and long ones; U+001C to
    U+001F, which Python takes for white space and Unicode does not, are parts of words here. Lines stand between
    newlines, blank ones included; the columns `dolma_v2_` have lines between runs of newlines.
    `dolma_required_words` counts each occurrence of a REQUIRED_WORD that stands alone, in lower case.
    `dolma_dup_line_char_ratio` (the same in gopher_v1 and gopher_v2) and `dolma_top_Ngram_char_ratio` can be above
    1: the lines have their white space, the divisor has none, and overlapping n-grams count in full.

    `dolma_has_javascript` looks inside words (c4_v2), `dolma_has_javascript_word` for the word alone (c4_v1).
    `dolma_repeats` is how often the same 1 to 13 words stand in a row, at most; 0 below 3. The tool counts tokens of
    GPT-NeoX in this way; words find repeated phrases, but no row of 1000 dashes.

    Of a text longer than copies.HEAD_BYTES the head is measured. Equality is that of 64-bit hashes.
    """
    p = find_pieces(text)
    rows, most = len(p.ends), int(np.diff(p.words).max(initial=0)) + 1
    scratch = gram_scratch(max(most, int(np.diff(p.lines).max(initial=0))))
    found = np.zeros((rows, 21), np.int64)
    of_grams = np.zeros((rows, SIZES, COUNTS), np.int64)
    _measure(
        *(p.ends, p.data, p.words, p.word_starts, p.word_ends, p.word_chars),
        *(p.word_hashes, p.word_kinds),
        *(p.lines, p.line_starts, p.line_ends, p.line_chars, p.line_hashes),
        _required_words(),
        np.zeros(int((p.ends - p.offsets[:-1]).max(initial=0)) + 1, np.int32),
        *(np.empty(most, np.uint64), np.empty(most, np.int32)),
        *scratch,
        *(found, of_grams),
    )
    n = found.T
    v2_lines = n[_LINES] - n[_BLANKS] + n[_OUTER_BLANKS]
    v2_dups = n[_DUP_LINES] - _if_many(n[_BLANKS]) + _if_many(n[_OUTER_BLANKS])
    columns = {
        "dolma_chars": pa.array(n[_CHARS]),
        "dolma_words": int32s(n[_WORDS]),
        "dolma_median_word_chars": ratio(n[_MEDIAN_TWICE], 2 * (n[_WORDS] > 0)),
        "dolma_symbol_word_ratio": ratio(n[_SYMBOL_WORDS], n[_WORDS]),
        "dolma_alpha_word_ratio": ratio(n[_ALPHA_WORDS], n[_WORDS]),
        "dolma_required_words": int32s(n[_REQUIRED]),
        "dolma_bullet_line_ratio": ratio(n[_BULLETS], n[_LINES]),
        "dolma_ellipsis_line_ratio": ratio(n[_ELLIPSES], n[_LINES]),
        "dolma_dup_line_ratio": ratio(n[_DUP_LINES], n[_LINES]),
        "dolma_dup_line_char_ratio": ratio(n[_DUP_LINE_CHARS], n[_LETTERS]),
        "dolma_v2_bullet_line_ratio": ratio(n[_BULLETS], v2_lines),
        "dolma_v2_ellipsis_line_ratio": ratio(n[_ELLIPSES], v2_lines),
        "dolma_v2_dup_line_ratio": ratio(v2_dups, v2_lines),
    }
    for words in TOP:
        of = of_grams[:, words - 2]
        top = of[:, TOP_TIMES] * of[:, TOP_CHARS]
        columns[f"dolma_top_{words}gram_char_ratio"] = ratio(top, np.where(top > 0, n[_LETTERS], 0))
    for words in DUPLICATE:
        of = of_grams[:, words - 2]
        columns[f"dolma_dup_{words}gram_char_ratio"] = ratio(of[:, COPY_CHARS], of[:, ALL_CHARS])
    columns |= {
        "dolma_lines": int32s(n[_LINES]),
        "dolma_unpunctuated_lines": int32s(n[_UNPUNCTUATED]),
        "dolma_short_lines": int32s(n[_SHORT]),
        "dolma_has_lorem_ipsum": pa.array(n[_LOREMS] > 0),
        "dolma_has_curly_brace": pa.array(n[_CURLIES] > 0),
        "dolma_has_javascript": pa.array(n[_JAVASCRIPTS] > 0),
        "dolma_has_javascript_word": pa.array(n[_JAVASCRIPT_WORDS] > 0),
        "dolma_repeats": int32s(n[_REPEATS]),
    }
    return pa.RecordBatch.from_pydict(columns)


def _if_many(times: np.ndarray) -> np.ndarray:
    return np.where(times > 1, times, 0)


@cache
def _required_words() -> np.ndarray:
    """Each word as its bytes in one uint64, first byte lowest."""
    words = [int.from_bytes(word.encode(), "little") for word in REQUIRED_WORDS]
    return np.array(words, np.uint64)


@njit(nogil=True, cache=True)
def _holds(data: np.ndarray, start: int, end: int, phrase: Any) -> bool:
    """Whether data[start:end] starts with the phrase (lower-case ASCII, in bytes), in any case."""
    if end - start < len(phrase):
        return False
    for k in range(len(phrase)):
        byte = data[start + k]
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        if byte != phrase[k]:
            return False
    return True


@njit(nogil=True, cache=True)
def _find_signs(
    data: np.ndarray, start: Any, end: Any, behind_text: Any, counts: np.ndarray
) -> None:
    """Looks for signs in a word, and for phrases that start in it."""
    symbol = False
    for i in range(start, end):
        byte = data[i]
        if byte == 0x23:
            symbol = True
        elif byte == 0xE2:
            symbol |= i + 2 < end and data[i + 1] == 0x80 and data[i + 2] == 0xA6
        elif byte == 0x7B:
            counts[_CURLIES] += 1
        elif byte | 0x20 == 0x6C:
            counts[_LOREMS] += _holds(data, i, behind_text, b"lorem ipsum")
        elif byte | 0x20 == 0x6A and _holds(data, i, behind_text, b"javascript"):
            counts[_JAVASCRIPTS] += 1
            counts[_JAVASCRIPT_WORDS] += end - start == len(b"javascript")
    counts[_SYMBOL_WORDS] += symbol


@njit(nogil=True, cache=True)
def _look_at_line(data: np.ndarray, start: Any, end: Any, counts: np.ndarray) -> None:
    counts[_BLANKS] += start == end
    counts[_BULLETS] += start < end and (data[start] == 0x2A or data[start] == 0x2D)
    if end - start > 2:
        a, b, c = data[end - 3], data[end - 2], data[end - 1]
        counts[_ELLIPSES] += a == 0xE2 and b == 0x80 and c == 0xA6


@njit(nogil=True, cache=True)
def _median_twice(words: Any, letters_up_to: np.ndarray, times: np.ndarray) -> Any:
    """Twice the median length of one word or more; `times` is zeros, and is again."""
    before, longest = np.int64(0), np.int64(0)
    for word in range(words):
        length = letters_up_to[word] - before
        before += length
        times[length] += 1
        longest = max(longest, length)
    lower, upper = (words - 1) // 2, words // 2
    median, shorter = np.int64(0), np.int64(0)
    for length in range(longest + 1):
        upto = shorter + times[length]
        times[length] = 0
        median += length * ((shorter <= lower < upto) + (shorter <= upper < upto))
        shorter = upto
    return median


@njit(nogil=True, cache=True)
def _times_in_a_row(hashes: np.ndarray, words: Any) -> int:
    """How often the same words stand in a row, at most, for periods of 1 to LONGEST_PERIOD words.

    LEAST_TIMES periods in a row are a run of words that equal the one a period before; a probe at every
    place where such a run cannot be missed finds it.
    """
    most = 0
    for period in range(1, min(LONGEST_PERIOD, words // LEAST_TIMES) + 1):
        step = (LEAST_TIMES - 1) * period
        free = period  # no word of a run before this one was seen
        probe = free + step - 1
        while probe < words:
            if hashes[probe] == hashes[probe - period]:
                first, free = probe, probe + 1
                while first > period and hashes[first - 1] == hashes[first - 1 - period]:
                    first -= 1
                while free < words and hashes[free] == hashes[free - period]:
                    free += 1
                most = max(most, (free - first + period) // period)
                probe = free
            probe += step
    return most * (most >= LEAST_TIMES)


@njit(nogil=True, cache=True)
def _count_dup_lines(
    hashes: np.ndarray, chars: np.ndarray, firsts: np.ndarray, times: np.ndarray, table: np.ndarray
) -> tuple[Any, Any]:
    """The lines that are not the only ones of their text, and their characters."""
    lines = len(hashes)
    shift = clear(table, lines)
    for line in range(lines):
        first = earlier(table, shift, hashes, line)
        firsts[line] = first
        if first == line:
            times[line] = 0
        times[first] += 1
    dups, dup_chars = np.int64(0), np.int64(0)
    for line in range(lines):
        if times[firsts[line]] > 1:
            dups += 1
            dup_chars += chars[line]
    return dups, dup_chars


@njit(
    types.void(
        INDEX, BYTES, INDEX, INDEX, INDEX, INT32S, UINT64S, BYTES,
        INDEX, INDEX, INDEX, INT32S, UINT64S,
        UINT64S, types.int32[::1], types.uint64[::1], types.int32[::1],
        types.uint64[::1], types.int32[:, ::1], types.int32[::1], types.uint8[::1],
        types.int64[:, ::1], types.int64[:, :, ::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def _measure(
    ends: np.ndarray,
    data: np.ndarray,
    words: np.ndarray,
    word_starts: np.ndarray,
    word_ends: np.ndarray,
    word_chars: np.ndarray,
    word_hashes: np.ndarray,
    word_kinds: np.ndarray,
    lines: np.ndarray,
    line_starts: np.ndarray,
    line_ends: np.ndarray,
    line_chars: np.ndarray,
    line_hashes: np.ndarray,
    required_words: np.ndarray,
    times: np.ndarray,
    hashes: np.ndarray,
    letters_up_to: np.ndarray,
    grams: np.ndarray,
    places: np.ndarray,
    table: np.ndarray,
    sieve: np.ndarray,
    found: np.ndarray,
    of_grams: np.ndarray,
) -> None:
    for row in range(len(found)):
        counts = found[row]
        top, bottom = lines[row], lines[row + 1]
        word, last = words[row], words[row + 1]
        count = letters = 0
        counts[_LINES] = bottom - top
        counts[_CHARS] = bottom - top - 1
        for line in range(top, bottom):
            counts[_CHARS] += line_chars[line]
            count_before = count
            while word < last and word_starts[word] < line_ends[line]:
                first = word
                word = behind(first, last, word_starts, word_ends)
                hashed, kinds = word_hashes[first], word_kinds[first]
                letters += word_chars[first]
                for part in range(first + 1, word):
                    hashed = hashed * STEP ^ word_hashes[part]
                    kinds |= word_kinds[part]
                    letters += word_chars[part]
                hashes[count], letters_up_to[count] = hashed, letters
                count += 1
                counts[_ALPHA_WORDS] += kinds & LETTER
                a, b = word_starts[first], word_ends[word - 1]
                if 2 <= b - a <= 4:
                    packed = load_few(data, a, b)
                    for k in range(len(required_words)):
                        counts[_REQUIRED] += required_words[k] == packed
                _find_signs(data, a, b, ends[row], counts)
            counts[_SHORT] += count - count_before < FEW_WORDS
            sign = data[word_ends[word - 1] - 1] if count > count_before else 0
            counts[_UNPUNCTUATED] += not (
                sign == 0x2E or sign == 0x3F or sign == 0x21 or sign == 0x22
            )
            _look_at_line(data, line_starts[line], line_ends[line], counts)
        counts[_OUTER_BLANKS] = line_starts[top] == line_ends[top]
        if bottom - top > 1:
            counts[_OUTER_BLANKS] += line_starts[bottom - 1] == line_ends[bottom - 1]
        counts[_DUP_LINES], counts[_DUP_LINE_CHARS] = _count_dup_lines(
            line_hashes[top:bottom], line_chars[top:bottom], places[0], places[1], table
        )
        counts[_WORDS], counts[_LETTERS] = count, letters
        if count > 0:
            counts[_MEDIAN_TWICE] = _median_twice(count, letters_up_to, times)
        counts[_REPEATS] = _times_in_a_row(hashes, count)
        count_grams(hashes[:count], letters_up_to, grams, places, table, sieve, of_grams[row])
