"""RefinedWeb's rules on lines, as DCLM's baseline wrote them.

Sources: Penedo et al. 2023, arXiv:2306.01116, G.2; Li et al. 2024, arXiv:2406.11794, whose `mappers/modifiers.py`
and `dclm_baseline_refinedweb.yaml` give the arithmetic and the order.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import njit, types

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.pipeline.edits import RefinedWebLines
from coursepack.stages.characters import (
    BYTES,
    INDEX,
    characters,
    code_point_runs,
    decode,
)
from coursepack.stages.line_edits import (
    KEPT,
    SPACE,
    Cuts,
    break_bytes,
    count_line_words,
    find_row_lines,
    line_spans,
    python_spaces,
    room_for_lines,
    skip_spaces,
    skip_spaces_back,
)
from coursepack.stages.spans import Spans

_UPPERCASE, _DIGITS, _COUNTER, _FEW_WORDS, _PHRASE = range(1, 6)
_KINDS = (
    "line:space",
    "line:uppercase",
    "line:digits",
    "line:counter",
    "line:few_words",
    "line:phrase",
)
COUNTERS = (
    "likes",
    "shares",
    "comments",
    "retweets",
    "reposts",
    "quotes",
    "bookmarks",
    "upvotes",
    "downvotes",
    "downloads",
    "views",
    "followers",
)
# The second is written "Read more..." in the configuration: its dots match any three characters.
_PHRASES = (b"items in cart", b"read more", b"sign-in")

# Bits of a code point.
_SPACE_BIT, _UPPER, _DIGIT, _WORD, _DECIMAL = (1 << k for k in range(5))


def refinedweb_line_spans(text: Text, settings: RefinedWebLines) -> Spans:
    """Lines that RefinedWeb drops, and phrases of shops and logins in short lines.

    In this order: lines with too large a share of upper case; of digits; counters such as "3 likes"; lines that
    are not empty and hold too few words; then "items in cart", "Read more..." at the end and "Sign-in" at
    the start of lines of few words. White space at the text's ends goes between these steps, as in DCLM: a
    first line " 12" is all digits, a later one is not. Lines end at LF; letters of phrases match in any case of
    ASCII. An edit may bring forth what a second one would drop.
    """
    offsets, data = text_buffers(text)
    lines = room_for_lines(offsets, data, False)
    count = len(lines.starts)
    size = int(np.diff(offsets).max(initial=0))
    cut_offsets = np.zeros(count + 1, np.int64)
    # A cut takes a phrase, or white space at an end of the text.
    most = 2 * count + int(offsets[-1] - offsets[0]) // min(map(len, _PHRASES))
    cut_starts, cut_ends = np.empty(most, np.int64), np.empty(most, np.int64)
    cut_kinds = np.empty(most, np.int16)
    counters = np.zeros((len(COUNTERS), 16), np.uint8)
    for row, word in zip(counters, COUNTERS, strict=True):
        row[: len(word)] = np.frombuffer(word.encode(), np.uint8)
    in_cart, read_more, sign_in = (np.frombuffer(word, np.uint8) for word in _PHRASES)
    chars, lows, highs = np.empty((3, count), np.int64)
    _judge(
        offsets,
        data,
        break_bytes(False),
        lines.offsets,
        lines.starts,
        lines.ends,
        lines.nexts,
        lines.lefts,
        lines.rights,
        lines.verdicts,
        cut_offsets,
        cut_starts,
        cut_ends,
        cut_kinds,
        chars,
        lows,
        highs,
        np.empty(size, np.uint8),
        np.empty(size, np.int64),
        _bits(),
        python_spaces(),
        counters,
        in_cart,
        read_more,
        sign_in,
        settings.max_uppercase_ratio,
        settings.max_digit_ratio,
        settings.counters,
        settings.min_words,
        settings.phrase_line_words if settings.phrases else -1,
    )
    cuts = Cuts(cut_offsets, cut_starts, cut_ends, cut_kinds)
    return line_spans(offsets, data, lines, cuts, _KINDS)


@cache
def _bits() -> np.ndarray:
    table = characters()
    bits: np.ndarray = (table.is_letter | table.is_number) * np.uint8(_WORD)
    bits[ord("_")] |= _WORD
    bits |= table.is_digit * np.uint8(_DECIMAL) | python_spaces() * np.uint8(_SPACE_BIT)
    for pattern, bit in ((r"\p{Uppercase}", _UPPER), (r"[\p{nt=De}\p{nt=Di}]", _DIGIT)):
        for run in code_point_runs(pattern):
            bits[run] |= bit
    return bits


@njit(nogil=True, cache=True)
def _lower(byte: Any) -> Any:
    return byte | 0x20 if 0x41 <= byte <= 0x5A else byte


@njit(nogil=True, cache=True)
def _stands_at(data: np.ndarray, i: int, end: int, word: np.ndarray, size: int) -> bool:
    """Whether word[:size] stands at i, in any case."""
    if i < 0 or i + size > end:
        return False
    k = 0
    while k < size and _lower(data[i + k]) == word[k]:
        k += 1
    return k == size


@njit(nogil=True, cache=True)
def _is_counter(data: np.ndarray, i: int, end: int, bits: np.ndarray, counters: np.ndarray) -> bool:
    """A number, perhaps with K, M or B, white space and a word of `counters`; no word before or after."""
    code: Any = np.int64(0)
    width: Any = np.int64(0)
    while i < end:
        code, width = decode(data, i, end)
        if bits[code] & _WORD:
            break
        i += width
    if i >= end or not bits[code] & _DECIMAL:
        return False
    while i < end:
        code, width = decode(data, i, end)
        if not (bits[code] & _DECIMAL or code == 0x2C or code == 0x2E):
            break
        i += width
    letter = _lower(code)
    if i < end and (letter == 0x6B or letter == 0x6D or letter == 0x62):
        i += 1
    spaces = i
    while i < end:
        code, width = decode(data, i, end)
        if not bits[code] & _SPACE_BIT:
            break
        i += width
    if i == spaces:
        return False
    for k in range(len(counters)):
        size = 0
        while counters[k, size] != 0:
            size += 1
        if _stands_at(data, i, end, counters[k], size):
            i += size
            while i < end:
                code, width = decode(data, i, end)
                if bits[code] & _WORD:
                    return False
                i += width
            return True
    return False


@njit(nogil=True, cache=True)
def _strip(
    data: np.ndarray,
    lefts: np.ndarray,
    rights: np.ndarray,
    verdicts: np.ndarray,
    is_space: np.ndarray,
    chars: np.ndarray,
) -> None:
    """White space at the ends of the text that the kept lines of a row make."""
    for line in range(len(lefts)):
        if verdicts[line] == KEPT:
            left = skip_spaces(data, lefts[line], rights[line], is_space)
            for i in range(lefts[line], left):
                chars[line] -= data[i] & 0xC0 != 0x80
            lefts[line] = left
            if left < rights[line]:
                break
            verdicts[line] = SPACE + 1
    for line in range(len(lefts) - 1, -1, -1):
        if verdicts[line] == KEPT:
            right = skip_spaces_back(data, lefts[line], rights[line], is_space)
            for i in range(right, rights[line]):
                chars[line] -= data[i] & 0xC0 != 0x80
            rights[line] = right
            if right > lefts[line]:
                break
            verdicts[line] = SPACE + 1


@njit(nogil=True, cache=True)
def _without_phrase(
    text: np.ndarray,
    places: np.ndarray,
    start: int,
    end: int,
    step: int,
    word: np.ndarray,
    is_space: np.ndarray,
) -> Any:
    """Takes a step's phrase out of text[start:end] and its places; the new end."""
    if step == 1:  # three characters, whatever they are, behind the phrase
        tail, left = end, 3
        while tail > start and left > 0:
            tail -= 1
            left -= text[tail] & 0xC0 != 0x80
        first = tail - len(word)
        if left == 0 and first >= start and _stands_at(text, first, end, word, len(word)):
            return _before_space(text, start, first, is_space)
        return end
    if step == 2:
        if not _stands_at(text, start, end, word, len(word)):
            return end
        i = start + len(word)
        if i < end:
            code, width = decode(text, i, end)
            if is_space[code]:
                i += width
        size = end - i
        for k in range(size):
            text[start + k], places[start + k] = text[i + k], places[i + k]
        return start + size
    to, i, matched = start, start, start  # before `matched` all is taken or kept for good
    while i < end:
        if _stands_at(text, i, end, word, len(word)):
            to = _before_space(text, matched, to, is_space)
            i += len(word)
            matched = to
        else:
            text[to], places[to] = text[i], places[i]
            to += 1
            i += 1
    return to


