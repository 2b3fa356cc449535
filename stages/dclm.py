"""What the rules of DCLM-Baseline compare with their bounds: RefinedWeb's, in DCLM's arithmetic (Li et al. 2024,
arXiv:2406.11794; Penedo et al. 2023, arXiv:2306.01116, G; mlfoundations/dclm, `baselines/mappers`).

DCLM splits words in three ways, and so do these signals. Most rules take what stands between white space. Counts of
words take fastText's splitter, which knows ASCII white space alone, and leave out what does not start with a letter
or number. Repeated n-grams take Unicode's word boundaries (UAX #29, in DCLM by `uniseg`) and leave out the same:
"it's," has one word, "e-mail" two, 漢字 two. All copies of a duplicate count, the first too, and n-grams are
divided by the characters of words alone: of the meanings in use (see `repetition`) the strictest.
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
    characters,
    code_point_runs,
    decode,
    without,
)
from coursepack.stages.copies import STEP, clear, earlier, table_size
from coursepack.stages.pieces import (
    LETTER,
    NUMBER,
    TAIL,
    TextOrPieces,
    find_pieces,
    hash_bytes,
    load8,
    load_few,
)

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)
# Phrases that the line edits cut from lines of at most PHRASE_WORDS words; behind READ_MORE stand any three characters.
CART, READ_MORE, SIGN_IN = "items in cart", "read more", "sign-in"
PHRASE_WORDS = 10
# What a line counts, as in "3 likes".
COUNTED = (
    *("likes", "shares", "comments", "retweets", "reposts", "quotes", "bookmarks", "upvotes"),
    *("downvotes", "downloads", "views", "followers"),
)

# Classes of UAX #29 in the low four bits of a code point's table entry; other characters have 0.
_ALETTER, _HEBREW, _NUMERIC, _KATAKANA, _EXTEND_NUM = 1, 2, 3, 4, 5
_MID_LETTER, _MID_NUM, _MID_BOTH, _QUOTE, _DOUBLE_QUOTE, _EXTEND, _JOINER = 6, 7, 8, 9, 10, 11, 12
_CLASSES = {
    r"\p{WB=ALetter}": _ALETTER,
    r"\p{WB=Hebrew_Letter}": _HEBREW,
    r"\p{WB=Numeric}": _NUMERIC,
    r"\p{WB=Katakana}": _KATAKANA,
    r"\p{WB=ExtendNumLet}": _EXTEND_NUM,
    r"\p{WB=MidLetter}": _MID_LETTER,
    r"\p{WB=MidNum}": _MID_NUM,
    r"\p{WB=MidNumLet}": _MID_BOTH,
    r"\p{WB=Single_Quote}": _QUOTE,
    r"\p{WB=Double_Quote}": _DOUBLE_QUOTE,
    r"[\p{WB=Extend}\p{WB=Format}]": _EXTEND,
    r"\p{WB=ZWJ}": _JOINER,
}
_CLASS = 15
# Its other bits: `str.isupper`, `str.isdigit`, `str.isalnum` and `\d` of a character, pictographs, white space.
_UPPER, _DIGIT, _ALNUM, _PICTOGRAPH, _SPACE, _DECIMAL = 16, 32, 64, 128, 256, 512

# What the kernel counts of a row, in this order; then the letters of TOP and of DUPLICATE.
_COUNTS = (
    "words",
    "word_chars",
    "symbols",
    "nonalpha_words",
    "stop_words",
    "counted_words",
    "lines",
    "line_chars",
    "dup_lines",
    "dup_line_chars",
    "paragraphs",
    "paragraph_chars",
    "dup_paragraphs",
    "dup_paragraph_chars",
    "bullet_lines",
    "ellipsis_lines",
    "token_chars",
    "uppercase_lines",
    "numeric_lines",
    "counter_lines",
    "short_lines",
    "cart_lines",
    "read_more_lines",
    "sign_in_lines",
    "words_left",
)


def dclm_signals(text: TextOrPieces) -> pa.RecordBatch:
    """One column a signal, one row a text; a null text is like an empty one.

    Counts are int32, the rest float64, integer by integer, null where the divisor is 0.

    White space is Unicode's White_Space; Python takes U+001C to U+001F for it too. NUL parts no words here.

    `dclm_words` are fastText's, those that start with a letter or number. `dclm_symbol_word_ratio` counts `#`, `...`,
    `. . .` and `…`, wherever they stand. `dclm_stop_words` counts every occurrence of STOP_WORDS, in any
    case, without punctuation at the word. Lines are not blank and stripped; bullets are `●`, `•`, `*`, `-`.
    A paragraph ends at two newlines.

    `dclm_dup_line_ratio` is the share of lines that occur twice or more; `..._char_ratio` their share of the lines'
    code points. `dclm_top_Ngram_char_ratio` is the length of the most frequent N words, the longest of equals,
    times their occurrences, per code point of words; 0 where none occur twice, above 1 where they overlap.
    `dclm_dup_Ngram_char_ratio` are words within N words that occur twice or more.

    The columns from `dclm_uppercase_lines` to `dclm_sign_in_lines` count what the line edits would take, one after
    the other, each from what is left: lines of which more than half is upper case, that are a number, that count
    something ("3 likes"), of one word; then lines of which a phrase is cut. `dclm_removed_word_ratio` is the
    share of `dclm_words` that goes with them; 0 where DCLM is below, because a word at the start of a text was
    hidden by white space that fastText does not know. DCLM takes URLs out of the text before all this.

    Of a text longer than copies.HEAD_BYTES the head is measured. Equality is that of 64-bit hashes.
    """
    p = find_pieces(text)
    rows = len(p.ends)
    longest = int((p.ends - p.offsets[:-1]).max(initial=0))
    lines = int(np.diff(p.lines).max(initial=0))
    # Two neighbours of UAX #29 that start with a letter or number take three bytes or more.
    tokens = max(2 * longest // 3, lines) + 2
    found = np.zeros((rows, len(_COUNTS) + len(TOP) + len(DUPLICATE)), np.int64)
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
        _table(),
        _packed_stop_words(),
        _phrases(),
        np.empty(tokens, np.uint64),
        np.empty(tokens, np.uint64),
        np.empty((4, tokens), np.int32),
        np.empty(table_size(tokens), np.int32),
        np.empty((lines, 9), np.int64),
        np.empty(longest + 1, np.uint8),
        found,
    )
    n = dict(zip(_COUNTS, found.T, strict=False))
    columns = {
        "dclm_words": int32s(n["counted_words"]),
        "dclm_mean_word_chars": ratio(n["word_chars"], n["words"]),
        "dclm_symbol_word_ratio": ratio(n["symbols"], n["words"]),
        "dclm_nonalpha_word_ratio": ratio(n["nonalpha_words"], n["words"]),
        "dclm_stop_words": int32s(n["stop_words"]),
        "dclm_bullet_line_ratio": ratio(n["bullet_lines"], n["lines"]),
        "dclm_ellipsis_line_ratio": ratio(n["ellipsis_lines"], n["lines"]),
        "dclm_dup_line_ratio": ratio(n["dup_lines"], n["lines"]),
        "dclm_dup_line_char_ratio": ratio(n["dup_line_chars"], n["line_chars"]),
        "dclm_dup_paragraph_ratio": ratio(n["dup_paragraphs"], n["paragraphs"]),
        "dclm_dup_paragraph_char_ratio": ratio(n["dup_paragraph_chars"], n["paragraph_chars"]),
    }
    names = [f"dclm_top_{words}gram_char_ratio" for words in TOP]
    names += [f"dclm_dup_{words}gram_char_ratio" for words in DUPLICATE]
    for name, chars in zip(names, found.T[len(_COUNTS) :], strict=True):
        columns[name] = ratio(chars, n["token_chars"])
    for name in _COUNTS[_COUNTS.index("uppercase_lines") : _COUNTS.index("words_left")]:
        columns[f"dclm_{name}"] = int32s(n[name])
    removed = np.maximum(n["counted_words"] - n["words_left"], 0)
    columns["dclm_removed_word_ratio"] = ratio(removed, n["counted_words"])
    return pa.RecordBatch.from_pydict(columns)


@cache
def _table() -> np.ndarray:
    """The class and the bits of each code point, uint16."""
    table = np.zeros(CODE_POINTS, np.uint16)
    bits = {
        r"\p{Uppercase}": _UPPER,
        r"[\p{Nt=Decimal}\p{Nt=Digit}]": _DIGIT,
        r"[\p{L}\P{Nt=None}]": _ALNUM,
        r"\p{Extended_Pictographic}": _PICTOGRAPH,
        r"\p{Nd}": _DECIMAL,
    }
    for pattern, value in (_CLASSES | bits).items():
        for run in code_point_runs(pattern):
            table[run] |= np.uint16(value)
    table |= characters().is_space * np.uint16(_SPACE)
    return table


@cache
def _packed_stop_words() -> np.ndarray:
    """Each stop word as its bytes in one uint64, first byte lowest."""
    return np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS], np.uint64)


@cache
def _phrases() -> np.ndarray:
    """CART, READ_MORE, SIGN_IN, then COUNTED, as rows of bytes with 0 behind their ends."""
    rows = [phrase.encode() for phrase in (CART, READ_MORE, SIGN_IN, *COUNTED)]
    return np.array([[*row, *bytes(16 - len(row))] for row in rows], np.uint8)


@njit(nogil=True, cache=True)
def _has(data: np.ndarray, i: Any, end: Any, phrases: np.ndarray, k: int) -> Any:
    """Bytes of phrase k where it stands at byte i, in any case of ASCII letters, or 0."""
    j = 0
    while phrases[k, j] != 0:
        if i + j >= end:
            return 0
        byte = data[i + j]
        if 0x41 <= byte <= 0x5A:
            byte += 0x20
        if byte != phrases[k, j]:
            return 0
        j += 1
    return j


@njit(nogil=True, cache=True)
def _is_plain(kinds: np.ndarray, start: Any, end: Any) -> bool:
    """Whether data[start:end], in which no byte has other bits, is all letters and digits."""
    ones = uint64(0x0101010101010101)
    while end - start > 8:
        held = load8(kinds, start)
        if (held | held >> uint64(1)) & ones != ones:
            return False
        start += 8
    held = load_few(kinds, start, end)
    wanted = ones >> (uint64(64) - uint64(8) * uint64(end - start))
    return bool((held | held >> uint64(1)) & ones == wanted)


@njit(nogil=True, cache=True)
def _segment(
    data: np.ndarray,
    start: Any,
    end: Any,
    table: np.ndarray,
    hashes: np.ndarray,
    ends: np.ndarray,
    tokens: Any,
    chars: Any,
) -> tuple[Any, Any]:
    """Adds the words of UAX #29 in data[start:end], which holds no white space; the new `tokens` and `chars`.

    A sign that joins letters or digits only if more of them follow (WB6, WB7, WB11, WB12) is taken on trial:
    `kept_end` and `kept_chars` are the word without it.
    """
    opened, alnum, trial, joiner = start, False, 0, False
    before: Any = -1  # class of the last character that extends none
    held = np.int64(0)  # characters of the word
    kept_end, kept_chars = start, held
    group: Any = np.int64(0)
    i: Any = start
    while i <= end:
        code: Any = np.int64(0)
        width: Any = np.int64(1)
        kind = np.int64(0)
        if i < end:
            code = np.int64(data[i])
            if code >= 0x80:
                code, width = decode(data, i, end)
            kind = np.int64(table[code])
            group = kind & _CLASS
            if group >= _EXTEND and before >= 0:
                joiner = group == _JOINER
                held += 1
                i += width
                continue
            if group >= _EXTEND:
                group = 0
            letter = group in (_ALETTER, _HEBREW)
            joins = joiner and (kind & _PICTOGRAPH) != 0
            tries = 0  # what has to follow: 1 a letter, 2 a digit, 3 a Hebrew letter
            if trial != 0:
                joins |= (
                    (trial == 1 and letter)
                    or (trial == 2 and group == _NUMERIC)
                    or (trial == 3 and group == _HEBREW)
                )
            elif before in (_ALETTER, _HEBREW):
                joins |= letter or group in (_NUMERIC, _EXTEND_NUM)
                if group in (_MID_LETTER, _MID_BOTH, _QUOTE):
                    tries = 1
                elif before == _HEBREW and group == _DOUBLE_QUOTE:
                    tries = 3
            elif before == _NUMERIC:
                joins |= letter or group in (_NUMERIC, _EXTEND_NUM)
                if group in (_MID_NUM, _MID_BOTH, _QUOTE):
                    tries = 2
            elif before == _KATAKANA:
                joins |= group in (_KATAKANA, _EXTEND_NUM)
            elif before == _EXTEND_NUM:
                joins |= letter or _NUMERIC <= group <= _EXTEND_NUM
            joiner = False
            if tries != 0 and not joins:
                kept_end, kept_chars = i, held
                if before == _HEBREW and group == _QUOTE:  # WB7a: kept though nothing follows
                    kept_end, kept_chars = i + width, held + 1
                trial = tries
                before = group
                held += 1
                i += width
                continue
            if joins:
                trial = 0
                before = group
                held += 1
                i += width
                continue
        else:
            group = 0
        if trial == 0:
            kept_end, kept_chars = i, held
        if alnum:
            hashes[tokens] = hash_bytes(data, opened, kept_end)
            chars += kept_chars
            ends[tokens] = chars
            tokens += 1
        opened, alnum, trial, joiner = i, (kind & _ALNUM) != 0, 0, False
        before = group
        held = np.int64(1)
        i += width
    return tokens, chars


@njit(nogil=True, cache=True)
def _count_symbols(data: np.ndarray, start: Any, end: Any) -> Any:
    """How often `#`, `...`, `. . .` and `…` occur, each by itself."""
    symbols = 0
    dots = chain = 0  # in a row; with a space between
    behind = np.int64(-2)  # byte behind the last dot
    i: Any = start
    while i < end:
        if i + 8 <= end:
            held = load8(data, i)
            if (
                without(held, uint64(0x2E2E2E2E2E2E2E2E))
                and without(held, uint64(0x2323232323232323))
                and without(held, uint64(0xA6A6A6A6A6A6A6A6))
            ):
                i += 8
                continue
        for k in range(i, min(i + 8, end)):
            byte = data[k]
            if byte == 0x2E:
                dots = dots + 1 if k == behind else 1
                symbols += dots % 3 == 0
                chain = chain + 1 if k == behind + 1 and data[k - 1] == 0x20 else 1
                symbols += chain % 3 == 0
                behind = np.int64(k) + 1
            elif byte == 0x23:
                symbols += 1
            elif byte == 0xA6 and k - start >= 2:
                symbols += data[k - 1] == 0x80 and data[k - 2] == 0xE2
        i += 8
    return symbols


@njit(nogil=True, cache=True)
def _is_bullet(data: np.ndarray, start: Any, end: Any) -> bool:
    code, _ = decode(data, start, end)
    return bool(code == 0x25CF or code == 0x2022 or code == 0x2A or code == 0x2D)


@njit(nogil=True, cache=True)
def _is_ellipsis(data: np.ndarray, start: Any, end: Any) -> bool:
    if end - start < 3:
        return False
    a, b, c = data[end - 3], data[end - 2], data[end - 1]
    if c == 0xA6:
        return bool(a == 0xE2 and b == 0x80)
    if c != 0x2E or a != 0x2E:
        return False
    spaced = b == 0x20 and end - start >= 5 and data[end - 4] == 0x20 and data[end - 5] == 0x2E
    return bool(b == 0x2E or spaced)


@njit(nogil=True, cache=True)
def _all_copies(
    table: np.ndarray, hashes: np.ndarray, rows: np.ndarray, pieces: Any
) -> tuple[Any, Any]:
    """How many pieces occur twice or more, and their characters, which are in rows[0]."""
    chars, firsts, times = rows[0], rows[1], rows[2]
    shift = clear(table, pieces)
    for piece in range(pieces):
        first = earlier(table, shift, hashes, piece)
        firsts[piece] = first
        times[piece] = 0
        times[first] += 1
    copies, copied = np.int64(0), np.int64(0)
    for piece in range(pieces):
        if times[firsts[piece]] > 1:
            copies += 1
            copied += chars[piece]
    return copies, copied


@njit(nogil=True, cache=True)
def _chars(ends: np.ndarray, start: Any, end: Any) -> Any:
    """Characters of the words from `start` to before `end`."""
    before = np.int64(ends[start - 1]) if start > 0 else np.int64(0)
    return np.int64(ends[end - 1]) - before


@njit(nogil=True, cache=True)
def _count_grams(
    words: Any,
    hashes: np.ndarray,
    grams: np.ndarray,
    rows: np.ndarray,
    table: np.ndarray,
    found: np.ndarray,
) -> None:
    """Characters of the top 2- to 4-grams and in the 5- to 10-grams that occur twice, into `found`.

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
        best = 1
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
                best = max(best, times[first])
            places[kept] = place
            kept += 1
        left = 0
        most, covered = np.int64(0), np.int64(0)
        free: Any = np.int64(0)  # word behind the last one that is covered
        for k in range(kept):
            spot: Any = np.int64(places[k])
            often = times[firsts[spot]]
            if often > 1:
                if often == best:
                    most = max(most, _chars(ends, spot, spot + n))
                covered += _chars(ends, max(spot, free), spot + n)
                free = spot + n
                places[left] = spot
                left += 1
        found[n - 2] = most * best if n <= 4 else covered


