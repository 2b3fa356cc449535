"""Where credentials may stand in text: places that a kernel flags, so that slow expressions see little.

It may flag too much, never too little of what `stages/credentials.py` can confirm; a test compares both.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.characters import BYTES, INDEX, INT32S, bits_of, load8, lowest_bit

# How tokens start, and the fewest bytes of [A-Za-z0-9_-] that they then have.
_PREFIXES: dict[bytes, int] = {
    **dict.fromkeys((b"AKIA", b"ASIA", b"ABIA", b"ACCA", b"A3T"), 20),
    **dict.fromkeys((b"AC", b"SK"), 34),
    **dict.fromkeys((b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"AIza", b"npm_", b"hf_"), 37),
    **dict.fromkeys((b"glpat-", b"gldt-", b"glft-", b"glsoat-", b"glrt-", b"glcbt-"), 25),
    **dict.fromkeys((b"glimt-", b"glptt-", b"glagent-", b"gloas-", b"GR1348941"), 29),
    **dict.fromkeys((b"xoxa-", b"xoxb-", b"xoxp-", b"xoxo-", b"xoxs-", b"xoxr-"), 16),
    **dict.fromkeys((b"XOXA-", b"XOXB-", b"XOXP-", b"XOXO-", b"XOXS-", b"XOXR-"), 16),
    **dict.fromkeys((b"sk_live_", b"rk_live_"), 32),
    **dict.fromkeys((b"sk-", b"pypi-AgE", b"github_pat_", b"sq0csp-"), 40),
    b"eyJ": 16,
}
_WORDS = b"pass", b"pwd", b"secret", b"token", b"key", b"cred", b"auth", b"contrase"
_MARKS = b"-----BEGIN", b"://hooks.slack.com/", b"SG.", b"PuTTY-User-Key-File-"
TOKEN, ASSIGNMENT, BASIC_AUTH, PRIVATE_KEY = 1, 2, 4, 8

# Classes of bytes, as bits.
_WORD, _DIGIT, _LETTER, _SIGN, _NAME, _BLANK, _QUOTE, _STOP, _CODE, _OPERATOR, _BETWEEN = (
    1 << k for k in range(11)
)
MOST_NAME, LEAST_VALUE, _MOST_VALUE, _MOST_USERINFO = 64, 6, 256, 200
_LEAST_TOKEN = 16  # bytes of the run that gives a token away
_MOST_BLANKS, _MOST_QUOTES = 8, 2  # behind a name
# From the first byte of a name to its sign: an operator's other byte or two, and a type with its colon between.
_REACH = 2 + 2 * (_MOST_BLANKS + _MOST_QUOTES + MOST_NAME + 1) + _MOST_BLANKS + 1

_BLOCK = 64  # bytes looked at together
_IN_RUN, _EVENT = 1, 2  # flags of a byte: of [A-Za-z0-9_-]; something to look at may start here


@dataclass(frozen=True)
class Suspects:
    """Places to check, one row each: row of the batch, byte in its text, bits of what may start there; int64."""

    rows: np.ndarray
    starts: np.ndarray
    bits: np.ndarray


def find_suspects(text: Text) -> Suspects:
    """The places that hold all that `confirm` can find, and a little more."""
    offsets, data = text_buffers(text)
    found = np.empty((len(offsets) + len(data) // 256, 3), np.int64)
    count = _scan(offsets, data, *_tables(), found)
    if count > len(found):
        found = np.empty((count, 3), np.int64)
        _scan(offsets, data, *_tables(), found)
    rows, starts, bits = np.ascontiguousarray(found[:count].T)
    return Suspects(rows, starts - offsets[rows], bits)


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Classes of bytes; prefixes as rows of bytes with 0 behind, their least lengths, and those that have a byte at
    the first, second, third place, a bit each; words of names and marks likewise."""
    table = np.zeros(256, np.uint16)
    for chars, bits in (
        (b"0123456789", _WORD | _DIGIT | _NAME),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", _WORD | _LETTER | _NAME),
        (b"abcdefghijklmnopqrstuvwxyz", _WORD | _LETTER | _NAME),
        (b"_-", _WORD | _NAME),
        (b"[({<$", _CODE),
        (b".", _NAME),
        (b"=:>", _SIGN),
        (b"=:!", _OPERATOR),
        (b" \t", _BLANK),
        (b"\"'`", _QUOTE | _STOP),
        (b" \t\r\n\f\v", _STOP),
    ):
        table[list(chars)] |= np.uint16(bits)
    # What may stand between a word of a name and the sign that gives it a value.
    table[table & (_NAME | _BLANK | _QUOTE | _OPERATOR) != 0] |= _BETWEEN
    table[ord("]")] |= _BETWEEN
    prefixes = _rows(tuple(_PREFIXES))
    prefix_bits = np.zeros((3, 256), np.uint64)
    for k, prefix in enumerate(_PREFIXES):
        for held, byte in zip(prefix_bits, prefix, strict=False):
            held[byte] |= np.uint64(1 << k)
        prefix_bits[len(prefix) :] |= np.uint64(1 << k)
    return (
        table,
        prefixes,
        np.array(list(_PREFIXES.values()), np.int32),
        prefix_bits,
        _rows(_WORDS),
        _rows(_MARKS),
    )


