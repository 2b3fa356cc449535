"""RedPajama-V2's signals against a twin on str, and against the tool's own numbers."""

import math
import re
import string
import unicodedata
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
import regex
from golden_numbers import golden, golden_text
from hypothesis import given
from hypothesis import strategies as st
from short_texts import TEXTS

from coursepack.stages.characters import characters
from coursepack.stages.pieces import find_pieces
from coursepack.stages.redpajama import redpajama_signals

GOLDEN = golden("redpajama")
NUMERIC = r"\p{nt=Decimal}\p{nt=Digit}\p{nt=Numeric}"


def is_space(c: str) -> bool:
    return bool(characters().is_space[ord(c)])


def split(text: str) -> list[str]:
    """The words, with Unicode's white space: `str.split` knows four characters more."""
    return [word for word in "".join(" " if is_space(c) else c for c in text).split(" ") if word]


def normalised(text: str) -> list[str]:
    """The words without ASCII punctuation, in lower case by code point (a Unicode of the lock), in NFD."""
    bare = text.translate(dict.fromkeys(map(ord, string.punctuation)))
    small = "".join("i\u0307" if c == "\u0130" else chr(characters().lower[ord(c)]) for c in bare)
    # by code point: marks keep their order
    return ["".join(unicodedata.normalize("NFD", c) for c in word) for word in split(small)]


def ratio(count: float, of: int) -> float | None:
    return count / of if of else None


def twin(text: str | None) -> dict[str, float | None]:
    text = text or ""
    lines = text.split("\n")
    lines = lines if lines[-1] else lines[:-1]
    words, by_line = normalised(text), [normalised(line) for line in lines]
    tokens = regex.findall(
        rf"[\p{{L}}_{NUMERIC}]+|[^\p{{L}}_{NUMERIC}\p{{White_Space}}]+", text, regex.VERSION1
    )
    capital, other = r"\p{Uppercase}", r"[\p{Lowercase}\p{Lt}]"
    letters, times = sum(map(len, words)), Counter(words)
    edges = [(split(line) or ["-"]) for line in lines]
    found: dict[str, float | None] = {
        "rps_doc_word_count": len(words),
        "rps_doc_mean_word_length": ratio(letters, len(words)),
        "rps_doc_frac_unique_words": ratio(len(times), len(words)),
        "rps_doc_unigram_entropy": round(
            sum(-n / len(words) * math.log(n / len(words)) for n in times.values()), 8
        )
        if words
        else None,
        "rps_doc_num_sentences": sum(
            bool(regex.search(rf"[\p{{L}}_{NUMERIC}]", part)) for part in re.split("[.!?]", text)
        ),
        "rps_doc_symbol_to_word_ratio": ratio(sum(map(text.count, ("#", "...", "…"))), len(tokens)),
        "rps_doc_frac_no_alph_words": ratio(
            sum(not re.search("[a-zA-Z]", token) for token in tokens), len(tokens)
        ),
        "rps_doc_frac_all_caps_words": ratio(
            sum(
                bool(regex.search(capital, token) and not regex.search(other, token))
                for token in tokens
            ),
            len(tokens),
        ),
        "rps_doc_frac_lines_end_with_ellipsis": ratio(
            sum(edge[-1].endswith(("...", "…")) for edge in edges), len(lines)
        ),
        "rps_doc_lorem_ipsum": ratio(" ".join(words).count("lorem ipsum"), len(" ".join(words))),
        "rps_doc_curly_bracket": ratio(text.count("{") + text.count("}"), len(text)),
    }
    for n in (2, 3, 4):
        grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        gram, often = (grams.most_common(1) or [((), 0)])[0]
        chars = often * sum(map(len, gram)) if often > 1 else 0
        found[f"rps_doc_frac_chars_top_{n}gram"] = ratio(chars, letters)
    for n in range(5, 11):
        places = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        grams = Counter(places)
        covered = {i + k for i, gram in enumerate(places) if grams[gram] > 1 for k in range(n)}
        chars = sum(len(words[i]) for i in covered)
        found[f"rps_doc_frac_chars_dupe_{n}grams"] = ratio(chars, letters)
    return found | {
        "rps_lines": len(lines),
        "rps_lines_mean_num_words": ratio(sum(map(len, by_line)), len(lines)),
        "rps_lines_terminal_punctuation_fraction": ratio(
            sum(edge[-1].endswith((".", "!", "?", "”")) for edge in edges), len(lines)
        ),
        "rps_lines_start_with_bulletpoint_fraction": ratio(
            sum(edge[0][0] in "•‣▶◀◦■□▪▫–" for edge in edges), len(lines)
        ),
        "rps_lines_uppercase_letter_fraction": ratio(len(regex.findall(capital, text)), len(text)),
        "rps_lines_numerical_chars_fraction": ratio(
            len(regex.findall(f"[{NUMERIC}]", "".join(words), regex.VERSION1)),
            sum(len(" ".join(line)) for line in by_line),
        ),
        "rps_lines_javascript_words": words.count("javascript"),
    }


