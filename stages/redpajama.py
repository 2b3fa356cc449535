"""RedPajama-V2's signals of natural language, content, repetition and lines, in their arithmetic (Weber et al. 2024,
arXiv:2411.12372; togethercomputer/RedPajama-Data, `app/src/core/quality_signals`).

It has words of two kinds. Raw ones are runs of letters and numbers, or of other signs (nltk's WordPunctTokenizer).
Normalised ones stand between white space in the text without ASCII punctuation, in lower case, decomposed (NFD).
"""

import math
import string
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import regex
from numba import njit, types, uint64

from coursepack.pipeline.arrow import int32s, ratio
from coursepack.stages.characters import (
    BYTES,
    CODE_POINTS,
    INDEX,
    INT32S,
    characters,
    code_point_runs,
    decode,
    load_few,
)
from coursepack.stages.copies import EMPTY, STEP, clear, earlier, gram_scratch, mix
from coursepack.stages.grams import (
    COUNTS,
    COVERED_CHARS,
    SIZES,
    TOP_CHARS,
    TOP_TIMES,
    count_grams,
)
from coursepack.stages.pieces import TextOrPieces, find_pieces
from coursepack.stages.spaced import behind

JAVASCRIPT = b"javascript"
TOP, DUPLICATE = (2, 3, 4), (5, 6, 7, 8, 9, 10)
PLACES = 8  # the tool rounds to as many; here only the entropy, which is no ratio of integers

# Bits of a code point: those of Python's `\w`, `str.isupper` and `str.isnumeric`.
_WORD, _SPACE, _UPPER, _OTHER_CASE, _NUMERIC, _ASCII_LETTER, _PUNCTUATION = 1, 2, 4, 8, 16, 32, 64

_DELETED = np.uint8(0xFF)  # instead of a lower case
_LOREM, _IPSUM = (np.uint64(int.from_bytes(word, "big")) for word in (b"lorem", b"ipsum"))
_FIVE = np.uint64(0xFFFFFFFFFF)  # five bytes
_ONES = np.uint64(0x0101010101010101)

# What the kernel counts of a row, by place.
_CHARS, _TOKENS, _ALPHA_TOKENS, _CAPITAL_TOKENS, _CAPITALS, _SYMBOLS, _CURLIES = range(7)
_SENTENCES, _WORDS, _LETTERS, _UNIQUE, _NUMERICS, _JAVASCRIPTS, _LOREMS = range(7, 14)
_LINES, _WORD_LINES, _TERMINALS, _ELLIPSES, _BULLETS = range(14, 19)


