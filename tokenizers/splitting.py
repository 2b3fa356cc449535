r"""Texts cut by a pattern, with an automaton over UTF-8.

A state says what the piece that is under way may still take; a character's kind, and whether white space follows
it, give the next state and whether there is a cut before the character. That loop has no branch that depends
on the text, but for rare places where a pattern looks further: white space of more than one character
(`\s+(?!\S)`, `\s*[\r\n]+`), an apostrophe that may begin a contraction, and o200k's words with letters that are
neither capital nor small, which may give characters back. Those follow the pattern's alternatives in their order.
"""

from enum import IntEnum

import numpy as np

from coursepack.tokenizers.cache import DOCUMENT_END
from coursepack.tokenizers.code_points import (
    ALONE,
    LETTER,
    LOWER,
    NUMBER,
    SPACE,
    UPPER,
    code_point_classes,
)
from coursepack.tokenizers.kernels import Int, code_point, kernel
from coursepack.tokenizers.patterns import CL100K, GPT2, O200K, Pattern

_NEWLINE, _RETURN, _BLANK, _APOSTROPHE, _SLASH = 0x0A, 0x0D, 0x20, 0x27, 0x2F


class _Kind(IntEnum):
    """Of a character; a letter is CAPITAL where its case does not matter."""

    SIGN, CAPITAL, SMALL, CASELESS, MARK, DIGIT, QUOTE, SLASH, ALONE, BLANK, SPACE, LINE = range(12)


class _State(IntEnum):
    """Of the piece under way: what it is so far."""

    START, WORD, CAPITALS, SMALLS, SIGN, SIGNS, LINES, BLANK, SPACE, LINE, ALONE = range(11)
    NUMBER = 11  # one digit; the states behind it are of two and three
    # states in which the kernel looks further
    SPACES, QUOTE, WORD_QUOTE, GIVES_BACK = 16, 17, 18, 19


_STATES, _KINDS = 20, 16
_CUT = 0x80
_WHITE = (_Kind.BLANK, _Kind.SPACE, _Kind.LINE)
_FIRST_WHITE, _SPECIAL = int(_Kind.BLANK), int(_State.SPACES)
_AT_START, _AS_SIGN = int(_State.START), int(_State.SIGN)
_IS_QUOTE, _IS_WORD_QUOTE, _IS_SPACES = (
    int(_State.QUOTE),
    int(_State.WORD_QUOTE),
    int(_State.SPACES),
)


class Cutter:
    """A pattern's tables, and the texts it cuts; with `digits` each digit is cut off before the pattern sees it."""

    def __init__(self, pattern: Pattern, digits: bool = False) -> None:
        self._classes = code_point_classes(digits)
        self._kinds = _kinds(pattern, self._classes)
        self._moves = _moves(pattern)
        self._settings = np.array(
            [
                pattern.family,
                pattern.contractions,
                pattern.any_case,
                pattern.digits,
                pattern.slash,
                pattern.end_first,
            ],
            np.int64,
        )

    def cut(
        self, offsets: np.ndarray, data: np.ndarray, document: int, at: int, ends: np.ndarray
    ) -> tuple[int, int, int]:
        """As `Segments.cut` of `cache`; at least four ends must have room."""
        tables = (self._kinds, self._moves, self._classes, self._settings)
        return _cut(offsets, data, *tables, document, at, ends)


def _kinds(pattern: Pattern, classes: np.ndarray) -> np.ndarray:
    """The kind of a code point (uint8), by its class and a few by themselves."""
    cased = pattern.family == O200K
    of_class = np.full(256, _Kind.SIGN, np.uint8)
    of_class[LETTER | UPPER] = _Kind.CAPITAL
    of_class[LETTER | LOWER] = _Kind.SMALL if cased else _Kind.CAPITAL
    of_class[LETTER | UPPER | LOWER] = _Kind.CASELESS if cased else _Kind.CAPITAL
    of_class[UPPER | LOWER] = _Kind.MARK if cased else _Kind.SIGN
    of_class[NUMBER], of_class[SPACE], of_class[ALONE] = _Kind.DIGIT, _Kind.SPACE, _Kind.ALONE
    kinds: np.ndarray = of_class[classes]
    kinds[_BLANK], kinds[[_NEWLINE, _RETURN]] = _Kind.BLANK, _Kind.LINE
    kinds[_APOSTROPHE] = _Kind.QUOTE
    if pattern.slash:
        kinds[_SLASH] = _Kind.SLASH
    return kinds