@njit(nogil=True, cache=True)
def _before_space(data: np.ndarray, start: int, i: int, is_space: np.ndarray) -> Any:
    """The place before i without the one character of white space that may end there; inside kernels."""
    k = i - 1
    while k > start and data[k] & 0xC0 == 0x80:
        k -= 1
    if k >= start:
        code, width = decode(data, k, i)
        if is_space[code] and k + width == i:
            return k
    return i


@njit(nogil=True, cache=True)
def _may_hold_phrase(
    data: np.ndarray, start: int, end: int, one: np.ndarray, two: np.ndarray, three: np.ndarray
) -> bool:
    for i in range(start, end):
        letter = _lower(data[i])
        if letter == one[0] and _stands_at(data, i, end, one, len(one)):
            return True
        if letter == two[0] and _stands_at(data, i, end, two, len(two)):
            return True
        if letter == three[0] and _stands_at(data, i, end, three, len(three)):
            return True
    return False


@njit(nogil=True, cache=True)
def _count_kinds(data: np.ndarray, i: int, end: int, bits: np.ndarray) -> tuple[Any, Any, Any]:
    """Code points, capitals and digits."""
    chars, capitals, digits = 0, 0, 0
    code: Any = np.int64(0)
    width: Any = np.int64(0)
    while i < end:
        code, width = np.int64(data[i]), np.int64(1)
        if code >= 0x80:
            code, width = decode(data, i, end)
        chars += 1
        capitals += (bits[code] & _UPPER) != 0
        digits += (bits[code] & _DIGIT) != 0
        i += width
    return chars, capitals, digits