def redpajama_signals(text: TextOrPieces) -> pa.RecordBatch:
    """One column a signal, one row a text; a null text is like an empty one.

    `rps_doc_` columns bear the tool's names and hold its values, unrounded (the entropy has PLACES decimals), but
    null where the divisor is 0. `rps_doc_word_count`, `rps_doc_num_sentences`, `rps_lines` and
    `rps_lines_javascript_words` are int32, the rest float64. Words are the normalised ones, and raw ones where the
    name has symbol, no_alph or all_caps. `rps_doc_frac_chars_top_Ngram` is 0 where no N words occur twice, and can
    be above 1; `rps_doc_frac_chars_dupe_Ngrams` counts each word inside N that occur twice once.

    The tool gives a list of values for the lines. Here stand their mean for terminal punctuation, bullets and
    words a line, the sum for javascript, and for fractions of a line's characters the mean weighted by its length:
    characters of that kind per character of all (normalised) lines. A blank line is a line.

    Differences: U+001C to U+001F, which Python takes for white space and Unicode does not, are parts of words here;
    capital sigma is in lower case the same at the end of a word as elsewhere; marks keep the order that they have;
    and the lock's Unicode knows more numerals than the Python that the tool runs on (15.1 added U+4E24, say).
    The stop-word, bad-word and blocklist signals want the tool's lists, and are left out.

    Of a text longer than copies.HEAD_BYTES the head is measured. Equality is that of 64-bit hashes.
    """
    p = find_pieces(text)
    most = int(np.diff(p.words).max(initial=0)) + 1
    tables = _tables()
    scratch = gram_scratch(most)
    found = np.zeros((len(p.ends), 19), np.int64)
    of_grams = np.zeros((len(p.ends), SIZES, COUNTS), np.int64)
    entropy = np.zeros(len(p.ends))
    _measure(
        *(p.data, p.lines, p.line_starts, p.line_ends, p.line_chars),
        *(p.words, p.word_starts, p.word_ends),
        *(tables.bits, tables.ascii_lower, tables.starts, tables.lower),
        np.frombuffer(JAVASCRIPT, np.uint8),
        *(np.empty(most, np.uint64), np.empty(most, np.int32)),
        *scratch,
        *(found, of_grams, entropy),
    )
    n = found.T
    some = n[_WORDS] > 0
    columns = {
        "rps_doc_word_count": int32s(n[_WORDS]),
        "rps_doc_mean_word_length": ratio(n[_LETTERS], n[_WORDS]),
        "rps_doc_frac_unique_words": ratio(n[_UNIQUE], n[_WORDS]),
        "rps_doc_unigram_entropy": pa.array(np.round(np.maximum(entropy, 0), PLACES), mask=~some),
        "rps_doc_num_sentences": int32s(n[_SENTENCES]),
        "rps_doc_symbol_to_word_ratio": ratio(n[_SYMBOLS], n[_TOKENS]),
        "rps_doc_frac_no_alph_words": ratio(n[_TOKENS] - n[_ALPHA_TOKENS], n[_TOKENS]),
        "rps_doc_frac_all_caps_words": ratio(n[_CAPITAL_TOKENS], n[_TOKENS]),
        "rps_doc_frac_lines_end_with_ellipsis": ratio(n[_ELLIPSES], n[_LINES]),
        "rps_doc_lorem_ipsum": ratio(n[_LOREMS], n[_LETTERS] + n[_WORDS] - some),
        "rps_doc_curly_bracket": ratio(n[_CURLIES], n[_CHARS]),
    }
    for words in TOP:
        of = of_grams[:, words - 2]
        top = np.where(of[:, TOP_TIMES] > 1, of[:, TOP_TIMES] * of[:, TOP_CHARS], 0)
        columns[f"rps_doc_frac_chars_top_{words}gram"] = ratio(top, n[_LETTERS])
    for words in DUPLICATE:
        covered = of_grams[:, words - 2, COVERED_CHARS]
        columns[f"rps_doc_frac_chars_dupe_{words}grams"] = ratio(covered, n[_LETTERS])
    columns |= {
        "rps_lines": int32s(n[_LINES]),
        "rps_lines_mean_num_words": ratio(n[_WORDS], n[_LINES]),
        "rps_lines_terminal_punctuation_fraction": ratio(n[_TERMINALS], n[_LINES]),
        "rps_lines_start_with_bulletpoint_fraction": ratio(n[_BULLETS], n[_LINES]),
        "rps_lines_uppercase_letter_fraction": ratio(n[_CAPITALS], n[_CHARS]),
        "rps_lines_numerical_chars_fraction": ratio(
            n[_NUMERICS], n[_LETTERS] + n[_WORDS] - n[_WORD_LINES]
        ),
        "rps_lines_javascript_words": int32s(n[_JAVASCRIPTS]),
    }
    return pa.RecordBatch.from_pydict(columns)


@dataclass(frozen=True)
class _Tables:
    bits: np.ndarray  # uint8, one a code point
    ascii_lower: np.ndarray  # uint8, 128: its lower case, _DELETED for punctuation
    starts: np.ndarray  # int32: code point c is normalised to lower[starts[c]:starts[c + 1]]
    lower: np.ndarray  # int32: code points