def _moves(pattern: Pattern) -> np.ndarray:
    """The next state (uint8), with _CUT where a piece ends before the character: at (state, kind, white space
    follows) in one row."""
    moves = np.zeros((_STATES, _KINDS, 2), np.uint8)
    begin, go_on = _beginnings(pattern), _continuations(pattern)
    for state in (*_State, _State.NUMBER + 1, _State.NUMBER + 2):
        if state >= _SPECIAL:
            continue
        for kind in _Kind:
            for follows in (False, True):
                into = go_on.get((state, kind))
                new = _State.SPACES if follows and kind in _WHITE else begin[kind]
                cut = _CUT if state != _State.START else 0
                moves[state, kind, int(follows)] = new | cut if into is None else into
    return moves.ravel()


def _beginnings(pattern: Pattern) -> dict[_Kind, int]:
    """The state of a piece of one character."""
    cased = pattern.family == O200K
    return {
        _Kind.SIGN: _State.SIGN,
        _Kind.SLASH: _State.SIGN,
        _Kind.QUOTE: _State.SIGN if cased else _State.QUOTE,
        _Kind.CAPITAL: _State.CAPITALS if cased else _State.WORD,
        _Kind.SMALL: _State.SMALLS,
        _Kind.CASELESS: _State.GIVES_BACK,
        _Kind.MARK: _State.GIVES_BACK,
        _Kind.DIGIT: _State.NUMBER,
        _Kind.ALONE: _State.ALONE,
        _Kind.BLANK: _State.BLANK,
        _Kind.SPACE: _State.SPACE,
        _Kind.LINE: _State.LINE,
    }


def _continuations(pattern: Pattern) -> dict[tuple[int, _Kind], int]:
    """The states of pieces that take one more character; every other character begins a new one."""
    found: dict[tuple[int, _Kind], int] = {}

    def take(states: tuple[int, ...], kinds: tuple[_Kind, ...], into: int) -> None:
        found.update({(state, kind): into for state in states for kind in kinds})

    signs = (_Kind.SIGN, _Kind.QUOTE, _Kind.SLASH)
    take((_State.SIGN, _State.SIGNS, _State.BLANK), signs, _State.SIGNS)
    if pattern.digits == 0:
        take((_State.NUMBER,), (_Kind.DIGIT,), _State.NUMBER)
    for more in range(1, pattern.digits):
        take((_State.NUMBER + more - 1,), (_Kind.DIGIT,), _State.NUMBER + more)
    if pattern.family == GPT2:
        take((_State.WORD, _State.BLANK), (_Kind.CAPITAL,), _State.WORD)
        take((_State.BLANK,), (_Kind.DIGIT,), _State.NUMBER)
        return found
    take((_State.SIGN, _State.SIGNS, _State.LINES), (_Kind.LINE,), _State.LINES)
    leads = (_State.SIGN, _State.BLANK, _State.SPACE)  # what may stand before a word
    if pattern.family == CL100K:
        take((_State.WORD, *leads), (_Kind.CAPITAL,), _State.WORD)
        return found
    take((_State.LINES,), (_Kind.SLASH,) if pattern.slash else (), _State.LINES)
    take((_State.SIGNS,), (_Kind.MARK,), _State.SIGNS)
    take((_State.CAPITALS, *leads), (_Kind.CAPITAL,), _State.CAPITALS)
    take((_State.CAPITALS, *leads), (_Kind.SMALL,), _State.SMALLS)
    take((_State.CAPITALS, *leads), (_Kind.CASELESS, _Kind.MARK), _State.GIVES_BACK)
    take((_State.SMALLS,), (_Kind.SMALL, _Kind.CASELESS, _Kind.MARK), _State.SMALLS)
    if pattern.contractions:
        take((_State.CAPITALS, _State.SMALLS), (_Kind.QUOTE,), _State.WORD_QUOTE)
    return found


