"""datatrove's English filters in their own words: what `gopher`, `repetition` and `web` say of words between white
space, said of those that spaCy finds (`stages.spacy_words`). There signs are words too, and some words are two.

Arithmetic: `gopher_quality_filter.py`, `gopher_repetition_filter.py`, `c4_filters.py` and
`fineweb_quality_filter.py` of datatrove 0.10 (Penedo et al., Apache 2.0 licence). Signals that count no words are
those of the other families.
"""

from functools import cache

import numpy as np
import pyarrow as pa
from numba import njit, types

from coursepack.pipeline.arrow import int32s, ratio
from coursepack.stages.characters import (
    BYTES,
    INDEX,
    UINT64S,
    characters,
    class_table,
    decode,
)
from coursepack.stages.gopher import STOP_WORDS
from coursepack.stages.line_edits import (
    break_bytes,
    find_row_lines,
    python_spaces,
    room_for_lines,
    skip_spaces,
    skip_spaces_back,
)
from coursepack.stages.pieces import TextOrPieces, find_pieces
from coursepack.stages.repetition import DUPLICATE, TOP, repetition_signals
from coursepack.stages.spacy_words import spacy_words

_GRAMS = [f"top_{n}gram_char_ratio" for n in TOP] + [f"dup_{n}gram_char_ratio" for n in DUPLICATE]

# What the kernels count of a row, in this order.
_COUNTS = (
    "wordy",
    "wordy_chars",
    "alphabetic",
    "stop_words",
    "hashes",
    "ellipses",
    "newlines",
    "lines",
    "bullet_lines",
    "ellipsis_lines",
    "sentences",
)


def datatrove_signals(text: TextOrPieces) -> pa.RecordBatch:
    """One column a signal, one row a text; a null text is like an empty one.

    `dt_words`, `dt_stop_words` and `dt_sentences` are int32; the others float64, null where the divisor is 0.

    `dt_words` and `dt_mean_word_chars` (code points) leave out words of punctuation alone, the ratios have all words
    below. `dt_stop_words` counts different words of gopher's STOP_WORDS, as they stand. Lines are those of
    `str.splitlines`, blank ones too; bullets are `•` and `-`. `dt_sentences` are what spaCy's sentencizer finds
    line by line, at least one in a line that is not blank. The n-grams are those of `stages.repetition`.

    Of a text longer than HEAD_BYTES the head is measured.
    """
    p = find_pieces(text)
    words = spacy_words(p)
    q = words.pieces
    found = np.zeros((len(p.ends), len(_COUNTS)), np.int64)
    _count_characters(p.offsets, p.ends, p.data, found)
    _count_words(
        *(q.words, q.word_chars, q.word_hashes, words.wordy, words.alphabetic, _stop_hashes()),
        found,
    )
    lines = room_for_lines(p.offsets, p.data, True)
    _count_lines(
        *(p.offsets, p.ends, p.data, break_bytes(True), lines.starts, lines.ends, lines.nexts),
        *(q.words, q.word_starts, q.word_ends, python_spaces(), characters().is_terminal),
        *(_is_punctuation(), found),
    )
    n = dict(zip(_COUNTS, found.T, strict=True))
    every = np.diff(q.words)
    columns = {
        "dt_words": int32s(n["wordy"]),
        "dt_mean_word_chars": ratio(n["wordy_chars"], n["wordy"]),
        "dt_hash_word_ratio": ratio(n["hashes"], every),
        "dt_ellipsis_word_ratio": ratio(n["ellipses"], every),
        "dt_bullet_line_ratio": ratio(n["bullet_lines"], n["lines"]),
        "dt_ellipsis_line_ratio": ratio(n["ellipsis_lines"], n["lines"]),
        "dt_alpha_word_ratio": ratio(n["alphabetic"], every),
        "dt_stop_words": int32s(n["stop_words"]),
        "dt_newline_word_ratio": ratio(n["newlines"], every),
        "dt_sentences": int32s(n["sentences"]),
    }
    repetition = repetition_signals(q)
    columns |= {f"dt_{name}": repetition[name] for name in _GRAMS}
    return pa.RecordBatch.from_pydict(columns)


@cache
def _stop_hashes() -> np.ndarray:
    """The hash of each stop word."""
    return find_pieces(pa.array([" ".join(STOP_WORDS)])).word_hashes


@cache
def _is_punctuation() -> np.ndarray:
    """General category P, as uint8 a code point."""
    return class_table(r"\p{P}")


_FOUND = types.Array(types.int64, 2, "C")
_BOOLS = types.Array(types.boolean, 1, "C", readonly=True)


