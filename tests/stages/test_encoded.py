"""Runs of encoded data against regular expressions, and what real data and real prose give."""

import base64
import random
import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.pipeline.arrow import text_buffers
from coursepack.stages.encoded import COUNTS, encoded_runs

BASE64 = re.compile(rb"[A-Za-z0-9+/=\n]{64,}")
WORD = rb"[0-9A-Za-z_\x80-\xff]"
UNIT = rb"(?:\\[xXuU]|(?<!" + WORD + rb")(?:0[xX])?)(?:[0-9a-fA-F]{2})+(?!" + WORD + rb")"
HEX = re.compile(UNIT + rb"(?:[, \t\r\n]*" + UNIT + rb")*")
NUMBERS = re.compile(rb"[0-9.,;+eE()\[\]{} \t\r\n-]{64,}")


def twin(text: bytes) -> dict[str, int]:
    runs = [
        run
        for run in BASE64.findall(text)
        if all(re.search(kind, run) for kind in (b"[A-Z]", b"[a-z]", b"[0-9]"))
        and max(map(len, run.split(b"\n"))) >= 32
    ]
    dumps = []
    for match in HEX.finditer(text):
        digits = re.sub(rb"\\[xXuU]|0[xX](?=[0-9a-fA-F])|[, \t\r\n]", b"", match[0])
        if len(digits) >= 16 and re.search(rb"\\|[xX]|[a-fA-F]", match[0]):
            dumps.append(match[0])
    lists = [
        run
        for run in NUMBERS.findall(text)
        if len(re.findall(rb"[0-9][0-9.]*", run)) >= 8
        and 2 * len(re.findall(rb"[0-9]", run)) >= len(run)
    ]
    return {
        "base64": sum(map(len, runs)),
        "hex": sum(map(len, dumps)),
        "numbers": sum(map(len, lists)),
        "longest": max(map(len, runs + dumps), default=0),
    }


def found(rows: list[bytes | None]) -> list[dict[str, int]]:
    columns = encoded_runs(*text_buffers(pa.array(rows, pa.binary())))
    assert tuple(columns) == COUNTS
    return [
        dict(zip(columns, map(int, row), strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


PIECE = st.sampled_from(
    [
        *(
            b"deadbeef",
            b"48",
            b"0x4f",
            b"0x",
            b"\\x48",
            b"\\u00e9",
            b"\\",
            b", ",
            b",",
            b" ",
            b"\n",
        ),
        *(
            b"abc",
            b"added",
            b"word",
            b"g",
            b"_",
            b"\xc3\xa9",
            b"12345678",
            b"1.5, ",
            b"-2e5;",
            b"[",
        ),
        *(b"QUJDREVG", b"Zm9v", b"+/=", b"x", b"u", b"0", b"7 8 9 ", b"aB3" * 11),
    ]
)
TEXT = st.lists(PIECE | st.binary(max_size=2), max_size=30).map(b"".join)


@given(st.lists(TEXT, max_size=4), st.integers(0, 4))
@settings(max_examples=500, deadline=None)
def test_against_the_twin(texts: list[bytes], cut: int) -> None:
    assert found([*texts, None]) == [*map(twin, texts), twin(b"")]
    column = pa.array(texts, pa.large_binary()).slice(cut)
    sliced = encoded_runs(*text_buffers(column))
    assert sliced["hex"].tolist() == [twin(text)["hex"] for text in texts[cut:]]


SOURCE = random.Random(0)
RAW = SOURCE.randbytes(300)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (base64.b64encode(RAW), "base64"),
        (base64.encodebytes(RAW), "base64"),
        (RAW.hex().encode(), "hex"),
        (RAW.hex(" ").encode(), "hex"),
        (", ".join(f"0x{byte:02X}" for byte in RAW).encode(), "hex"),
        ("".join(f"\\x{byte:02x}" for byte in RAW).encode(), "hex"),
        ("".join(f"\\u{byte:04x}" for byte in RAW).encode(), "hex"),
        (str([SOURCE.randint(0, 9999) for _ in range(99)]).encode(), "numbers"),
    ],
)
def test_dumps_are_found_whole(text: bytes, kind: str) -> None:
    row = found([b'x = "' + text + b'"'])[0]
    assert row[kind] == len(text)
    assert row["longest"] == (len(text) if kind != "numbers" else 0)


@pytest.mark.parametrize(
    "text",
    [
        b"=" * 100 + b"\n" + b"-" * 100,
        b"one\nword\nthat\nMatters\n2\n" * 9,
        b"/usr/local/lib/python3/site/packages/" * 3,
        b"a faded cafe, added dead beef",
        b"call 12 34 56 78 90 12 34 56 78 90",
        b"the 3 of 4 and 5, 6 or 7 by 8 in 9 to 10 at 11 with 12 for 13 on 14",
        " ".join(["Grüße an die Welt"] * 9).encode(),
    ],
)
def test_prose_lists_and_rulers_are_no_data(text: bytes) -> None:
    assert found([text])[0] == dict.fromkeys(COUNTS, 0)


def test_the_shortest_runs_across_blocks_with_every_byte_in_them() -> None:
    shortest = (
        b"aB3" * 21 + b"/",
        b"0123456789abcdef",
        b"a,        b,     cd0123456789a",
        b"12,34,  " * 8,
    )
    texts = [b"~" * n + run + b"~" for run in shortest for n in range(70)]
    texts += [
        run + b"  " + run[:cut] + bytes([byte]) + run[cut:] + b"~"
        for run in shortest
        for byte in range(256)
        for cut in (5, len(run) // 2)
    ]
    assert found(texts) == [twin(text) for text in texts]
    assert {kind for text in texts[:280] for kind, size in twin(text).items() if size} == set(
        COUNTS
    )


def test_runs_between_foreign_letters() -> None:
    foreign = "漢字かな交じり文".encode() * 3
    texts = [
        foreign + run * 4 + foreign[: 3 * n] + run + foreign
        for run in (b"aB3/" * 8, b"0123 abcd ")
        for n in range(14)
    ]
    assert found(texts) == [twin(text) for text in texts]