def _rows(words: tuple[bytes, ...]) -> np.ndarray:
    rows = np.zeros((len(words), max(map(len, words)) + 1), np.uint8)
    for row, word in zip(rows, words, strict=True):
        row[: len(word)] = np.frombuffer(word, np.uint8)
    return rows


@njit(nogil=True, cache=True)
def _put(found: np.ndarray, count: int, row: int, start: int, bits: int) -> int:
    if count < len(found):
        found[count, 0], found[count, 1], found[count, 2] = row, start, bits
    return count + 1


@njit(nogil=True, cache=True)
def _stands_at(data: np.ndarray, i: int, end: int, word: np.ndarray) -> bool:
    """Whether the bytes of `word` up to its first 0 stand at byte i."""
    k = 0
    while word[k] != 0:
        if i + k >= end or data[i + k] != word[k]:
            return False
        k += 1
    return True


@njit(nogil=True, cache=True)
def _has_secret_name(data: np.ndarray, start: int, end: int, words: np.ndarray) -> bool:
    """Whether one of the words stands between the bytes, in any case of ASCII letters."""
    for i in range(start, end - 2):
        for w in range(len(words)):
            k = 0
            while words[w, k] != 0 and i + k < end and data[i + k] | 0x20 == words[w, k]:
                k += 1
            if words[w, k] == 0:
                return True
    return False


@njit(nogil=True, cache=True)
def _name_before(data: np.ndarray, table: np.ndarray, i: int, begin: int) -> tuple[int, int]:
    """First byte and end of the name before byte i and blanks, quotes or `]`."""
    limit = max(i - _MOST_BLANKS, begin)
    while i > limit and table[data[i - 1]] & _BLANK:
        i -= 1
    limit = max(i - _MOST_QUOTES, begin)
    while i > limit and (table[data[i - 1]] & _QUOTE or data[i - 1] == 0x5D):
        i -= 1
    start = i
    while start > begin and i - start <= MOST_NAME and table[data[start - 1]] & _NAME:
        start -= 1
    return start, i


@njit(nogil=True, cache=True)
def _assignment(
    data: np.ndarray, table: np.ndarray, words: np.ndarray, i: int, begin: int, end: int
) -> int:
    """The first byte of a name that the sign at byte i gives a value worth a look; or -1."""
    left = i
    while left > begin and i - left < 2 and table[data[left - 1]] & _OPERATOR:
        left -= 1
    start, stop = _name_before(data, table, left, begin)
    if data[i] == 0x3E and (start == begin or data[start - 1] != 0x3C):
        return -1
    if not _has_secret_name(data, start, stop, words):
        # A type may stand between: `password: str = ...`.
        left = start
        while left > begin and start - left < _MOST_BLANKS and table[data[left - 1]] & _BLANK:
            left -= 1
        if data[i] != 0x3D or left == begin or data[left - 1] != 0x3A:
            return -1
        start, stop = _name_before(data, table, left - 1, begin)
        if not _has_secret_name(data, start, stop, words):
            return -1
    if not 3 <= stop - start <= MOST_NAME:
        return -1
    i += 1 + (i + 1 < end and data[i + 1] == 0x3E)
    while i < end and table[data[i]] & _BLANK:
        i += 1
    for k in range(3):  # b"..."
        if i + k < end and table[data[i + k]] & _QUOTE:
            i += k + 1
            break
    if i < end and table[data[i]] & _CODE:
        return -1
    first, telling = i, False
    while i < end and i - first <= _MOST_VALUE and not table[data[i]] & _STOP:
        telling |= table[data[i]] & _LETTER == 0
        i += 1
    return start if telling and i - first >= LEAST_VALUE else -1


