"""SentencePiece's merges by kernels, against the library, and the models that are left to it."""

import functools
import struct
from itertools import pairwise

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece_models import FOREIGN, ODD, model, real_texts, trained

from coursepack.tokenizers.character_merging import CharacterMerges, can_merge
from coursepack.tokenizers.segments import SegmentEncoder
from coursepack.tokenizers.sentencepiece_proto import (
    BYTE,
    CONTROL,
    NORMAL,
    UNUSED,
    WITHOUT_DUMMY_PREFIX,
    read_spec,
)

SYMBOLS = ("aa", "aab", "ba", "\u2581\u2581", "\u2581a", "x", "\u00e9e", "\n\n\n")


@functools.cache
def proto(name: str) -> bytes:
    if name == "symbols":
        return trained(user_defined_symbols=SYMBOLS)
    if name == "no space":
        return trained(split_by_whitespace=False, vocab_size=400, user_defined_symbols=("x",))
    return model(name) + WITHOUT_DUMMY_PREFIX


@functools.cache
def merges(name: str, short: int) -> CharacterMerges:
    spec = read_spec(proto(name))
    assert can_merge(spec)
    return CharacterMerges(spec, short)


def assert_same(name: str, texts: list[str], short: int) -> None:
    parts = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, parts)])
    bounds = np.stack((ends[:-1], ends[1:]), axis=1)
    data = np.frombuffer(b"".join(parts), np.uint8)
    offsets, ids = merges(name, short).ids(data, bounds)
    library = sentencepiece.SentencePieceProcessor(model_proto=proto(name))
    found = [ids[a:b].tolist() for a, b in pairwise(offsets)]
    assert found == library.encode(texts)


NAMES = ("gemma", "llama-2", "symbols", "no space")
LIKELY = st.sampled_from("aab\u2581 xe\u00e9\n\tE<>/tdhr1\u6f22\u5b57")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("short", [0, 128])
def test_whole_texts_without_cuts(name: str, short: int) -> None:
    assert_same(name, [*ODD, *FOREIGN, *(text[:3000] for text in real_texts()[:20])], short)


@given(
    st.lists(st.text(LIKELY, max_size=40) | st.text(max_size=12), max_size=4),
    st.sampled_from(NAMES),
    st.sampled_from([0, 128]),
)
def test_any_text(texts: list[str], name: str, short: int) -> None:
    assert_same(name, texts, short)


def with_piece(data: bytes, text: str, kind: int, score: float = -1e6) -> bytes:
    """The model with one piece more."""
    spelled = text.encode()
    piece = bytes([0x0A, len(spelled)]) + spelled + b"\x15" + struct.pack("<f", score)
    piece += bytes([0x18, kind])
    return data + bytes([0x0A, len(piece)]) + piece


def a_score(data: bytes) -> float:
    """That of some piece which merges make."""
    spec = read_spec(data)
    pairs = zip(spec.pieces, spec.types, spec.scores, strict=True)
    return next(score for piece, kind, score in pairs if kind == NORMAL and len(piece) > 1)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("qqq", UNUSED),  # the library divides it again
        ("\u4e00\u4e01", NORMAL),  # two pieces of one score
        ("\u4e02", CONTROL),  # it would be given to a character
        ("a b", NORMAL),  # never met: spaces become U+2581
        ("<0x1FF>", BYTE),
    ],
)
def test_left_to_the_library(text: str, kind: int) -> None:
    data = proto("llama-2")
    assert can_merge(read_spec(data))
    score = a_score(data) if text == "\u4e00\u4e01" else -1e6
    assert not can_merge(read_spec(with_piece(data, text, kind, score)))


def test_a_model_with_an_unused_piece_is_encoded_alike() -> None:
    data = with_piece(proto("llama-2"), "qqq", UNUSED)
    texts = ["qqq qq qqqqqq", *FOREIGN]
    parts = [text.encode() for text in texts]
    offsets, ids = SegmentEncoder(data).encode(
        np.cumsum([0, *map(len, parts)]), np.frombuffer(b"".join(parts), np.uint8)
    )
    found = [ids[a:b].tolist() for a, b in pairwise(offsets)]
    assert found == sentencepiece.SentencePieceProcessor(model_proto=data).encode(texts)