@kernel
def _cut(
    offsets: np.ndarray,
    data: np.ndarray,
    kinds: np.ndarray,
    moves: np.ndarray,
    classes: np.ndarray,
    settings: np.ndarray,
    document: Int,
    at: Int,
    ends: np.ndarray,
) -> tuple[Int, Int, Int]:
    n = 0
    most = len(ends) - 3  # a step writes two ends, the last piece's end and DOCUMENT_END follow
    while document < len(offsets) - 1 and n < most:
        end = np.uint64(offsets[document + 1])
        if at < offsets[document + 1]:
            n, place = _cut_document(
                data, np.uint64(at), end, kinds, moves, classes, settings, ends, n, most
            )
            at = np.int64(place)
            if place < end:
                break
        ends[n] = DOCUMENT_END
        n += 1
        document += 1
    return document, at, n


@kernel
def _cut_document(
    data: np.ndarray,
    at: Int,
    end: Int,
    kinds: np.ndarray,
    moves: np.ndarray,
    classes: np.ndarray,
    settings: np.ndarray,
    ends: np.ndarray,
    n: Int,
    most: Int,
) -> tuple[Int, Int]:
    """Ends of pieces from a cut at `at` on; how many there are, and the last cut, from which to go on."""
    start: Int = at
    state: Int = _AT_START
    kind, after = _class(data, at, end, kinds)
    while True:
        following, behind, white = kind, after, 0
        if after < end:
            following = kinds[data[after]]
            behind = after + np.uint64(1)
            if data[after] >= 0x80:
                following, behind = _class(data, after, end, kinds)
            white = int(following >= _FIRST_WHITE)
        move = np.int64(moves[state * 2 * _KINDS + np.int64(kind) * 2 + white])
        ends[n] = np.int64(at)
        n += move >> 7
        start = at if move & _CUT else start
        state = move & ~_CUT
        if state >= _SPECIAL:
            stop = at
            if state in (_IS_QUOTE, _IS_WORD_QUOTE):
                stop = _contraction(data, at, end, settings[2])
                if stop == at and state == _IS_WORD_QUOTE:
                    ends[n] = np.int64(at)
                    n += 1
                    start = at
                state = _AS_SIGN
            elif state == _IS_SPACES:
                stop = _white_space(data, at, end, classes, settings)
            else:
                stop = _word(data, start, end, classes, settings[1])
            if stop > at or state != _AS_SIGN:
                ends[n] = np.int64(stop)
                n += 1
                start, state, at = stop, _AT_START, stop
                if at >= end or n >= most:
                    break
                kind, after = _class(data, at, end, kinds)
                continue
        at, kind, after = after, following, behind
        if at >= end or n >= most:
            break
    if at >= end:
        if state != _AT_START:
            ends[n] = np.int64(end)
            n += 1
        start = end
    return n, start


@kernel
def _class(data: np.ndarray, at: Int, end: Int, classes: np.ndarray) -> tuple[Int, Int]:
    """The class of the character at a byte, and where the next one starts."""
    point, after = code_point(data, at, end)
    return classes[point], after


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
def _white_space(
    data: np.ndarray, at: Int, end: Int, classes: np.ndarray, settings: np.ndarray
) -> Int:
    r"""`\s+(?!\S)|\s+`: all of the run but its last character, which goes with what follows. But for GPT-2
    `\s*[\r\n]+` comes before: up to the last newline."""
    stop, last, line = _spaces(data, at, end, classes)
    if settings[0] != GPT2:
        if settings[5] and stop == end:
            return stop
        if line > at:
            return line
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
def _small_word(data: np.ndarray, at: Int, end: Int, classes: np.ndarray) -> Int:
    r"""The end of `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`, or `at` where it does not match.

    Without a small letter behind the capitals, they give back all behind the last that is no capital.
    """
    capitals, small = at, at
    while capitals < end:
        found, after = _class(data, capitals, end, classes)
        if not found & UPPER:
            break
        capitals = after
        if found & LOWER:
            small = after
    stop = capitals
    while stop < end:
        found, after = _class(data, stop, end, classes)
        if not found & LOWER:
            break
        stop = after
    return stop if stop > capitals else small


@kernel
def _word(data: np.ndarray, at: Int, end: Int, classes: np.ndarray, contractions: Int) -> Int:
    """A word of o200k from a piece's beginning, behind one sign or without, in which a letter is neither capital
    nor small: so its first alternative matches."""
    found, after = _class(data, at, end, classes)
    stop = at
    # a mark may stand before a word as any sign may, or be its first letter
    if not found & LETTER and after < end:
        stop = _small_word(data, after, end, classes)
        stop = at if stop == after else stop
    if stop == at:
        stop = _small_word(data, at, end, classes)
    return _contraction(data, stop, end, True) if contractions else stop
