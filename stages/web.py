"""What C4 and FineWeb ask of a web page, and how long SlimPajama finds it: signals of lines, sentences, phrases.

Sources: C4 (Raffel et al. 2020, arXiv:1910.10683, 2.2), FineWeb (Penedo et al. 2024, arXiv:2406.17557, 3.6),
both in datatrove's arithmetic (`c4_filters.py`, `fineweb_quality_filter.py`), and SlimPajama's cleaning
(Cerebras modelzoo, `slimpajama/preprocessing`).
"""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types, uint64

from coursepack.pipeline.arrow import int32s, ratio
from coursepack.stages.characters import BYTES, INDEX, INT32S, UINT64S, characters, decode
from coursepack.stages.copies import count_copies, table_size
from coursepack.stages.pieces import (
    LETTER,
    NUMBER,
    SPACE,
    TAIL,
    TERMINAL,
    TextOrPieces,
    find_pieces,
    is_blank,
)

SHORT_LINE = 30  # FineWeb: code points
LOREM_IPSUM, JAVASCRIPT = "lorem ipsum", "javascript"
# C4's marks of a line about the page itself, in lower case.
POLICY = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
# Three bytes that each phrase holds and little else does, where it holds them: what is searched first.
_MARKS = ("psu", "vas", "f u", "vac", "kie")
_BLOCK, _LONGEST = 64, 16  # bytes searched together; in a phrase, at most
_CASE = np.uint8(0x20)

# What the kernel counts of a row, in this order.
_COUNTS = (
    "chars",  # without newlines
    "newlines",
    "longest_word_chars",
    "lines",
    "terminal_lines",
    "short_lines",
    "copied_chars",
    "sentences",
    "lorem_ipsums",
    "javascript_lines",
    "policy_lines",
    "curly_braces",
    "punctuation",
    "word_chars",
    "bare_words",
)


def web_signals(text: TextOrPieces) -> pa.RecordBatch:
    """One column a signal, one row a text; a null text is like an empty one.

    Counts are int32 (int64 of code points), ratios float64, null where the divisor is 0; `has_lorem_ipsum`
    is bool. Lines stand between newlines and are not blank; they are taken as they are, with the
    white space at their ends, so a line that ends in a space ends in no punctuation. Words are those of
    `stages.pieces`.

    `terminal_punct_line_ratio`: lines whose last character ends sentences in any script (quotes do not).
    `short_line_ratio`: lines of at most 30 code points. `char_dup_ratio`: code points of lines that
    repeat an earlier one, per code point that is no newline. `newline_word_ratio`: newlines per word.

    `sentences` are approximate (C4 uses a trained splitter): runs of `.`, `?`, `!`, perhaps with closing
    quotes or brackets, before white space or the end; or of the signs of other scripts, wherever they stand,
    for many of them write no space. Text after the last sign is no sentence; "e.g. this" holds one.

    Phrases are found inside words too and in any case of ASCII letters. `bare_chars` is SlimPajama's
    length: code points left when ASCII punctuation is deleted and white space is made single.

    Of a text longer than HEAD_BYTES the head is measured. Equality of lines is that of 64-bit hashes.
    """
    p = find_pieces(text)
    found = np.zeros((len(p.ends), len(_COUNTS)), np.int64)
    most = int(np.diff(p.lines).max(initial=0))
    _count_characters(p.offsets, p.ends, p.data, found)
    _count_words(
        *(p.ends, p.data, p.kinds, p.words, p.word_starts, p.word_ends, p.word_chars),
        *(p.word_kinds, characters().is_closer, found),
    )
    _count_lines(
        *(p.kinds, p.lines, p.line_starts, p.line_ends, p.line_chars, p.line_hashes, p.line_kinds),
        *(np.empty(most, np.uint64), np.empty(most, np.int32)),
        *(np.empty(table_size(most), np.int32), found),
    )
    _find_phrases(
        p.offsets, p.ends, p.data, p.lines, p.line_starts, p.line_ends, *_phrases(), found
    )
    n = dict(zip(_COUNTS, found.T, strict=True)) | {"words": np.diff(p.words)}
    columns = {
        "terminal_punct_line_ratio": ratio(n["terminal_lines"], n["lines"]),
        "short_line_ratio": ratio(n["short_lines"], n["lines"]),
        "char_dup_ratio": ratio(n["copied_chars"], n["chars"]),
        "newline_word_ratio": ratio(n["newlines"], n["words"]),
        "sentences": int32s(n["sentences"]),
        "longest_word_chars": pa.array(n["longest_word_chars"]),
        "has_lorem_ipsum": pa.array(n["lorem_ipsums"] > 0),
        "curly_braces": int32s(n["curly_braces"]),
        "javascript_lines": int32s(n["javascript_lines"]),
        "policy_lines": int32s(n["policy_lines"]),
        "bare_chars": pa.array(
            n["word_chars"] - n["punctuation"] + np.maximum(n["bare_words"] - 1, 0)
        ),
    }
    return pa.RecordBatch.from_pydict(columns)


