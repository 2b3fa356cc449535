"""Code point tables against Python's own Unicode data, and strict UTF-8 against bytes.decode."""

import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba import njit

from coursepack.stages.characters import (
    CODE_POINTS,
    OWN_UNIT,
    SEPARATOR,
    WORD,
    characters,
    decode,
    utf8_valid,
)

ASSIGNED = [
    code
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) not in ("Cn", "Co")
]


def test_tables_agree_with_the_interpreter_where_it_knows_the_character() -> None:
    table = characters()
    category = np.array([unicodedata.category(chr(code)) for code in ASSIGNED])
    major = category.astype("U1")
    np.testing.assert_array_equal(table.is_letter[ASSIGNED], major == "L")
    np.testing.assert_array_equal(table.is_number[ASSIGNED], major == "N")
    np.testing.assert_array_equal(table.is_digit[ASSIGNED], category == "Nd")
    word = np.isin(major, ["L", "M", "N"]) | (np.array(ASSIGNED) == ord("_"))
    np.testing.assert_array_equal(table.word_class[ASSIGNED] != SEPARATOR, word)


def test_white_space_is_the_unicode_property() -> None:
    found = {chr(code) for code in np.flatnonzero(characters().is_space)}
    spaces = {chr(code) for code in range(0x2000, 0x200B)}
    assert found == spaces | set("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000")


def test_lower_case_is_that_of_str_one_to_one() -> None:
    lower = characters().lower
    assert lower.dtype == np.int32
    assert len(lower) == CODE_POINTS
    for code in ASSIGNED:
        wanted = chr(code).lower()
        # Letters that this interpreter is too old to lower-case are the tables' own business.
        if len(wanted) == 1 and (wanted != chr(code) or unicodedata.category(wanted) == "Ll"):
            assert lower[code] == ord(wanted), hex(code)
    assert lower[ord("İ")] == ord("i")
    assert lower[ord("Σ")] == ord("σ")
    np.testing.assert_array_equal(lower[lower], lower)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("漢字かなカナーﾊ々", OWN_UNIT),
        ("ไทยລາວខ្មែរမြန်མာབོད", OWN_UNIT),
        ("aé_9Жקعहि한ª²", WORD),
        (" .,-'\n。、・༌$€", SEPARATOR),
    ],
)
def test_word_classes(text: str, kind: int) -> None:
    found = {c: int(characters().word_class[ord(c)]) for c in text}
    assert found == dict.fromkeys(text, kind)


def test_own_units_take_three_bytes_or_more() -> None:
    """find_words sizes its output by this."""
    assert np.flatnonzero(characters().word_class == OWN_UNIT).min() >= 0x800


def twin(raw: bytes | None) -> bool:
    try:
        (raw or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


EDGES = [
    b"\xc0\xaf",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\x80",
]
EDGES += ["\ufffd".encode(), "\U0010ffff".encode(), b"a\xe2\x82", b"\xf0\x9f\x98", b"\xc3", b"\xff"]
RAW = st.binary(max_size=12) | st.text(max_size=6).map(str.encode) | st.sampled_from(EDGES)


@given(st.lists(st.none() | st.lists(RAW, max_size=3).map(b"".join), max_size=8))
@example([*EDGES, None, b""])
@settings(max_examples=500, deadline=None)
def test_utf8_valid_is_as_strict_as_decode(rows: list[bytes | None]) -> None:
    wanted = [twin(row) for row in rows]
    column = pa.array(rows, pa.binary())
    assert utf8_valid(column).tolist() == wanted
    assert utf8_valid(column.slice(1)).tolist() == wanted[1:]
    chunks = pa.chunked_array([column.slice(0, 2), column.slice(2)])
    assert utf8_valid(chunks).tolist() == wanted


def test_utf8_valid_of_every_two_and_three_byte_sequence_start() -> None:
    rows = [
        bytes([a, b, c]) for a in range(0x7F, 256) for b in range(0, 256, 5) for c in (0x41, 0x80)
    ]
    rows += [bytes([a, b, 0x80, 0xBF]) for a in range(0xEF, 256) for b in range(256)]
    assert utf8_valid(pa.array(rows, pa.large_binary())).tolist() == [twin(row) for row in rows]


@njit
def _decode_all(data: np.ndarray, codes: np.ndarray) -> int:
    i = n = 0
    while i < len(data):
        codes[n], width = decode(data, i, len(data))
        i += width
        n += 1
    return n


@given(st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_decode_reads_each_code_point(text: str) -> None:
    data = np.frombuffer(text.encode() + b"\x80", np.uint8)
    codes = np.zeros(len(data), np.int64)
    n = _decode_all(data, codes)
    assert codes[:n].tolist() == [*map(ord, text), 0xFFFD]
