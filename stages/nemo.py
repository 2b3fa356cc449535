"""The scores of NeMo Curator's heuristic filters, in its arithmetic (NVIDIA-NeMo/Curator 1.4.0,
`stages/text/filters/heuristic/string.py` and `repetition/repetition.py`; after Gopher, arXiv:2112.11446, and C4).

What sets it apart: its sentences are lines, and paragraphs may be blank; repetition is measured by what is left when
copies go (1: none), so high is good; the most frequent n-gram is searched in the text as a string.
"""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types, uint64

from coursepack.pipeline.arrow import int32s, ratio
from coursepack.stages.characters import (
    BYTES,
    CODE_POINTS,
    INDEX,
    INT32S,
    UINT64S,
    code_point_runs,
    decode,
)
from coursepack.stages.copies import STEP, clear, count_copies, earlier, table_size
from coursepack.stages.pieces import (
    LETTER,
    TAIL,
    TextOrPieces,
    find_pieces,
    hash_bytes,
    load_few,
)

COMMON_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)
LOREM_IPSUM = "lorem ipsum"
# Marks of a paragraph about the page itself, in lower case. NeMo's list has five whole notices; two of them hold a
# phrase of the list, and of the others the beginning is looked for.
POLICY = (
    *("terms of use", "privacy policy", "cookie policy", "uses cookies", "privacy overview"),
    *("use of cookies", "use cookies", "privacy & cookies policy", "privacy and cookies policy"),
    "necessary cookies are absolutely essential for the website to function properly. this category",
    "any cookies that may not be particularly necessary for the website to function and is used",
    "if you continue to browse this site without changing your cookie settings, you agree to this",
)
BULLETS = "•‣⁃⁌⁍∙○●◘◦⦾⦿"
ELLIPSES = ("...", "[...]", "…", "(...)", "[…]", "-»")  # a line may also end so, or in:
READ_MORE = ("read more..", "read more")

# Bits of a byte of ASCII, or of a code point beyond.
_PLAIN, _DIGIT, _SPACE, _BRACKET, _URL, _ALPHA, _BULLET = 1, 2, 4, 8, 16, 32, 64

# What the kernel counts of a row, in this order; then the characters of TOP and of DUPLICATE.
_COUNTS = (
    "chars",
    "plain",
    "digits",
    "spaces",
    "brackets",
    "url_chars",
    "porn_urls",
    "words",
    "word_chars",
    "longest_word_chars",
    "symbol_words",
    "alpha_words",
    "common_words",
    "lines",
    "line_chars",
    "copied_lines",
    "copied_line_chars",
    "open_lines",
    "ellipsis_lines",
    "bullet_lines",
    "paragraphs",
    "paragraph_chars",
    "copied_paragraphs",
    "copied_paragraph_chars",
    "policy_paragraphs",
    "lorem_ipsums",
)