@njit(nogil=True, cache=True)
def _userinfo(data: np.ndarray, table: np.ndarray, i: int, begin: int) -> int:
    """The `://` before the user and password that the `@` at byte i ends; or -1."""
    colons, limit = 0, max(i - _MOST_USERINFO, begin)
    k = i - 1
    while k >= limit and not table[data[k]] & _STOP:
        if data[k] == 0x2F:
            if k - 2 >= begin and data[k - 1] == 0x2F and data[k - 2] == 0x3A and colons:
                return k - 2
            return -1
        colons += data[k] == 0x3A
        k -= 1
    return -1


@njit(nogil=True, cache=True)
def _token_start(
    data: np.ndarray,
    table: np.ndarray,
    prefixes: np.ndarray,
    lengths: np.ndarray,
    prefix_bits: np.ndarray,
    marks: np.ndarray,
    start: Any,
    stop: Any,
    begin: int,
    end: int,
) -> Any:
    """Where the token that the run of word bytes belongs to starts, by its form; -1 if it is no token."""
    start += table[data[start]] & (_LETTER | _DIGIT) == 0  # one hyphen or underscore
    length = stop - start
    # SendGrid's second part, Discord's first, Mailchimp's end, Telegram's second.
    if length == 22 and start - begin >= 3 and _stands_at(data, start - 3, end, marks[2]):
        return start - 3
    if 24 <= length <= 26 and 0x4D <= data[start] <= 0x4F and stop < end and data[stop] == 0x2E:
        return start
    if 36 <= length <= 37 and data[start + 32] == 0x2D and data[start + 33] == 0x75:
        return start
    if length >= 35 and start - begin >= 9 and data[start - 1] == 0x3A:
        k = start - 1
        while k > begin and start - k <= 10 and table[data[k - 1]] & _DIGIT:
            k -= 1
        if start - k >= 9:
            return k
    likely = prefix_bits[0, data[start]] & prefix_bits[1, data[start + 1]]
    likely &= prefix_bits[2, data[start + 2]]
    while likely != uint64(0):
        k = lowest_bit(likely)
        if length >= lengths[k] and _stands_at(data, start, end, prefixes[k]):
            return start
        likely &= likely - uint64(1)
    return -1


@njit(nogil=True, cache=True)
def _flag(data: np.ndarray, i: int, flags: np.ndarray) -> bool:
    """For each of the _BLOCK bytes from byte i, flag _IN_RUN and _EVENT; whether there is an event.

    LLVM makes vectors of it. A word of names is told by its first four bytes, in any case.
    """
    any_event = False
    for k in range(_BLOCK):
        at = uint64(i) + uint64(k)
        byte = data[at]
        a, b = byte | 0x20, data[at + uint64(1)] | 0x20
        c, d = data[at + uint64(2)] | 0x20, data[at + uint64(3)] | 0x20
        pass_ = (b == 0x61) & (c == 0x73) & (d == 0x73)
        pwd = (b == 0x77) & (c == 0x64)
        putt = (b == 0x75) & (c == 0x74) & (d == 0x74)
        event = (a == 0x70) & (pass_ | pwd | putt)
        event |= (a == 0x73) & (b == 0x65) & (c == 0x63) & (d == 0x72)  # secr
        event |= (a == 0x74) & (b == 0x6F) & (c == 0x6B) & (d == 0x65)  # toke
        event |= (a == 0x6B) & (b == 0x65) & (c == 0x79)  # key
        cred, cont = (
            (b == 0x72) & (c == 0x65) & (d == 0x64),
            (b == 0x6F) & (c == 0x6E) & (d == 0x74),
        )
        event |= (a == 0x63) & (cred | cont)
        event |= (a == 0x61) & (b == 0x75) & (c == 0x74) & (d == 0x68)  # auth
        event |= (a == 0x2D) & (b == 0x62) & (c == 0x65) & (d == 0x67)  # -BEG
        event |= (a == 0x3A) & (b == 0x2F) & (c == 0x2F) & (d == 0x68)  # ://h
        event |= byte == 0x40
        letter, digit = (a >= 0x61) & (a <= 0x7A), (byte >= 0x30) & (byte <= 0x39)
        flags[k] = (letter | digit | (byte == 0x5F) | (byte == 0x2D)) + 2 * event
        any_event |= event
    return any_event


@njit(nogil=True, cache=True)
def _flag_last(data: np.ndarray, table: np.ndarray, i: int, flags: np.ndarray) -> None:
    """`_flag` where the data end too soon for it: each byte may be an event."""
    flags[:] = 0
    for k in range(min(_BLOCK, len(data) - i)):
        flags[k] = _EVENT | (_IN_RUN if table[data[i + k]] & _WORD else 0)


