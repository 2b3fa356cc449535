"""Training against its definition in plain NumPy, and the file against the fastText library."""

import itertools
from collections import Counter
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pytest

from coursepack.pipeline.errors import RecipeError
from coursepack.stages.fasttext_files import read_model
from coursepack.stages.fasttext_training import Training, train_model
from coursepack.stages.linear import classify, load_classifier

SMALL = Training(seed=7, dim=5, buckets=50, words=9, least_count=2, epochs=3, rate=0.4)

OWN = {"é-1": {"été", "漢字"}, "b": {"beta", "x"}, "c": {"c", ";"}}


def corpus(texts: int = 80) -> tuple[list[str], pa.Array]:
    """Labels and texts of random words, some of which tell the label, some rare."""
    draw = np.random.default_rng(0)
    labels = [("é-1", "b", "c")[n % 3 if n % 5 else 0] for n in range(texts)]
    lines = []
    for n, label in enumerate(labels):
        words = [*sorted(OWN[label]), "the", "0", "N", f"rare{n}"]
        lines.append(" ".join(draw.choice(words, draw.integers(1, 12))))
    return labels, pa.array(lines, pa.large_string())


def signed_hash(word: str) -> int:
    h = 2166136261
    for byte in word.encode():
        h = ((h ^ (byte | (0xFFFFFF00 if byte > 127 else 0))) * 16777619) & 0xFFFFFFFF
    return h - (1 << 32) if h >> 31 else h


def twin(labels: list[str], texts: list[str], settings: Training) -> tuple[np.ndarray, np.ndarray]:
    """The two matrices."""
    counts = Counter(word for text in texts for word in text.split(" "))
    frequent = sorted(
        (w for w, n in counts.items() if n >= settings.least_count), key=lambda w: (-counts[w], w)
    )
    words = ["</s>", *frequent[: settings.words]]
    sizes = Counter(labels)
    names = sorted(sizes, key=lambda name: (-sizes[name], name))
    draws = np.random.default_rng(settings.seed)
    shape = (len(words) + settings.buckets, settings.dim)
    vectors = draws.uniform(-1 / settings.dim, 1 / settings.dim, shape).astype(np.float32)
    output = np.zeros((len(names), settings.dim), np.float32)
    lines = []
    for text in texts:
        tokens = [*text.split(" "), "</s>"]
        rows = [words.index(token) for token in tokens if token in words]
        for a, b in itertools.pairwise(tokens):
            h = (signed_hash(a) * 116049371 + signed_hash(b)) % (1 << 64)
            rows.append(len(words) + h % settings.buckets)
        lines.append(rows)
    total = sum(map(len, lines)) * settings.epochs
    seen = 0
    for _ in range(settings.epochs):
        for rows, label in zip(lines, labels, strict=True):
            rate = settings.rate * (1 - seen / total)
            seen += len(rows)
            mean = vectors[rows].mean(axis=0)
            p = np.exp(output @ mean)
            error = (np.array(names) == label) - p / p.sum()
            change = rate * error @ output / len(rows)
            output += rate * np.outer(error, mean)
            np.add.at(vectors, rows, change.astype(np.float32))
    return vectors, output


def test_as_its_twin(tmp_path: Path) -> None:
    labels, texts = corpus()
    path = tmp_path / "m.bin"
    path.write_bytes(train_model(labels, texts, SMALL))
    found = read_model(str(path))
    vectors, output = twin(labels, texts.to_pylist(), SMALL)
    assert found.labels == ("é-1", "b", "c")
    assert found.words == 1 + SMALL.words
    assert found.label_counts.tolist() == [Counter(labels)[name] for name in found.labels]
    np.testing.assert_allclose(found.input.dense, vectors, atol=1e-5)
    np.testing.assert_allclose(found.output.dense, output, atol=1e-5)
    assert np.abs(output).max() > 0.05


def test_the_library_reads_the_file_and_says_the_same(tmp_path: Path) -> None:
    labels, texts = corpus()
    path = tmp_path / "m.bin"
    path.write_bytes(train_model(labels, texts, Training(buckets=1000, least_count=1)))
    library = fasttext.load_model(str(path))
    assert library.get_dimension() == 16
    assert set(library.labels) == {"__label__é-1", "__label__b", "__label__c"}
    more = ["the été", "", "never seen", "beta x beta"]
    found = classify(pa.array([*texts.to_pylist(), *more]), load_classifier(str(path)))
    for text, label, probability in zip(
        [*texts.to_pylist(), *more], *map(pa.Array.to_pylist, found), strict=True
    ):
        [said], [p] = library.predict(text)
        assert said == f"__label__{label}"
        assert p == pytest.approx(probability, abs=1e-4)


def test_it_learns(tmp_path: Path) -> None:
    labels, texts = corpus(400)
    path = tmp_path / "m.bin"
    path.write_bytes(train_model(labels[:300], texts[:300], Training(buckets=1000)))
    guesses = classify(texts[300:], load_classifier(str(path)))[0].to_pylist()
    rows = zip(texts[300:].to_pylist(), labels[300:], guesses, strict=True)
    # a text of `the` and `0` alone says nothing
    telling = [label == guess for text, label, guess in rows if {*text.split()} & OWN[label]]
    assert len(telling) > 50
    assert sum(telling) >= 0.97 * len(telling)


def test_the_same_texts_give_the_same_bytes_whatever_lay_in_memory() -> None:
    labels, texts = corpus()
    first = train_model(labels, texts, SMALL)
    junk = [np.full(1 << n, np.nan, np.float32) for n in range(8, 20)]
    del junk
    assert train_model(labels, texts, SMALL) == first
    assert train_model(labels, pa.concat_arrays([texts[:0], texts]), SMALL) == first
    other = Training(**{**SMALL.__dict__, "seed": 8})
    assert train_model(labels, texts, other) != first


def test_many_texts_are_split_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, texts = corpus()
    whole = train_model(labels, texts, SMALL)
    monkeypatch.setattr("coursepack.stages.fasttext_training._BATCH", 7)
    assert train_model(labels, texts, SMALL) == whole


@pytest.mark.parametrize(
    ("labels", "found"), [([], "there is 0$"), (["a", "a"], "there is 1: 'a'$")]
)
def test_one_label_is_refused(labels: list[str], found: str) -> None:
    with pytest.raises(RecipeError, match=found):
        train_model(labels, pa.array(["x"] * len(labels), pa.large_string()), SMALL)
