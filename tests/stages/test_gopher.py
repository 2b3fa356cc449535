"""Gopher's signals against a twin on str, and the choices where tools differ."""

import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.stages.characters import OWN_UNIT, SEPARATOR, characters
from coursepack.stages.gopher import STOP_WORDS, gopher_signals


def is_in(name: str, c: str) -> bool:
    return bool(getattr(characters(), name)[ord(c)])


def own_unit(c: str) -> bool:
    return bool(characters().word_class[ord(c)] == OWN_UNIT)


def split(text: str) -> list[str]:
    """Words, and empty texts between them."""
    spaced = (" " if is_in("is_space", c) else f" {c} " if own_unit(c) else c for c in text)
    return "".join(spaced).split(" ")


def is_alphabetic(word: str) -> bool:
    """A letter in it, or a vowel sign that is a word of its own."""
    mark = not (is_in("is_letter", word[0]) or is_in("is_number", word[0]))
    return any(is_in("is_letter", c) for c in word) or (own_unit(word[0]) and mark)


def core(word: str) -> str:
    inside = [i for i, c in enumerate(word) if characters().word_class[ord(c)] != SEPARATOR]
    return word[inside[0] : inside[-1] + 1] if inside else ""


def ratio(count: int, of: int) -> float | None:
    return count / of if of else None


def twin(text: str | None) -> dict[str, float | None]:
    text = text or ""
    words = [word for word in split(text) if word]
    lines = []
    for line in text.split("\n"):
        held = [i for i, c in enumerate(line) if not is_in("is_space", c)]
        if held:
            lines.append((line[: held[-1] + 1], line[held[0] : held[-1] + 1]))
    letters = sum(is_in("is_letter", c) for c in text)
    numbers = sum(is_in("is_number", c) for c in text)
    return {
        "words": len(words),
        "mean_word_chars": ratio(sum(map(len, words)), len(words)),
        "hash_word_ratio": ratio(text.count("#"), len(words)),
        "ellipsis_word_ratio": ratio(text.count("...") + text.count("…"), len(words)),
        "alpha_word_ratio": ratio(sum(map(is_alphabetic, words)), len(words)),
        "stop_words": len({core(word) for word in words} & set(STOP_WORDS)),
        "lines": len(lines),
        "bullet_line_ratio": ratio(sum(line[0] in "•-*" for _, line in lines), len(lines)),
        "ellipsis_line_ratio": ratio(
            sum(line.endswith(("...", "…")) for _, line in lines), len(lines)
        ),
        "mean_line_chars": ratio(sum(len(line) for line, _ in lines), len(lines)),
        "max_line_chars": max((len(line) for line, _ in lines), default=0),
        "chars": len(text),
        "alnum_ratio": ratio(letters + numbers, len(text)),
        "alpha_ratio": ratio(letters, len(text)),
        "digit_ratio": ratio(sum(is_in("is_digit", c) for c in text), len(text)),
        "space_ratio": ratio(sum(is_in("is_space", c) for c in text), len(text)),
        "unspaced_ratio": ratio(sum(own_unit(c) and is_in("is_letter", c) for c in text), letters),
    }


def one(text: str) -> dict[str, float | None]:
    return {
        name: values[0] for name, values in gopher_signals(pa.array([text])).to_pydict().items()
    }


PIECES = [
    *(
        "the",
        "to",
        "and ",
        "have,",
        "“with”",
        "The",
        "x",
        "é",
        "漢字",
        "ไทยที่๓",
        "_",
        "\u0301",
        "9",
        "²",
    ),
    *("\n", "\r\n", " ", "\t", "\xa0", "\u2028", "...", ".", "…", "• ", "- ", "*", "#"),
]
PIECE = st.sampled_from(PIECES)
TEXT = st.lists(PIECE | st.text(max_size=3), max_size=14).map("".join)


@given(st.lists(st.none() | TEXT, max_size=6))
@settings(max_examples=400, deadline=None)
def test_against_the_twin(texts: list[str | None]) -> None:
    wanted = [twin(text) for text in texts]
    for kind in (pa.string(), pa.large_string(), pa.binary()):
        column = pa.array(texts, pa.string()).cast(kind)
        assert gopher_signals(column).to_pylist() == wanted
        assert gopher_signals(column.slice(1)).to_pylist() == wanted[1:]
    chunks = pa.chunked_array([column.slice(0, 2), column.slice(2)])
    assert gopher_signals(chunks).to_pylist() == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the be to of and that have with", 8),
        ("the the the", 1),
        ("The THE", 0),
        ("(the, «to» and...", 3),
        ("that's t-o the_ thethe th", 0),
        ("“of”\u3000have\u2029with", 3),
        ('--------the-------- """"that"""" --have-- (to) \'of\' -and============ with;é', 6),
        ("the=======that [with](of) be------------é -t-h-e- -and²", 0),
    ],
)
def test_stop_words(text: str, words: int) -> None:
    assert one(text)["stop_words"] == words


@pytest.mark.parametrize("before", [0, 1, 2, 250, 253, 254, 255, 256])
def test_dots_anywhere(before: int) -> None:
    texts = [
        "x" * before + "." * n + end for n in [*range(10), 255, 256, 600] for end in ("", "a.")
    ]
    texts += [text + "x..." for text in texts]
    assert gopher_signals(pa.array(texts)).to_pylist() == [*map(twin, texts)]


def test_stop_words_amid_others() -> None:
    words = [sign * a + "the" + sign * b for a in range(18) for b in range(18) for sign in ".é-"]
    texts = [" ".join(["x" * 9, word, "y" * 9]) for word in words]
    assert gopher_signals(pa.array(texts)).to_pylist() == [*map(twin, texts)]


def test_symbols_and_lines() -> None:
    found = one("# Title\n\n  - one...\n\t* two …\r\n• \n....\nend")
    assert found["words"] == 10
    assert found["lines"] == 6
    assert found["hash_word_ratio"] == 1 / 10
    assert found["ellipsis_word_ratio"] == 3 / 10
    assert found["bullet_line_ratio"] == 3 / 6
    assert found["ellipsis_line_ratio"] == 3 / 6
    assert found["max_line_chars"] == 10  # "  - one...": with its indentation
    assert one("a    \n")["max_line_chars"] == 1


def test_each_character_of_a_script_without_spaces_is_a_word() -> None:
    found = one("我们用GPT模型。\nที่๓ ok")
    assert found["words"] == 12  # 我 们 用 GPT 模 型 。 ท ี ่ ๓ ok
    assert found["alpha_word_ratio"] == 10 / 12  # all but 。 and ๓
    assert found["mean_word_chars"] == 15 / 12
    assert found["unspaced_ratio"] == 6 / 11
    assert one("123 ।")["unspaced_ratio"] is None


def test_no_division_by_zero_gives_a_number() -> None:
    for text in ("", " \n\t", None):
        found = gopher_signals(pa.array([text], pa.string())).to_pylist()[0]
        numbers = [value for value in found.values() if value is not None]
        assert not any(math.isnan(value) for value in numbers)
        nulls = {name for name, value in found.items() if value is None}
        assert "mean_word_chars" in nulls
        assert ("alpha_ratio" in nulls) == (not text)


def test_invalid_bytes_count_as_one_character_each() -> None:
    found = gopher_signals(pa.array([b"a\xff\xe6\xbc b", b"\xe2\x80"], pa.binary())).to_pydict()
    assert found["chars"] == [6, 2]
    assert found["words"] == [2, 1]
