"""Gopher's repetition signals against a twin on str, and against datatrove's own numbers."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.stages import copies
from coursepack.stages.characters import characters
from coursepack.stages.copies import head_ends
from coursepack.stages.repetition import repetition_signals


def is_space(c: str) -> bool:
    return bool(characters().is_space[ord(c)])


def spaced(text: str) -> str:
    """The text with spaces for all of Unicode's white space but newlines: `str.strip` knows four more."""
    private = {c: "\ue000" for c in "\x1c\x1d\x1e\x1f"}
    return "".join(" " if is_space(c) and c != "\n" else private.get(c, c) for c in text)


def copied(pieces: list[str]) -> tuple[int, int]:
    again = [piece for n, piece in enumerate(pieces) if piece in pieces[:n]]
    return len(again), sum(map(len, again))


def walk(words: list[str], n: int) -> int:
    met, chars, i = set(), 0, 0
    while i + n <= len(words):
        gram = tuple(words[i : i + n])
        if gram in met:
            chars, i = chars + sum(map(len, gram)), i + n
        else:
            met.add(gram)
            i += 1
    return chars


def top(words: list[str], n: int) -> int:
    grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    return len(grams.most_common(1)[0][0]) * grams.most_common(1)[0][1] if grams else 0


def twin(text: str | None) -> dict[str, float | None]:
    lines, chars_in_lines = copied(re.split("\n+", text or ""))
    strip = spaced(text or "").strip()
    at = spaced(text or "").find(strip)
    stripped = (text or "")[at : at + len(strip)]
    paragraphs, chars_in_paragraphs = copied(re.split("\n{2,}", stripped))
    words = "".join("\n" if is_space(c) else c for c in text or "").split("\n")
    words = [word for word in words if word]
    found = {
        "dup_line_ratio": lines / len(re.split("\n+", text or "")),
        "dup_paragraph_ratio": paragraphs / len(re.split("\n{2,}", stripped)),
    }
    counts = {"dup_line_char_ratio": chars_in_lines, "dup_paragraph_char_ratio": chars_in_paragraphs}
    counts |= {f"top_{n}gram_char_ratio": top(words, n) for n in (2, 3, 4)}
    counts |= {f"dup_{n}gram_char_ratio": walk(words, n) for n in range(5, 11)}
    if not text:
        return dict.fromkeys([*found, *counts])
    return found | {name: count / len(text) for name, count in counts.items()}


PIECE = st.sampled_from(
    ["a", "b", "a b", "ab", "é", "漢", "\n", "\n\n", "\n\n\n", " ", "\t", "\u2028", "\xa0", "\0"]
)
TEXT = st.one_of(
    st.lists(PIECE | st.text(max_size=2), max_size=20).map("".join),
    st.text("ab", max_size=40).map(" ".join),  # many copies of n words
    st.text("ab\n ", max_size=40),
    st.lists(st.sampled_from(["one two three four five six ", "seven ", "\n"]), max_size=14).map(
        "".join
    ),
)


@given(st.lists(st.none() | TEXT, max_size=6), st.integers(0, 6))
@settings(max_examples=400, deadline=None)
def test_against_the_twin(texts: list[str | None], cut: int) -> None:
    wanted = [twin(text) for text in texts]
    for kind in (pa.string(), pa.large_string(), pa.binary()):
        column = pa.array(texts, pa.string()).cast(kind)
        assert repetition_signals(column).to_pylist() == wanted
        assert repetition_signals(column.slice(cut)).to_pylist() == wanted[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert repetition_signals(chunks).to_pylist() == wanted


@given(TEXT)
@settings(deadline=None)
def test_ranges(text: str) -> None:
    for name, value in repetition_signals(pa.array([text])).to_pylist()[0].items():
        if text:
            assert 0 <= value <= (int(name[4]) if name.startswith("top") else 1)  # not NaN either
        else:
            assert value is None


def test_a_long_row_beside_short_ones_and_a_table_that_grows() -> None:
    rng = np.random.default_rng(5)
    long = " ".join(f"w{n}" for n in rng.integers(0, 3000, 20_000))
    texts = ["x", long, "a b a b", long + "\n\n" + long, ""]
    assert repetition_signals(pa.array(texts[:3])).to_pylist() == [twin(t) for t in texts[:3]]
    both = repetition_signals(pa.array(texts))
    alone = [repetition_signals(pa.array([text])).to_pylist()[0] for text in texts]
    assert both.to_pylist() == alone
    assert both.column("dup_10gram_char_ratio")[3].as_py() == pytest.approx(0.41, abs=0.02)


def test_the_head_of_a_very_long_text_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "HEAD_BYTES", 20)
    texts = ["é" * 30, "a b c d " * 9, "0123456789 漢字漢字", "short", None]
    heads = ["é" * 10, ("a b c d " * 9)[:20], "0123456789 漢字漢", "short", None]
    column = pa.array(["x", *texts])
    assert repetition_signals(column.slice(1)).to_pylist() == [twin(head) for head in heads]
    binary = pa.array([b"\x80" * 30])
    offsets = np.array([0, 30])
    assert head_ends(offsets, np.frombuffer(binary.buffers()[2], np.uint8)).tolist() == [17]
