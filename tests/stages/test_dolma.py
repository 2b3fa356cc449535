"""Dolma's signals against a twin on str, and against the tool's own numbers."""

import math
import re
from collections import Counter
from statistics import median
from typing import Any

import pyarrow as pa
import pytest
from golden_numbers import golden, golden_text
from hypothesis import given
from hypothesis import strategies as st
from short_texts import TEXTS

from coursepack.stages.characters import characters
from coursepack.stages.dolma import REQUIRED_WORDS, dolma_signals
from coursepack.stages.dolma_names import NAMES
from coursepack.stages.pieces import find_pieces

GOLDEN = golden("dolma")


def is_space(c: str) -> bool:
    return bool(characters().is_space[ord(c)])


def split(text: str) -> list[str]:
    """The words, with Unicode's white space: `str.split` knows four characters more."""
    return [word for word in "".join(" " if is_space(c) else c for c in text).split(" ") if word]


def ratio(count: int, of: int) -> float | None:
    return count / of if of else None


def line_twin(lines: list[str]) -> tuple[float, float, float, int]:
    times = Counter(lines)
    return (
        sum(line.startswith(("*", "-")) for line in lines) / len(lines),
        sum(line.endswith("…") for line in lines) / len(lines),
        sum(n for n in times.values() if n > 1) / len(lines),
        sum(len(line) * n for line, n in times.items() if n > 1),
    )


def repeats(words: list[str]) -> int:
    """By brute force: at each place, how often the next words stand in a row."""
    most = 0
    for size in range(1, 14):
        for i in range(len(words)):
            times = 1
            while words[i : i + size] == words[i + times * size : i + (times + 1) * size]:
                times += 1
                if len(words) < i + times * size:
                    break
            most = max(most, times)
    return most if most >= 3 else 0


def twin(text: str | None) -> dict[str, float | None]:
    text = text or ""
    words, lines = split(text), text.split("\n")
    letters = sum(map(len, words))
    found: dict[str, float | None] = {
        "dolma_chars": len(text),
        "dolma_words": len(words),
        "dolma_median_word_chars": float(median(map(len, words))) if words else None,
        "dolma_symbol_word_ratio": ratio(
            sum("#" in word or "…" in word for word in words), len(words)
        ),
        "dolma_alpha_word_ratio": ratio(
            sum(any(characters().is_letter[ord(c)] for c in word) for word in words), len(words)
        ),
        "dolma_required_words": sum(word in REQUIRED_WORDS for word in words),
    }
    names = ("bullet_line_ratio", "ellipsis_line_ratio", "dup_line_ratio")
    *v1, chars = line_twin(lines)
    *v2, _ = line_twin(re.split("\n+", text))
    found |= {f"dolma_{name}": value for name, value in zip(names, v1, strict=True)}
    found["dolma_dup_line_char_ratio"] = ratio(chars, letters)
    found |= {f"dolma_v2_{name}": value for name, value in zip(names, v2, strict=True)}
    for n in range(2, 11):
        times = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        sizes = {gram: sum(map(len, gram)) for gram in times}
        if n < 5:
            top = times.most_common(1)
            value = top[0][1] * sizes[top[0][0]] / letters if top else None
            found[f"dolma_top_{n}gram_char_ratio"] = value
        else:
            again = sum(sizes[gram] * k for gram, k in times.items() if k > 1)
            every = sum(sizes[gram] * k for gram, k in times.items())
            found[f"dolma_dup_{n}gram_char_ratio"] = ratio(again, every)
    lower = text.translate({k: k + 32 for k in range(65, 91)})
    last = [(split(line) or ["-"])[-1][-1] for line in lines]
    return found | {
        "dolma_lines": len(lines),
        "dolma_unpunctuated_lines": sum(sign not in '.?!"' for sign in last),
        "dolma_short_lines": sum(len(split(line)) < 3 for line in lines),
        "dolma_has_lorem_ipsum": "lorem ipsum" in lower,
        "dolma_has_curly_brace": "{" in text,
        "dolma_has_javascript": "javascript" in lower,
        "dolma_has_javascript_word": "javascript" in split(lower),
        "dolma_repeats": repeats(words),
    }


PIECE = st.sampled_from(
    [
        *(
            "the",
            "the ",
            "be, ",
            "have\n",
            "a",
            "b ",
            "é",
            "漢字",
            "ไทย ",
            "é漢 ",
            "9",
            "²",
            "_",
            "\0",
        ),
        *("\n", "\n\n", "\r\n", " ", "\t", "\u2028", "…", "…\n", "...", "#", "- ", "*", "\n-", "."),
        *("?", '"', "{", "Lorem ipsum", "lorem  ipsum", "JavaScript", "javascript ", "a b c "),
    ]
)
TEXT = st.one_of(
    st.lists(PIECE | st.text(max_size=2), max_size=25).map("".join),
    st.text("ab", max_size=60).map(" ".join),
    st.text("ab\n ", max_size=40),
    st.lists(st.sampled_from(["one two three four five six ", "seven ", "\n"]), max_size=14).map(
        "".join
    ),
    st.text(),
)


@given(st.lists(st.none() | TEXT, max_size=6), st.integers(0, 6))
def test_against_the_twin(texts: list[str | None], cut: int) -> None:
    wanted = [twin(text) for text in texts]
    for kind in (pa.string(), pa.large_string(), pa.binary()):
        column = pa.array(texts, pa.string()).cast(kind)
        assert dolma_signals(column).to_pylist() == wanted
        assert dolma_signals(column.slice(cut)).to_pylist() == wanted[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert dolma_signals(find_pieces(chunks)).to_pylist() == wanted


@given(st.binary(max_size=60) | TEXT.map(str.encode))
def test_ranges(text: bytes) -> None:
    for name, value in dolma_signals(pa.array([text])).to_pylist()[0].items():
        if value is None or not name.endswith("ratio"):
            continue
        assert not math.isnan(value)
        above_one = name.startswith("dolma_top") or name == "dolma_dup_line_char_ratio"
        assert 0 <= value <= (math.inf if above_one else 1)


def test_a_batch_is_its_rows() -> None:
    texts = [*TEXTS.values(), None, "x " * 5000]
    alone = [dolma_signals(pa.array([text], pa.string())).to_pylist()[0] for text in texts]
    assert dolma_signals(pa.array(texts)).to_pylist() == alone


@pytest.mark.parametrize("key", GOLDEN["values"])
def test_the_tools_own_numbers(key: str) -> None:
    text = golden_text(GOLDEN, key)
    found: dict[str, Any] = dolma_signals(pa.array([text])).to_pylist()[0]
    blank = found["dolma_words"] == 0
    for name, value in zip(GOLDEN["columns"], GOLDEN["values"][key], strict=True):
        ours = found[NAMES[name]]
        if ours is None and blank:  # no divisor: the tool divides by 1, or writes nothing
            assert value in (0, None) or name.endswith("characters_in_duplicate_lines")
        else:
            assert ours == (None if value is None else pytest.approx(value, abs=1e-9)), name