@njit(nogil=True, cache=True)
def _is_uppercase(data: np.ndarray, start: Any, end: Any, chars: Any, table: np.ndarray) -> bool:
    """Whether more than half of the line's characters are capitals."""
    capitals: Any = 0
    if chars < end - start:
        while start < end:
            code, width = decode(data, start, end)
            capitals += (table[code] & _UPPER) != 0
            start += width
        return bool(2 * capitals > chars)
    top = uint64(0x8080808080808080)
    while (
        start < end
    ):  # eight bytes of ASCII: the sums reach the top bit from A on, and from behind Z on
        held = load_few(data, start, min(start + 8, end))
        held = (held + uint64(0x3F3F3F3F3F3F3F3F)) & ~(held + uint64(0x2525252525252525)) & top
        capitals += np.int64((held >> uint64(7)) * uint64(0x0101010101010101) >> uint64(56))
        start += 8
    return bool(2 * capitals > chars)


@njit(nogil=True, cache=True)
def _is_number(data: np.ndarray, start: Any, end: Any, table: np.ndarray) -> bool:
    i = start
    while i < end:
        code, width = decode(data, i, end)
        if not table[code] & _DIGIT:
            return False
        i += width
    return True


@njit(nogil=True, cache=True)
def _is_counter(
    data: np.ndarray, start: Any, end: Any, table: np.ndarray, phrases: np.ndarray
) -> bool:
    """Whether the line is a number and what it counts, with signs around them: "3.2k likes", "(1,024 views)"."""
    digits = spaces = 0
    i = start
    while i < end:
        code, width = decode(data, i, end)
        kind = table[code]
        if kind & _DECIMAL and spaces == 0:
            digits += 1
        elif digits == 0:
            if kind & _ALNUM or code == 0x5F:
                return False
        elif kind & _SPACE:
            spaces += 1
        elif spaces > 0:
            break
        elif code != 0x2C and code != 0x2E:
            # K, M or B, directly before white space
            folded = code | 0x20
            if not (folded == 0x6B or folded == 0x6D or folded == 0x62):
                return False
            i += width
            if i >= end:
                return False
            code, width = decode(data, i, end)
            if not table[code] & _SPACE:
                return False
            continue
        i += width
    for k in range(3, len(phrases)):
        size = _has(data, i, end, phrases, k)
        if size > 0:
            i += size
            while i < end:
                code, width = decode(data, i, end)
                if table[code] & _ALNUM or code == 0x5F:
                    return False
                i += width
            return True
    return False


