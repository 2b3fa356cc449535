"""What C4 and FineWeb ask of a web page, and how long SlimPajama finds it: signals of lines, sentences, phrases.

Sources: C4 (Raffel et al. 2020, arXiv:1910.10683, 2.2), FineWeb (Penedo et al. 2024, arXiv:2406.17557, 3.6),
both in datatrove's arithmetic (`c4_filters.py`, `fineweb_quality_filter.py`), and SlimPajama's cleaning
(Cerebras modelzoo, `slimpajama/preprocessing`).
"""

import string
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import regex
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.characters import BYTES, CODE_POINTS, INDEX, characters, decode
from coursepack.stages.copies import EMPTY, STEP, count_copies, head_ends, table_size
from coursepack.stages.words import mix

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
# Unicode's Sentence_Terminal, and three Khmer signs that had the property when FineWeb was made.
_TERMINALS = "[\\p{Sentence_Terminal}\u17d6\u17d9\u17da]"
_CLOSERS = r"""[\p{Pe}\p{Pf}"']"""

# Bits of a code point.
_SPACE, _TERMINAL, _CLOSER, _PUNCTUATION = 1, 2, 4, 8

# What the kernel counts of a row, in this order.
_COUNTS = (
    "chars",  # without newlines
    "newlines",
    "words",
    "longest_word_chars",
    "lines",
    "terminal_lines",
    "short_lines",
    "copied_chars",
    "sentences",
    "lorem_ipsums",
    "curly_braces",
    "javascript_lines",
    "policy_lines",
    "bare_chars",
)


