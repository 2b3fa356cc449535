"""datatrove's signals against a twin, and against the numbers that datatrove itself computed."""

import math
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
import regex
from golden_numbers import golden, golden_text
from hypothesis import given
from hypothesis import strategies as st
from short_texts import TEXTS, reasons

from coursepack.pipeline.edits import C4Lines
from coursepack.stages import copies
from coursepack.stages.c4_lines import c4_line_spans
from coursepack.stages.characters import characters
from coursepack.stages.datatrove import datatrove_signals
from coursepack.stages.gopher import STOP_WORDS, gopher_signals
from coursepack.stages.line_edits import python_spaces
from coursepack.stages.pieces import find_pieces
from coursepack.stages.repetition import repetition_signals
from coursepack.stages.spacy_tables import WORDY, classes
from coursepack.stages.spacy_words import spacy_words
from coursepack.stages.spans import apply
from coursepack.stages.web import web_signals

GOLDEN = golden("datatrove")


def one(text: str | None) -> dict[str, Any]:
    found: dict[str, Any] = datatrove_signals(pa.array([text], pa.string())).to_pylist()[0]
    return found


# The twin: on words, whose own tests are those of spacy_words


def words_of(text: str) -> list[tuple[str, str]]:
    """Each word, and the white space before it."""
    p = find_pieces(pa.array([text]))
    q = spacy_words(p).pieces
    found, before = [], 0
    for start, end in zip(q.word_starts, q.word_ends, strict=True):
        data = bytes(q.data)
        found.append((data[start:end].decode(), data[before:start].decode()))
        before = end
    return found


def is_space(c: str) -> bool:
    return bool(python_spaces()[ord(c)])


def strip(line: str) -> str:
    while line and is_space(line[0]):
        line = line[1:]
    while line and is_space(line[-1]):
        line = line[:-1]
    return line


def sentences(line: str) -> int:
    count, ended = 1, False
    for word, space in words_of(line):
        ending = len(word) == 1 and characters().is_terminal[ord(word)] == 1
        plain = not ending and not regex.fullmatch(r"\p{P}+", word)
        if ended and (plain or space not in ("", " ")):
            count, ended = count + 1, False
        ended = ended or ending
    return count


def ratio(count: float, of: int) -> float | None:
    return count / of if of else None


def twin(text: str) -> dict[str, Any]:
    words = [word for word, _ in words_of(text)]
    wordy = [word for word in words if any(classes()[ord(c)] & WORDY for c in word)]
    lines = text.splitlines()
    bare = [strip(line) for line in lines]
    found = {
        "dt_words": len(wordy),
        "dt_mean_word_chars": ratio(sum(map(len, wordy)), len(wordy)),
        "dt_hash_word_ratio": ratio(text.count("#"), len(words)),
        "dt_ellipsis_word_ratio": ratio(text.count("...") + text.count("…"), len(words)),
        "dt_bullet_line_ratio": ratio(sum(x.startswith(("•", "-")) for x in bare), len(lines)),
        "dt_ellipsis_line_ratio": ratio(sum(x.endswith(("...", "…")) for x in bare), len(lines)),
        "dt_alpha_word_ratio": ratio(
            sum(any(map(str.isalpha, word)) for word in words), len(words)
        ),
        "dt_stop_words": len(set(STOP_WORDS) & set(words)),
        "dt_newline_word_ratio": ratio(text.count("\n"), len(words)),
        "dt_sentences": sum(sentences(line) for line in bare if line),
    }
    for n in (2, 3, 4):
        grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        [(top, times)] = grams.most_common(1) or [("", 0)]
        found[f"dt_top_{n}gram_char_ratio"] = ratio(len(top) * times, len(text))
    for n in range(5, 11):
        met, chars, i = set(), 0, 0
        while i <= len(words) - n:
            gram = tuple(words[i : i + n])
            chars += sum(map(len, gram)) if gram in met else 0
            i += n if gram in met else 1
            met.add(gram)
        found[f"dt_dup_{n}gram_char_ratio"] = ratio(chars, len(text))
    return found


PARTS = [
    *("the ", "be", " to", "of", "and ", "I'm", "don't ", "a b c d e f ", "word ", "x", "1"),
    *(".", "...", "…", "# ", "- ", "• ", "\n", "\r\n", "\n\n", "\x1c", "\u2028", "  ", "\t", " "),
    *("? ", "! ", "。", ") ", '"', "Mr. ", "e.g. ", ":)", "é", "中文", "\u00a0", "😀"),
]
texts = st.lists(st.sampled_from(PARTS), max_size=30).map("".join) | st.text(max_size=30)