@cache
def _phrases() -> tuple[np.ndarray, np.ndarray]:
    """The phrases as rows of bytes, 0 behind their ends; and the bytes of _MARKS, one a row."""
    phrases = (LOREM_IPSUM, JAVASCRIPT, *POLICY)
    rows = np.zeros((len(phrases), _LONGEST), np.uint8)
    for row, phrase in zip(rows, phrases, strict=True):
        row[: len(phrase)] = np.frombuffer(phrase.encode(), np.uint8)
    marks = np.frombuffer("".join(_MARKS).encode(), np.uint8)
    return rows, marks.reshape(-1, 3)


@njit(nogil=True, cache=True)
def _phrase_at(data: np.ndarray, i: int, end: int, phrases: np.ndarray) -> int:
    """The number of the phrase that starts at byte i, or -1."""
    for k in range(len(phrases)):
        j = 0
        while phrases[k, j] != 0 and i + j < end:
            byte = data[i + j]
            if 0x41 <= byte <= 0x5A:
                byte += 0x20
            if byte != phrases[k, j]:
                break
            j += 1
        if phrases[k, j] == 0:
            return k
    return -1


_FOUND = types.Array(types.int64, 2, "C")


@njit(types.void(INDEX, INDEX, BYTES, _FOUND), nogil=True, cache=True)
def _count_characters(
    offsets: np.ndarray, ends: np.ndarray, data: np.ndarray, found: np.ndarray
) -> None:
    for row in range(len(found)):
        braces = punctuation = 0
        for byte in data[offsets[row] : ends[row]]:
            braces += byte == 0x7B
            low = (byte >= 0x21) & (byte <= 0x2F) | (byte >= 0x3A) & (byte <= 0x40)
            punctuation += low | (byte >= 0x5B) & (byte <= 0x60) | (byte >= 0x7B) & (byte <= 0x7E)
        found[row, 11], found[row, 12] = braces, punctuation


@njit(nogil=True, cache=True)
def _has_bare(data: np.ndarray, start: Any, end: Any) -> bool:
    """Whether some ASCII character is no punctuation."""
    for i in range(start, end):
        byte = data[i]
        if byte <= 0x20 or byte == 0x7F or 0x30 <= byte <= 0x39 or 0x41 <= byte & 0xDF <= 0x5A:
            return True
    return False


@njit(nogil=True, cache=True)
def _sentences(
    data: np.ndarray,
    kinds: np.ndarray,
    start: Any,
    end: Any,
    is_closer: np.ndarray,
    before_space: bool,
) -> Any:
    """Sentences that end in a word."""
    sentences = np.int64(0)
    ending, counted = False, False  # a sentence may end here; it has ended
    i = start
    while i < end:
        code, width = decode(data, i, end)
        if kinds[i] & TERMINAL:
            ending = True
            if code >= 0x80:
                sentences += not counted
                counted = True
        elif not is_closer[code]:
            ending, counted = False, False
        i += width
    return sentences + (before_space and ending and not counted)


@njit(
    types.void(INDEX, BYTES, BYTES, INDEX, INDEX, INDEX, INT32S, BYTES, BYTES, _FOUND),
    nogil=True,
    cache=True,
)
def _count_words(
    ends: np.ndarray,
    data: np.ndarray,
    kinds: np.ndarray,
    words: np.ndarray,
    word_starts: np.ndarray,
    word_ends: np.ndarray,
    word_chars: np.ndarray,
    word_kinds: np.ndarray,
    is_closer: np.ndarray,
    found: np.ndarray,
) -> None:
    for row in range(len(found)):
        longest = chars = sentences = np.int64(0)
        bare_words = 0
        end, has_bare = np.int64(-1), False  # of the word before, up to white space
        for word in range(words[row], words[row + 1]):
            start, kind = word_starts[word], word_kinds[word]
            has_bare = has_bare and start == end
            end = word_ends[word]
            length = np.int64(word_chars[word])
            longest = max(longest, length)
            chars += length
            if not has_bare:
                has_bare = kind & (LETTER | NUMBER | TAIL) != 0 or _has_bare(data, start, end)
                bare_words += has_bare
            if kind & TERMINAL:
                before_space = end == ends[row] or kinds[uint64(end)] & SPACE != 0
                if kind & TAIL:
                    sentences += _sentences(data, kinds, start, end, is_closer, before_space)
                elif (
                    before_space
                ):  # in ASCII only what stands there ends a sentence, and without a call
                    last = uint64(end - 1)
                    while last > uint64(start) and not kinds[last] & TERMINAL:
                        if not is_closer[data[last]]:
                            break
                        last -= uint64(1)
                    sentences += kinds[last] & TERMINAL != 0
        found[row, 2], found[row, 7] = longest, sentences
        found[row, 13], found[row, 14] = chars, bare_words


