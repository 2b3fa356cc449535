"""JSON lines as columns, without a Python object a value.

A kernel checks each line by JSON's grammar, finds the values of the few keys that are wanted, and a second one
copies strings into Arrow's buffers, escapes resolved. It takes only what `orjson` would read to the same
values; of any other line (`Lines.good` is false) it says nothing, and another parser has to look.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types, uint64

from coursepack.stages.characters import BYTES, INDEX, load8, lowest_bit, store8

# Kinds of values. ABSENT is null as well; an INTEGER is as JSON's own text would be; OTHER is all the rest.
ABSENT, PLAIN, ESCAPED, INTEGER, OTHER = 0, 1, 2, 3, 4

_DEEPEST = 60  # levels whose kinds fit into 64 bits
_LONGEST_NUMBER = 18  # of digits and signs that any parser reads alike
_QUOTE, _BACKSLASH, _COMMA, _COLON = 0x22, 0x5C, 0x2C, 0x3A
_OBJECT, _OBJECT_END, _ARRAY, _ARRAY_END = 0x7B, 0x7D, 0x5B, 0x5D
_ZERO, _MINUS, _DOT = 0x30, 0x2D, 0x2E
_NULL, _TRUE, _ALSE = 0x6C6C756E, 0x65757274, 0x65736C61  # four bytes each, the first lowest
_WRONG = np.int64(-1)
# What stands behind a backslash -> the character that both stand for; 0 where that is no escape of two characters.
_SHORT_ESCAPES = np.zeros(256, np.uint8)
_SHORT_ESCAPES[list(b'"\\/bfnrt')] = list(b'"\\/\b\f\n\r\t')
_BLOCK = 64  # bytes that are looked at together


@dataclass(frozen=True)
class Lines:
    """Some lines of JSON, and where in their bytes the values of the wanted keys are.

    `good` is false of lines that need another parser. `kinds`, `starts` and `ends` are (keys, lines): bytes of
    a value, quotes excluded. A key that comes twice has its last value.
    """

    data: np.ndarray
    good: np.ndarray
    kinds: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def strings(self, key: np.ndarray) -> pa.Array:
        """As a string column: of each line the value of key number `key`; null where that is ABSENT or negative.

        Values of kind OTHER are not for this: they become the bytes that stand there.
        """
        rows = np.arange(len(key))
        kinds = np.where(key < 0, ABSENT, self.kinds[key, rows]).astype(np.uint8)
        starts, ends = self.starts[key, rows], self.ends[key, rows]
        ends = np.where(kinds == ABSENT, starts, ends)
        offsets = np.empty(len(key) + 1, np.int32)
        out = np.empty(int((ends - starts).sum()), np.uint8)
        _copy(self.data, starts, ends, kinds, offsets, out)
        absent = kinds == ABSENT
        nulls = pa.array(~absent).buffers()[1] if absent.any() else None
        return pa.Array.from_buffers(
            pa.string(), len(key), [nulls, pa.py_buffer(offsets), pa.py_buffer(out)]
        )

    def value(self, key: int, line: int) -> bytes:
        """The JSON text of one value."""
        start, end = int(self.starts[key, line]), int(self.ends[key, line])
        if self.kinds[key, line] in (PLAIN, ESCAPED):
            start, end = start - 1, end + 1
        return self.data[start:end].tobytes()


def find_lines(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends (int64, in bytes) of the lines that are not blank; a line has no `\\n`."""
    ends = np.flatnonzero(data == 0x0A)
    if not len(data) or data[-1] != 0x0A:
        ends = np.append(ends, len(data))
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    said = np.zeros(len(ends), np.bool_)
    _find_said(data, starts, ends, said)
    return starts[said], ends[said]


def parse_lines(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, keys: tuple[str, ...]
) -> Lines:
    """Parse the lines `data[starts[i]:ends[i]]` (uint8, int64) for the values of `keys` at their top level."""
    shape = (len(keys), len(starts))
    good = np.zeros(len(starts), np.bool_)
    kinds = np.zeros(shape, np.uint8)
    found = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    if is_utf8(data):
        names = [key.encode() for key in keys]
        offsets = np.cumsum([0, *map(len, names)], dtype=np.int64)
        _parse(
            data,
            starts,
            ends,
            offsets,
            np.frombuffer(b"".join(names), np.uint8),
            good,
            kinds,
            *found,
        )
    return Lines(data, good, kinds, *found)


def is_utf8(data: np.ndarray) -> bool:
    """Whether bytes (uint8) are valid UTF-8, as strict as `bytes.decode`."""
    return bool(_is_utf8(np.ascontiguousarray(data)))