@cache
def _tables() -> _Tables:
    """Made once a process in about 1 s. Decompositions come from Arrow, whose Unicode the lock pins too."""
    numeric = r"\p{Numeric_Type=Decimal}\p{Numeric_Type=Digit}\p{Numeric_Type=Numeric}"
    bits = np.zeros(CODE_POINTS, np.uint8)
    for bit, pattern in (
        (_WORD, rf"[\p{{L}}_{numeric}]"),
        (_SPACE, r"\p{White_Space}"),
        (_UPPER, r"\p{Uppercase}"),
        (_OTHER_CASE, r"[\p{Lowercase}\p{Lt}]"),
        (_NUMERIC, f"[{numeric}]"),
        (_ASCII_LETTER, "[a-zA-Z]"),
        (_PUNCTUATION, f"[{regex.escape(string.punctuation)}]"),
    ):
        for run in code_point_runs(pattern):
            bits[run] |= bit
    whole = [chr(code) for code in characters().lower]
    for sign in string.punctuation:
        whole[ord(sign)] = ""
    whole[0x130] = "i\u0307"  # the one letter whose lower case is two
    whole[0xD800:0xE000] = ["\ufffd"] * 0x800  # no UTF-8 holds a surrogate
    decomposed = pc.utf8_normalize(pa.array(whole), "NFD")
    sizes = pc.utf8_length(decomposed).to_numpy()
    starts = np.zeros(CODE_POINTS + 1, np.int32)
    starts[1:] = np.cumsum(sizes)
    lower = np.frombuffer("".join(decomposed.to_pylist()).encode("utf-32-le"), np.int32)
    ascii_lower = np.where(bits[:128] & _PUNCTUATION, _DELETED, characters().lower[:128]).astype(
        np.uint8
    )
    return _Tables(bits, ascii_lower, starts, lower)


@njit(nogil=True, cache=True)
def _hash_letters(data: np.ndarray, start: Any, end: Any) -> tuple[Any, Any, Any]:
    """The hash of an ASCII word of letters alone, eight at a time, its capitals, and whether it is one."""
    word, size, capitals = EMPTY, uint64(end - start), uint64(0)
    while start < end:
        width = uint64(min(end - start, 8))
        eight = load_few(data, start, start + np.int64(width))
        small = eight | _ONES * uint64(0x20)
        # Behind the end stand small letters, for the test alone.
        padding = (uint64(0xFFFFFFFFFFFFFFFF) << (uint64(8) * width - uint64(8))) << uint64(8)
        tested = small | padding & (_ONES * uint64(0x61))
        above = tested + _ONES * uint64(0x1F)  # 0x80 is set from `a` on
        beyond = tested + _ONES * uint64(0x05)  # 0x80 is set from behind `z` on
        if (above & ~beyond & ~eight) & (_ONES * uint64(0x80)) != _ONES * uint64(0x80):
            return word, np.int64(0), False
        word = (word ^ (small & ~padding)) * STEP
        # A byte each that is 1 for a capital; the product's top byte is their sum.
        capitals += (((~eight & ~padding) >> uint64(5) & _ONES) * _ONES) >> uint64(56)
        start += 8
    return mix(word ^ size), np.int64(capitals), True


@njit(nogil=True, cache=True)
def _normalised(
    data: np.ndarray,
    start: Any,
    end: Any,
    bits: np.ndarray,
    ascii_lower: np.ndarray,
    starts: np.ndarray,
    lower: np.ndarray,
) -> tuple[Any, Any, Any]:
    """The hash of any word, the one of _hash_letters; its letters and those that are numeric."""
    word, letters, numerics = EMPTY, np.int64(0), np.int64(0)
    eight, filled = (
        uint64(0),
        uint64(0),
    )  # a letter takes 8 bits, one that is not ASCII 24
    i = start
    while i < end:
        byte = data[i]
        if byte < 0x80:
            i += 1
            letter = uint64(ascii_lower[byte])
            if letter != uint64(_DELETED):
                letters += 1
                numerics += 0x30 <= byte <= 0x39
                eight |= letter << filled
                filled += uint64(8)
                if filled == uint64(64):
                    word = (word ^ eight) * STEP
                    eight, filled = uint64(0), uint64(0)
            continue
        code, width = decode(data, i, end)
        i += width
        for k in range(starts[code], starts[code + 1]):
            letter = uint64(lower[k])
            size = uint64(8) if letter < uint64(0x80) else uint64(24)
            letters += 1
            numerics += np.int64(bits[lower[k]] & _NUMERIC) >> 4
            letter |= uint64(0x800000) * uint64(size == uint64(24))
            eight |= letter << filled
            filled += size
            if filled >= uint64(64):
                word = (word ^ eight) * STEP
                filled -= uint64(64)
                eight = letter >> (size - filled)
    if filled:
        word = (word ^ eight) * STEP
    return mix(word ^ uint64(letters)), letters, numerics


