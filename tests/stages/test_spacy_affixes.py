"""Where spaCy's tokenizer cuts a string, sign by sign; whole words are those of test_spacy_words."""

import numpy as np
import pytest

from coursepack.stages.spacy_affixes import (
    find_string,
    infix_end,
    is_url,
    prefix_end,
    suffix_start,
)
from coursepack.stages.spacy_tables import TAIL, classes, strings, units


def buffers(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Bytes, and the bits of each."""
    data = np.frombuffer(text.encode(), np.uint8)
    kinds = np.full(len(data), TAIL, np.uint16)
    kinds[data & 0xC0 != 0x80] = classes()[[ord(c) for c in text]]
    return data, kinds


@pytest.mark.parametrize(
    ("prefix", "rest"),
    [
        ("(", "a"),
        ("...", "a"),
        ("", ".a"),
        ("", "+1"),
        ("+", "a"),
        ("US$", "5"),
        ("A$", "5"),
        ("", "US5"),
        ("“", "a"),
        ("…", "…"),
        ("😀", "a"),
        ("", "-a"),
        ("", "/a"),
        ("§", ""),
    ],
)
def test_prefixes(prefix: str, rest: str) -> None:
    data, kinds = buffers(prefix + rest)
    assert prefix_end(data, kinds, 0, len(data)) == len(prefix.encode())


@pytest.mark.parametrize(
    ("rest", "suffix"),
    [
        ("a", ")"),
        ("a", "..."),
        ("a", "."),
        ("A.", ""),
        ("AB", "."),
        ("Ab", "."),
        ("ab)", "."),
        ("a", "……"),
        ("a", "'s"),
        ("a", "’S"),
        ("as", ""),
        ("5", "+"),
        ("a+", ""),
        ("5", "km²"),
        ("5", "اكواب"),
        ("5", "%"),
        ("a%", ""),
        ("5", "US$"),
        ("5", "€"),
        ("a€", ""),
        ("°C", "."),
        ("C.", ""),
        ("", "—"),
    ],
)
def test_suffixes(rest: str, suffix: str) -> None:
    data, kinds = buffers(rest + suffix)
    of = strings(units())
    unit = of.slots, of.hashes, of.sizes
    assert suffix_start(data, kinds, 0, len(data), unit) == len(rest.encode())


@pytest.mark.parametrize(
    ("left", "infix", "right"),
    [
        ("a", "...", "b"),
        ("a", "…", "b"),
        ("1", "-", "-2"),
        ("1", "*", "2"),
        ("a", "", "*b"),
        ("a", ".", "B"),
        ("a", "", ".b"),
        ("A", "", ".B"),
        ("a", ",", "b"),
        ("1", "", ",b"),
        ("a", "---", "b"),
        ("a", "", "----b"),
        ("a", "——", "b"),
        ("a", "", "––b"),
        ("1", "-", "b"),
        ("a", "", "-1"),
        ("1", "/", "b"),
        ("a", "", "/1"),
        ("", "", "-b"),
    ],
)
def test_infixes(left: str, infix: str, right: str) -> None:
    data, kinds = buffers(left + infix + right)
    start = len(left.encode())
    assert infix_end(data, kinds, 0, start, len(data)) == start + len(infix.encode())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("example.org", True),
        ("http://a.bc/d", True),
        ("a.bc:80/d", True),
        ("a.bc:8/d", False),
        ("a.bc:8080", True),
        ("a.b/c", False),
        ("a.Bc", False),
        ("a_b.com", True),
        ("a_.com", False),
        ("-a.com", False),
        ("a..com", False),
        ("é.com?x#y", True),
        ("me@a.bc", True),
        ("@a.bc", False),
        ("x:y@a.bc/d", True),
        ("f://a.bc", False),
        ("a.bc)d", False),
        ("a" * 64 + ".com", True),
        ("a" * 65 + ".com", False),
        ("word", False),
    ],
)
def test_urls(text: str, found: bool) -> None:
    data, kinds = buffers(text)
    assert is_url(data, kinds, 0, len(data)) == found


def test_find_string() -> None:
    of = strings([b"ab", b"abc", b"x"])
    data = np.frombuffer(b"zabcx" + bytes(80), np.uint8)
    lookup = of.slots, of.hashes, of.sizes
    found = [
        find_string(data, *bounds, lookup) for bounds in ((1, 3), (1, 4), (4, 5), (0, 2), (1, 80))
    ]
    assert found == [0, 1, 2, -1, -1]
    assert find_string(data, 1, 1, lookup) == -1
