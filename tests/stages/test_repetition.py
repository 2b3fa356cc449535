"""Gopher's repetition signals against a twin on str, and against datatrove's own numbers."""

import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from short_texts import TEXTS, reasons

from coursepack.stages import copies
from coursepack.stages.characters import OWN_UNIT, characters
from coursepack.stages.copies import head_ends
from coursepack.stages.repetition import repetition_signals


def is_space(c: str) -> bool:
    return bool(characters().is_space[ord(c)])


def spaced(text: str) -> str:
    """The text with spaces for all of Unicode's white space but newlines: `str.strip` knows four more."""
    private = dict.fromkeys("\x1c\x1d\x1e\x1f", "\ue000")
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
    words = "".join(
        "\n" if is_space(c) else f"\n{c}\n" if characters().word_class[ord(c)] == OWN_UNIT else c
        for c in text or ""
    ).split("\n")
    words = [word for word in words if word]
    found = {
        "dup_line_ratio": lines / len(re.split("\n+", text or "")),
        "dup_paragraph_ratio": paragraphs / len(re.split("\n{2,}", stripped)),
    }
    counts = {
        "dup_line_char_ratio": chars_in_lines,
        "dup_paragraph_char_ratio": chars_in_paragraphs,
    }
    counts |= {f"top_{n}gram_char_ratio": top(words, n) for n in (2, 3, 4)}
    counts |= {f"dup_{n}gram_char_ratio": walk(words, n) for n in range(5, 11)}
    if not text:
        return dict.fromkeys([*found, *counts])
    return found | {name: count / len(text) for name, count in counts.items()}