@njit(nogil=True, cache=True)
def _take_phrases(
    data: np.ndarray,
    lefts: np.ndarray,
    rights: np.ndarray,
    verdicts: np.ndarray,
    lows: np.ndarray,
    highs: np.ndarray,
    chars: np.ndarray,
    text: np.ndarray,
    places: np.ndarray,
    is_space: np.ndarray,
    one: np.ndarray,
    two: np.ndarray,
    three: np.ndarray,
    phrase_words: int,
) -> None:
    """The three steps on phrases, on a copy of a row's lines: of line k stays text[lows[k]:highs[k]], whose bytes
    stand in `data` at `places`."""
    size = 0
    for line in range(len(lefts)):
        lows[line] = size
        if verdicts[line] == KEPT:
            for i in range(lefts[line], rights[line]):
                text[size], places[size] = data[i], i
                size += 1
        highs[line] = size
    for step in range(3):
        word = one if step == 0 else two if step == 1 else three
        for line in range(len(lefts)):
            start, end = lows[line], highs[line]
            if verdicts[line] != KEPT or start == end:
                continue
            if count_line_words(text, start, end, is_space, phrase_words + 1) > phrase_words:
                continue
            highs[line] = _without_phrase(text, places, start, end, step, word, is_space)
            if skip_spaces(text, start, highs[line], is_space) == highs[line]:
                verdicts[line] = _PHRASE + 1
        _strip(text, lows, highs, verdicts, is_space, chars)