@njit(
    types.void(
        *(BYTES, INDEX, INDEX, INDEX, INT32S, UINT64S, BYTES),
        *(types.uint64[::1], types.int32[::1], types.int32[::1], _FOUND),
    ),
    nogil=True,
    cache=True,
)
def _count_lines(
    kinds: np.ndarray,
    lines: np.ndarray,
    line_starts: np.ndarray,
    line_ends: np.ndarray,
    line_chars: np.ndarray,
    line_hashes: np.ndarray,
    line_kinds: np.ndarray,
    hashes: np.ndarray,
    chars: np.ndarray,
    table: np.ndarray,
    found: np.ndarray,
) -> None:
    for row in range(len(found)):
        total = held = terminals = shorts = 0
        for line in range(lines[row], lines[row + 1]):
            total += line_chars[line]
            if is_blank(line_kinds[line]):
                continue
            last = line_ends[line] - 1
            while kinds[last] & TAIL:
                last -= 1
            terminals += kinds[last] & TERMINAL != 0
            shorts += line_chars[line] <= SHORT_LINE
            hashes[held], chars[held] = line_hashes[line], line_chars[line]
            held += 1
        counts = found[row]
        counts[0], counts[1], counts[3] = total, lines[row + 1] - lines[row] - 1, held
        counts[4], counts[5] = terminals, shorts
        counts[6] = count_copies(table, hashes, chars, held)[1]


@njit(nogil=True, cache=True)
def _may_hold(data: np.ndarray, i: Any, marks: np.ndarray) -> bool:
    """Whether some of the _MARKS, in any case, starts at one of _BLOCK bytes from byte i."""
    found = False
    for k in range(len(marks)):
        a, b, c = marks[k, 0], marks[k, 1], marks[k, 2]
        for j in range(_BLOCK):  # a constant, so LLVM makes vectors of it
            at = uint64(i) + uint64(j)
            one, two = data[at] | _CASE, data[at + uint64(1)] | _CASE
            found |= (one == a) & (two == b) & (data[at + uint64(2)] | _CASE == c)
    return found


@njit(
    types.void(
        *(INDEX, INDEX, BYTES, INDEX, INDEX, INDEX),
        *(
            types.Array(types.uint8, 2, "C"),
            types.Array(types.uint8, 2, "C", readonly=True),
            _FOUND,
        ),
    ),
    nogil=True,
    cache=True,
)
def _find_phrases(
    offsets: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    lines: np.ndarray,
    line_starts: np.ndarray,
    line_ends: np.ndarray,
    phrases: np.ndarray,
    marks: np.ndarray,
    found: np.ndarray,
) -> None:
    for row in range(len(found)):
        end, line = ends[row], lines[row]
        javascript_line = policy_line = np.int64(-1)  # the last that was counted
        for block in range(offsets[row], end, _BLOCK):
            stop = min(block + _BLOCK, end)
            # It may look into the next text: that only costs a search.
            if block + _BLOCK + 2 <= len(data) and not _may_hold(data, block, marks):
                continue
            # A phrase starts before its mark; one that is found twice is in a line that was counted.
            for i in range(max(block - _LONGEST, offsets[row]), stop):
                phrase = _phrase_at(data, i, end, phrases)
                if phrase < 0:
                    continue
                while line_ends[line] < i:
                    line += 1
                while line_starts[line] > i:
                    line -= 1
                if phrase == 0:
                    found[row, 8] += 1
                elif phrase == 1:
                    found[row, 9] += line > javascript_line
                    javascript_line = line
                else:
                    found[row, 10] += line > policy_line
                    policy_line = line