@njit(types.void(INDEX, INDEX, BYTES, _FOUND), nogil=True, cache=True)
def _count_characters(
    offsets: np.ndarray, ends: np.ndarray, data: np.ndarray, found: np.ndarray
) -> None:
    for row in range(len(found)):
        hashes = ellipses = newlines = dots = 0
        text = data[offsets[row] : ends[row]]
        for i in range(len(text)):
            byte = text[i]
            hashes += byte == 0x23
            newlines += byte == 0x0A
            dots = dots + 1 if byte == 0x2E else 0
            ellipses += dots > 0 and dots % 3 == 0
            ellipses += byte == 0xA6 and i > 1 and text[i - 2] == 0xE2 and text[i - 1] == 0x80
        found[row, 4], found[row, 5], found[row, 6] = hashes, ellipses, newlines


@njit(
    types.void(INDEX, types.int32[::1], types.uint64[::1], _BOOLS, _BOOLS, UINT64S, _FOUND),
    nogil=True,
    cache=True,
)
def _count_words(
    words: np.ndarray,
    chars: np.ndarray,
    hashes: np.ndarray,
    wordy: np.ndarray,
    alphabetic: np.ndarray,
    stop_hashes: np.ndarray,
    found: np.ndarray,
) -> None:
    for row in range(len(found)):
        counts = found[row]
        seen = np.int64(0)  # bit k: stop word k
        for word in range(words[row], words[row + 1]):
            counts[0] += wordy[word]
            counts[1] += chars[word] * np.int64(wordy[word])
            counts[2] += alphabetic[word]
            if 2 <= chars[word] <= 4:
                for k in range(len(stop_hashes)):
                    seen |= np.int64(stop_hashes[k] == hashes[word]) << k
        for k in range(len(stop_hashes)):
            counts[3] += seen >> k & 1


@njit(nogil=True, cache=True)
def _holds(data: np.ndarray, start: int, end: int, table: np.ndarray) -> bool:
    """Whether all characters of data[start:end] are of the table."""
    while start < end:
        code, width = decode(data, start, end)
        if not table[code]:
            return False
        start += width
    return True


@njit(nogil=True, cache=True)
def _ends_sentence(data: np.ndarray, start: int, end: int, is_terminal: np.ndarray) -> bool:
    """Whether a word is one character, and that ends sentences."""
    if end - start > 4:
        return False
    code, width = decode(data, start, end)
    return bool(start + width == end and is_terminal[code])


@njit(
    types.void(
        *(INDEX, INDEX, BYTES, BYTES, types.int64[::1], types.int64[::1], types.int64[::1]),
        *(INDEX, INDEX, INDEX, BYTES, BYTES, BYTES, _FOUND),
    ),
    nogil=True,
    cache=True,
)
def _count_lines(
    offsets: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    breaks: np.ndarray,
    line_starts: np.ndarray,
    line_ends: np.ndarray,
    nexts: np.ndarray,
    words: np.ndarray,
    word_starts: np.ndarray,
    word_ends: np.ndarray,
    is_space: np.ndarray,
    is_terminal: np.ndarray,
    is_punctuation: np.ndarray,
    found: np.ndarray,
) -> None:
    for row in range(len(found)):
        counts, word = found[row], words[row]
        lines = find_row_lines(
            data, offsets[row], ends[row], breaks, 0, line_starts, line_ends, nexts
        )
        counts[7] = lines
        for line in range(lines):
            last = skip_spaces_back(data, line_starts[line], line_ends[line], is_space)
            first = skip_spaces(data, line_starts[line], last, is_space)
            if first == last:
                continue
            code, _ = decode(data, first, last)
            counts[8] += code == 0x2022 or code == 0x2D
            if last - first >= 3:
                a, b, c = data[last - 3], data[last - 2], data[last - 1]
                dots = a == 0x2E and b == 0x2E and c == 0x2E
                counts[9] += dots or (a == 0xE2 and b == 0x80 and c == 0xA6)
            counts[10] += 1
            ended, before = False, first
            while word < words[row + 1] and word_starts[word] < last:
                start, end = word_starts[word], word_ends[word]
                ending = _ends_sentence(data, start, end, is_terminal)
                if ended:
                    # white space but for one blank is a word to spaCy, and begins a sentence
                    blank = start - before > 1 or (start > before and data[before] != 0x20)
                    if blank or not (ending or _holds(data, start, end, is_punctuation)):
                        counts[10] += 1
                        ended = False
                ended |= ending
                before = end
                word += 1
