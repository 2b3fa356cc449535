"""Pieces of a batch against a twin on str, and on bytes that are no UTF-8."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.stages import copies
from coursepack.stages.characters import OWN_UNIT, SEPARATOR, characters
from coursepack.stages.gopher import gopher_signals
from coursepack.stages.pieces import (
    LETTER,
    MARK,
    NUMBER,
    SIGN,
    SPACE,
    TAIL,
    TERMINAL,
    UNSPACED,
    Pieces,
    TextOrPieces,
    find_pieces,
)
from coursepack.stages.repetition import repetition_signals
from coursepack.stages.web import web_signals


def kind(c: str) -> int:
    table, code = characters(), ord(c)
    word = table.word_class[code]
    bits = LETTER * table.is_letter[code] | NUMBER * table.is_number[code]
    bits |= SPACE * table.is_space[code]
    bits |= (MARK * (word != SEPARATOR) or SIGN) * (bits == 0)
    return int(bits | UNSPACED * (word == OWN_UNIT) | TERMINAL * table.is_terminal[code])


def kinds(text: str) -> list[int]:
    bits = ((kind(c), len(c.encode("utf-8", "surrogateescape"))) for c in text)
    return [
        bit if k == 0 else bit & (SPACE | UNSPACED) | TAIL
        for bit, width in bits
        for k in range(width)
    ]


def twin_words(text: str) -> list[str]:
    words = [""]
    for c in text:
        if kind(c) & SPACE:
            words.append("")
        elif kind(c) & UNSPACED:
            words += [c, ""]
        else:
            words[-1] += c
    return [word for word in words if word]


def twin(text: bytes | None) -> dict[str, Any]:
    """Bytes that are no UTF-8 are lone surrogates in a str: signs without a class, as wanted."""
    as_str = (text or b"").decode("utf-8", "surrogateescape")
    words, lines = twin_words(as_str), as_str.split("\n")
    raw = [piece.encode("utf-8", "surrogateescape") for piece in words + lines]
    found_kinds = [np.bitwise_or.reduce(kinds(word)) for word in words]
    return {
        "kinds": kinds(as_str),
        "words": raw[: len(words)],
        "lines": raw[len(words) :],
        "word_chars": [*map(len, words)],
        "line_chars": [*map(len, lines)],
        "word_kinds": found_kinds,
    }


def row(pieces: Pieces, r: int) -> dict[str, Any]:
    start, end = pieces.offsets[r], pieces.ends[r]
    words = slice(*pieces.words[r : r + 2])
    lines = slice(*pieces.lines[r : r + 2])
    data = pieces.data.tobytes()

    def cut(starts: np.ndarray, ends: np.ndarray) -> list[bytes]:
        return [data[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]

    return {
        "kinds": pieces.kinds[start:end].tolist(),
        "words": cut(pieces.word_starts[words], pieces.word_ends[words]),
        "lines": cut(pieces.line_starts[lines], pieces.line_ends[lines]),
        "word_chars": pieces.word_chars[words].tolist(),
        "line_chars": pieces.line_chars[lines].tolist(),
        "word_kinds": pieces.word_kinds[words].tolist(),
    }


def rows(pieces: Pieces) -> list[dict[str, Any]]:
    return [row(pieces, r) for r in range(len(pieces.ends))]


def hashed(pieces: Pieces) -> dict[bytes, set[int]]:
    """The hashes that each piece was given."""
    found: dict[bytes, set[int]] = {}
    for r, held in enumerate(rows(pieces)):
        hashes = pieces.word_hashes[slice(*pieces.words[r : r + 2])].tolist()
        hashes += pieces.line_hashes[slice(*pieces.lines[r : r + 2])].tolist()
        for piece, value in zip(held["words"] + held["lines"], hashes, strict=True):
            found.setdefault(piece, set()).add(value)
    return found


SIGNS = [
    "the",
    "Don't",
    "éa",
    "漢字",
    "カナー",
    "ไทยที่",
    "عربي",
    "हिन्दी",
    "😀",
    "\U0001f468\u200d",
    "²",
    "_",
]
SIGNS += [
    "\n",
    "\n\n",
    "\r\n",
    " ",
    "  ",
    "\t",
    "\xa0",
    "\u2028",
    "\u3000",
    ".",
    "。",
    "”",
    "\0",
    "x" * 20,
]
TEXT = st.lists(st.sampled_from(SIGNS) | st.text(max_size=3), max_size=14).map("".join)
RAW = st.lists(
    TEXT.map(str.encode) | st.binary(max_size=4) | st.sampled_from([b"\xe6\xbc", b"\xff"]),
    max_size=5,
).map(b"".join)


@given(st.lists(st.none() | TEXT, max_size=6), st.integers(0, 6))
@settings(max_examples=300)
def test_against_the_twin(texts: list[str | None], cut: int) -> None:
    wanted = [twin(text.encode() if text is not None else None) for text in texts]
    for kind in (pa.string(), pa.large_string(), pa.binary()):
        column = pa.array(texts, pa.string()).cast(kind)
        assert rows(find_pieces(column)) == wanted
        assert rows(find_pieces(column.slice(cut))) == wanted[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert rows(find_pieces(chunks)) == wanted


@given(st.lists(RAW, max_size=4))
@settings(max_examples=300)
def test_bytes_that_are_no_utf_8(texts: list[bytes]) -> None:
    assert rows(find_pieces(pa.array(texts, pa.binary()))) == [twin(text) for text in texts]


FAMILIES = (gopher_signals, repetition_signals, web_signals)


@pytest.mark.parametrize("signals", FAMILIES)
@given(texts=st.lists(st.none() | RAW, max_size=4), cut=st.integers(0, 4))
@settings(max_examples=100)
def test_families_take_any_bytes_as_text_or_as_pieces(
    signals: Callable[[TextOrPieces], pa.RecordBatch], texts: list[bytes | None], cut: int
) -> None:
    column = pa.array(texts, pa.binary())
    found = signals(find_pieces(column)).to_pylist()
    assert signals(column).to_pylist() == found
    assert signals(column.slice(cut)).to_pylist() == found[cut:]
    per_word = "hash_word_ratio", "ellipsis_word_ratio", "newline_word_ratio"
    for values in found:
        for name, value in values.items():
            if name.endswith("_ratio") and value is not None:
                most = int(name[4]) if name.startswith("top") else 1
                assert 0 <= value <= most or (name in per_word and value >= 0), name


@given(st.lists(RAW, max_size=4))
@settings(max_examples=300)
def test_equal_pieces_have_equal_hashes_and_others_do_not(texts: list[bytes]) -> None:
    found = hashed(find_pieces(pa.array(texts, pa.binary())))
    assert all(len(values) == 1 for values in found.values())
    assert len(set.union(set(), *found.values())) == len(found)


@pytest.mark.parametrize("word", ["1", "a", "_", ".", "漢", "1漢", "漢1", "é漢é"])
def test_texts_of_words_alone_and_long_ones(word: str) -> None:
    texts = [sep.join([word] * n) for n in (1, 2, 3, 40) for sep in (" ", "", "\n", " \u3000")]
    assert rows(find_pieces(pa.array(texts))) == [twin(text.encode()) for text in texts]


def test_every_ascii_character() -> None:
    text = "".join(map(chr, range(128)))
    assert rows(find_pieces(pa.array([text, "é" + text]))) == [
        twin(text.encode()),
        twin(f"é{text}".encode()),
    ]


def test_hashes_of_pieces_that_differ_little() -> None:
    words = [f"{'w' * n}{k}" for n in range(40) for k in range(60)]
    words += ["\0" * n for n in range(1, 40)] + ["a" + "\0" * n for n in range(1, 40)]
    pieces = find_pieces(pa.array([" ".join(words), *words]))
    assert len(np.unique(pieces.word_hashes)) == len(words)
    # a piece at the very end of the buffer is hashed like one amid it
    assert pieces.word_hashes[: len(words)].tolist() == pieces.word_hashes[len(words) :].tolist()


def test_the_head_of_a_very_long_text_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "HEAD_BYTES", 20)
    texts = ["x", "é" * 30, "a b\n" * 9, "我" * 20, "short", None]
    heads = ["x", "é" * 10, "a b\n" * 5, "我" * 6, "short", None]
    pieces = find_pieces(pa.array(texts).slice(1))
    assert rows(pieces) == [twin((head or "").encode()) for head in heads[1:]]
    assert [b - a for a, b in pairwise(pieces.offsets)] == [60, 36, 60, 5, 0]


def test_pieces_of_pieces_are_the_same() -> None:
    pieces = find_pieces(pa.array(["a b"]))
    assert find_pieces(pieces) is pieces
    assert rows(find_pieces(pa.array([], pa.string()))) == []