@njit(nogil=True, cache=True)
def _space_before(data: np.ndarray, start: Any, end: Any, table: np.ndarray) -> Any:
    """Bytes of the white space that ends at `end`, one character of it, or 0."""
    i = np.int64(end) - 1
    while i > start and data[i] & 0xC0 == 0x80:
        i -= 1
    if i < start:
        return np.int64(0)
    code, width = decode(data, i, end)
    return width if table[code] & _SPACE and i + width == end else np.int64(0)


@njit(nogil=True, cache=True)
def _strip(
    data: np.ndarray, start: Any, end: Any, first: Any, last: Any, table: np.ndarray
) -> tuple[Any, Any]:
    """The bounds without the white space before where `first`, and behind where `last`."""
    while first and start < end:
        code, width = decode(data, start, end)
        if not table[code] & _SPACE:
            break
        start += width
    while last and start < end:
        width = _space_before(data, start, end, table)
        if width == 0:
            break
        end -= width
    return start, end


@njit(nogil=True, cache=True)
def _cut_cart(
    data: np.ndarray,
    start: Any,
    end: Any,
    table: np.ndarray,
    phrases: np.ndarray,
    line: np.ndarray,
) -> Any:
    """Copies the line without CART and one white space before it; its bytes."""
    size, behind = np.int64(0), np.int64(-1)
    i = start
    while i < end:
        cut = _has(data, i, end, phrases, 0)
        if cut > 0:
            if i != behind:
                size -= _space_before(line, np.int64(0), size, table)
            i += cut
            behind = i
        else:
            line[size] = data[i]
            size += 1
            i += 1
    return size


