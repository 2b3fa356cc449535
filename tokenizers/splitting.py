"""The patterns that byte-level tokenizers cut texts by, as kernels over UTF-8.

Three families cover nearly all models: GPT-2's, cl100k's (GPT-4, Llama 3, Qwen) and o200k's (GPT-4o, gpt-oss,
Mistral's Tekken). Each kernel follows its pattern's alternatives in their order and gives, at the start of a
match, its end. The patterns look at nothing before a match and match at every place of a text, so a text is
cut from left to right, and cutting may go on at any cut.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from coursepack.tokenizers.cache import DOCUMENT_END
from coursepack.tokenizers.code_points import ALONE, LETTER, LOWER, NUMBER, SPACE, UPPER
from coursepack.tokenizers.kernels import Int, code_point, kernel

GPT2, CL100K, O200K = 0, 1, 2
_OTHER_MASK = LETTER | NUMBER | SPACE | ALONE  # a sign has none of these
_NEWLINE, _RETURN, _BLANK, _APOSTROPHE, _SLASH = 0x0A, 0x0D, 0x20, 0x27, 0x2F


@dataclass(frozen=True)
class Pattern:
    """One of the families, and in what its members differ."""

    family: int
    contractions: bool = True
    any_case: bool = False  # of contractions
    digits: int = 0  # most of a number in one piece; 0: no bound
    slash: bool = False  # behind signs, like newlines
    end_first: bool = False  # white space that ends a text is one piece, newlines or not

    def settings(self) -> np.ndarray:
        """As kernels read them (int64)."""
        values = (
            self.family, self.contractions, self.any_case, self.digits, self.slash, self.end_first,
        )  # fmt: skip
        return np.array(values, np.int64)


def _families() -> Iterator[tuple[str, Pattern]]:
    """Every spelling known, with what it means."""
    lower, folded = "'s|'t|'re|'ve|'m|'ll|'d", "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    yield lower + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", Pattern(GPT2)
    yield (
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
        Pattern(GPT2),
    )
    numbers = ((r"\p{N}{1,3}", 3), (r"\p{N}", 1), (r"\p{N}+", 0))
    spaces = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    for (contraction, cased), (number, digits) in product(
        ((lower, False), (folded, True)), numbers
    ):
        yield (
            contraction
            + r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
            + number
            + r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
            + spaces,
            Pattern(CL100K, any_case=cased, digits=digits),
        )
    yield (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        Pattern(CL100K, any_case=True, digits=3, end_first=True),
    )
    before, capital, small = (
        r"[^\r\n\p{L}\p{N}]?",
        r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
    )
    for after, (number, digits), slash in product((folded + "?", ""), numbers, (True, False)):
        signs = r"| ?[^\s\p{L}\p{N}]+" + (r"[\r\n/]*" if slash else r"[\r\n]*")
        yield (
            f"{before}{capital}*{small}+{after}|{before}{capital}+{small}*{after}|{number}{signs}{spaces}",
            Pattern(O200K, bool(after), any_case=True, digits=digits, slash=slash),
        )


PATTERNS = dict(_families())


@kernel
def cut_texts(
    offsets: np.ndarray,
    data: np.ndarray,
    classes: np.ndarray,
    settings: np.ndarray,
    document: Int,
    at: Int,
    ends: np.ndarray,
) -> tuple[Int, Int, Int]:
    """The ends of a pattern's matches, as `Segments.cut` says; `classes` are those of code points."""
    n = 0
    family = settings[0]
    while document < len(offsets) - 1 and n < len(ends):
        end = np.uint64(offsets[document + 1])
        place = np.uint64(at)
        while place < end and n < len(ends):
            if family == GPT2:
                place = _gpt2(data, place, end, classes)
            elif family == CL100K:
                place = _cl100k(data, place, end, classes, settings)
            else:
                place = _o200k(data, place, end, classes, settings)
            ends[n] = place
            n += 1
        at = np.int64(place)
        if place < end or n == len(ends):
            break
        ends[n] = DOCUMENT_END
        n += 1
        document += 1
    return document, at, n


@kernel
def _class(data: np.ndarray, at: Int, end: Int, classes: np.ndarray) -> tuple[Int, Int]:
    """The class of the character at a byte, and where the next one starts."""
    point, after = code_point(data, at, end)
    return classes[point], after


@kernel
def _run(data: np.ndarray, at: Int, end: Int, classes: np.ndarray, mask: Int, wanted: Int) -> Int:
    """Where the run of characters with `class & mask == wanted` ends."""
    while at < end:
        byte = np.uint64(data[at])
        if byte < 0x80:
            if classes[byte] & mask != wanted:
                break
            at += np.uint64(1)
        else:
            found, after = _class(data, at, end, classes)
            if found & mask != wanted:
                break
            at = after
    return at


@kernel
def _spaces(data: np.ndarray, at: Int, end: Int, classes: np.ndarray) -> tuple[Int, Int, Int]:
    """Of a run of white space: its end, its last character, and the byte behind its last newline or return."""
    last, line = at, at
    while at < end:
        found, after = _class(data, at, end, classes)
        if not found & SPACE:
            break
        if data[at] == _NEWLINE or data[at] == _RETURN:
            line = after
        last, at = at, after
    return at, last, line