@njit(nogil=True, cache=True)
def _ends_run(flags: np.ndarray, before: np.ndarray) -> Any:
    """A bit for each byte of a block: whether _LEAST_TOKEN bytes up to it are all in a run.

    `before` holds what the last block left, and then what this one does: bits of bytes that end runs of 1, 2, 4, 8.
    """
    bits = bits_of(flags, 0, 0)
    for k in range(4):
        width = uint64(1 << k)
        longer = bits & (bits << width | before[k] >> (uint64(64) - width))
        before[k], bits = bits, longer
    return bits


@njit(nogil=True, cache=True)
def _look(
    data: np.ndarray,
    table: np.ndarray,
    words: np.ndarray,
    marks: np.ndarray,
    row: int,
    i: Any,
    begin: Any,
    end: Any,
    walked: Any,
    found: np.ndarray,
    count: int,
) -> tuple[int, int]:
    """Put what the event at byte i gives away; how many are put, and up to where signs of assignments were tried."""
    byte = data[i]
    if byte == 0x40:
        start = _userinfo(data, table, i, begin)
        if start >= 0:
            count = _put(found, count, row, start, BASIC_AUTH)
    elif byte == 0x2D:
        if i - begin >= 4 and _stands_at(data, i - 4, end, marks[0]):
            count = _put(found, count, row, i - 4, PRIVATE_KEY)
    elif byte == 0x3A:
        is_hook = i - begin >= 5 and _stands_at(data, i, end, marks[1])
        if is_hook and _assignment(data, table, words, i, begin, end) < 0:
            count = _put(found, count, row, i - 5, TOKEN)
    else:
        if byte == 0x50 and _stands_at(data, i, end, marks[3]):
            count = _put(found, count, row, i, PRIVATE_KEY)
        # A word of names: the signs after it, as far as only bytes stand between that may.
        stop = min(i + _REACH, end)
        i = max(i, walked)
        while i < stop:
            if table[data[i]] & _SIGN and (i + 1 >= end or data[i + 1] != 0x3D):
                start = _assignment(data, table, words, i, begin, end)
                if start >= 0:
                    count = _put(found, count, row, start, ASSIGNMENT)
            i += 1
            if not table[data[i - 1]] & _BETWEEN:
                break
        walked = i
    return count, walked


@njit(
    types.int64(
        INDEX,
        BYTES,
        types.uint16[::1],
        types.uint8[:, ::1],
        INT32S,
        types.uint64[:, ::1],
        types.uint8[:, ::1],
        types.uint8[:, ::1],
        types.int64[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def _scan(
    offsets: np.ndarray,
    data: np.ndarray,
    table: np.ndarray,
    prefixes: np.ndarray,
    lengths: np.ndarray,
    prefix_bits: np.ndarray,
    words: np.ndarray,
    marks: np.ndarray,
    found: np.ndarray,
) -> int:
    count = 0
    flags, before = np.zeros(_BLOCK, np.uint8), np.zeros(4, np.uint64)
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        walked, run_end = begin, begin
        before[:] = 0
        for i in range(begin, end, _BLOCK):
            any_event = True
            if i + _BLOCK + 3 <= len(data):
                any_event = _flag(data, i, flags)
            else:
                _flag_last(data, table, i, flags)
            for k in range(0, _BLOCK if any_event else 0, 8):
                held = load8(flags, k) & uint64(0x0202020202020202)
                while held != uint64(0):
                    at = i + k + np.int64(lowest_bit(held) >> 3)
                    held &= held - uint64(1)
                    if at < end:
                        count, walked = _look(
                            data, table, words, marks, row, at, begin, end, walked, found, count
                        )
            ends = _ends_run(flags, before)
            while ends != uint64(0):
                at = i + np.int64(lowest_bit(ends))
                ends &= ends - uint64(1)
                if run_end <= at < end:
                    run_end = at + 1
                    while run_end < end and table[data[run_end]] & _WORD:
                        run_end += 1
                    start = at + 1 - _LEAST_TOKEN
                    first = _token_start(
                        data,
                        table,
                        prefixes,
                        lengths,
                        prefix_bits,
                        marks,
                        start,
                        run_end,
                        begin,
                        end,
                    )
                    if first >= 0:
                        count = _put(found, count, row, first, TOKEN)
    return count