@njit(nogil=True, cache=True)
def _read_more_at(data: np.ndarray, start: Any, end: Any, phrases: np.ndarray) -> Any:
    """Where READ_MORE and any three characters end the line, or -1."""
    i = np.int64(end)
    for _ in range(3):
        if i <= start:
            return np.int64(-1)
        i -= 1
        while i > start and data[i] & 0xC0 == 0x80:
            i -= 1
    i -= 9
    if i < start or _has(data, i, end, phrases, 1) == 0:
        return np.int64(-1)
    return i


@njit(nogil=True, cache=True)
def _fasttext_words(data: np.ndarray, start: Any, end: Any, table: np.ndarray) -> Any:
    """Words between ASCII white space that start with a letter or number."""
    words, between = np.int64(0), True
    i = start
    while i < end:
        code, width = decode(data, i, end)
        kind = table[code]
        words += between and (kind & _ALNUM) != 0
        between = code < 0x80 and (kind & _SPACE) != 0
        i += width
    return words


# What `_measure` keeps of a line that is not blank: its number, bounds, those of its first and last word, its words
# by white space and by fastText, whether a phrase may be in it, and whether the edits have left it so far.
_LINE, _START, _END, _FIRST, _LAST, _WORDS, _FASTTEXT, _HINT, _ALIVE = range(9)


