"""Compression against frames made one by one, entropy against its definition."""

import base64
import collections
import json
import math
import random
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.stages import compression
from coursepack.stages.compression import compression_signals

LEAST, PIECE = 20, 64  # small, so that small examples reach all cases


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "LEAST_BYTES", LEAST)
    monkeypatch.setattr(compression, "PIECE_BYTES", PIECE)


def pieces(raw: bytes, least: int, size: int) -> list[bytes]:
    if len(raw) < least:
        return []
    middle = len(raw) // 2
    return [raw] if len(raw) <= 2 * size else [raw[:size], raw[middle : middle + size]]


def twin(text: bytes | None, least: int, size: int) -> dict[str, float | None]:
    sample = pieces(text or b"", least, size)
    raw = b"".join(sample)
    if not raw:
        return {"compression_ratio": None, "byte_entropy": None}
    plain = zstandard.ZstdCompressionParameters.from_level(
        1, write_content_size=0, write_checksum=0, write_dict_id=0
    )
    frames = zstandard.ZstdCompressor(compression_params=plain)
    count = min(len(raw), sum(len(frames.compress(piece)) for piece in sample))
    shares = [n / len(raw) for n in collections.Counter(raw).values()]
    entropy = -sum(p * math.log2(p) for p in shares)
    return {
        "compression_ratio": count / len(raw),
        "byte_entropy": pytest.approx(entropy, abs=2e-6),
    }


ROW = st.one_of(
    st.none(),
    st.text(max_size=60).map(str.encode),
    st.binary(max_size=40),
    st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 60)).map(lambda t: t[0] * t[1]),
)


@pytest.mark.usefixtures("small")
@given(st.lists(ROW, max_size=6), st.integers(0, 6))
@settings(max_examples=200, deadline=None)
def test_against_the_twin(rows: list[bytes | None], cut: int) -> None:
    wanted = [twin(row, LEAST, PIECE) for row in rows]
    for kind in (pa.binary(), pa.large_binary()):
        column = pa.array(rows, kind)
        assert compression_signals(column).to_pylist() == wanted
        assert compression_signals(column.slice(cut)).to_pylist() == wanted[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert compression_signals(chunks).to_pylist() == wanted


def test_the_sample_of_a_long_text() -> None:
    head, other, middle = b"ab" * 4096, random.Random(0).randbytes(8192), b"xyz " * 2048
    text = head + other + middle + other
    assert pieces(text, LEAST, 8192) == [head, middle]
    assert compression_signals(pa.array([text], pa.binary())).to_pylist() == [
        twin(text, LEAST, 8192)
    ]


def test_short_texts_are_null() -> None:
    found = compression_signals(pa.array(["a" * 511, "a" * 512, "", None]))
    assert [ratio is None for ratio in found["compression_ratio"].to_pylist()] == [
        True,
        False,
        True,
        True,
    ]
    assert found["byte_entropy"].to_pylist() == [None, 0.0, None, None]


def test_gibberish_and_boilerplate_stand_apart() -> None:
    source = random.Random(1)
    words = ["".join(source.choices("etaoinshrdlu", k=source.randint(2, 9))) for _ in range(1500)]
    prose = " ".join(source.choices(words, [1 / (k + 1) for k in range(1500)], k=1500))
    dump = base64.b64encode(source.randbytes(6000)).decode()
    page = "Home | About us | Contact | Terms of use\n" * 200
    ratios = compression_signals(pa.array([prose, dump, page]))["compression_ratio"].to_pylist()
    assert ratios[2] < 0.05 < 0.3 < ratios[0] < 0.65 < 0.7 < ratios[1]


def test_real_text_is_neither(shared: Path) -> None:
    for name in ("web_en-peps", "web_en-novels", "multilingual-docs"):
        texts = []
        with zstandard.open(shared / "data" / f"{name}.jsonl.zst", "rt") as lines:
            for line, _ in zip(lines, range(400), strict=False):
                texts.append(json.loads(line)["text"])
        found = compression_signals(pa.array(texts)).to_pylist()
        ratios = [
            row["compression_ratio"]
            for row, text in zip(found, texts, strict=True)
            if len(text) > 4096
        ]
        assert 0.1 < min(ratios) < max(ratios) < 0.65