def nemo_signals(text: TextOrPieces) -> pa.RecordBatch:
    """One column a signal, one row a text; a null text is like an empty one.

    Counts are int32 (lengths int64, in code points), `has_` columns bool, ratios float64, null where the divisor
    is 0: of an empty text NeMo says 1 or fails.

    Words stand between white space (Unicode's White_Space; U+001C to U+001F are letters here, not in Python), in
    every script: NeMo splits Chinese and Japanese otherwise only if told the language. Lines are not blank.

    `nemo_nonalnum_ratio` counts what is no ASCII letter or digit, newline or one of `?!,.`; `nemo_digit_ratio` 0 to
    9; `nemo_space_ratio` tab, newline, return, backspace and space. `nemo_url_char_ratio` are characters of http(s)
    addresses; `nemo_has_porn_url` is whether one of them holds "porn". `nemo_symbol_word_ratio` are words that are
    an ellipsis, or of which runs of `#` are more than half. `nemo_common_words` counts COMMON_WORDS as they stand,
    in lower case; NeMo stops at 2. `nemo_open_line_ratio` are lines that end in none of `.?!"'`.

    `nemo_boilerplate_ratio` are paragraphs that hold a phrase of POLICY; 1 where any holds LOREM_IPSUM. A
    paragraph ends at two newlines and may be blank. `nemo_distinct_..._ratio` are lines or paragraphs without
    copies of earlier ones, per line or paragraph; the same of their code points.

    `nemo_top_Ngram_char_ratio` are the code points that go when the most frequent N words, with one space between,
    are deleted from the text. Of equally frequent ones the first in the text is taken; NeMo takes any, and its
    value changes from run to run. `nemo_dup_Ngram_char_ratio` are words (and spaces between) of N words that were
    met before. Both are 1 in a text of fewer words.

    Of a text longer than copies.HEAD_BYTES the head is measured. Equality is that of 64-bit hashes.
    """
    p = find_pieces(text)
    rows = len(p.ends)
    pieces = int(max(np.diff(p.words).max(initial=0), np.diff(p.lines).max(initial=0))) + 1
    found = np.zeros((rows, len(_COUNTS) + len(TOP) + len(DUPLICATE)), np.int64)
    phrases, lengths, heads = _phrases()
    _measure(
        p.offsets,
        p.ends,
        p.data,
        p.kinds,
        p.words,
        p.word_starts,
        p.word_ends,
        p.word_chars,
        p.word_hashes,
        p.word_kinds,
        p.lines,
        p.line_starts,
        p.line_ends,
        p.line_chars,
        p.line_hashes,
        _table(),
        _packed_common_words(),
        phrases,
        lengths,
        heads,
        np.empty((2, pieces), np.uint64),
        np.empty((4, pieces), np.int32),
        np.empty((2, pieces), np.int64),
        np.empty(table_size(pieces), np.int32),
        found,
    )
    n = dict(zip(_COUNTS, found.T, strict=False))
    kept = {
        name: n[f"{name}s"] - n[f"copied_{name}s"]
        for name in ("line", "paragraph", "line_char", "paragraph_char")
    }
    policy = np.where(n["lorem_ipsums"] > 0, n["paragraphs"], n["policy_paragraphs"])
    columns = {
        "nemo_words": int32s(n["words"]),
        "nemo_mean_word_chars": ratio(n["word_chars"], n["words"]),
        "nemo_longest_word_chars": pa.array(n["longest_word_chars"]),
        "nemo_nonalnum_ratio": ratio(n["chars"] - n["plain"], n["chars"]),
        "nemo_digit_ratio": ratio(n["digits"], n["chars"]),
        "nemo_space_ratio": ratio(n["spaces"], n["chars"]),
        "nemo_bracket_ratio": ratio(n["brackets"], n["chars"]),
        "nemo_url_char_ratio": ratio(n["url_chars"], n["chars"]),
        "nemo_has_porn_url": pa.array(n["porn_urls"] > 0),
        "nemo_symbol_word_ratio": ratio(n["symbol_words"], n["words"]),
        "nemo_alpha_word_ratio": ratio(n["alpha_words"], n["words"]),
        "nemo_common_words": int32s(n["common_words"]),
        "nemo_open_line_ratio": ratio(n["open_lines"], n["lines"]),
        "nemo_ellipsis_line_ratio": ratio(n["ellipsis_lines"], n["lines"]),
        "nemo_bullet_line_ratio": ratio(n["bullet_lines"], n["lines"]),
        "nemo_boilerplate_ratio": ratio(policy, n["paragraphs"]),
        "nemo_distinct_line_ratio": ratio(kept["line"], n["lines"]),
        "nemo_distinct_line_char_ratio": ratio(kept["line_char"], n["line_chars"]),
        "nemo_distinct_paragraph_ratio": ratio(kept["paragraph"], n["paragraphs"]),
        "nemo_distinct_paragraph_char_ratio": ratio(kept["paragraph_char"], n["paragraph_chars"]),
    }
    names = [f"nemo_top_{words}gram_char_ratio" for words in TOP]
    names += [f"nemo_dup_{words}gram_char_ratio" for words in DUPLICATE]
    for words, name, chars in zip((*TOP, *DUPLICATE), names, found.T[len(_COUNTS) :], strict=True):
        columns[name] = ratio(np.where(n["words"] < words, n["chars"], chars), n["chars"])
    return pa.RecordBatch.from_pydict(columns)