@njit(nogil=True, cache=True)
def _trimmed(kept: np.ndarray, lines: Any) -> None:
    """What `str.strip` of the text does to its lines: white space before the first and behind the last goes."""
    for k in range(lines):
        if kept[k, _ALIVE]:
            kept[k, _START] = kept[k, _FIRST]
            break
    for k in range(lines - 1, -1, -1):
        if kept[k, _ALIVE]:
            kept[k, _END] = kept[k, _LAST]
            break


@njit(nogil=True, cache=True)
def _edit(
    row_start: Any,
    data: np.ndarray,
    kept: np.ndarray,
    lines: Any,
    table: np.ndarray,
    phrases: np.ndarray,
    buffer: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Counts what the seven edits take, in their order, and the words they leave; `kept` is used up."""
    _trimmed(kept, lines)
    for k in range(lines):
        start, end = kept[k, _START], kept[k, _END]
        if kept[k, _ALIVE] and kept[k, _WORDS] == 1 and _is_number(data, start, end, table):
            kept[k, _ALIVE] = 0
            counts[18] += 1
    for k in range(lines):
        first, last = kept[k, _FIRST], kept[k, _LAST]
        if kept[k, _ALIVE] and _is_counter(data, first, last, table, phrases):
            kept[k, _ALIVE] = 0
            counts[19] += 1
    # DCLM strips before the counters, too: they do not mind.
    _trimmed(kept, lines)
    for k in range(lines):
        if kept[k, _ALIVE] and kept[k, _WORDS] == 1:
            kept[k, _ALIVE] = 0
            counts[20] += 1
    final = np.int64(-1)  # the last line that is left when CART is cut
    for k in range(lines - 1, -1, -1):
        if kept[k, _ALIVE]:
            size = np.int64(1)
            if kept[k, _HINT]:
                size = _cut_cart(data, kept[k, _START], kept[k, _END], table, phrases, buffer)
                start, end = _strip(buffer, np.int64(0), size, True, False, table)
                size = end - start
            if size > 0:
                final = np.int64(k)
                break
    left = np.int64(0)
    seen_cart = seen_more = seen = False  # a line before is left after the cuts of a phrase, of all
    for k in range(lines):
        if not kept[k, _ALIVE]:
            continue
        start, end = kept[k, _START], kept[k, _END]
        if not kept[k, _HINT]:
            first = kept[k, _FIRST]
            left += kept[k, _FASTTEXT]
            if not seen and first > row_start and data[first - 1] >= 0x80:
                # white space that fastText does not know stood before it, and is stripped now
                code, _ = decode(data, first, end)
                left += (table[code] & _ALNUM) != 0
            seen_cart = seen_more = seen = True
            continue
        size = _cut_cart(data, start, end, table, phrases, buffer)
        counts[21] += size < end - start
        start, end = _strip(buffer, np.int64(0), size, True, True, table)
        if start == end:
            continue
        start, end = _strip(buffer, np.int64(0), size, not seen_cart, k == final, table)
        seen_cart = True
        at = _read_more_at(buffer, start, end, phrases)
        if at >= 0:
            counts[22] += 1
            end = at - _space_before(buffer, start, at, table)
            first, last = _strip(buffer, start, end, True, True, table)
            if first == last:
                continue
        start, _ = _strip(buffer, start, end, not seen_more, False, table)
        seen_more = True
        size = _has(buffer, start, end, phrases, 2)
        if size > 0:
            counts[23] += 1
            start += size
            if start < end:
                code, width = decode(buffer, start, end)
                if table[code] & _SPACE:
                    start += width
        start, _ = _strip(buffer, start, end, not seen, False, table)
        seen |= start < end
        left += _fasttext_words(buffer, start, end, table)
    counts[24] = left


@njit(
    types.void(
        INDEX, INDEX, BYTES, BYTES,
        INDEX, INDEX, INDEX, INT32S, UINT64S, BYTES,
        INDEX, INDEX, INDEX, INT32S,
        types.uint16[::1], types.uint64[::1], types.uint8[:, ::1],
        types.uint64[::1], types.uint64[::1], types.int32[:, ::1], types.int32[::1],
        types.int64[:, ::1], types.uint8[::1], types.int64[:, ::1],
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
    table: np.ndarray,
    stop_words: np.ndarray,
    phrases: np.ndarray,
    hashes: np.ndarray,
    grams: np.ndarray,
    rows: np.ndarray,
    slots: np.ndarray,
    kept: np.ndarray,
    buffer: np.ndarray,
    found: np.ndarray,
) -> None:
    token_ends = rows[0]
    lower = uint64(0x2020202020202020)
    for row in range(len(found)):
        counts = found[row]
        row_start, row_end = offsets[row], ends[row]
        if row_start == row_end:
            continue
        counts[2] = _count_symbols(data, row_start, row_end)
        word, behind = words[row], words[row + 1]
        tokens, token_chars, held = np.int64(0), np.int64(0), np.int64(0)
        for line in range(lines[row], lines[row + 1]):
            start, end = line_starts[line], line_ends[line]
            first_word, split, counted = word, np.int64(0), np.int64(0)
            hint = False  # a phrase may be in the line
            while word < behind and word_starts[word] < end:
                a, b = word_starts[word], word_ends[word]
                chars, bits, value = (
                    np.int64(word_chars[word]),
                    word_kinds[word],
                    word_hashes[word],
                )
                word += 1
                # Characters that are words of their own for others: here only white space parts words.
                while word < behind and word_starts[word] == b:
                    b = word_ends[word]
                    chars += np.int64(word_chars[word])
                    bits |= word_kinds[word]
                    word += 1
                split += 1
                counts[1] += chars
                counts[3] += (bits & LETTER) == 0
                if 2 <= b - a <= 4:
                    packed = load_few(data, a, b)
                    packed |= lower >> (uint64(64) - uint64(8) * uint64(b - a))
                    hint |= packed == uint64(0x6E69)  # "in"
                    for k in range(len(stop_words)):
                        counts[4] += packed == stop_words[k]
                if b - a >= 4:  # does it end in "read"?
                    tail = load_few(data, b - 4, b) | lower >> uint64(32)
                    hint |= tail == uint64(0x64616572)
                head = kinds[a] & (LETTER | NUMBER)
                if head != 0 and (a == row_start or data[a - 1] < 0x80):
                    counted += 1
                if bits & ~(LETTER | NUMBER) == 0 and _is_plain(kinds, a, b):
                    hashes[tokens] = value
                    token_chars += chars
                    token_ends[tokens] = token_chars
                    tokens += 1
                else:
                    tokens, token_chars = _segment(
                        data, a, b, table, hashes, token_ends, tokens, token_chars
                    )
            counts[0] += split
            counts[5] += counted
            if split == 0:
                continue
            first, last = word_starts[first_word], word_ends[word - 1]
            counts[14] += _is_bullet(data, first, last)
            counts[15] += _is_ellipsis(data, first, last)
            kept[held, _START], kept[held, _END] = start, end
            kept[held, _FIRST], kept[held, _LAST] = first, last
            kept[held, _WORDS], kept[held, _FASTTEXT] = split, counted
            kept[held, _LINE] = line
            hint |= _has(data, first, last, phrases, 2) > 0
            kept[held, _HINT] = hint and split <= PHRASE_WORDS
            held += 1
        counts[16] = token_chars
        _count_grams(tokens, hashes, grams, rows, slots, counts[25:])
        counts[6] = held
        chars_of = rows[0]
        for k in range(held):
            line = kept[k, _LINE]
            first, last = kept[k, _FIRST], kept[k, _LAST]
            chars = np.int64(line_chars[line])
            for i in range(kept[k, _START], first):
                chars -= (kinds[i] & TAIL) == 0
            for i in range(last, kept[k, _END]):
                chars -= (kinds[i] & TAIL) == 0
            hashes[k], chars_of[k] = hash_bytes(data, first, last), chars
            counts[7] += chars
        counts[8], counts[9] = _all_copies(slots, hashes, rows, held)
        # A paragraph: lines up to an empty one that another follows.
        pieces = np.int64(0)
        next_line: Any = np.int64(0)
        while next_line < held:
            opened = kept[next_line, _FIRST]
            line = kept[next_line, _LINE]
            last = kept[next_line, _LAST]
            next_line += 1
            while next_line < held:
                apart = False
                for other in range(line + 1, kept[next_line, _LINE]):
                    apart |= line_starts[other] == line_ends[other]
                if apart:
                    break
                line, last = kept[next_line, _LINE], kept[next_line, _LAST]
                next_line += 1
            chars = np.int64(0)
            for i in range(opened, last):
                chars += (kinds[i] & TAIL) == 0
            hashes[pieces], chars_of[pieces] = hash_bytes(data, opened, last), chars
            counts[11] += chars
            pieces += 1
        counts[10] = pieces
        counts[12], counts[13] = _all_copies(slots, hashes, rows, pieces)
        for k in range(held):
            line = kept[k, _LINE]
            start, end = kept[k, _START], kept[k, _END]
            high = _is_uppercase(data, start, end, np.int64(line_chars[line]), table)
            counts[17] += high
            kept[k, _ALIVE] = not high
        _edit(row_start, data, kept, held, table, phrases, buffer, counts)
