"""Where credentials may stand in text: places that a kernel flags, so that slow expressions see little.

It may flag too much, never too little of what `stages/credentials.py` can confirm; a test compares both.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.characters import BYTES, INDEX, INT32S, load8, without

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
_WORD, _DIGIT, _LETTER, _SIGN, _NAME, _BLANK, _QUOTE, _STOP, _CODE, _OPERATOR = (
    1 << k for k in range(10)
)
MOST_NAME, LEAST_VALUE, _MOST_VALUE, _MOST_USERINFO = 64, 6, 256, 200
_LEAST_TOKEN = 16  # bytes of the run that gives a token away


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
    """Classes of bytes; prefixes as rows of bytes with 0 behind, their least lengths, whether a byte starts one;
    words of names and marks likewise."""
    table = np.zeros(256, np.uint16)
    for chars, bits in (
        (b"0123456789", _WORD | _DIGIT | _NAME),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", _WORD | _LETTER | _NAME),
        (b"abcdefghijklmnopqrstuvwxyz", _WORD | _LETTER | _NAME),
        (b"_-", _WORD | _NAME),
        (b"[({<$", _CODE),
        (b".", _NAME),
        (b"=:>@BP", _SIGN),
        (b"=:!", _OPERATOR),
        (b" \t", _BLANK),
        (b"\"'`", _QUOTE | _STOP),
        (b" \t\r\n\f\v", _STOP),
    ):
        table[list(chars)] |= np.uint16(bits)
    prefixes = _rows(tuple(_PREFIXES))
    starts = np.zeros(256, np.uint8)
    starts[prefixes[:, 0]] = 1
    return (
        table,
        prefixes,
        np.array(list(_PREFIXES.values()), np.int32),
        starts,
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
    limit = max(i - 8, begin)
    while i > limit and table[data[i - 1]] & _BLANK:
        i -= 1
    limit = max(i - 2, begin)
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
        while left > begin and start - left < 8 and table[data[left - 1]] & _BLANK:
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
    prefix_starts: np.ndarray,
    marks: np.ndarray,
    start: int,
    stop: int,
    begin: int,
    end: int,
) -> int:
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
    if prefix_starts[data[start]]:
        for k in range(len(prefixes)):
            if length >= lengths[k] and _stands_at(data, start, end, prefixes[k]):
                return start
    return -1


@njit(nogil=True, cache=True)
def _is_quiet(held: Any) -> Any:
    """Whether none of eight bytes is a sign that the scan stops at: `:` to `B`, which holds `=` and `@` too, or `P`."""
    low = held & uint64(0x7F7F7F7F7F7F7F7F)
    found = low + uint64(0x4646464646464646) & ~(low + uint64(0x3D3D3D3D3D3D3D3D))
    found &= ~held & uint64(0x8080808080808080)
    return found == 0 and without(held, uint64(0x5050505050505050))


@njit(
    types.int64(
        INDEX,
        BYTES,
        types.uint16[::1],
        types.uint8[:, ::1],
        INT32S,
        BYTES,
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
    prefix_starts: np.ndarray,
    words: np.ndarray,
    marks: np.ndarray,
    found: np.ndarray,
) -> int:
    count = 0
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        i = begin - 1
        while i + 1 < end:
            i += 1
            while i + 8 <= end and _is_quiet(load8(data, i)):
                i += 8
            while i < end and not table[data[uint64(i)]] & _SIGN:
                i += 1
            if i >= end:
                break
            byte = data[i]
            if byte == 0x42:
                if i - begin >= 5 and _stands_at(data, i - 5, end, marks[0]):
                    count = _put(found, count, row, i - 5, PRIVATE_KEY)
            elif byte == 0x40:
                start = _userinfo(data, table, i, begin)
                if start >= 0:
                    count = _put(found, count, row, start, BASIC_AUTH)
            elif byte == 0x50:
                if _stands_at(data, i, end, marks[3]):
                    count = _put(found, count, row, i, PRIVATE_KEY)
            elif i + 1 >= end or data[i + 1] != 0x3D:
                start = _assignment(data, table, words, i, begin, end)
                if start >= 0:
                    count = _put(found, count, row, start, ASSIGNMENT)
                elif i - begin >= 5 and _stands_at(data, i, end, marks[1]):
                    count = _put(found, count, row, i - 5, TOKEN)
        # Runs of word bytes: no such run starts between i and the last byte that is none of the next 16.
        i = begin
        while i + _LEAST_TOKEN <= end:
            stop = i + _LEAST_TOKEN - 1
            while stop >= i and table[data[uint64(stop)]] & _WORD:
                stop -= 1
            if stop >= i:
                i = stop + 1
                continue
            start = i
            i += _LEAST_TOKEN
            while i < end and table[data[i]] & _WORD:
                i += 1
            first = _token_start(
                data, table, prefixes, lengths, prefix_starts, marks, start, i, begin, end
            )
            if first >= 0:
                count = _put(found, count, row, first, TOKEN)
    return count