@cache
def _table() -> np.ndarray:
    """The bits of each code point, uint8."""
    table = np.zeros(CODE_POINTS, np.uint8)
    bits = {
        r"[A-Za-z0-9\n?!,.]": _PLAIN,
        r"[0-9]": _DIGIT,
        r"[\t\n\r\x08 ]": _SPACE,
        r"[{}⟨⟩\[\]()]": _BRACKET,
        r"[A-Za-z0-9$\-_@.&+/:=?#~!*(),]": _URL,
        r"\p{Alphabetic}": _ALPHA,
        f"[{BULLETS}]": _BULLET,
    }
    for pattern, bit in bits.items():
        for run in code_point_runs(pattern):
            table[run] |= bit
    return table


@cache
def _packed_common_words() -> np.ndarray:
    """Each common word as its bytes in one uint64, first byte lowest."""
    return np.array([int.from_bytes(word.encode(), "little") for word in COMMON_WORDS], np.uint64)


@cache
def _phrases() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """LOREM_IPSUM and POLICY as rows of bytes, their lengths, and whether a phrase may start with four bytes of
    this product (see `_hold`)."""
    rows = [phrase.encode() for phrase in (LOREM_IPSUM, *POLICY)]
    lengths = np.array([len(row) for row in rows])
    heads = np.zeros(256, np.uint8)
    for row in rows:
        heads[(int.from_bytes(row[:4], "little") | 0x20202020) * 0x9E3779B1 >> 24 & 255] = 1
    table = np.zeros((len(rows), lengths.max()), np.uint8)
    for k, row in enumerate(rows):
        table[k, : len(row)] = np.frombuffer(row, np.uint8)
    return table, lengths, heads


@njit(nogil=True, cache=True)
def _hold(
    data: np.ndarray,
    start: Any,
    end: Any,
    phrases: np.ndarray,
    lengths: np.ndarray,
    heads: np.ndarray,
) -> tuple[Any, Any]:
    """Whether the line holds the first phrase, and any other, in any case of ASCII letters."""
    lorem = policy = False
    word = uint64(0)  # the last four bytes, the last highest, in lower case
    for i in range(start, end):
        word = word >> uint64(8) | uint64(data[i] | 0x20) << uint64(24)
        if heads[word * uint64(0x9E3779B1) >> uint64(24) & uint64(255)] == 0:
            continue
        first = i - 3
        for k in range(len(phrases)):
            size = lengths[k]
            if first < start or first + size > end:
                continue
            j = 0
            while j < size:
                byte = data[first + j]
                if 0x41 <= byte <= 0x5A:
                    byte += 0x20
                if byte != phrases[k, j]:
                    break
                j += 1
            if j == size:
                lorem |= k == 0
                policy |= k > 0
    return lorem, policy


@njit(nogil=True, cache=True)
def _url_end(data: np.ndarray, i: Any, end: Any, table: np.ndarray) -> Any:
    """Where the characters of an address from byte i end."""
    while i < end:
        byte = data[i]
        if byte < 0x80 and table[byte] & _URL:
            i += 1
        elif byte == 0x25 and i + 2 < end and _is_hex(data[i + 1]) and _is_hex(data[i + 2]):
            i += 3
        else:
            break
    return i


@njit(nogil=True, cache=True)
def _is_hex(byte: Any) -> Any:
    return 0x30 <= byte <= 0x39 or 0x41 <= (byte & 0xDF) <= 0x46