@njit(forceinline=True)
def _breaks(byte: Any, first: Any, second: Any, third: Any) -> Any:
    """Whether a byte cannot stand behind these in UTF-8, the nearest first: comparisons alone, so that 64 are one step.

    A byte goes on with a character exactly where one of the three before it begins one that is long enough.
    """
    goes_on = (byte >= 0x80) & (byte < 0xC0)
    due = (first >= 0xC0) | (second >= 0xE0) | (third >= 0xF0)
    unused = (byte == 0xC0) | (byte == 0xC1) | (byte >= 0xF5)
    overlong = ((first == 0xE0) & (byte < 0xA0)) | ((first == 0xF0) & (byte < 0x90))
    beyond = ((first == 0xED) & (byte >= 0xA0)) | ((first == 0xF4) & (byte >= 0x90))
    return (goes_on != due) | unused | overlong | beyond


@njit(nogil=True, cache=True)
def _byte(data: np.ndarray, i: Any) -> Any:
    """NUL before and behind the data."""
    return data[i] if 0 <= i < len(data) else np.uint8(0)


@njit(types.boolean(BYTES), nogil=True, cache=True)
def _is_utf8(data: Any) -> Any:
    size = uint64(len(data))
    i = uint64(3)
    while i + uint64(_BLOCK) <= size:
        broken = False
        for k in range(_BLOCK):
            at = i + uint64(k)
            first, second = data[at - uint64(1)], data[at - uint64(2)]
            broken |= _breaks(data[at], first, second, data[at - uint64(3)])
        if broken:
            return False
        i += uint64(_BLOCK)
    for edge in (range(3), range(np.int64(i), len(data) + 3)):
        for place in edge:
            first, second = _byte(data, place - 1), _byte(data, place - 2)
            if _breaks(_byte(data, place), first, second, _byte(data, place - 3)):
                return False
    return True


@njit(types.void(BYTES, INDEX, INDEX, types.Array(types.boolean, 1, "C")), nogil=True, cache=True)
def _find_said(data: Any, starts: Any, ends: Any, said: Any) -> None:
    """Lines of more than white space, as `bytes.isspace` has it."""
    for line in range(len(starts)):
        i = starts[line]
        while i < ends[line] and (data[i] == 0x20 or 0x09 <= data[i] <= 0x0D):
            i += 1
        said[line] = i < ends[line]


@njit(forceinline=True)
def _blank(data: np.ndarray, i: Any, end: Any) -> Any:
    """Behind JSON's white space."""
    while i < end and (data[i] == 0x20 or data[i] == 0x09 or data[i] == 0x0D or data[i] == 0x0A):
        i += 1
    return i


@njit(nogil=True, cache=True)
def _hex4(data: np.ndarray, i: Any, end: Any) -> Any:
    """The value of four hexadecimal digits; _WRONG where there are none."""
    if i + 4 > end:
        return _WRONG
    value = np.int64(0)
    for k in range(4):
        byte = np.int64(data[i + k])
        if 0x30 <= byte <= 0x39:
            digit = byte - 0x30
        elif 0x61 <= byte | 0x20 <= 0x66:
            digit = (byte | 0x20) - 0x57
        else:
            return _WRONG
        value = value << 4 | digit
    return value


@njit(forceinline=True)
def _escape(data: np.ndarray, i: Any, end: Any) -> tuple[Any, Any]:
    """The code point that a backslash at byte i begins, and where it ends; (_, _WRONG) where it is no character."""
    if i + 1 >= end:
        return np.int64(0), _WRONG
    byte = np.int64(data[i + 1])
    after = i + 2
    if _SHORT_ESCAPES[byte]:
        return np.int64(_SHORT_ESCAPES[byte]), after
    if byte != 0x75:
        return np.int64(0), _WRONG
    code = _hex4(data, after, end)
    if code == _WRONG or 0xDC00 <= code <= 0xDFFF:
        return np.int64(0), _WRONG
    after += 4
    if 0xD800 <= code <= 0xDBFF:
        if after + 2 > end or data[after] != _BACKSLASH or data[after + 1] != 0x75:
            return np.int64(0), _WRONG
        low = _hex4(data, after + 2, end)
        if not 0xDC00 <= low <= 0xDFFF:
            return np.int64(0), _WRONG
        code = 0x10000 + ((code & 0x3FF) << 10 | low & 0x3FF)
        after += 6
    return code, after


@njit(forceinline=True)
def _backslashes(held: Any) -> Any:
    """The lowest bit that is set is in the first byte of eight that is a backslash."""
    other = held ^ uint64(0x5C5C5C5C5C5C5C5C)
    return (other - uint64(0x0101010101010101)) & ~other & uint64(0x8080808080808080)