@kernel
def _white_space(data: np.ndarray, at: Int, end: Int, classes: np.ndarray) -> Int:
    r"""`\s+(?!\S)|\s+`: all of the run but its last character, which goes with what follows."""
    stop, last, _ = _spaces(data, at, end, classes)
    if stop == end or last == at:
        return stop
    if _class(data, stop, end, classes)[0] & ALONE:
        return stop  # the pattern sees no more than the text up to here
    return last


@kernel
def _contraction(data: np.ndarray, at: Int, end: Int, any_case: Int) -> Int:
    """Behind `'s 't 're 've 'm 'll 'd` at `at`, or `at`; without case U+017F is an `s`."""
    left = end - at
    if left < 2 or data[at] != _APOSTROPHE:
        return at
    fold = np.uint8(0x20) if any_case else np.uint8(0)
    first = data[at + np.uint64(1)] | fold
    if first == 0x73 or first == 0x74 or first == 0x6D or first == 0x64:
        return at + np.uint64(2)
    if left < 3:
        return at
    if any_case and data[at + np.uint64(1)] == 0xC5 and data[at + np.uint64(2)] == 0xBF:
        return at + np.uint64(3)
    second = data[at + np.uint64(2)] | fold
    if (second == 0x65 and (first == 0x72 or first == 0x76)) or (second == 0x6C and first == 0x6C):
        return at + np.uint64(3)
    return at


@kernel
def _gpt2(data: np.ndarray, at: Int, end: Int, classes: np.ndarray) -> Int:
    stop = _contraction(data, at, end, False)
    if stop > at:
        return stop
    found, after = _class(data, at, end, classes)
    if data[at] == _BLANK and after < end:
        following, behind = _class(data, after, end, classes)
        if not following & (SPACE | ALONE):
            found, after = following, behind
    if found & LETTER:
        return _run(data, after, end, classes, LETTER, LETTER)
    if found & NUMBER:
        return _run(data, after, end, classes, NUMBER, NUMBER)
    if found & ALONE:
        return after
    if found & SPACE:
        return _white_space(data, at, end, classes)
    return _run(data, after, end, classes, _OTHER_MASK, 0)


@kernel
def _number(data: np.ndarray, at: Int, end: Int, classes: np.ndarray, most: Int) -> Int:
    if most == 0:
        return _run(data, at, end, classes, NUMBER, NUMBER)
    count = 0
    while at < end and count < most:
        found, after = _class(data, at, end, classes)
        if not found & NUMBER:
            break
        at = after
        count += 1
    return at


@kernel
def _signs_or_spaces(
    data: np.ndarray, at: Int, end: Int, classes: np.ndarray, settings: np.ndarray
) -> Int:
    r"""` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, which cl100k and o200k have in common."""
    found, after = _class(data, at, end, classes)
    if data[at] == _BLANK and after < end:
        following, behind = _class(data, after, end, classes)
        if not following & _OTHER_MASK:
            found, after = following, behind
    if not found & _OTHER_MASK:
        after = _run(data, after, end, classes, _OTHER_MASK, 0)
        while after < end and (
            data[after] == _NEWLINE
            or data[after] == _RETURN
            or (settings[4] and data[after] == _SLASH)
        ):
            after += np.uint64(1)
        return after
    stop, last, line = _spaces(data, at, end, classes)
    if settings[5] and stop == end:
        return stop
    if line > at:
        return line
    return stop if stop == end or last == at else last


@kernel
def _cl100k(data: np.ndarray, at: Int, end: Int, classes: np.ndarray, settings: np.ndarray) -> Int:
    stop = _contraction(data, at, end, settings[2])
    if stop > at:
        return stop
    found, after = _class(data, at, end, classes)
    if found & LETTER:
        return _run(data, after, end, classes, LETTER, LETTER)
    if found & NUMBER:
        return _number(data, at, end, classes, settings[3])
    if after < end and data[at] != _NEWLINE and data[at] != _RETURN:
        following, behind = _class(data, after, end, classes)
        if following & LETTER:
            return _run(data, behind, end, classes, LETTER, LETTER)
    return _signs_or_spaces(data, at, end, classes, settings)


@kernel
def _small_word(data: np.ndarray, at: Int, end: Int, classes: np.ndarray) -> tuple[Int, Int]:
    r"""Of `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`: its end, `at` where it does not match;
    and the end of the capitals alone.

    Without a small letter behind the capitals, they give back what is not a small letter too.
    """
    capitals, small = at, at
    while capitals < end:
        found, after = _class(data, capitals, end, classes)
        if not found & UPPER:
            break
        capitals = after
        if found & LOWER:
            small = after
    stop = _run(data, capitals, end, classes, LOWER, LOWER)
    return (stop if stop > capitals else small), capitals


@kernel
def _o200k(data: np.ndarray, at: Int, end: Int, classes: np.ndarray, settings: np.ndarray) -> Int:
    found, after = _class(data, at, end, classes)
    if found & NUMBER:
        return _number(data, at, end, classes, settings[3])
    # a mark may stand before a word as any sign may, or be its first letter
    leads = not found & LETTER and data[at] != _NEWLINE and data[at] != _RETURN and after < end
    stop = at
    behind_lead = after
    if leads:
        stop, behind_lead = _small_word(data, after, end, classes)
        if stop == after:
            stop = at
    if stop == at and found & (UPPER | LOWER):
        stop, capitals = _small_word(data, at, end, classes)
        if stop == at:
            stop = capitals
    if stop == at and leads and behind_lead > after:
        stop = behind_lead
    if stop == at:
        return _signs_or_spaces(data, at, end, classes, settings)
    return _contraction(data, stop, end, True) if settings[1] else stop
