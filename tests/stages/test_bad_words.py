"""Terms of word lists against a twin on str, and against C4's pattern."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.errors import SourceError
from coursepack.stages.bad_words import MOST_UNITS, bad_word_signals, load_terms, terms_of
from coursepack.stages.characters import OWN_UNIT, WORD, characters

TERMS = [
    "darn",
    "what the heck",
    "heck",
    "s&m",
    "漢",
    "大変",
    "🖕",
    "ไม่ดี",
    "the heck no",
    "été",
    "Darn",
]


def units_of(text: str) -> list[tuple[str, bool]]:
    """(unit in lower case, whether it is a word)."""
    table = characters()
    units: list[tuple[str, bool]] = []
    inside = False
    for c in text:
        low, kind = chr(table.lower[ord(c)]), table.word_class[ord(c)]
        if kind == WORD and inside:
            units[-1] = (units[-1][0] + low, True)
        elif not table.is_space[ord(c)]:
            units.append((low, kind in (WORD, OWN_UNIT)))
        inside = kind == WORD
    return units


def twin(text: str | None, terms: list[str]) -> tuple[int, float | None]:
    units = units_of(text or "")
    wanted = {tuple(unit for unit, _ in units_of(term)) for term in terms} - {()}
    covered: set[int] = set()
    count = 0
    for start in range(len(units)):
        for term in wanted:
            if tuple(unit for unit, _ in units[start : start + len(term)]) == term:
                count += 1
                covered.update(range(start, start + len(term)))
    words = sum(word for _, word in units)
    return count, sum(units[k][1] for k in covered) / words if words else None


PIECE = st.sampled_from(
    ["darn", "DARN", "what", "the", "Heck", "no", "s", "&", "m", "漢", "大", "変", "🖕", "ไม่ดี", "ÉTÉ",
     " ", " ", " ", "\n", ",", "_", "'", "\xa0", "e\u0301", "x"]
)  # fmt: skip
TEXT = st.lists(PIECE | st.text(max_size=2), max_size=25).map("".join)


@given(st.lists(st.none() | TEXT, max_size=6), st.integers(0, 6), st.lists(TEXT, max_size=3))
def test_against_the_twin(texts: list[str | None], cut: int, more: list[str]) -> None:
    terms = [*TERMS, *(term for term in more if len(units_of(term)) <= MOST_UNITS)]
    wanted = [twin(text, terms) for text in texts]
    for kind in (pa.string(), pa.large_string()):
        column = pa.array(texts, kind)
        for part, known in ((column, wanted), (column.slice(cut), wanted[cut:])):
            found = bad_word_signals(part, terms_of(terms))
            assert found.schema == pa.schema(
                [("bad_words", pa.int32()), ("bad_word_ratio", pa.float64())]
            )
            assert [tuple(row.values()) for row in found.to_pylist()] == known


@pytest.mark.parametrize(
    ("text", "count", "ratio"),
    [
        ("Darn, what the\nHECK!", 3, 4 / 4),  # "heck" stands in "what the heck"
        ("darned undarn darn_ the heck", 1, 1 / 5),
        ("the heck no the heck no", 4, 6 / 6),
        ("s & m, S&M; s-m", 2, 4 / 6),
        ("大変な漢字", 2, 3 / 5),
        ("นี่ไม่ดีเลย", 1, 5 / 11),
        ("🖕🖕 one", 2, 0 / 1),
        ("...", 0, None),
        ("", 0, None),
        (None, 0, None),
    ],
)
def test_terms(text: str | None, count: int, ratio: float | None) -> None:
    [found] = bad_word_signals(pa.array([text], pa.string()), terms_of(TERMS)).to_pylist()
    assert found == {"bad_words": count, "bad_word_ratio": ratio}


def test_no_terms() -> None:
    found = bad_word_signals(pa.array(["a b", None]), terms_of([" ", ""]))
    assert found.to_pylist() == [
        {"bad_words": 0, "bad_word_ratio": 0.0}, {"bad_words": 0, "bad_word_ratio": None}
    ]  # fmt: skip


@given(
    st.text(st.sampled_from("ab dk&_'-.\n"), max_size=40),
    st.lists(st.text(st.sampled_from("abdk"), min_size=1, max_size=3), min_size=1, max_size=4),
)
def test_c4s_verdict(text: str, words: list[str]) -> None:
    """C4 drops a page in which this pattern is found; ours is above 0 for the same."""
    pattern = re.compile(r"(?:\W|^)({})(?:\W|$)".format("|".join(map(re.escape, words))))
    [found] = bad_word_signals(pa.array([text]), terms_of(words))["bad_words"].to_pylist()
    assert (found > 0) == (pattern.search(text.lower()) is not None)


def test_the_longest_term() -> None:
    term = " ".join(f"w{n}" for n in range(MOST_UNITS))
    texts = pa.array([f"x {term} {term}", f"{term[:-3]} x", "w1 " * 200])
    terms = terms_of([term])
    assert bad_word_signals(texts, terms)["bad_words"].to_pylist() == [2, 0, 0]
    with pytest.raises(SourceError, match="has 65 words and signs; terms have 64 at most"):
        terms_of([f"{term} more"])


def test_word_lists_are_files(tmp_path: Path) -> None:
    one, other = tmp_path / "en", tmp_path / "ja"
    one.write_bytes("\ufeffdarn\r\nwhat the heck\n\n".encode())
    other.write_text("大変\n", "utf-8")
    terms = load_terms([str(one), str(other)])
    texts = pa.array(["大変 darn", "what the  heck", "what heck"])
    assert bad_word_signals(texts, terms)["bad_words"].to_pylist() == [2, 1, 0]
    assert load_terms([str(one), str(other)]) is terms
    with pytest.raises(SourceError, match="there is no word list at '/none'; give a file"):
        load_terms([str(one), "/none"])
    other.write_bytes(b"\xff\n")
    with pytest.raises(SourceError, match="is not UTF-8"):
        load_terms([str(other)])
    other.write_text("\n \n")
    with pytest.raises(SourceError, match="has no term; it takes one on each line"):
        load_terms([str(other)])
