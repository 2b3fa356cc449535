"""What a classifier reads of a text: normalised words of a bounded sample, for any slicing."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.errors import SourceError
from coursepack.stages.classifiers import WINDOW_BYTES, WINDOWS, likeliest, normalised, quality
from coursepack.stages.fasttext_training import Training, train_model
from coursepack.stages.linear import Classifier, load_classifier, scores

LIMIT = WINDOWS * WINDOW_BYTES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (None, ""),
        (" \t\r\x00\x7f ", ""),
        ("Hello, World", "hello , world"),
        ("one\ntwo\n  three\n\tfour", "one N two I three I four"),
        ("x_1 = 12.50;", "x _ 0 = 0 . 0 ;"),
        ("abc123def", "abc 0 def"),
        ("ÉTÉ déjà 漢字", "ÉtÉ déjà 漢字"),
        ("a\n", "a N"),
        ("\r\n\r\n", "N N"),
        ("__label__code </s>", "_ _ label _ _ code < / s >"),
        ("N I", "n i"),  # no letter of a text is taken for a line break
        ("a\u00a0b", "a\u00a0b"),  # white space past ASCII is part of a word, as in fastText
    ],
)
def test_words(text: str | None, expected: str) -> None:
    assert normalised(pa.array([text], pa.string())).to_pylist() == [expected]


def test_of_a_long_text_windows_from_start_to_end_are_read() -> None:
    text = " ".join(f"w{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}x" for n in range(20_000))
    [found] = normalised(pa.array([text])).to_pylist()
    assert LIMIT - 3 * WINDOWS <= len(found) <= LIMIT + WINDOWS
    assert found.startswith(text[:900])
    assert found.endswith(text[-900:])
    middle = (len(text) - WINDOW_BYTES) // 3 + 10
    assert text[middle : middle + 500] in found


def test_a_text_of_just_the_limit_is_whole() -> None:
    whole, cut = normalised(pa.array(["ab " * (LIMIT // 3) + "c", "ab " * LIMIT])).to_pylist()
    assert whole.split() == ["ab"] * (LIMIT // 3) + ["c"]
    assert len(cut) <= LIMIT + WINDOWS


def twin(text: str | None) -> str:
    data = (text or "").encode()
    parts = [data]
    if len(data) > LIMIT:
        parts = []
        for n in range(WINDOWS):
            start = (len(data) - WINDOW_BYTES) * n // (WINDOWS - 1)
            stop = start + WINDOW_BYTES
            while start < stop and data[start] >> 6 == 2:
                start += 1
            while start < stop < len(data) and data[stop] >> 6 == 2:
                stop -= 1
            parts.append(data[start:stop])
    words = []
    for part in parts:
        for found in re.finditer(
            r"\n[ \t]?|[0-9]+|[!-/:-@\[-`{-~]|[A-Za-z\x80-\U0010ffff]+", part.decode()
        ):
            word = found[0]
            if word[0] == "\n":
                words.append("I" if len(word) > 1 else "N")
            elif word[0].isascii() and word[0].isdigit():
                words.append("0")
            else:
                words.append("".join(c.lower() if c.isascii() else c for c in word))
    return " ".join(words)


_piece = st.sampled_from(
    ["a", "Bc", "é", "漢", "😀", "\n", "\n ", "\n\t", " ", "12", "_", ";", "\x00", "\u0085"]
)
_texts = st.lists(
    st.none() | st.text(max_size=30) | st.lists(_piece, max_size=40).map("".join)
    | st.tuples(_piece, st.integers(1, 3000)).map(lambda pair: (pair[0] + "xé1") * pair[1]),
    max_size=6,
)  # fmt: skip


@given(_texts, st.integers(0, 6), st.integers(0, 6))
def test_as_its_twin_and_for_any_slice(texts: list[str | None], start: int, length: int) -> None:
    column = pa.array(texts, pa.string())
    found = normalised(column)
    assert found.to_pylist() == [twin(text) for text in texts]
    part = normalised(column.slice(start, length))
    assert part.to_pylist() == found.slice(start, length).to_pylist()
    assert normalised(column.cast(pa.large_string())).equals(found)
    found.validate(full=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    texts = normalised(pa.array(["red red apple ;", "blue sky 12"] * 30))
    made = train_model(["hq", "lq"] * 30, texts, Training(buckets=500))
    path: Path = tmp_path_factory.mktemp("model") / "m.bin"
    path.write_bytes(made)
    return load_classifier(str(path))


def test_likeliest_and_quality(model: Classifier) -> None:
    text = pa.array(["RED Apple;", "blue 7777 sky", "", None])
    label, probability = likeliest(text, model)
    assert label.to_pylist()[:2] == ["hq", "lq"]
    good = quality(text, model, "hq")
    assert good.type == pa.float64()
    assert good.equals(quality(text, model, "__label__hq"))
    assert good[0].as_py() > 0.9 > 0.1 > good[1].as_py()
    assert probability[0].as_py() == round(good[0].as_py(), 3)
    assert all(round(p, 5) == p for p in good.drop_null().to_pylist())
    assert good[2] == good[3]  # of the end of a line alone, which the model has met


def test_a_model_from_elsewhere_reads_the_whole_text(model: Classifier) -> None:
    text = pa.array(["red\nred apple ;", "RED", "sky " + "red " * 5000])
    found = quality(text, model, "hq", "whole")
    assert found.equals(pc.round(scores(text, model, "hq"), 5))
    assert found[0].as_py() > 0.9
    assert quality(text, model, "hq")[1] != found[1]  # `RED` is no word of the model


def test_an_unknown_label_is_refused(model: Classifier) -> None:
    with pytest.raises(SourceError, match="has no label 'best'; it has hq, lq"):
        quality(pa.array(["x"]), model, "__label__best")
