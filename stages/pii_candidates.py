"""Where personal data may stand: byte ranges that a kernel flags in one pass, so that slow checks see little.

Everything that `stages/pii_checks.py` can confirm holds an `@` or a run of digits of a certain shape, so the
kernel looks at nothing else. It may flag too much, never too little; a test compares both.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.characters import BYTES, INDEX, INT32S, UINT64S, load8, lowest_bit

# What a range may hold, as bits.
EMAIL, IPV4, IPV6, PHONE, NATIONAL_PHONE, CARD, IBAN = (1 << k for k in range(7))
NATIONAL_IDS = (
    "us.ssn",
    "gb.nhs",
    "de.idnr",
    "fr.nir",
    "es.dni",
    "it.codicefiscale",
    "nl.bsn",
    "br.cpf",
    "in_.aadhaar",
    "pl.pesel",
)
ID_BITS = {name: 1 << 7 + k for k, name in enumerate(NATIONAL_IDS)}
_DNI, _FISCAL = ID_BITS["es.dni"], ID_BITS["it.codicefiscale"]

# Digits as people group them; single spaces, hyphens or dots between. One group is written without any.
_SHAPES: dict[tuple[int, ...], int] = {
    (3, 2, 4): ID_BITS["us.ssn"],
    (3, 3, 4): ID_BITS["gb.nhs"],
    (2, 3, 3, 3): ID_BITS["de.idnr"],
    (1, 2, 2, 2, 3, 3, 2): ID_BITS["fr.nir"],
    (13, 2): ID_BITS["fr.nir"],
    (2, 3, 3): ID_BITS["es.dni"],
    (4, 2, 3): ID_BITS["nl.bsn"],
    (3, 3, 3, 2): ID_BITS["br.cpf"],
    (4, 4, 4): ID_BITS["in_.aadhaar"],
    (4, 4, 4, 4): CARD,
    (4, 6, 5): CARD,
    (4, 6, 4): CARD,
    (8,): ID_BITS["es.dni"],
    (9,): ID_BITS["us.ssn"] | ID_BITS["nl.bsn"],
    (10,): ID_BITS["gb.nhs"],
    (11,): ID_BITS["de.idnr"] | ID_BITS["br.cpf"] | ID_BITS["pl.pesel"],
    (12,): ID_BITS["in_.aadhaar"],
    (15,): ID_BITS["fr.nir"] | CARD,
    **{(length,): CARD for length in (14, 16, 17, 18, 19)},
}
_LEAST_DIGITS = 8  # of all shapes
_PHONE_DIGITS = 7  # of an international number, with its country code
_MOST_PHONE_RUN = 40  # digits; a longer run is a table
_MOST_PHONE_BYTES = 32
_IBAN_LEAST, _IBAN_MOST = 11, 30  # letters and digits behind the check digits
_EMAIL_LOCAL, _EMAIL_DOMAIN = 64, 255  # RFC 5321, 4.5.3.1

# Classes of bytes, as bits.
_TRIGGER, _DIGIT, _UPPER, _LETTER, _HEX, _LOCAL, _DOMAIN, _GAP = (1 << k for k in range(8))
_WORD = _DIGIT | _LETTER
_LOW = np.uint64(0x7F7F7F7F7F7F7F7F)


@dataclass(frozen=True)
class Candidates:
    """Ranges to check, one row each: row of the batch, first byte and end in its text, bits of kinds; int64."""

    rows: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    bits: np.ndarray


def find_candidates(text: Text, wanted: int) -> Candidates:
    """The ranges of each row that may hold a kind in `wanted`, a sum of this module's bits."""
    offsets, data = text_buffers(text)
    found = np.empty((len(offsets) + len(data) // 256, 4), np.int64)
    count = _scan(offsets, data, _table(), *_shapes(), wanted, found)
    if count > len(found):
        found = np.empty((count, 4), np.int64)
        _scan(offsets, data, _table(), *_shapes(), wanted, found)
    rows, starts, ends, bits = np.ascontiguousarray(found[:count].T)
    first, size = offsets[rows], offsets[rows + 1] - offsets[rows]
    return Candidates(rows, np.maximum(starts - first, 0), np.minimum(ends - first, size), bits)


@cache
def _table() -> np.ndarray:
    table = np.zeros(256, np.uint8)
    for chars, bits in (
        (b"0123456789", _TRIGGER | _DIGIT | _HEX | _LOCAL | _DOMAIN),
        (b"@", _TRIGGER),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", _UPPER | _LETTER | _LOCAL | _DOMAIN),
        (b"abcdefghijklmnopqrstuvwxyz", _LETTER | _LOCAL | _DOMAIN),
        (b"abcdefABCDEF", _HEX),
        (b"_", _LETTER | _LOCAL),
        (b".-", _LOCAL | _DOMAIN),
        (b"%+", _LOCAL),
        (b" -./()", _GAP),
        (bytes(range(0x80, 0x100)), _GAP),  # no-break spaces and dashes
    ):
        table[list(chars)] |= np.uint8(bits)
    return table


@cache
def _shapes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bits by length of a lone group; and of the others one nibble a group, the nibbles' mask, groups, bits."""
    lone = np.zeros(20, np.int32)
    rows = []
    for shape, bits in _SHAPES.items():
        if len(shape) == 1:
            lone[shape[0]] = bits
        else:
            packed = sum(length << 4 * k for k, length in enumerate(reversed(shape)))
            rows.append((packed, (1 << 4 * len(shape)) - 1, len(shape), bits))
    packed_shapes, masks, groups, kinds = zip(*rows, strict=True)
    return (
        lone,
        np.array(packed_shapes, np.uint64),
        np.array(masks, np.uint64),
        np.array(groups, np.int32),
        np.array(kinds, np.int32),
    )


@njit(nogil=True, cache=True)
def _triggers(held: Any) -> Any:
    """The highest bit of each of eight bytes that is a digit or `@`."""
    low = held & _LOW
    digits = low + uint64(0x5050505050505050) & ~(low + uint64(0x4646464646464646))
    others = (low ^ uint64(0x4040404040404040)) + _LOW  # no highest bit at `@`
    return (digits | ~others) & ~held & ~_LOW


@njit(nogil=True, cache=True)
def _put(found: np.ndarray, count: int, row: int, start: int, end: int, bits: int) -> int:
    if count < len(found):
        found[count, 0], found[count, 1], found[count, 2], found[count, 3] = row, start, end, bits
    return count + 1


@njit(nogil=True, cache=True)
def _email(data: np.ndarray, table: np.ndarray, i: int, begin: int, end: int) -> tuple[int, int]:
    """The range of local part and domain round the `@` at byte i, or (i, i)."""
    start, stop, dots = i, i + 1, 0
    while start > begin and i - start < _EMAIL_LOCAL and table[data[start - 1]] & _LOCAL:
        start -= 1
    while stop < end and stop - i <= _EMAIL_DOMAIN and table[data[stop]] & _DOMAIN:
        dots += data[stop] == 0x2E
        stop += 1
    return (start, stop) if start < i and dots else (i, i)


@njit(nogil=True, cache=True)
def _ipv4_end(data: np.ndarray, table: np.ndarray, i: int, end: int) -> int:
    """The byte behind three more `.` and groups of one to three digits that start at byte i, or -1."""
    for _ in range(3):
        if i >= end or data[i] != 0x2E:
            return -1
        first = i + 1
        i = first
        while i < end and table[data[i]] & _DIGIT:
            i += 1
        if not 1 <= i - first <= 3:
            return -1
    return i


@njit(nogil=True, cache=True)
def _ipv6_end(data: np.ndarray, table: np.ndarray, start: int, end: int) -> int:
    """The byte behind an address of 2000::/3 that starts at byte `start`, or -1."""
    if data[start] != 0x32 and data[start] != 0x33:
        return -1
    if start + 4 >= end or data[start + 4] != 0x3A:
        return -1
    i, colons = start, 0
    while i < end and i - start < 48:
        colons += data[i] == 0x3A
        if not (table[data[i]] & _HEX or data[i] == 0x3A or data[i] == 0x2E):
            break
        i += 1
    return i if colons >= 2 else -1


@njit(nogil=True, cache=True)
def _iban_end(data: np.ndarray, table: np.ndarray, i: int, begin: int, end: int) -> int:
    """The byte behind an account number whose check digits start at byte i, behind two capitals; or -1."""
    if i - begin < 2 or not table[data[i - 1]] & table[data[i - 2]] & _UPPER:
        return -1
    if i - begin > 2 and table[data[i - 3]] & _WORD:
        return -1
    i += 2
    count = 0
    while i < end and count < _IBAN_MOST:
        if data[i] == 0x20 and i + 1 < end:
            i += 1
        if not table[data[i]] & (_UPPER | _DIGIT):
            break
        i += 1
        count += 1
    return i if count >= _IBAN_LEAST else -1


@njit(nogil=True, cache=True)
def _is_fiscal_code(data: np.ndarray, table: np.ndarray, i: int, begin: int, end: int) -> bool:
    """Whether the first digits of an Italian code (LLLLLL00L00L000L) stand at byte i."""
    if i - begin < 6 or i + 10 > end:
        return False
    for k in range(-6, 10):
        is_digit = 0 <= k <= 1 or 3 <= k <= 4 or 6 <= k <= 8
        if (table[data[i + k]] & _DIGIT != 0) != is_digit:
            return False
        if not is_digit and not table[data[i + k]] & _LETTER:
            return False
    return True


@njit(nogil=True, cache=True)
def _phone_end(data: np.ndarray, table: np.ndarray, i: int, end: int) -> int:
    """The byte behind an international number whose digits start at byte i, or -1."""
    start, stop, digits = i, i, 0
    while i < end and i - start < _MOST_PHONE_BYTES and table[data[i]] & (_DIGIT | _GAP):
        if table[data[i]] & _DIGIT:
            digits += 1
            stop = i + 1
        i += 1
    return stop if digits >= _PHONE_DIGITS else -1


@njit(nogil=True, cache=True)
def _letter_follows(data: np.ndarray, table: np.ndarray, i: int, end: int) -> bool:
    """Whether a letter stands at byte i or behind one hyphen or space."""
    if i + 1 < end and (data[i] == 0x2D or data[i] == 0x20):
        i += 1
    return i < end and table[data[i]] & _LETTER != 0


@njit(
    types.int64(
        INDEX,
        BYTES,
        BYTES,
        INT32S,
        UINT64S,
        UINT64S,
        INT32S,
        INT32S,
        types.int64,
        types.int64[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def _scan(
    offsets: np.ndarray,
    data: np.ndarray,
    table: np.ndarray,
    lone: np.ndarray,
    shapes: np.ndarray,
    masks: np.ndarray,
    shape_groups: np.ndarray,
    shape_bits: np.ndarray,
    wanted: int,
    found: np.ndarray,
) -> int:
    count = 0
    group_starts = np.zeros(8, np.int64)  # of the last groups of digits, as a ring
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        # Groups one separator apart, and how many digits they hold; a nibble holds a group's length.
        nibbles: Any = uint64(0)
        groups, digits, last_end = 0, 0, begin - 9
        run_start, run_digits = begin, 0  # groups that a national phone number may span
        i = begin
        while i < end:
            if i + 8 <= end:
                triggers = _triggers(load8(data, i))
                if triggers == uint64(0):
                    i += 8
                    continue
                i += np.int64(lowest_bit(triggers) >> 3)
            elif not table[data[uint64(i)]] & _TRIGGER:
                i += 1
                continue
            if data[i] == 0x40:
                if wanted & EMAIL:
                    start, stop = _email(data, table, i, begin, end)
                    if start < stop:
                        count = _put(found, count, row, start, stop, EMAIL)
                i += 1
                continue
            start = i
            while i < end and table[data[i]] & _DIGIT:
                i += 1
            length = i - start
            before = data[start - 1] if start > begin else 0x20
            inside_word = table[before] & _LETTER != 0
            gap = start - last_end
            # Addresses.
            if not inside_word:
                if wanted & IPV4 and length <= 3 and i < end and data[i] == 0x2E:
                    stop = _ipv4_end(data, table, i, end)
                    if stop > 0:
                        count = _put(found, count, row, start, stop, IPV4)
                if wanted & IPV6 and length <= 4:
                    stop = _ipv6_end(data, table, start, end)
                    if stop > 0:
                        count = _put(found, count, row, start, stop, IPV6)
            # Letters before digits.
            elif length >= 2:
                if wanted & _FISCAL and _is_fiscal_code(data, table, start, begin, end):
                    count = _put(found, count, row, start - 6, start + 10, _FISCAL)
                if wanted & IBAN:
                    stop = _iban_end(data, table, start, begin, end)
                    if stop > 0:
                        count = _put(found, count, row, start - 2, stop, IBAN)
            # Numbers of a certain shape.
            if gap == 1 and table[before] & _GAP and before < 0x80:
                nibbles = nibbles << uint64(4) | uint64(min(length, 15))
                digits += length
            else:
                nibbles = uint64(min(length, 15))
                digits = length
            group_starts[groups & 7] = start
            groups += 1
            if digits >= _LEAST_DIGITS:
                bits = lone[length] & wanted if length < len(lone) else 0
                if bits & _DNI and not _letter_follows(data, table, i, end):
                    bits ^= _DNI
                if i < end and table[data[i]] & _LETTER:
                    bits &= _DNI
                # tables hold long decimal fractions by the thousand
                fraction = before == 0x2E or (
                    i + 1 < end and data[i] == 0x2E and table[data[i + 1]] & _DIGIT
                )
                if bits and not inside_word and not fraction:
                    count = _put(found, count, row, start, i, bits)
                if nibbles > uint64(15):
                    for k in range(len(shapes)):
                        if nibbles & masks[k] == shapes[k] and shape_bits[k] & wanted:
                            first = group_starts[groups - shape_groups[k] & 7]
                            count = _put(found, count, row, first, i, shape_bits[k])
            # Phone numbers.
            plus = start - 2 if before == 0x28 else start - 1
            # no country code begins with 0; behind a word, as in `1.5e+10`, it is none
            may_call = plus >= begin and data[plus] == 0x2B and data[start] != 0x30
            if may_call and plus > begin and table[data[plus - 1]] & _WORD:
                may_call = False
            if wanted & PHONE and may_call:
                stop = _phone_end(data, table, start, end)
                if stop > 0:
                    count = _put(found, count, row, plus - 1, stop, PHONE)
            if wanted & NATIONAL_PHONE:
                joined = 0 < gap <= 3
                for k in range(min(gap, 3)):
                    joined &= table[data[start - 1 - k]] & _GAP != 0
                if not joined:
                    if _PHONE_DIGITS <= run_digits <= _MOST_PHONE_RUN:
                        count = _put(found, count, row, run_start - 2, last_end, NATIONAL_PHONE)
                    run_start, run_digits = start, 0
                run_digits += length
            last_end = i
        if wanted & NATIONAL_PHONE and _PHONE_DIGITS <= run_digits <= _MOST_PHONE_RUN:
            count = _put(found, count, row, run_start - 2, last_end, NATIONAL_PHONE)
    return count
