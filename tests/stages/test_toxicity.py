"""Scores of texts and of their worst sentences, against the fastText library sentence by sentence."""

import random
from typing import Any

import fasttext
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.pipeline.errors import SourceError
from coursepack.stages import toxicity as module
from coursepack.stages.characters import characters
from coursepack.stages.fasttext_training import Training, train_model
from coursepack.stages.linear import Classifier, load_classifier
from coursepack.stages.pieces import find_pieces
from coursepack.stages.toxicity import label_signals

WORDS = ["the", "été", "漢字", "ที่นี่", "a", "x1", "Ünïcödé", "😀", "=", "no."]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Classifier, Any]:
    """A model of words and their pairs, as ours reads it and as the library does."""
    chance = random.Random(1)
    shifts = {"red": 0, "green": 3, "blue": 6}
    labels = [label for label in shifts for _ in range(30)]
    texts = [
        " ".join(chance.choices(WORDS[shifts[label] :] + WORDS[: shifts[label]], range(10), k=9))
        for label in labels
    ]
    settings = Training(dim=6, buckets=100, words=100, least_count=1)
    path = tmp_path_factory.mktemp("toxicity") / "model.bin"
    path.write_bytes(train_model(labels, pa.array(texts, pa.large_string()), settings))
    return load_classifier(str(path)), fasttext.load_model(str(path))


def sentences(text: str) -> list[str]:
    """The sentences that are not blank, by the book."""
    table = characters()

    def is_sign(c: str) -> bool:
        code = ord(c)
        return not (table.is_space[code] or table.word_class[code] or table.is_letter[code])

    found: list[str] = []
    start = at = 0
    while at < len(text):
        c, at = text[at], at + 1
        ended = c == "\n"
        if table.is_terminal[ord(c)] and text[start : at - 1].strip(SPACES):
            while at < len(text) and is_sign(text[at]):
                at += 1
            ended = not c.isascii() or at == len(text) or bool(table.is_space[ord(text[at])])
        if ended or at == len(text):
            found.append(text[start:at])
            start = at
    return [sentence for sentence in found if sentence.strip(SPACES)]


SPACES = "".join(chr(c) for c in range(0x3001) if characters().is_space[c])
PIECE = st.sampled_from(
    ["the", "été", "漢字", "ที่นี่", " a", " x1", "Ünïcödé ", " ", "\n", ".", "。", "!", '"', ")", "…", "?!", "\u3000",
     "e.g.", "\xa0", "=", "'", "_", "😀"]
)  # fmt: skip
TEXT = st.lists(PIECE | st.text(max_size=2), max_size=20).map("".join)


@given(st.lists(TEXT, max_size=4))
def test_sentences(texts: list[str]) -> None:
    p = find_pieces(pa.array(texts, pa.string()))
    rows, starts, ends = module._sentences(p.offsets, p.ends, p.data, p.kinds)
    found: list[list[str]] = [[] for _ in texts]
    for row, start, end in zip(rows, starts, ends, strict=True):
        found[row].append(p.data[start:end].tobytes().decode())
    assert found == [sentences(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('He said "no." Then he left. ', ['He said "no."', " Then he left."]),
        ("one\n\n two", ["one\n", " two"]),
        ("我来。我见！我胜", ["我来。", "我见！", "我胜"]),
        ("3.5 of v1.2... (yes.) x", ["3.5 of v1.2...", " (yes.)", " x"]),
        (" \n.", ["."]),
    ],
)
def test_what_a_sentence_is(text: str, found: list[str]) -> None:
    assert sentences(text) == found


def probability(model: Any, text: str, label: str) -> float | None:
    """What the library says of one label."""
    line = text.replace("\n", " ") + "\n"
    found = {name: min(p, 1.0) for p, name in model.f.predict(line, -1, 0.0, "strict")}
    return found.get(f"__label__{label}")


@given(texts=st.lists(st.none() | TEXT, max_size=4), cut=st.integers(0, 4))
@settings(max_examples=40)
def test_against_the_library(
    models: tuple[Classifier, Any], texts: list[str | None], cut: int
) -> None:
    ours, library = models
    column = pa.array(texts, pa.string())
    found = label_signals(column, ours, "__label__green", "toxicity")
    assert found.schema.names == ["toxicity", "toxicity_sentence"]
    for text, whole, worst in zip(texts, *found.to_pydict().values(), strict=True):
        assert whole == near(probability(library, text or "", "green"))
        scores = [probability(library, part, "green") for part in sentences(text or "")]
        assert worst == near(max((s for s in scores if s is not None), default=None))
        assert worst is None or 0 <= worst <= 1
    assert label_signals(column.slice(cut), ours, "green", "toxicity").equals(found.slice(cut))


def near(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, abs=1e-4)


def test_sentences_are_scored_in_parts(
    models: tuple[Classifier, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = pa.array(["the. a. x1. été.\n漢字。a", "", "a! the?", None] * 5)
    whole = label_signals(texts, models[0], "red", "nsfw")
    monkeypatch.setattr(module, "_AT_A_TIME", 3)
    assert label_signals(texts, models[0], "red", "nsfw").equals(whole)


def test_a_label_that_the_model_does_not_know(models: tuple[Classifier, Any]) -> None:
    with pytest.raises(SourceError, match="has no label 'pink'; it has "):
        label_signals(pa.array(["a"]), models[0], "pink", "toxicity")