@njit(nogil=True, cache=True)
def _count_raw(
    data: np.ndarray, start: Any, end: Any, bits: np.ndarray, sentence: Any, counts: np.ndarray
) -> Any:
    """Adds the tokens and signs of what has no white space; in `sentence`, if one has begun, and so it returns."""
    inside, of_token = np.int64(_SPACE), np.int64(0)  # class of the token, bits of its characters
    dots = 0
    i = start
    while i < end:
        code, width = np.int64(data[i]), np.int64(1)
        if code >= 0x80:
            code, width = decode(data, i, end)
            counts[_SYMBOLS] += code == 0x2026
        i += width
        kind = np.int64(bits[code])
        counts[_CAPITALS] += (kind & _UPPER) >> 2
        here = kind & _WORD
        if here != inside:
            _close(inside, of_token, counts)
            inside, of_token = here, np.int64(0)
        of_token |= kind
        sentence |= here
        if kind & _PUNCTUATION:
            counts[_SYMBOLS] += code == 0x23
            counts[_CURLIES] += code == 0x7B or code == 0x7D
            if code == 0x2E or code == 0x3F or code == 0x21:
                counts[_SENTENCES] += sentence
                sentence = np.int64(0)
        dots = (dots + 1) * (code == 0x2E)
        if dots == 3:
            counts[_SYMBOLS] += 1
            dots = 0
    _close(inside, of_token, counts)
    return sentence


@njit(nogil=True, cache=True)
def _close(inside: Any, of_token: Any, counts: np.ndarray) -> None:
    counts[_TOKENS] += inside != _SPACE
    counts[_ALPHA_TOKENS] += (of_token & _ASCII_LETTER) >> 5
    counts[_CAPITAL_TOKENS] += of_token & (_UPPER | _OTHER_CASE) == _UPPER


@njit(nogil=True, cache=True)
def _outer_letters(
    data: np.ndarray, start: Any, end: Any, starts: np.ndarray, lower: np.ndarray
) -> tuple[Any, Any]:
    """The first and the last five letters of a normalised word, 0xFF for those not in ASCII."""
    first, last, letters = uint64(0), uint64(0), 0
    i = start
    while i < end:
        code, width = decode(data, i, end)
        i += width
        for k in range(starts[code], starts[code + 1]):
            last = (last << uint64(8) | uint64(min(lower[k], 0xFF))) & _FIVE
            letters += 1
            if letters == 5:
                first = last
    return first, last


@njit(nogil=True, cache=True)
def _entropy(
    hashes: np.ndarray, words: Any, firsts: np.ndarray, times: np.ndarray, table: np.ndarray
) -> tuple[Any, Any]:
    """How many of the words differ, and the entropy of their frequencies, in nats."""
    shift = clear(table, words)
    unique = np.int64(0)
    for word in range(words):
        first = earlier(table, shift, hashes, word)
        if first == word:
            firsts[unique] = word
            unique += 1
            times[word] = 0
        times[first] += 1
    weighted = 0.0
    for k in range(unique):
        often = times[firsts[k]]
        if often > 1:
            weighted += often * math.log(often)
    return unique, math.log(words) - weighted / words if words else 0.0


@njit(nogil=True, cache=True)
def _ends_a_line(data: np.ndarray, start: int, end: int) -> tuple[Any, Any]:
    """Whether the line's last word ends in terminal punctuation, and in an ellipsis."""
    sign = data[end - 1]
    terminal = sign == 0x2E or sign == 0x21 or sign == 0x3F
    ellipsis = False
    if end - start >= 3:
        a, b = data[end - 3], data[end - 2]
        ellipsis = a == 0x2E and b == 0x2E and sign == 0x2E
        if a == 0xE2 and b == 0x80:
            terminal |= sign == 0x9D
            ellipsis |= sign == 0xA6
    return terminal, ellipsis


@njit(nogil=True, cache=True)
def _is_bullet(code: Any) -> bool:
    return bool(
        code == 0x2022 or code == 0x2023 or code == 0x25B6 or code == 0x25C0 or code == 0x25E6
        or code == 0x25A0 or code == 0x25A1 or code == 0x25AA or code == 0x25AB or code == 0x2013
    )  # fmt: skip


