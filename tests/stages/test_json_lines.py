"""JSON lines read by the kernel, against orjson, on JSON of every form and on what is nearly JSON."""

import itertools
import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.stages.json_lines import (
    ABSENT,
    ESCAPED,
    INTEGER,
    OTHER,
    PLAIN,
    find_lines,
    is_utf8,
    parse_lines,
)

KEYS = ("text", "id", "ä")

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**15), 10**15), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(['"', "\\", "a\nb", "\x00", "😀", "x" * 30]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)  # fmt: skip
RECORDS = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), VALUES, max_size=5)
# What JSON is made of, to be put together by chance.
TOKENS = st.sampled_from(
    [*'{}[],:" \t\r', '"text":', '"id"', '"a\\u00e4"', '"\\ud83d\\ude00"', '"\\ud83d"', '"\\x"', "\\", "\\u12",
     "0", "-0", "01", "1.", ".5", "1e5", "1E+999", "-", "12345678901234567890", "true", "false", "null", "nul",
     "NaN", "\x00", "\x1f", "\x7f", "é", '"text":"a"', '{"text":"a"', ',"id":7']
)  # fmt: skip


def parsed(line: bytes) -> tuple[bool, dict[str, Any]]:
    """Whether the kernel takes a line alone, and its values of KEYS."""
    data = np.frombuffer(line, np.uint8)
    lines = parse_lines(data, np.array([0]), np.array([len(line)]), KEYS)
    found = {}
    for key, name in enumerate(KEYS):
        kind = lines.kinds[key, 0]
        if kind == ABSENT:
            assert lines.strings(np.array([key])).to_pylist() == [None]
            continue
        found[name] = orjson.loads(lines.value(key, 0))
        if kind != OTHER:
            (text,) = lines.strings(np.array([key])).to_pylist()
            assert text == (str(found[name]) if kind == INTEGER else found[name])
    return bool(lines.good[0]), found


def asked_of(record: Any) -> dict[str, Any]:
    return {name: record[name] for name in KEYS if record.get(name) is not None}


@given(RECORDS, st.booleans(), st.sampled_from([None, 1]))
def test_json_of_every_form(record: dict[str, Any], ascii: bool, indent: int | None) -> None:
    line = json.dumps(record, ensure_ascii=ascii, indent=indent).replace("\n", "\r").encode()
    good, found = parsed(line)
    if good:
        assert found == asked_of(orjson.loads(line))
    # it leaves escaped keys, and numbers that parsers read differently, to others
    assert good or b"\\" in line or b"e" in line or any(c.isdigit() for c in line.decode())


@pytest.mark.parametrize("special", ['"', "\\", "\n", "/", "\b\f\r\t", '\\"', "\x00", "é", "😀"])
@pytest.mark.parametrize("ascii", [True, False])
def test_escapes_at_every_place_of_eight_bytes(special: str, ascii: bool) -> None:
    for before in range(18):
        for behind in range(18):
            text = "a" * before + special + "b" * behind + special
            line = json.dumps({"text": text}, ensure_ascii=ascii).encode()
            assert parsed(line) == (True, {"text": text})
            assert parsed(line[:-2])[0] is False


@given(RECORDS)
def test_what_orjson_writes_is_taken(record: dict[str, Any]) -> None:
    line = orjson.dumps({**record, "text": 'a "b"\n', "id": 7})
    plain = not any(c in json.dumps(name)[1:-1] for name in every_key(record) for c in '\\"')
    good, found = parsed(line)
    numbers = [n for n in every_number(record) if "e" in repr(n) or abs(n) >= 1e15]
    assert good or numbers or not plain
    assert found.get("text") == 'a "b"\n' or not good


def every_key(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for inner in value.values() for key in every_key(inner))]
    return [key for inner in value for key in every_key(inner)] if isinstance(value, list) else []


def every_number(value: Any) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for inner in value for number in every_number(inner)]
    return [value] if type(value) in (int, float) and math.isfinite(value) else []


@given(st.lists(TOKENS, max_size=12).map("".join).map(str.encode) | st.binary(max_size=30))
def test_it_takes_nothing_that_orjson_refuses(line: bytes) -> None:
    good, found = parsed(line)
    if good:
        record = orjson.loads(line)
        assert type(record) is dict
        assert found == asked_of(record)