@njit(nogil=True, cache=True)
def _count_urls(
    data: np.ndarray, start: Any, end: Any, table: np.ndarray, counts: np.ndarray
) -> None:
    """Characters of addresses, and how many hold "porn"."""
    free = np.int64(start)  # byte behind the last address
    for i in range(start + 4, end - 3):
        if data[i] != 0x3A or data[i + 1] != 0x2F or data[i + 2] != 0x2F:
            continue
        first = np.int64(i) - 4
        if data[i - 1] == 0x73:
            first -= 1
        if first < free or load_few(data, first, first + 4) != uint64(0x70747468):
            continue
        last = _url_end(data, np.int64(i) + 3, end, table)
        if last == i + 3:
            continue
        counts[5] += last - first
        free = last
        for j in range(first, last - 3):
            if load_few(data, j, j + 4) == uint64(0x6E726F70):
                counts[6] += 1
                break


@njit(nogil=True, cache=True)
def _is_ellipsis(data: np.ndarray, start: Any, end: Any) -> Any:
    """The bytes of the mark that ends data[start:end], the longest, or 0."""
    size = end - start
    if size >= 5:
        held = load_few(data, end - 5, end)
        # [...], (...), […]
        if held in (uint64(0x5D2E2E2E5B), uint64(0x292E2E2E28), uint64(0x5DA680E25B)):
            return 5
    if size >= 3:
        held = load_few(data, end - 3, end)
        if held in (uint64(0x2E2E2E), uint64(0xA680E2), uint64(0xBBC22D)):  # ..., …, -»
            return 3
    return 0


@njit(nogil=True, cache=True)
def _ends_open(data: np.ndarray, start: Any, end: Any) -> Any:
    """Whether data[start:end] ends in "read more" or "read more.."."""
    if end - start >= 2 and data[end - 1] == 0x2E and data[end - 2] == 0x2E:
        end -= 2
    if end - start < 9:
        return False
    lower = load_few(data, end - 8, end) | uint64(0x2020202020202020)
    return bool(
        lower == uint64(0x65726F6D20646165)  # "ead more"
        and data[end - 9] | 0x20 == 0x72
        and data[end - 5] == 0x20
    )


@njit(nogil=True, cache=True)
def _chars(ends: np.ndarray, start: Any, end: Any) -> Any:
    """Code points of the words from `start` to before `end`."""
    before = np.int64(ends[start - 1]) if start > 0 else np.int64(0)
    return np.int64(ends[end - 1]) - before


@njit(nogil=True, cache=True)
def _deleted(
    n: int,
    place: Any,
    words: Any,
    data: np.ndarray,
    hashes: np.ndarray,
    bounds: np.ndarray,
    ends: np.ndarray,
) -> Any:
    """Code points that go when the n words from `place`, with a space between, are deleted from the text.

    They are found inside words too: in the word before, at its end, and in the last one, at its beginning.
    """
    starts, stops = bounds[0], bounds[1]
    a, b = starts[place], stops[place]
    final = place + n - 1
    c, d = starts[final], stops[final]
    size, size_behind = b - a, d - c
    tail, head = data[b - 1], data[c]
    times, free = np.int64(0), np.int64(0)
    for k in range(words - n + 1):
        end, start = stops[k], starts[k + n - 1]
        if data[end - 1] != tail or data[start] != head:
            continue
        if end - size < max(starts[k], free) or start + size_behind > stops[k + n - 1]:
            continue
        same = True
        for j in range(n - 1):
            spaced = starts[k + j + 1] == stops[k + j] + 1 and data[stops[k + j]] == 0x20
            same &= spaced and (j == 0 or hashes[k + j] == hashes[place + j])
        if not same:
            continue
        for j in range(size):
            same &= data[end - size + j] == data[a + j]
        for j in range(size_behind):
            same &= data[start + j] == data[c + j]
        if same:
            times += 1
            free = start + size_behind
    return times * (_chars(ends, place, place + n) + n - 1)


