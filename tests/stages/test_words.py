"""Words of a batch against a twin on str: the same words get the same hashes, others do not."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.stages.characters import OWN_UNIT, SEPARATOR, characters
from coursepack.stages.words import Words, find_words

MASK = (1 << 64) - 1


def twin_words(text: str | None) -> list[str]:
    table = characters()
    words, word = [], ""
    for c in text or "":
        kind = table.word_class[ord(c)]
        if kind in (SEPARATOR, OWN_UNIT):
            words += [word] if word else []
            words += [chr(table.lower[ord(c)])] if kind == OWN_UNIT else []
            word = ""
        else:
            word += chr(table.lower[ord(c)])
    return words + ([word] if word else [])


def twin_hash(word: str) -> int:
    x = 0xCBF29CE484222325
    for c in word:
        x = (x ^ ord(c)) * 0x9E3779B97F4A7C15 & MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def rows(words: Words) -> list[list[int]]:
    bounds = words.offsets.tolist()
    return [words.hashes[a:b].tolist() for a, b in pairwise(bounds)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't_stop 3.5", ["don", "t_stop", "3", "5"]),
        ("ÀÉ straße ΑΣ", ["àé", "straße", "ασ"]),
        ("e\u0301t\u00e9", ["e\u0301t\u00e9"]),
        ("GPT模型abc", ["gpt", "模", "型", "abc"]),
        ("コーヒー", ["コ", "ー", "ヒ", "ー"]),
        (" \n.", []),
        ("", []),
        (None, []),
    ],
)
def test_words(text: str | None, words: list[str]) -> None:
    assert twin_words(text) == words
    assert rows(find_words(pa.array([text], pa.string()))) == [[twin_hash(w) for w in words]]


TEXT = st.text(
    st.sampled_from("aBcé _.\n漢かไ́İΣ9'\U0001f600") | st.characters(codec="utf-8"), max_size=30
)


@given(st.lists(st.none() | TEXT, max_size=8))
@settings(max_examples=300, deadline=None)
def test_against_the_twin(texts: list[str | None]) -> None:
    wanted = [[twin_hash(w) for w in twin_words(text)] for text in texts]
    for kind in (pa.string(), pa.large_string(), pa.binary()):
        column = pa.array(texts, pa.string()).cast(kind)
        assert rows(find_words(column)) == wanted
        assert rows(find_words(column.slice(1))) == wanted[1:]
    chunks = pa.chunked_array([column.slice(0, 3), column.slice(3)])
    assert rows(find_words(chunks)) == wanted


def test_a_row_of_single_characters_fits() -> None:
    texts = ["a", "a b c d", "一a" * 50, "a一" * 51, "b"] * 20
    found = find_words(pa.array(texts))
    assert np.diff(found.offsets).tolist() == [1, 4, 100, 102, 1] * 20


def test_invalid_bytes_separate_words() -> None:
    broken = pa.array([b"ab\xffcd", b"ab\xe6\xbc", b"\xe6"], pa.binary())
    wanted = [["ab", "cd"], ["ab"], []]
    assert rows(find_words(broken)) == [[twin_hash(w) for w in row] for row in wanted]


def test_different_words_hash_differently() -> None:
    words = [f"{a}{b}" for a in ("x", "yy", "é", "") for b in range(50_000)]
    assert len(np.unique(find_words(pa.array(words)).hashes)) == len(set(words))