@given(RECORDS, st.integers(0), st.binary(min_size=1, max_size=2), st.integers(0, 2))
def test_damage(record: dict[str, Any], place: int, bytes_: bytes, cut: int) -> None:
    line = orjson.dumps(record)
    place %= len(line)
    line = (line[:place] + bytes_ + line[place + cut :]).replace(b"\n", b" ")
    good, found = parsed(line)
    if good:
        assert found == asked_of(orjson.loads(line))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b'"a"', PLAIN), (b'"a\\n"', ESCAPED), (b'""', PLAIN), (b"null", ABSENT), (b"7", INTEGER), (b"-12", INTEGER),
        (b"0", INTEGER), (b"-0", OTHER), (b"1.50", OTHER), (b"1e2", OTHER), (b"true", OTHER), (b"false", OTHER),
        (b"[]", OTHER), (b'{"text": "b"}', OTHER), (b'[{"a": [1, {}]}, []]', OTHER),
    ],
)  # fmt: skip
def test_kinds(value: bytes, kind: int) -> None:
    line = b'{"id": 1, "text" : ' + value + b" }"
    data = np.frombuffer(line, np.uint8)
    lines = parse_lines(data, np.array([0]), np.array([len(line)]), KEYS)
    assert lines.good[0]
    assert lines.kinds[0, 0] == kind


@pytest.mark.parametrize(
    "line",
    [
        b"", b"7", b'"text"', b"[]", b"{", b'{"text"}', b'{"text":}', b'{"text":"a"', b'{"text":"a",}',
        b'{"text":"a"}}',
        b'{"text":"a"} x', b'{"text":"a" "id":1}', b'{"text":"\t"}', b'{"text":"\\ud800"}',
        b'{"text":"\\ud800\\u0041"}',
        b'{"text":"\\udc00"}', b'{"text":"\\u12g4"}', b'{"text":"\\u12"}', b'{"text":"\\', b'{"id":01}', b'{"id":1.}',
        b'{"id":-}', b'{"id":+1}', b'{"id":1e}', b'{"id":[1,]}', b'{"id":[1}', b'{"id":{"a":1]}', b'{"id":{1:1}}',
        b'{"id":nul}', b'{"id":NaN}', b'{"text":"\xff"}', b'{"text":"\xed\xa0\x80"}', b"{,}", b'{"a":1,,"b":2}',
    ],
)  # fmt: skip
def test_not_taken(line: bytes) -> None:
    assert not parsed(line)[0]
    with pytest.raises((orjson.JSONDecodeError, AssertionError)):
        assert type(orjson.loads(line)) is dict


def test_the_last_of_two_keys_holds() -> None:
    assert parsed(b'{"text": "a", "text": "b\\n"}') == (True, {"text": "b\n"})
    assert parsed(b'{"text": "a", "text": null}') == (True, {})


def test_too_deep_is_left_to_others() -> None:
    deep = b'{"id": ' + b"[" * 200 + b"]" * 200 + b"}"
    assert not parsed(deep)[0]
    assert parsed(b'{"id": ' + b"[" * 50 + b"]" * 50 + b"}")[0]


@given(
    st.lists(st.binary(max_size=8).map(lambda line: line.replace(b"\n", b" ")), max_size=6),
    st.booleans(),
)
def test_lines(lines: list[bytes], ended: bool) -> None:
    data = b"\n".join(lines) + b"\n" * ended
    starts, ends = find_lines(np.frombuffer(data, np.uint8))
    found = [data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    assert found == [line for line in lines if line and not line.isspace()]


@given(
    st.binary(max_size=12) | st.text(max_size=12).map(str.encode),
    st.integers(0, 140),
    st.integers(0, 140),
)
def test_utf8(middle: bytes, before: int, behind: int) -> None:
    data = b"a" * before + middle + b"a" * behind
    try:
        data.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    assert is_utf8(np.frombuffer(data, np.uint8)) == valid


def test_utf8_of_every_pair_of_bytes() -> None:
    for before in (b"", b"a" * 66):
        for pair in itertools.product(range(0xC0, 0x100), range(0x70, 0x100)):
            for behind in (b"", b"\x80", b"\x80\x80", b"\x80\x80\x80"):
                data = before + bytes(pair) + behind
                try:
                    data.decode()
                    valid = True
                except UnicodeDecodeError:
                    valid = False
                assert is_utf8(np.frombuffer(data, np.uint8)) == valid