PIECE = st.sampled_from(
    [
        *(
            "the",
            "The ",
            "DON'T ",
            "a",
            "b ",
            "é",
            "E\u0301",
            "漢字",
            "ไทย ",
            "한국",
            "५",
            "9",
            "²",
            "\0",
        ),
        *("\n", "\n\n", "\r\n", " ", "\t", "\u2028", "…", "…\n", "...", "#", "– ", "•", "\n■", "."),
        *(
            "?",
            "! ",
            "”",
            "{",
            "}",
            "LOREM ipsum",
            "lo-rem ",
            "ipsum",
            "ipsums",
            "Java-Script ",
            "_",
        ),
        *("abcdefgh", "ABCDEFGHIJ", "java", "javascript", "İ", "ǅ", "Ⓐ", "ß", "五", "Σ", "a b c "),
    ]
)
TEXT = st.one_of(
    st.lists(PIECE | st.text(max_size=2), max_size=25).map("".join),
    st.text("abA", max_size=60).map(" ".join),
    st.text("ab\n. ", max_size=40),
    st.lists(st.sampled_from(["one two three four Five six ", "seven, ", "\n"]), max_size=14).map(
        "".join
    ),
    st.text(),
)


@given(st.lists(st.none() | TEXT, max_size=6), st.integers(0, 6))
def test_against_the_twin(texts: list[str | None], cut: int) -> None:
    wanted = [twin(text) for text in texts]
    for row in wanted:  # log of a quotient, or of its parts
        if row["rps_doc_unigram_entropy"] is not None:
            row["rps_doc_unigram_entropy"] = pytest.approx(row["rps_doc_unigram_entropy"], abs=2e-8)
    for kind in (pa.string(), pa.large_string(), pa.binary()):
        column = pa.array(texts, pa.string()).cast(kind)
        assert redpajama_signals(column).to_pylist() == wanted
        assert redpajama_signals(column.slice(cut)).to_pylist() == wanted[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert redpajama_signals(find_pieces(chunks)).to_pylist() == wanted


@given(st.binary(max_size=60) | TEXT.map(str.encode))
def test_ranges(text: bytes) -> None:
    for name, value in redpajama_signals(pa.array([text])).to_pylist()[0].items():
        assert value is None or not math.isnan(value)
        if value is not None and "frac" in name:
            assert 0 <= value <= (math.inf if "top" in name else 1)


def test_a_batch_is_its_rows() -> None:
    texts = [*TEXTS.values(), None, "x " * 5000]
    alone = [redpajama_signals(pa.array([text], pa.string())).to_pylist()[0] for text in texts]
    assert redpajama_signals(pa.array(texts)).to_pylist() == alone


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("don't Dont DONT d-o-n-t", 1),
        ("café cafe\u0301 CAFÉ", 1),
        ("abcdefgh abcdefghi abcdefgh\0", 3),
        ("AbcdefghAbcdefgh abcdefgh-abcdefgh", 1),
        ("한 \u1112\u1161\u11ab", 1),
        ("x1 X1 x-1 x\u00b9", 2),
        ("... - !? (", 0),
    ],
)
def test_words_that_are_the_same(text: str, same: int) -> None:
    row = redpajama_signals(pa.array([text])).to_pylist()[0]
    assert round((row["rps_doc_frac_unique_words"] or 0) * row["rps_doc_word_count"]) == same


# Columns whose values are quotients of what is stored: lines are summed up there.
QUOTIENTS = {
    "rps_lines_terminal_punctuation_fraction": (
        "sum of rps_lines_ending_with_terminal_punctution_mark",
        "lines",
    ),
    "rps_lines_start_with_bulletpoint_fraction": (
        "sum of rps_lines_start_with_bulletpoint",
        "lines",
    ),
    "rps_lines_mean_num_words": ("sum of rps_lines_num_words", "lines"),
    "rps_lines_uppercase_letter_fraction": (
        "line letters in upper case",
        "characters of lines",
    ),
    "rps_lines_numerical_chars_fraction": (
        "normalized line characters that are numeric",
        "characters of normalized lines",
    ),
}


@pytest.mark.parametrize("key", GOLDEN["values"])
def test_the_tools_own_numbers(key: str) -> None:
    text = golden_text(GOLDEN, key)
    found: dict[str, Any] = redpajama_signals(pa.array([text])).to_pylist()[0]
    theirs = dict(zip(GOLDEN["columns"], GOLDEN["values"][key], strict=True))
    for ours, (count, of) in QUOTIENTS.items():
        theirs[ours] = ratio(theirs[count], theirs[of])
    theirs["rps_lines"] = theirs["lines"]
    theirs["rps_lines_javascript_words"] = theirs["sum of rps_lines_javascript_counts"]
    for name, value in found.items():
        if value is None:  # no divisor: the tool writes 0 of some signals, nothing of others
            assert theirs[name] in (0, None), name
        else:
            assert value == pytest.approx(theirs[name], abs=2e-8), name
