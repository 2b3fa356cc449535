"""The reader of SentencePiece's file format, against a plain one, on files that are whole and on broken ones."""

import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece_models import model

from coursepack.pipeline.errors import TokenizerError
from coursepack.tokenizers.sentencepiece_proto import NORMAL, read_spec, with_dummy_prefix

Field = tuple[int, int, int | bytes]  # number, wire type, value


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def message(fields: list[Field]) -> bytes:
    out = b""
    for number, wire, value in fields:
        out += varint(number << 3 | wire)
        if isinstance(value, int):
            out += varint(value)
        else:
            out += varint(len(value)) * (wire == 2) + value
    return out


def plain_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            yield tag >> 3, number()
            continue
        size = number() if tag & 7 == 2 else {1: 8, 5: 4}[tag & 7]
        if at + size > len(data):
            raise IndexError(at)
        yield tag >> 3, data[at : at + size]
        at += size


def plain_pieces(data: bytes) -> list[tuple[str, int, float]]:
    pieces = []
    for number, value in plain_fields(data):
        assert isinstance(value, bytes)
        if number == 1:
            piece = dict(plain_fields(value))
            (score,) = struct.unpack("<f", bytes(piece.get(2, bytes(4))))
            pieces.append((bytes(piece[1]).decode(), int(piece.get(3, NORMAL)), score))
    return pieces


def pieces(data: bytes) -> list[tuple[str, int, float]]:
    spec = read_spec(data)
    return list(zip(spec.pieces, spec.types.tolist(), spec.scores.tolist(), strict=True))


UNKNOWN = st.one_of(  # fields of later versions, which readers pass over
    st.tuples(st.integers(4, 300), st.just(0), st.integers(0, 1 << 40)),
    st.tuples(st.integers(4, 300), st.just(1), st.binary(min_size=8, max_size=8)),
    st.tuples(st.integers(4, 300), st.just(2), st.binary(max_size=200)),
    st.tuples(st.integers(4, 300), st.just(5), st.binary(min_size=4, max_size=4)),
)
SCORES = st.floats(width=32, allow_nan=False).map(lambda score: struct.pack("<f", score))
PIECE = st.builds(
    lambda text, more: message([(1, 2, text.encode()), *more]),
    st.text(max_size=40),
    st.lists(
        st.tuples(st.just(2), st.just(5), SCORES)
        | st.tuples(st.just(3), st.just(0), st.integers(1, 6))
        | UNKNOWN,
        max_size=4,
    ),
)
SETTINGS = st.lists(st.tuples(st.integers(1, 40), st.just(0), st.integers(0, 3)), max_size=5)
MODEL = st.builds(
    lambda texts, trainer, normalizer: message(
        [
            *((1, 2, text) for text in texts),
            *((2, 2, message(fields)) for fields in trainer),
            *((3, 2, message(fields)) for fields in normalizer),
        ]
    ),
    st.lists(PIECE, min_size=1, max_size=6),
    st.lists(SETTINGS, max_size=2),
    st.lists(SETTINGS, max_size=2),
)


def test_real_models() -> None:
    for name in ("gemma", "llama-2"):
        assert pieces(model(name)) == plain_pieces(model(name))


@given(MODEL)
def test_any_model(data: bytes) -> None:
    assert pieces(data) == plain_pieces(data)
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for number, value in plain_fields(data):
        if isinstance(value, bytes) and number in (2, 3):
            (trainer if number == 2 else normalizer).update(plain_fields(value))
    spec = read_spec(data)
    assert spec.model_type == trainer.get(3, 1)
    assert spec.byte_fallback == bool(trainer.get(35, 0))
    assert spec.removes_extra_whitespaces == bool(normalizer.get(4, 1))
    assert spec.dummy_prefix == bool(normalizer.get(3, 1))
    if any(number == 3 for number, _ in plain_fields(data)):
        prefixed = read_spec(with_dummy_prefix(data))
        assert prefixed.dummy_prefix
        assert prefixed.pieces == spec.pieces
    else:
        with pytest.raises(TokenizerError, match="no normalizer_spec"):
            with_dummy_prefix(data)


@given(MODEL, st.integers(0), st.integers(0, 255))
def test_broken_files(data: bytes, at: int, byte: int) -> None:
    at %= len(data)
    for broken in (data[:at], data[:at] + bytes([byte]) + data[at + 1 :]):
        try:
            found = pieces(broken)
        except TokenizerError:
            continue
        # NaN is not itself
        assert np.array_equal(
            np.array([score for _, _, score in found]),
            np.array([score for _, _, score in plain_pieces(broken)]),
            equal_nan=True,
        )
        assert [piece[:2] for piece in found] == [piece[:2] for piece in plain_pieces(broken)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x0a",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length of 2^64 - 1
        b"\x08\x01",  # a number where messages are
        message([(1, 2, b"")]),  # a piece without its text
        message([(1, 2, message([(1, 2, b"\xff")]))]),
        message([(1, 2, message([(1, 2, b"a"), (3, 0, 300)]))]),
        b"plain text, for instance a README",
    ],
)
def test_no_models(data: bytes) -> None:
    with pytest.raises(TokenizerError, match="not a SentencePiece model"):
        read_spec(data)
