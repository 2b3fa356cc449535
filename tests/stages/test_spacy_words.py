"""spaCy's words against a twin made of regular expressions, and against those that spaCy itself found."""

from functools import cache

import numpy as np
import pyarrow as pa
import pytest
import regex
from golden_numbers import golden
from hypothesis import given
from hypothesis import strategies as st
from short_texts import TEXTS

from coursepack.stages import copies
from coursepack.stages.pieces import find_pieces
from coursepack.stages.spacy_exceptions import exceptions
from coursepack.stages.spacy_tables import (
    ALPHA,
    BLANK,
    CURRENCY,
    DOTTED,
    LETTER,
    LOWER,
    PREFIX,
    QUOTE,
    SUFFIX,
    SYMBOL,
    UPPER,
    WORDY,
    classes,
    units,
)
from coursepack.stages.spacy_words import spacy_words

WORDS = golden("datatrove")["words"]


def words_of(texts: pa.Array) -> list[list[str]]:
    q = spacy_words(find_pieces(texts)).pieces
    bounds = zip(q.word_starts.tolist(), q.word_ends.tolist(), strict=True)
    found = [bytes(q.data[a:b]).decode() for a, b in bounds]
    return [found[a:b] for a, b in zip(q.words[:-1].tolist(), q.words[1:].tolist(), strict=True)]


# The twin


def of(bits: int) -> str:
    """A class of the characters that have one of the bits."""
    has = np.flatnonzero(classes() & bits)
    runs = np.split(has, np.flatnonzero(np.diff(has) > 1) + 1)
    return "[" + "".join(rf"\U{run[0]:08x}-\U{run[-1]:08x}" for run in runs if len(run)) + "]"


@cache
def patterns() -> tuple[regex.Pattern[str], ...]:
    alpha = of(ALPHA)
    unit = "|".join(regex.escape(text.decode()) for text in units())
    prefix = rf"\.\.+|US\$|C\$|A\$|\+(?![0-9])|{of(PREFIX)}"
    suffix = (
        rf"(?:\.\.+|……|{of(SUFFIX)}|['’][sS]|(?<=[0-9])\+|(?<=°[FfCcKk])\.|(?<=[0-9])(?:{unit}|{of(CURRENCY)})"
        rf"|(?<={of(DOTTED)})\.|(?<={of(UPPER)}{{2}})\.)\Z"
    )
    left = rf"(?<={alpha}|[0-9])"
    infix = (
        rf"\.\.+|…|{of(SYMBOL)}|(?<=[0-9])[+\-*^](?=[0-9-])|(?<={of(LOWER | QUOTE)})\.(?={of(UPPER | QUOTE)})"
        rf"|(?<={alpha}),(?={alpha})|{left}(?:-|–|—|--|---|——|~)(?={alpha})|{left}[:<>=/](?={alpha})"
    )
    host = "[A-Za-z0-9\u00a1-\uffff]"
    url = (
        rf"(?:(?:{of(LETTER)}|[0-9_+.-]){{2,}}://)?(?:\S+(?::\S*)?@)?"
        rf"(?:(?:{host}(?:{host}|[_-]){{0,62}})?{host}\.)+{of(LOWER)}{{2,63}}(?::[0-9]{{2,5}})?(?:[/?\#]\S*)?"
    )
    return tuple(map(regex.compile, (prefix, suffix, infix, url)))


def cut(string: str, known: dict[str, tuple[str, ...]]) -> list[str]:
    """A string without white space, before neighbours are joined."""
    prefix, suffix, infix, url = patterns()
    first, last = [], []
    while string and string not in known:
        left = match.end() if (match := prefix.match(string)) else 0
        if string[left:] in known:
            first.append(string[:left])
            string = string[left:]
            break
        right = match.start() + left if (match := suffix.search(string[left:])) else len(string)
        if string[:right] in known:
            last.insert(0, string[right:])
            string = string[:right]
            break
        if right - left == len(string):
            break
        first += [string[:left]] if left else []
        last = ([string[right:]] if right < len(string) else []) + last
        string = string[left:right]
    if string in known:
        return [*first, *known[string], *last]
    if not string or url.fullmatch(string):
        return [*first, *([string] if string else []), *last]
    inner, start = [], 0
    for match in infix.finditer(string):
        if match.start():
            inner += [string[start : match.start()], match[0]]
            start = match.end()
    return [*first, *(part for part in (*inner, string[start:]) if part), *last]


@cache
def joinable() -> dict[tuple[str, ...], tuple[str, ...]]:
    found = {tuple(cut(text, {})): words for text, words in exceptions().items()}
    return {parts: words for parts, words in found.items() if len(parts) > 1}


