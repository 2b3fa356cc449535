"""Personal data in text: found, counted, and replaced or removed as a recipe says.

A kernel flags byte ranges in one pass (`pii_candidates`), slow checks confirm them (`pii_checks`). As FineWeb
and Dolma do, a find may be replaced by a fixed safe value, by a mark, or cost the document its place. Names and
postal addresses are not looked for. No value that is found leaves this module: spans hold places and stand-ins.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import xxhash
from phonenumbers import SUPPORTED_REGIONS

from coursepack.pipeline.arrow import Text, int32s, text_buffers
from coursepack.pipeline.errors import RecipeError
from coursepack.stages.credentials import find_credentials
from coursepack.stages.pii_candidates import (
    CARD,
    EMAIL,
    IBAN,
    ID_BITS,
    IPV4,
    IPV6,
    NATIONAL_IDS,
    NATIONAL_PHONE,
    PHONE,
    Candidates,
    find_candidates,
)
from coursepack.stages.pii_checks import (
    MARGIN,
    MARGIN_BEHIND,
    Words,
    cards,
    emails,
    ibans,
    id_words,
    ipv4s,
    ipv6s,
    national_ids,
    phones,
    tells_phone,
)
from coursepack.stages.spans import Spans, collect, count_kinds

Action: TypeAlias = Literal["keep", "redact", "replace", "drop"]
Check: TypeAlias = Callable[[bytes, int], Iterator[tuple[int, int]]]

FAMILIES = ("emails", "ips", "phones", "cards", "ibans", "ids")
# Kinds of spans, and the family of each.
_FAMILY = {
    "email": "emails",
    "ipv4": "ips",
    "ipv6": "ips",
    "phone": "phones",
    "card": "cards",
    "iban": "ibans",
    **dict.fromkeys(NATIONAL_IDS, "ids"),
}
KINDS = tuple(_FAMILY)
_PHONE = KINDS.index("phone")
_IDS = sum(ID_BITS.values())
_MANY, _APART = 8, 400  # numbers of a table, and how many bytes there are to each at most
# Kind -> the bit of candidates for it, and its check; of those that need no more than the bytes.
_CHECKS: dict[int, tuple[int, Check]] = {
    0: (EMAIL, emails),
    1: (IPV4, ipv4s),
    2: (IPV6, ipv6s),
    4: (CARD, cards),
    5: (IBAN, ibans),
}
_MARKS = {
    "emails": b"<EMAIL>",
    "ips": b"<IP_ADDRESS>",
    "phones": b"<PHONE>",
    "cards": b"<CARD>",
    "ibans": b"<IBAN>",
    "ids": b"<ID>",
}
# Reserved for examples, so a text that holds them is clean: RFC 2606, RFC 5737, RFC 3849, NANPA, test cards.
_NAMES = "email", "firstname.lastname", "user", "info", "contact", "name", "someone", "mail"
_MAIL = tuple(f"{name}@example.{end}".encode() for end in ("com", "org", "net") for name in _NAMES)
_CARDS = b"4242424242424242", b"4111111111111111", b"5555555555554444", b"5105105105105100"
_IBANS = b"DE89370400440532013000", b"GB29NWBK60161331926819", b"NL91ABNA0417164300"


@dataclass(frozen=True)
class PiiPolicy:
    """What becomes of each family: `keep` (not looked for), `redact` (a mark such as <EMAIL>), `replace` (a value
    that is nobody's; equal values of a document get equal ones) or `drop` (the document; spans are only counted).

    Phone numbers in national form are looked for in `regions` (ISO 3166, such as "US"); international ones
    always. `national_ids` are registers by their name in python-stdnum.
    """

    emails: Action = "replace"
    ips: Action = "replace"
    phones: Action = "redact"
    cards: Action = "redact"
    ibans: Action = "redact"
    ids: Action = "redact"
    regions: tuple[str, ...] = ()
    national_ids: tuple[str, ...] = NATIONAL_IDS


def check_policy(policy: PiiPolicy) -> None:
    """Raises RecipeError for a register or a region that nothing is known of."""
    for name in policy.national_ids:
        if name not in NATIONAL_IDS:
            known = ", ".join(NATIONAL_IDS)
            raise RecipeError(f"no register is called {name!r}; the registers are {known}")
    for region in policy.regions:
        if region not in SUPPORTED_REGIONS:
            raise RecipeError(
                f"no phone numbers are known of region {region!r}; name regions as in ISO 3166, such as 'US'"
            )


def find_pii(text: Text, policy: PiiPolicy) -> Spans:
    """Where each row holds personal data of the policy's families, and what shall stand there."""
    return confirm(text, find_candidates(text, wanted_bits(policy)), policy)


def dropped(spans: Spans, policy: PiiPolicy) -> np.ndarray:
    """bool, one a row: whether it holds a kind that costs the document its place."""
    drops = [getattr(policy, _FAMILY[name]) == "drop" for name in spans.names]
    return np.asarray(count_kinds(spans)[:, drops].sum(axis=1) > 0)


def pii_signals(text: Text) -> pa.RecordBatch:
    """Finds per row and family, int32: `pii_emails`, `pii_ips`, `pii_phones` (international), `pii_cards`,
    `pii_ibans`, `pii_ids`; and `secrets`, the credentials. A null row has none."""
    spans = find_pii(text, PiiPolicy())
    counts = count_kinds(spans)
    families = np.array([_FAMILY[name] for name in spans.names])
    columns = {f"pii_{name}": counts[:, families == name].sum(axis=1) for name in FAMILIES}
    columns["secrets"] = np.diff(find_credentials(text).offsets)
    return pa.RecordBatch.from_pydict({name: int32s(column) for name, column in columns.items()})


def wanted_bits(policy: PiiPolicy) -> int:
    """The kinds that the policy looks for, as bits of `pii_candidates`."""
    bits = {
        "emails": EMAIL,
        "ips": IPV4 | IPV6,
        "phones": PHONE | (NATIONAL_PHONE if policy.regions else 0),
        "cards": CARD,
        "ibans": IBAN,
        "ids": sum(ID_BITS[name] for name in policy.national_ids),
    }
    return sum(bit for family, bit in bits.items() if getattr(policy, family) != "keep")


def confirm(text: Text, candidates: Candidates, policy: PiiPolicy) -> Spans:
    """The finds among candidates. Its cost is some 10 microseconds a candidate."""
    offsets, data = text_buffers(text)
    finds: list[tuple[int, int, int, int, int]] = []
    stand_ins: dict[bytes, int] = {}
    view, texts = data.data, _Texts(offsets, data)
    # In tables of numbers the words of registers are looked for once, not round each number.
    numbers_in = np.bincount(candidates.rows, candidates.bits & _IDS != 0, len(offsets) - 1)
    is_table = (numbers_in >= _MANY) & (numbers_in * _APART > np.diff(offsets))
    for row, start, end, bits in zip(
        candidates.rows.tolist(),
        candidates.starts.tolist(),
        candidates.ends.tolist(),
        candidates.bits.tolist(),
        strict=True,
    ):
        if is_table[row] and not (bits := texts.without_silent(row, bits)):
            continue
        first, last = int(offsets[row]), int(offsets[row + 1])
        low, high = max(first + start - MARGIN, first), min(first + end + MARGIN_BEHIND, last)
        window = bytes(view[low:high])
        shift = low - first
        mention = partial(texts.mention, row)
        for a, b, kind in _check(window, start - shift, end - shift, bits, mention, policy):
            if a + shift < end:
                stand_in = _stand_in(KINDS[kind], window[a:b], policy)
                number = stand_ins.setdefault(stand_in, len(stand_ins))
                finds.append((row, a + shift, b + shift, kind, number))
    rows, starts, ends, kinds, numbers = np.array(finds, np.int64).reshape(-1, 5).T
    return collect(len(offsets) - 1, rows, starts, ends, kinds, KINDS, tuple(stand_ins), numbers)


class _Texts:
    """Which words whole texts hold; each text is searched once for each expression. Rows come one after another."""

    def __init__(self, offsets: np.ndarray, data: np.ndarray) -> None:
        self._offsets, self._view = offsets.tolist(), data.data
        self._row = -1
        self._lowered = b""
        self._known: dict[re.Pattern[bytes], bool] = {}  # of this row
        self._left: dict[int, int] = {}  # bits -> without the silent ones

    def mention(self, row: int, words: Words) -> bool:
        self._turn_to(row)
        if (known := self._known.get(words.pattern)) is None:
            known = self._known[words.pattern] = words.told_by(self._lowered)
        return known

    def without_silent(self, row: int, bits: int) -> int:
        """The bits but those of registers that need words of which the text holds none."""
        self._turn_to(row)
        if bits not in self._left:
            self._left[bits] = bits
            for name, bit in ID_BITS.items():
                if bits & bit and (words := id_words(name)) and not self.mention(row, words):
                    self._left[bits] ^= bit
        return self._left[bits]

    def _turn_to(self, row: int) -> None:
        if row != self._row:
            first, last = self._offsets[row : row + 2]
            self._row, self._lowered = row, bytes(self._view[first:last]).lower()
            self._known, self._left = {}, {}


def _check(
    window: bytes,
    start: int,
    end: int,
    bits: int,
    anywhere: Callable[[Words], bool],
    policy: PiiPolicy,
) -> Iterator[tuple[int, int, int]]:
    """First byte, end and kind of what the checks for `bits` confirm from `start` on."""
    checks, registers = _asked_for(bits)
    for kind, check in checks:
        for a, b in check(window, start):
            yield a, b, kind
    if bits & (PHONE | NATIONAL_PHONE):
        national = bits & NATIONAL_PHONE and tells_phone(window, start, end)
        regions = (None,) * (bits & PHONE != 0) + policy.regions * bool(national)
        for region in regions:
            yield from ((a, b, _PHONE) for a, b in phones(window, start, end, region))
    for kind, name in registers:
        yield from ((a, b, kind) for a, b in national_ids(window, start, name, anywhere))


@cache
def _asked_for(bits: int) -> tuple[list[tuple[int, Check]], list[tuple[int, str]]]:
    """The checks and the registers of some bits, each with its kind: few sets of bits come again and again."""
    checks = [(kind, check) for kind, (bit, check) in _CHECKS.items() if bits & bit]
    registers = [(KINDS.index(name), name) for name in NATIONAL_IDS if bits & ID_BITS[name]]
    return checks, registers


def _stand_in(kind: str, value: bytes, policy: PiiPolicy) -> bytes:
    family = _FAMILY[kind]
    if getattr(policy, family) != "replace":
        return _MARKS[family]
    number = xxhash.xxh3_64_intdigest(value)
    if kind == "ipv4":
        return b"192.0.2.%d" % (1 + number % 254)
    if kind == "ipv6":
        return b"2001:db8::%x" % (1 + number % 0xFFFE)
    if kind == "phone":
        return b"+1 202 555 01%02d" % (number % 100)
    if family == "ids":  # the same form, and no valid number
        return re.sub(rb"[A-Za-z]", b"X", re.sub(rb"\d", b"0", value))
    pool = {"emails": _MAIL, "cards": _CARDS, "ibans": _IBANS}[family]
    return pool[number % len(pool)]