@njit(
    types.void(
        BYTES, INDEX, INDEX, INDEX, INT32S,
        INDEX, INDEX, INDEX,
        BYTES, BYTES, INT32S, INT32S, BYTES,
        types.uint64[::1], types.int32[::1],
        types.uint64[::1], types.int32[:, ::1], types.int32[::1], types.uint8[::1],
        types.int64[:, ::1], types.int64[:, :, ::1], types.float64[::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def _measure(
    data: np.ndarray,
    lines: np.ndarray,
    line_starts: np.ndarray,
    line_ends: np.ndarray,
    line_chars: np.ndarray,
    words: np.ndarray,
    word_starts: np.ndarray,
    word_ends: np.ndarray,
    bits: np.ndarray,
    ascii_lower: np.ndarray,
    starts: np.ndarray,
    lower: np.ndarray,
    javascript: np.ndarray,
    hashes: np.ndarray,
    letters_up_to: np.ndarray,
    grams: np.ndarray,
    places: np.ndarray,
    table: np.ndarray,
    sieve: np.ndarray,
    found: np.ndarray,
    of_grams: np.ndarray,
    entropy: np.ndarray,
) -> None:
    is_javascript, _, _ = _hash_letters(javascript, 0, len(javascript))
    for row in range(len(found)):
        counts = found[row]
        count = letters = 0
        sentence, after_lorem = np.int64(0), False
        word, last = words[row], words[row + 1]
        for line in range(lines[row], lines[row + 1]):
            # The text behind the last newline is a line only where there is any.
            newline = line + 1 < lines[row + 1]
            counts[_LINES] += newline or line_starts[line] < line_ends[line]
            counts[_CHARS] += line_chars[line] + newline
            first_word, count_before = word, count
            while word < last and word_starts[word] < line_ends[line]:
                a, word = word_starts[word], behind(word, last, word_starts, word_ends)
                b = word_ends[word - 1]
                core = b
                while a < core and bits[data[core - 1]] & (_PUNCTUATION | _WORD) == _PUNCTUATION:
                    core -= 1
                hashed, capitals, plain = _hash_letters(data, a, core)
                size, numerics = core - a, np.int64(0)
                if plain and size > 0:
                    counts[_TOKENS] += 1
                    counts[_ALPHA_TOKENS] += 1
                    counts[_CAPITAL_TOKENS] += capitals == size
                    counts[_CAPITALS] += capitals
                    sentence = np.int64(_WORD)
                    if core < b:
                        sentence = _count_raw(data, core, b, bits, sentence, counts)
                else:
                    sentence = _count_raw(data, a, b, bits, sentence, counts)
                    hashed, size, numerics = _normalised(
                        data, a, core, bits, ascii_lower, starts, lower
                    )
                    if size == 0:
                        continue
                letters += size
                counts[_NUMERICS] += numerics
                hashes[count], letters_up_to[count] = hashed, letters
                count += 1
                counts[_JAVASCRIPTS] += hashed == is_javascript
                # No other letter than m has m as its last letter in NFD; `_` may stand behind it.
                may_end = data[core - 1] | 0x20 == 0x6D or data[core - 1] == 0x5F
                if after_lorem or (may_end and size >= 5):
                    first, end = _outer_letters(data, a, core, starts, lower)
                    counts[_LOREMS] += after_lorem and first == _IPSUM
                    after_lorem = end == _LOREM
            counts[_WORD_LINES] += count > count_before
            if word > first_word:
                terminal, ellipsis = _ends_a_line(data, word_starts[word - 1], word_ends[word - 1])
                counts[_TERMINALS] += terminal
                counts[_ELLIPSES] += ellipsis
                code, _ = decode(data, word_starts[first_word], word_ends[first_word])
                counts[_BULLETS] += _is_bullet(code)
        counts[_SENTENCES] += sentence
        counts[_WORDS], counts[_LETTERS] = count, letters
        counts[_UNIQUE], entropy[row] = _entropy(hashes, count, places[0], places[1], table)
        count_grams(hashes[:count], letters_up_to, grams, places, table, sieve, of_grams[row])