@given(st.lists(texts, max_size=4))
def test_twin(made: list[str]) -> None:
    found = datatrove_signals(pa.array(made, pa.string())).to_pylist()
    assert found == [twin(text) for text in made]


@pytest.mark.parametrize("name", TEXTS)
def test_twin_on_whole_texts(name: str) -> None:
    assert one(TEXTS[name]) == twin(TEXTS[name])


@pytest.mark.parametrize("key", GOLDEN["values"])
def test_datatroves_own_numbers(key: str) -> None:
    found = one(golden_text(GOLDEN, key))
    assert list(found) == GOLDEN["columns"]
    for (name, ours), value in zip(found.items(), GOLDEN["values"][key], strict=True):
        assert ours == (None if value is None else pytest.approx(value, abs=1e-9)), name


def test_signs_are_words() -> None:
    found = one("# (Signs!)\n\n- I don't.")
    # 4 + 1 + 4 words, ( ) ! # - and . of them alone
    assert found["dt_words"] == 4
    assert found["dt_mean_word_chars"] == (5 + 1 + 2 + 3) / 4
    assert found["dt_alpha_word_ratio"] == 4 / 10
    assert found["dt_hash_word_ratio"] == 1 / 10
    assert found["dt_bullet_line_ratio"] == 1 / 3
    assert found["dt_newline_word_ratio"] == 2 / 10
    assert found["dt_sentences"] == 2


def test_sentences() -> None:
    assert one("One. Two! (Three?) Four")["dt_sentences"] == 4
    assert one("Dr. Who, e.g. here... no")["dt_sentences"] == 1
    assert one("One.\nTwo\n \n")["dt_sentences"] == 2
    assert one("One.  ) two")["dt_sentences"] == 2
    assert one("One. ) two")["dt_sentences"] == 2
    assert one("One. )")["dt_sentences"] == 1
    assert one("One.  )")["dt_sentences"] == 2  # the second blank is a word, and begins one


@given(st.lists(st.none() | texts, min_size=1, max_size=5), st.data())
def test_slices_and_nulls(made: list[str | None], data: st.DataObject) -> None:
    whole = pa.array(made, pa.large_string())
    found = datatrove_signals(whole).to_pylist()
    start = data.draw(st.integers(0, len(made)))
    assert datatrove_signals(whole[start:]).to_pylist() == found[start:]
    assert datatrove_signals(pa.array([text or "" for text in made])).to_pylist() == found


@given(st.binary(max_size=60))
def test_fractions(data: bytes) -> None:
    [found] = datatrove_signals(pa.array([data])).to_pylist()
    for name, value in found.items():
        assert value is None or not math.isnan(value)
        if name.endswith(("alpha_word_ratio", "line_ratio")) or name.startswith("dt_dup"):
            assert value is None or 0 <= value <= 1


def test_the_head_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = one("one, two. Th")
    monkeypatch.setattr(copies, "HEAD_BYTES", 12)
    assert one("one, two. Three, and more\nof it") == whole


FILTERS = ("repetition", "gopher", "c4", "fineweb")


def every_signal(text: pa.Array) -> pa.RecordBatch:
    p = find_pieces(text)
    families = [f(p) for f in (datatrove_signals, repetition_signals, web_signals, gopher_signals)]
    columns = {name: family[name] for family in families for name in family.schema.names}
    return pa.RecordBatch.from_pydict(columns)


@pytest.mark.parametrize("number", range(4), ids=FILTERS)
def test_the_profiles_drop_what_datatroves_filters_drop(number: int) -> None:
    """C4's rules on documents come behind its rules on lines."""
    keys = GOLDEN["reasons"]
    text = pa.array([golden_text(GOLDEN, key) for key in keys], pa.large_string())
    if FILTERS[number] == "c4":
        text = apply(text, c4_line_spans(text, C4Lines(terminal_punctuation=False)))
    found = reasons(f"datatrove_{FILTERS[number]}", every_signal(text))
    pairs = dict(zip(found, (keys[key][number] for key in keys), strict=True))
    assert [pairs[reason] for reason in found] == [keys[key][number] for key in keys]  # a name each
    assert len(set(pairs.values())) == len(pairs)
    assert pairs.get(None, "") is None