def web_signals(text: Text) -> pa.RecordBatch:
    """One column a signal, one row a text; a null text is like an empty one.

    Counts are int32 (int64 of code points), ratios float64, null where the divisor is 0; `has_lorem_ipsum`
    is bool. Lines stand between newlines and are not blank; they are taken as they are, with the
    white space at their ends, so a line that ends in a space ends in no punctuation. Words stand between
    white space (Unicode's White_Space).

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
    offsets, data = text_buffers(text)
    ends = head_ends(offsets, data)
    pieces = int((ends - offsets[:-1]).max(initial=0)) // 2 + 2
    found = np.zeros((len(ends), len(_COUNTS)), np.int64)
    phrases, starts = _phrases()
    _count(
        offsets[:-1],
        ends,
        data,
        _bits(),
        phrases,
        starts,
        np.empty(pieces, np.uint64),
        np.empty(pieces, np.int32),
        np.empty(table_size(pieces), np.int32),
        found,
    )
    n = dict(zip(_COUNTS, found.T, strict=True))
    columns = {
        "terminal_punct_line_ratio": _ratio(n["terminal_lines"], n["lines"]),
        "short_line_ratio": _ratio(n["short_lines"], n["lines"]),
        "char_dup_ratio": _ratio(n["copied_chars"], n["chars"]),
        "newline_word_ratio": _ratio(n["newlines"], n["words"]),
        "sentences": pa.array(n["sentences"].astype(np.int32)),
        "longest_word_chars": pa.array(n["longest_word_chars"]),
        "has_lorem_ipsum": pa.array(n["lorem_ipsums"] > 0),
        "curly_braces": pa.array(n["curly_braces"].astype(np.int32)),
        "javascript_lines": pa.array(n["javascript_lines"].astype(np.int32)),
        "policy_lines": pa.array(n["policy_lines"].astype(np.int32)),
        "bare_chars": pa.array(n["bare_chars"]),
    }
    return pa.RecordBatch.from_pydict(columns)


def _ratio(count: np.ndarray, of: np.ndarray) -> pa.Array:
    return pa.array(count / np.maximum(of, 1), mask=of == 0)


@cache
def _bits() -> np.ndarray:
    """The classes this module asks for, as bits of one uint8 a code point."""
    bits = characters().is_space * np.uint8(_SPACE)
    every = np.arange(CODE_POINTS, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    for pattern, bit in ((_TERMINALS, _TERMINAL), (_CLOSERS, _CLOSER)):
        bits[[ord(c) for c in regex.findall(pattern, every, regex.VERSION1)]] |= bit
    bits[[ord(c) for c in string.punctuation]] |= _PUNCTUATION
    return bits


@cache
def _phrases() -> tuple[np.ndarray, np.ndarray]:
    """The phrases as rows of bytes, 0 behind their ends; and by the low five bits of two letters (the same
    in both cases), whether a phrase may start with them."""
    rows = np.zeros((len(POLICY) + 2, 16), np.uint8)
    starts = np.zeros(1 << 10, np.uint8)
    for row, phrase in zip(rows, (LOREM_IPSUM, JAVASCRIPT, *POLICY), strict=True):
        row[: len(phrase)] = np.frombuffer(phrase.encode(), np.uint8)
        starts[(row[0] & 31).astype(np.int64) << 5 | row[1] & 31] = 1
    return rows, starts


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


@njit(
    types.void(
        INDEX,
        INDEX,
        BYTES,
        BYTES,
        types.uint8[:, ::1],
        BYTES,
        types.uint64[::1],
        types.int32[::1],
        types.int32[::1],
        types.int64[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def _count(
    starts: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    bits: np.ndarray,
    phrases: np.ndarray,
    phrase_starts: np.ndarray,
    hashes: np.ndarray,
    lengths: np.ndarray,
    table: np.ndarray,
    found: np.ndarray,
) -> None:
    for row in range(len(found)):
        end = ends[row]
        chars = newlines = words = longest = lines = terminals = shorts = 0
        sentences = lorem_ipsums = braces = javascripts = policies = bare = bare_words = 0
        length, line, blank = 0, EMPTY, True  # of the line so far
        javascript, policy = False, False
        word_chars, bare_before = 0, 0  # of the word so far, and `bare` before it
        ending, counted = False, False  # a sentence may end here; it has ended
        kind: Any = np.uint8(0)
        code: Any = np.int64(0)
        width: Any = np.int64(1)
        i = starts[row]
        while i <= end:
            if i < end:
                code, width = np.int64(data[i]), np.int64(1)
                if code >= 0x80:
                    code, width = decode(data, i, end)
                elif i + 1 < end and phrase_starts[(code & 31) << 5 | np.int64(data[i + 1]) & 31]:
                    phrase = _phrase_at(data, i, end, phrases)
                    lorem_ipsums += phrase == 0
                    javascript |= phrase == 1
                    policy |= phrase > 1
            else:
                code = np.int64(0x0A)  # the end of a text ends its last line
            last, kind = kind, bits[code]
            if kind & _SPACE:
                if word_chars > 0:
                    words += 1
                    longest = max(longest, word_chars)
                    bare_words += bare > bare_before
                    word_chars, bare_before = 0, bare
                    sentences += ending and not counted
                    ending, counted = False, False
                if code == 0x0A:
                    if not blank:
                        terminals += (last & _TERMINAL) != 0
                        shorts += length <= SHORT_LINE
                        hashes[lines], lengths[lines] = mix(line), length
                        lines += 1
                        javascripts += javascript
                        policies += policy
                    newlines += i < end
                    length, line, blank = 0, EMPTY, True
                    javascript, policy = False, False
                    i += width
                    continue
            else:
                blank = False
                word_chars += 1
                bare += (kind & _PUNCTUATION) == 0
                if kind & _TERMINAL:
                    ending = True
                    if code >= 0x80:
                        sentences += not counted
                        counted = True
                elif not kind & _CLOSER:
                    ending, counted = False, False
                braces += code == 0x7B
            length += 1
            chars += 1
            line = (line ^ uint64(code)) * STEP
            i += width
        _, copied = count_copies(table, hashes, lengths, lines)
        # In the order of _COUNTS.
        counts = found[row]
        counts[0], counts[1], counts[2], counts[3] = chars, newlines, words, longest
        counts[4], counts[5], counts[6], counts[7] = lines, terminals, shorts, copied
        counts[8], counts[9], counts[10], counts[11] = sentences, lorem_ipsums, braces, javascripts
        counts[12], counts[13] = policies, bare + max(bare_words - 1, 0)