@njit(
    types.void(
        INDEX,
        BYTES,
        BYTES,
        *(types.int64[::1],) * 6,
        types.uint8[::1],
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
        types.int16[::1],
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
        types.uint8[::1],
        types.int64[::1],
        BYTES,
        BYTES,
        types.uint8[:, ::1],
        BYTES,
        BYTES,
        BYTES,
        types.float64,
        types.float64,
        types.boolean,
        types.int64,
        types.int64,
    ),
    nogil=True,
    cache=True,
)
def _judge(
    offsets: np.ndarray,
    data: np.ndarray,
    breaks: np.ndarray,
    line_offsets: np.ndarray,
    line_starts: np.ndarray,
    line_ends: np.ndarray,
    nexts: np.ndarray,
    all_lefts: np.ndarray,
    all_rights: np.ndarray,
    all_verdicts: np.ndarray,
    cut_offsets: np.ndarray,
    cut_starts: np.ndarray,
    cut_ends: np.ndarray,
    cut_kinds: np.ndarray,
    all_chars: np.ndarray,
    all_lows: np.ndarray,
    all_highs: np.ndarray,
    text: np.ndarray,
    places: np.ndarray,
    bits: np.ndarray,
    is_space: np.ndarray,
    counters: np.ndarray,
    one: np.ndarray,
    two: np.ndarray,
    three: np.ndarray,
    max_uppercase: float,
    max_digits: float,
    drop_counters: bool,
    min_words: int,
    phrase_words: int,
) -> None:
    cuts = 0
    for row in range(len(offsets) - 1):
        a = line_offsets[row]
        b = find_row_lines(
            data, offsets[row], offsets[row + 1], breaks, a, line_starts, line_ends, nexts
        )
        line_offsets[row + 1] = b
        all_lefts[a:b], all_rights[a:b] = line_starts[a:b], line_ends[a:b]
        lefts, rights, verdicts = all_lefts[a:b], all_rights[a:b], all_verdicts[a:b]
        chars, lows, highs = all_chars[a:b], all_lows[a:b], all_highs[a:b]
        digits = lows  # of use until phrases are looked for
        for line in range(b - a):
            size, capitals, digits[line] = _count_kinds(data, lefts[line], rights[line], bits)
            chars[line] = size
            if size > 0 and capitals / size > max_uppercase:
                verdicts[line] = _UPPERCASE + 1
        _strip(data, lefts, rights, verdicts, is_space, chars)
        for line in range(b - a):
            share = digits[line] / max(chars[line], 1)
            if verdicts[line] == KEPT and share > max_digits:
                verdicts[line] = _DIGITS + 1
        _strip(data, lefts, rights, verdicts, is_space, chars)
        if drop_counters:
            for line in range(b - a):
                left, right = lefts[line], rights[line]
                if verdicts[line] == KEPT and _is_counter(data, left, right, bits, counters):
                    verdicts[line] = _COUNTER + 1
            _strip(data, lefts, rights, verdicts, is_space, chars)
        phrases = False
        for line in range(b - a):
            left, right = lefts[line], rights[line]
            if verdicts[line] != KEPT or left == right:
                continue
            most = max(min_words, phrase_words + 1)
            words = count_line_words(data, left, right, is_space, most)
            if words < min_words:
                verdicts[line] = _FEW_WORDS + 1
            elif words <= phrase_words and not phrases:
                phrases = words == 0 or _may_hold_phrase(data, left, right, one, two, three)
        if phrases:
            _take_phrases(
                data,
                lefts,
                rights,
                verdicts,
                lows,
                highs,
                chars,
                text,
                places,
                is_space,
                one,
                two,
                three,
                phrase_words,
            )
        elif phrase_words >= 0:
            _strip(data, lefts, rights, verdicts, is_space, chars)
        for line in range(b - a):
            if phrases and verdicts[line] == KEPT:
                i = lefts[line]
                for k in range(lows[line], highs[line] + 1):
                    place = places[k] if k < highs[line] else rights[line]
                    if place > i:
                        blank = skip_spaces(data, i, place, is_space) == place
                        cut_starts[cuts], cut_ends[cuts] = i, place
                        cut_kinds[cuts] = SPACE if blank else _PHRASE
                        cuts += 1
                    i = place + 1
            cut_offsets[a + line + 1] = cuts