@njit(nogil=True, cache=True)
def _count_grams(
    words: Any,
    data: np.ndarray,
    hashes: np.ndarray,
    grams: np.ndarray,
    rows: np.ndarray,
    bounds: np.ndarray,
    table: np.ndarray,
    found: np.ndarray,
) -> None:
    """Characters of the top 2- to 4-grams and of the 5- to 10-grams that were met before, into `found`.

    A place stays of interest for n words where the n - 1 words from there and from the next place both
    occur elsewhere: what occurs once cannot be in a longer copy. In most texts few places are left at 3.
    """
    ends, places, firsts, times = rows[0], rows[1], rows[2], rows[3]
    left = words - 1
    for k in range(left):
        places[k] = k
        grams[k] = hashes[k]
    for n in range(2, 11):
        if words < n:
            return
        best, best_place = np.int64(1), np.int64(0)  # without copies the first of all is on top
        shift = clear(table, left)
        kept = 0
        chars = np.int64(0)
        free: Any = np.int64(0)  # word behind the last one that is counted
        for k in range(left):
            place: Any = np.int64(places[k])
            if n > 2 and not (k + 1 < left and places[k + 1] == place + 1):
                continue
            grams[place] = grams[place] * STEP + hashes[place + n - 1]
            first = np.int64(earlier(table, shift, grams, place))
            firsts[place] = first
            if first == place:
                times[place] = 1
            else:
                times[first] += 1
                if times[first] > best or (times[first] == best and first < best_place):
                    best, best_place = np.int64(times[first]), first
                fresh: Any = max(place, free)
                chars += _chars(ends, fresh, place + n) + min(place + n - fresh, n - 1)
                free = place + n
            places[kept] = place
            kept += 1
        if n <= 4:
            found[n - 2] = _deleted(n, best_place, words, data, hashes, bounds, ends)
        else:
            found[n - 2] = chars
        left = 0
        for k in range(kept):
            if times[firsts[places[k]]] > 1:
                places[left] = places[k]
                left += 1


@njit(nogil=True, cache=True)
def _count_chars(
    data: np.ndarray, kinds: np.ndarray, start: Any, end: Any, table: np.ndarray, counts: np.ndarray
) -> None:
    chars = plain = digits = spaces = brackets = 0
    for i in range(start, end):
        byte = data[i]
        if byte < 0x80:
            bits: Any = np.int64(table[byte])
            chars += 1
            plain += bits & 1
            digits += bits >> 1 & 1
            spaces += bits >> 2 & 1
            brackets += bits >> 3 & 1
            continue
        chars += (kinds[i] & TAIL) == 0
        if byte == 0xE2:
            code, _ = decode(data, i, end)
            brackets += (table[code] & _BRACKET) != 0
    counts[0], counts[1], counts[2], counts[3], counts[4] = chars, plain, digits, spaces, brackets


@njit(nogil=True, cache=True)
def _is_alphabetic(data: np.ndarray, start: Any, end: Any, table: np.ndarray) -> Any:
    """Whether a word without letters has a character that Unicode calls alphabetic: a vowel sign, a circled letter."""
    i = start
    while i < end:
        code, width = decode(data, i, end)
        if table[code] & _ALPHA:
            return True
        i += width
    return False


@njit(nogil=True, cache=True)
def _is_hashes(data: np.ndarray, start: Any, end: Any, chars: Any) -> Any:
    """Whether runs of `#` are more than half as many as the characters of the word."""
    if data[start] != 0x23 and (end - start < 2 or data[start + 1] != 0x23):
        return False
    runs = 0
    for i in range(start, end):
        runs += data[i] == 0x23 and (i == start or data[i - 1] != 0x23)
    return bool(2 * runs > chars)