@njit(forceinline=True)
def _special(held: Any) -> Any:
    """The lowest bit that is set is in the first byte of eight that is a quote, backslash or control character."""
    quote = held ^ uint64(0x2222222222222222)
    found = (held - uint64(0x2020202020202020)) & ~held
    found |= (quote - uint64(0x0101010101010101)) & ~quote
    return found & uint64(0x8080808080808080) | _backslashes(held)


@njit(nogil=True, cache=True)
def _string(data: np.ndarray, i: Any, end: Any) -> tuple[Any, Any]:
    """Where the string that begins at byte i, behind its quote, has its other one, and whether it has escapes."""
    escaped = False
    while True:
        while i + 8 <= end:
            special = _special(load8(data, i))
            if special:
                i += np.int64(lowest_bit(special) >> 3)
                break
            i += 8
        while i < end and data[i] != _QUOTE and data[i] != _BACKSLASH and data[i] >= 0x20:
            i += 1
        if i >= end or data[i] < 0x20:
            return _WRONG, escaped
        if data[i] == _QUOTE:
            return i, escaped
        escaped = True
        _, i = _escape(data, i, end)
        if i == _WRONG:
            return _WRONG, escaped


@njit(nogil=True, cache=True)
def _four(data: np.ndarray, i: Any, end: Any) -> Any:
    """Four bytes as one number, the first lowest; 0 where there are fewer."""
    if i + 4 > end:
        return np.int64(0)
    low = np.int64(data[i]) | np.int64(data[i + 1]) << 8
    return low | np.int64(data[i + 2]) << 16 | np.int64(data[i + 3]) << 24


@njit(nogil=True, cache=True)
def _scalar(data: np.ndarray, i: Any, end: Any) -> tuple[Any, Any]:
    """Where a number, true, false or null that begins at byte i ends, and its kind; (_WRONG, _) where it is none."""
    byte = data[i]
    if byte >= 0x61:
        word = _four(data, i, end)
        if word == _NULL:
            return i + 4, ABSENT
        if word == _TRUE:
            return i + 4, OTHER
        if byte == 0x66 and _four(data, i + 1, end) == _ALSE:
            return i + 5, OTHER
        return _WRONG, OTHER
    start = i
    negative = byte == _MINUS
    if negative:
        i += 1
    digits = i
    while i < end and 0x30 <= data[i] <= 0x39:
        i += 1
    if i == digits or (data[digits] == _ZERO and i > digits + 1):
        return _WRONG, OTHER
    whole = i
    if i < end and data[i] == _DOT:
        i += 1
        while i < end and 0x30 <= data[i] <= 0x39:
            i += 1
        if i == whole + 1:
            return _WRONG, OTHER
    if i < end and (data[i] == 0x65 or data[i] == 0x45):  # an exponent
        i += 1
        if i < end and (data[i] == 0x2B or data[i] == _MINUS):
            i += 1
        power = i
        while i < end and 0x30 <= data[i] <= 0x39:
            i += 1
        if i == power or i > power + 2:
            return _WRONG, OTHER
        return i, OTHER
    if whole - start > _LONGEST_NUMBER:
        return _WRONG, OTHER
    minus_zero = negative and data[digits] == _ZERO
    return i, INTEGER if i == whole and not minus_zero else OTHER


@njit(nogil=True, cache=True)
def _nested(data: np.ndarray, i: Any, end: Any) -> Any:
    """Where the object or array that begins at byte i ends; _WRONG where it is none, or too deep."""
    objects = uint64(data[i] == _OBJECT)  # a bit a level, the deepest lowest
    depth = 1
    i = _blank(data, i + 1, end)
    if i < end and data[i] == (_OBJECT_END if objects else _ARRAY_END):
        return i + 1
    while i < end:
        if objects & uint64(1):
            if data[i] != _QUOTE:
                return _WRONG
            i, _ = _string(data, i + 1, end)
            if i == _WRONG:
                return _WRONG
            i = _blank(data, i + 1, end)
            if i >= end or data[i] != _COLON:
                return _WRONG
            i = _blank(data, i + 1, end)
            if i >= end:
                return _WRONG
        byte = data[i]
        if byte in (_OBJECT, _ARRAY):
            i = _blank(data, i + 1, end)
            if i >= end:
                return _WRONG
            if data[i] != byte + 2:  # not empty
                depth += 1
                if depth > _DEEPEST:
                    return _WRONG
                objects = objects << uint64(1) | uint64(byte == _OBJECT)
                continue
            i += 1
        elif byte == _QUOTE:
            i, _ = _string(data, i + 1, end)
            if i == _WRONG:
                return _WRONG
            i += 1
        else:
            i, _ = _scalar(data, i, end)
            if i == _WRONG:
                return _WRONG
        i = _blank(data, i, end)
        while i < end and data[i] == (_OBJECT_END if objects & uint64(1) else _ARRAY_END):
            i += 1
            depth -= 1
            objects >>= uint64(1)
            if depth == 0:
                return i
            i = _blank(data, i, end)
        if i >= end or data[i] != _COMMA:
            return _WRONG
        i = _blank(data, i + 1, end)
    return _WRONG