PIECE = st.sampled_from(
    [
        "a",
        "b",
        "a b",
        "ab",
        "é",
        "漢",
        "字",
        "\n",
        "\n\n",
        "\n\n\n",
        " ",
        "\t",
        "\u2028",
        "\xa0",
        "\0",
    ]
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


# datatrove 0.10.1: what GopherRepetitionFilter returned, in our names, and what `find_duplicates`,
# `find_top_duplicate` and `find_all_duplicate` gave it, over len(text), to six places; its word tokenizer
# (nltk, spaCy) was replaced by `str.split`, and by our words for the Chinese text. Values in the order of the columns.
DATATROVE: dict[str, tuple[str | None, tuple[float, ...]]] = {
    "sonnet": (None, (0, 0, 0, 0, 0.052239, 0.05597, 0.074627, 0, 0, 0, 0, 0, 0)),
    "genesis": (None, (0, 0, 0, 0, 0.04142, 0.076923, 0.094675, 0.047337, 0, 0, 0, 0, 0)),
    "jack": (
        "gopher_dup_line",
        (
            0.535714,
            0,
            0.435862,
            0,
            0.067586,
            0.106207,
            0.183448,
            0.551724,
            0.533793,
            0.506207,
            0.493793,
            0.411034,
            0.463448,
        ),
    ),
    "row": (
        "gopher_dup_paragraph",
        (
            0.615385,
            0.666667,
            0.635514,
            0.654206,
            0.317757,
            0.121495,
            0.168224,
            0.529595,
            0.548287,
            0.529595,
            0.510903,
            0.548287,
            0.47352,
        ),
    ),
    "bottles": (
        "gopher_dup_line",
        (
            0.384615,
            0,
            0.395793,
            0,
            0.223709,
            0.361377,
            0.413002,
            0.541109,
            0.443595,
            0.315488,
            0.309751,
            0.141491,
            0.160612,
        ),
    ),
    "gettysburg": (None, (0, 0, 0, 0, 0.032847, 0.054745, 0.047445, 0, 0, 0, 0, 0, 0)),
    "menu": ("gopher_dup_line", (0.363636, 0, 0.283333, 0, 0.3, 0.5, 0.383333, 0, 0, 0, 0, 0, 0)),
    "notice": (
        "gopher_dup_line_char",
        (
            0.25,
            0,
            0.392344,
            0,
            0.057416,
            0.143541,
            0.172249,
            0.301435,
            0.253589,
            0.291866,
            0.320574,
            0.177033,
            0.191388,
        ),
    ),
    "lorem": ("gopher_top_3gram_char", (0, 0, 0, 0, 0.130952, 0.202381, 0.25, 0, 0, 0, 0, 0, 0)),
    "log": (
        "gopher_top_2gram_char",
        (0, 0, 0, 0, 0.207547, 0.207547, 0.144654, 0.289308, 0.339623, 0.36478, 0, 0, 0),
    ),
    "table": (
        "gopher_top_3gram_char",
        (0, 0, 0, 0, 0.163793, 0.215517, 0.267241, 0, 0, 0, 0, 0, 0),
    ),
    "ascii_art": ("gopher_dup_line", (0.333333, 0, 0.36, 0, 0.44, 0.26, 0.3, 0, 0, 0, 0, 0, 0)),
    "python": (
        "gopher_top_4gram_char",
        (0.083333, 0, 0.097561, 0, 0.073171, 0.097561, 0.162602, 0, 0, 0, 0, 0, 0),
    ),
    "javascript": (
        "gopher_top_2gram_char",
        (0, 0, 0, 0, 0.269841, 0.301587, 0.555556, 0, 0, 0, 0, 0, 0),
    ),
    "sql": ("gopher_top_3gram_char", (0, 0, 0, 0, 0.148148, 0.234568, 0.296296, 0, 0, 0, 0, 0, 0)),
    "math": ("gopher_top_3gram_char", (0, 0, 0, 0, 0.186047, 0.209302, 0.372093, 0, 0, 0, 0, 0, 0)),
    "german": (None, (0, 0, 0, 0, 0.047101, 0.065217, 0.083333, 0, 0, 0, 0, 0, 0)),
    "chinese": (
        "gopher_top_4gram_char",
        (
            *(0, 0, 0, 0, 0.09375, 0.15625, 0.21875),
            *(0.234375, 0.28125, 0.21875, 0.25, 0.28125, 0.15625),
        ),
    ),
    "hindi": (None, (0, 0, 0, 0, 0.164179, 0.11194, 0.149254, 0, 0, 0, 0, 0, 0)),
    "list": ("gopher_dup_line_char", (0.285714, 0, 0.24, 0, 0.24, 0.32, 0.26, 0, 0, 0, 0, 0, 0)),
    "spam": (
        "gopher_top_2gram_char",
        (0, 0, 0, 0, 0.45, 0.75, 0.95, 0.666667, 0.7, 0.7, 0.666667, 0.6, 0.666667),
    ),
    "one_word": (None, (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
    "indented": (
        "gopher_top_2gram_char",
        (0.25, 0, 0, 0, 0.5, 0.333333, 0.541667, 0, 0, 0, 0, 0, 0),
    ),
}


def test_datatroves_numbers_and_verdicts() -> None:
    found = repetition_signals(pa.array(TEXTS.values()))
    for name, row in zip(TEXTS, found.to_pylist(), strict=True):
        assert list(row.values()) == pytest.approx(DATATROVE[name][1], abs=1e-6), name
    wanted = [DATATROVE[name][0] for name in TEXTS]
    assert reasons("gopher_repetition", found) == wanted


def test_where_datatrove_differs() -> None:
    def five(text: str) -> float:
        return repetition_signals(pa.array([text])).column("dup_5gram_char_ratio")[0].as_py()

    # It joins words without a space before it compares them, so these are 5 words met before: 6 / 21.
    assert five("a bc d e f ab c d e f") == 0
    # Its str.split cuts at four control characters that are not Unicode's White_Space: 5 / 19 there.
    assert five("a\x1cb c d e a b c d e") == 0
    assert five("a b c d e a b c d e") == 5 / 19