@njit(
    types.void(
        INDEX, INDEX, BYTES, BYTES,
        INDEX, INDEX, INDEX, INT32S, UINT64S, BYTES,
        INDEX, INDEX, INDEX, INT32S, UINT64S,
        types.uint8[::1], types.uint64[::1], types.uint8[:, ::1], types.int64[::1], types.uint8[::1],
        types.uint64[:, ::1], types.int32[:, ::1], types.int64[:, ::1], types.int32[::1],
        types.int64[:, ::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def _measure(
    offsets: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    kinds: np.ndarray,
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
    table: np.ndarray,
    common_words: np.ndarray,
    phrases: np.ndarray,
    lengths: np.ndarray,
    heads: np.ndarray,
    hashes: np.ndarray,
    rows: np.ndarray,
    bounds: np.ndarray,
    slots: np.ndarray,
    found: np.ndarray,
) -> None:
    for row in range(len(found)):
        counts = found[row]
        row_start, row_end = offsets[row], ends[row]
        if row_start == row_end:
            continue
        _count_chars(data, kinds, row_start, row_end, table, counts)
        _count_urls(data, row_start, row_end, table, counts)
        # Words, with those joined that no white space parts.
        held, chars = np.int64(0), np.int64(0)
        word, behind = words[row], words[row + 1]
        while word < behind:
            a, b = word_starts[word], word_ends[word]
            length, bits, value = np.int64(word_chars[word]), word_kinds[word], word_hashes[word]
            word += 1
            if word < behind and word_starts[word] == b:
                while word < behind and word_starts[word] == b:
                    b = word_ends[word]
                    length += np.int64(word_chars[word])
                    bits |= word_kinds[word]
                    word += 1
                value = hash_bytes(data, a, b)
            hashes[0, held], bounds[0, held], bounds[1, held] = value, a, b
            chars += length
            rows[0, held] = chars
            held += 1
            counts[9] = max(counts[9], length)
            if bits & LETTER:
                counts[11] += 1
            elif bits & TAIL:
                counts[11] += _is_alphabetic(data, a, b, table)
            if b - a <= 5:
                if b - a <= 4:
                    packed = load_few(data, a, b)
                    for k in range(len(common_words)):
                        counts[12] += packed == common_words[k]
                counts[10] += _is_ellipsis(data, a, b) == b - a
            counts[10] += _is_hashes(data, a, b, length)
        counts[7], counts[8] = held, chars
        _count_grams(held, data, hashes[0], hashes[1], rows, bounds, slots, counts[26:])
        # Lines that are not blank.
        pieces: Any = np.int64(0)
        word = words[row]
        for line in range(lines[row], lines[row + 1]):
            start, end = line_starts[line], line_ends[line]
            first = word
            while word < behind and word_starts[word] < end:
                word += 1
            if word == first:
                continue
            start, end = word_starts[first], word_ends[word - 1]
            hashes[0, pieces], rows[0, pieces] = line_hashes[line], line_chars[line]
            pieces += 1
            counts[14] += np.int64(line_chars[line])
            last = data[end - 1]
            marked = last == 0x2E or last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27
            counts[17] += not marked
            counts[18] += _is_ellipsis(data, start, end) > 0 or _ends_open(data, start, end)
            code, _ = decode(data, start, end)
            counts[19] += (table[code] & _BULLET) != 0
        counts[13] = pieces
        counts[15], counts[16] = count_copies(slots, hashes[0], rows[0], pieces)
        # Paragraphs: lines up to an empty one that another follows.
        pieces = np.int64(0)
        line, behind = lines[row], lines[row + 1]
        while line < behind:
            start, chars, policy = line_starts[line], np.int64(0), False
            while True:
                end = line_ends[line]
                chars += np.int64(line_chars[line])
                lorem, here = _hold(data, line_starts[line], end, phrases, lengths, heads)
                counts[25] += lorem
                policy |= here
                line += 1
                if line == behind or (line + 1 < behind and line_starts[line] == line_ends[line]):
                    break
                chars += 1
            line += 1
            hashes[0, pieces], rows[0, pieces] = hash_bytes(data, start, end), chars
            pieces += 1
            counts[21] += chars
            counts[24] += policy
        counts[20] = pieces
        counts[22], counts[23] = count_copies(slots, hashes[0], rows[0], pieces)