@njit(forceinline=True)
def _key(data: np.ndarray, start: Any, end: Any, offsets: np.ndarray, names: np.ndarray) -> Any:
    """The number of the wanted key that stands at data[start:end]; -1 if none does."""
    for key in range(len(offsets) - 1):
        length = offsets[key + 1] - offsets[key]
        if length == end - start:
            k = 0
            while k < length and data[start + k] == names[offsets[key] + k]:
                k += 1
            if k == length:
                return key
    return -1


@njit(
    types.void(
        BYTES, INDEX, INDEX, INDEX, BYTES, types.Array(types.boolean, 1, "C"),
        types.uint8[:, ::1], types.int64[:, ::1], types.int64[:, ::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def _parse(
    data: Any, line_starts: Any, line_ends: Any, offsets: Any, names: Any, good: Any, kinds: Any,
    starts: Any, ends: Any,
) -> None:  # fmt: skip
    for line in range(len(line_starts)):
        end = line_ends[line]
        i = _blank(data, line_starts[line], end)
        if i >= end or data[i] != _OBJECT:
            continue
        i = _blank(data, i + 1, end)
        empty = i < end and data[i] == _OBJECT_END
        if empty:
            i += 1
        while not empty and i < end and data[i] == _QUOTE:
            start = i + 1
            i, escaped = _string(data, start, end)
            if i == _WRONG or escaped:
                i = end
                break
            key = _key(data, start, i, offsets, names)
            i = _blank(data, i + 1, end)
            if i >= end or data[i] != _COLON:
                break
            i = _blank(data, i + 1, end)
            if i >= end:
                break
            start = i
            kind = OTHER
            if data[i] == _QUOTE:
                start += 1
                stop, escaped = _string(data, start, end)
                kind = ESCAPED if escaped else PLAIN
                i = stop + 1 if stop != _WRONG else _WRONG
            elif data[i] == _OBJECT or data[i] == _ARRAY:
                stop = i = _nested(data, i, end)
            else:
                i, kind = _scalar(data, i, end)
                stop = i
            if i == _WRONG:
                break
            if key >= 0:
                kinds[key, line], starts[key, line], ends[key, line] = kind, start, stop
            i = _blank(data, i, end)
            if i < end and data[i] == _OBJECT_END:
                empty = True  # nothing more may come
                i += 1
            elif i < end and data[i] == _COMMA:
                i = _blank(data, i + 1, end)
            else:
                break
        good[line] = empty and _blank(data, i, end) == end


@njit(forceinline=True)
def _put(out: np.ndarray, at: Any, code: Any) -> Any:
    """Write a code point as UTF-8; where it ends."""
    if code < 0x80:
        out[at] = code
        return at + 1
    if code < 0x800:
        out[at] = 0xC0 | code >> 6
        out[at + 1] = 0x80 | code & 0x3F
        return at + 2
    if code < 0x10000:
        out[at] = 0xE0 | code >> 12
        out[at + 1] = 0x80 | code >> 6 & 0x3F
        out[at + 2] = 0x80 | code & 0x3F
        return at + 3
    out[at] = 0xF0 | code >> 18
    out[at + 1] = 0x80 | code >> 12 & 0x3F
    out[at + 2] = 0x80 | code >> 6 & 0x3F
    out[at + 3] = 0x80 | code & 0x3F
    return at + 4


@njit(
    types.void(
        BYTES, INDEX, INDEX, BYTES, types.int32[::1], types.uint8[::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def _copy(data: Any, starts: Any, ends: Any, kinds: Any, offsets: Any, out: Any) -> None:
    """Values one behind another, escapes as the characters they stand for; `out` has room for all."""
    at = np.int64(0)
    for row in range(len(starts)):
        offsets[row] = at
        i, end = starts[row], ends[row]
        escaped = kinds[row] == ESCAPED
        while i < end:
            while i + 8 <= end:
                held = load8(data, i)
                store8(held, out, at)  # what is behind a backslash is written over
                backslashes = _backslashes(held) if escaped else uint64(0)
                if backslashes:
                    before = np.int64(lowest_bit(backslashes) >> 3)
                    at += before
                    i += before
                    break
                at += 8
                i += 8
            while i < end and not (escaped and data[i] == _BACKSLASH):
                out[at] = data[i]
                at += 1
                i += 1
            if i < end:
                code, i = _escape(data, i, end)
                at = _put(out, at, code)
    offsets[len(starts)] = at