def joined(words: list[str]) -> list[str]:
    places = [
        (-many, i)
        for i in range(len(words))
        for many in range(2, len(words) - i + 1)
        if tuple(words[i : i + many]) in joinable()
    ]
    taken: set[int] = set()
    chosen = {}
    for many, i in sorted(places):
        if i not in taken and i - many - 1 not in taken:
            chosen[i] = -many
        taken.update(range(i, i - many))
    found, i = [], 0
    while i < len(words):
        many = chosen.get(i, 1)
        parts = tuple(words[i : i + many])
        found += joinable()[parts] if i in chosen else parts
        i += many
    return found


def twin(text: str) -> list[str]:
    blank = of(BLANK)
    strings = [string for string in regex.split(f"{blank}+", text) if string]
    return [word for string in strings for word in joined(cut(string, exceptions()))]


SIGNS = [
    *"abzABZ019.,:;!?'\"()[]{}<>_#*&-+=/@$%^~|\\`§°²8D)( \n",
    *("…", "’", "‘", "—", "–", "é", "Ü", "ж", "中", "€", "\u00a0", "\u2003", "\x1c", "😀", "٪"),
    *("US$", "km", "MB", "n't", "'s", "’s", "can", "http://", "www.x.com", ".com", "a.m.", "Mr."),
    *(
        ":)",
        "):",
        "<3",
        "...",
        "--",
        "---",
        "it's",
        "dont",
        "I'm",
        "10am",
        "°C.",
        "://",
        "x.org:80/",
    ),
]
texts = st.lists(st.sampled_from(SIGNS), max_size=14).map("".join)


@given(st.lists(texts | st.text(max_size=20), max_size=4))
def test_twin(made: list[str]) -> None:
    assert words_of(pa.array(made, pa.string())) == [twin(text) for text in made]


@pytest.mark.parametrize("name", TEXTS)
def test_twin_on_whole_texts(name: str) -> None:
    assert words_of(pa.array([TEXTS[name]])) == [twin(TEXTS[name])]


def test_what_spacy_found() -> None:
    found = words_of(pa.array(list(WORDS)))
    assert len(WORDS) > 250
    assert dict(zip(WORDS, found, strict=True)) == WORDS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \n", []),
        ("I can't, won't.", ["I", "ca", "n't", ",", "wo", "n't", "."]),
        ("(http://a.org/b:c),", ["(", "http://a.org/b:c", ")", ","]),
        ("f(x): y", ["f(x", "):", "y"]),
        ("Mr. X costs $5.", ["Mr.", "X", "costs", "$", "5", "."]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(pa.array([text])) == [words]


@given(st.lists(st.none() | texts, min_size=1, max_size=6), st.data())
def test_slices_and_nulls(made: list[str | None], data: st.DataObject) -> None:
    whole = pa.array(made, pa.large_string())
    found = words_of(whole)
    start = data.draw(st.integers(0, len(made)))
    assert words_of(whole[start:]) == found[start:]
    assert words_of(pa.array([text or "" for text in made])) == found


@given(st.lists(texts | st.text(), max_size=5))
def test_what_words_hold(made: list[str]) -> None:
    p = find_pieces(pa.array(made, pa.string()))
    found = spacy_words(p)
    q = found.pieces
    for k, (start, end) in enumerate(zip(q.word_starts, q.word_ends, strict=True)):
        word = bytes(q.data[start:end]).decode()
        bits = classes()[[ord(c) for c in word]]
        assert q.word_chars[k] == len(word)
        assert q.word_hashes[k] == copies.hash_bytes(q.data, start, end)
        assert q.word_kinds[k] == np.bitwise_or.reduce(q.kinds[start:end])
        assert found.alphabetic[k] == any(c.isalpha() for c in word)
        assert found.wordy[k] == bool(np.any(bits & WORDY))
    assert q.lines is p.lines


@given(st.binary(max_size=40))
def test_any_bytes(data: bytes) -> None:
    q = spacy_words(find_pieces(pa.array([data]))).pieces
    covered = b"".join(bytes(q.data[a:b]) for a, b in zip(q.word_starts, q.word_ends, strict=True))
    two = rb"\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x81\x9f|\xe3\x80\x80"
    blank = regex.compile(rb"[\t-\r\x1c- ]+|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|" + two)
    assert blank.sub(b"", data) == blank.sub(b"", covered)


def test_many_signs_in_one_string() -> None:
    text = "x" + ":)" * 100 + "a<3" * 50
    assert words_of(pa.array([text])) == [twin(text)]
    [found] = words_of(pa.array([text * 2_000]))  # in time that is linear in its length
    assert "".join(found) == text * 2_000


def test_the_head_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "HEAD_BYTES", 7)
    assert words_of(pa.array(["one, two, three", "four"])) == [["one", ",", "tw"], ["four"]]
