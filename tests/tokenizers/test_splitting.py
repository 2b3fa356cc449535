"""The kernels against the patterns themselves, as the library's engine runs them."""

import functools
import itertools

import numpy as np
import pytest
from byte_level_files import FOREIGN, cuts, topics
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Sequence, Split

from coursepack.tokenizers.cache import DOCUMENT_END
from coursepack.tokenizers.code_points import code_point_classes, points
from coursepack.tokenizers.patterns import GPT2, PATTERNS, Pattern
from coursepack.tokenizers.splitting import Cutter

# possessive quantifiers are the same to this engine, but `\s++$` is not: `$` is a line's end there
BY_ENGINE = {regex: pattern for regex, pattern in PATTERNS.items() if "$" not in regex}


def by_engine(texts: list[str], cutter: PreTokenizer) -> list[list[str]]:
    return [[piece for piece, _ in cutter.pre_tokenize_str(text)] for text in texts]


PART = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from(
        ["'s", "'S", "'ll", "'LL", "'lL", "'re", "'Ve", "'d", "'m", "'t", "'ſ", "'", "''", "'é", "s"]
    ),
    st.sampled_from([" ", "  ", "   ", "\n", "\r\n", "\n\n", "\t", " \n", "\n ", "\x0b", "\x85", "\xa0"]),
    st.sampled_from(["1", "12", "123", "1234", "٣", "½", "Ⅳ", "a", "B", "The", "tHE", "ǅ", "ʰ", "日本", "ß"]),
    st.sampled_from(["!", "?!", "/", "//", "/\n", "(", ")\r\n", "\u0301", "\u0903", "\u200b", "👩"]),
)  # fmt: skip
TEXTS = st.lists(st.lists(PART, max_size=25).map("".join), max_size=6)


@pytest.mark.parametrize("regex", BY_ENGINE)
@given(texts=TEXTS)
def test_pieces_are_the_patterns(regex: str, texts: list[str]) -> None:
    expected = by_engine(texts, Split(Regex(regex), "isolated"))
    assert cuts(texts, BY_ENGINE[regex]) == expected


@given(texts=TEXTS)
def test_digits_are_cut_off_before_the_pattern(texts: list[str]) -> None:
    cutter = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    found = cuts(texts, Pattern(GPT2), digits=True)
    assert [list(map(len, map(str.encode, text))) for text in found] == [
        list(map(len, text)) for text in by_engine(texts, cutter)
    ]


@pytest.mark.parametrize("regex", BY_ENGINE)
def test_real_text(regex: str) -> None:
    texts = [*topics()[::9], *FOREIGN, "", " ", "\n"]
    assert cuts(texts, BY_ENGINE[regex], room=7) == by_engine(
        texts, Split(Regex(regex), "isolated")
    )


def test_white_space_that_ends_a_text() -> None:
    """tiktoken's cl100k has `\\s++$` before newlines: "$" is the text's end to its engine alone."""
    pattern = Pattern(1, any_case=True, digits=3, end_first=True)
    assert cuts(["a\n  ", "a \n b", "\n \n", " "], pattern) == [
        ["a", "\n  "],
        ["a", " \n", " b"],
        ["\n \n"],
        [" "],
    ]
    assert cuts(["a\n  "], Pattern(1, any_case=True, digits=3)) == [["a", "\n", "  "]]


@functools.cache
def neighbours() -> list[str]:
    """Each code point of a class of its own behind an apostrophe, a letter, a digit, a sign and a space."""
    table = code_point_classes()
    some = {table[ord(point)]: point for point in points()[::-1]}
    odd = [*some.values(), "ſ", "K", "\u0130", "\u0131", "ß", "ẞ", "ﬆ", "ŉ"]
    return [
        "".join(parts)
        for parts in itertools.product(
            ["'", "a'", "A", "1", "!", " ", "\n"], odd, [*odd, "e", "l", ""]
        )
    ]


@pytest.mark.parametrize("regex", BY_ENGINE)
def test_every_class_beside_every_class(regex: str) -> None:
    cutter = Split(Regex(regex), "isolated")
    assert cuts(neighbours(), BY_ENGINE[regex]) == by_engine(neighbours(), cutter)


def test_broken_utf8_leads_nowhere() -> None:
    data = np.frombuffer(b"a\xff\xf8\xf0\x9f\xe2\x82", np.uint8)
    ends = np.empty(20, np.int64)
    for pattern in set(PATTERNS.values()):
        offsets = np.array([0, 3, 5, 7])
        document, at, n = Cutter(pattern).cut(offsets, data, 0, 0, ends)
        assert (document, at) == (3, 7)
        assert np.count_nonzero(ends[:n] == DOCUMENT_END) == 3
