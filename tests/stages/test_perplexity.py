"""Perplexity against CCNet's steps, one by one in plain Python, with a stand-in for KenLM and with a tiny model."""

import re
import unicodedata
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.errors import SourceError
from coursepack.stages import perplexity as module
from coursepack.stages.perplexity import (
    LanguageModel,
    load_language_model,
    normalised,
    perplexity_signals,
)

PUNCTUATION = {
    "，": ",", "。": ".", "、": ",", "„": '"', "”": '"', "“": '"', "«": '"', "»": '"', "１": '"',
    "」": '"', "「": '"', "《": '"', "》": '"', "´": "'", "∶": ":", "：": ":", "？": "?", "！": "!",
    "（": "(", "）": ")", "；": ";", "–": "-", "—": " - ", "．": ". ", "～": "~", "’": "'",
    "…": "...", "━": "-", "〈": "<", "〉": ">", "【": "[", "】": "]", "％": "%", "►": "-",
}  # fmt: skip
needs_kenlm = pytest.mark.skipif(not find_spec("kenlm"), reason="kenlm is not installed")


def twin_normalised(line: str) -> str:
    """CCNet's steps in CCNet's order."""
    line = line.strip().lower()
    decomposed = unicodedata.normalize("NFD", line)
    line = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
    line = re.sub(r"\d", "0", line)
    line = "".join(PUNCTUATION.get(c, c) for c in line)
    return "".join(c for c in line if not (ord(c) < 32 or 127 <= ord(c) < 160))


def score(line: str) -> float:
    """A stand-in: any function of the words, and of the end of the line."""
    return -sum(0.3 + len(word) % 7 for word in line.split()) - 1.25


def halves(text: str) -> list[str]:
    return [part for word in text.split() for part in ("▁" + word[:2], word[2:]) if part]


BY_WORDS, BY_PIECES = LanguageModel(score), LanguageModel(score, halves)


def twin(text: str | None, model: LanguageModel) -> float | None:
    if not (text or "").strip():
        return None
    assert text is not None
    if model.pieces:
        lines = [" ".join(model.pieces(twin_normalised(text)))]
    else:
        lines = [twin_normalised(line) for line in text.split("\n") if line.strip()]
    log_score, length = 0.0, 0
    for line in lines:
        log_score += score(line)
        length += len(line.split()) + 1
    return round(10.0 ** (-log_score / length), 1)


SIGNS = [
    "Été",
    "ÅNGSTRÖM",
    "ŻÓŁĆ",
    "漢字。",
    "１２３",
    "٣",
    "a\x00b",
    "\x85",
    "…",
    "— x",
    "\u0301",
    "İ",
    "ΣΑΣ",
    "한국",
    "9",
    "〈",
]
TEXT = st.lists(
    st.sampled_from([*SIGNS, *PUNCTUATION, "\n", "\n\n", " ", "\t", "the", "word"])
    | st.text(max_size=3),
    max_size=20,
).map("".join)


@given(TEXT)
def test_normalised(text: str) -> None:
    assert normalised(text) == twin_normalised(text)


def test_each_code_point_is_normalised_as_ccnet_does() -> None:
    for code in range(0x110000):
        alone = code < 0x3400 or 0xF900 <= code < 0x11800 or code % 97 == 0
        if alone and not 0xD800 <= code < 0xE000:
            text = f"x{chr(code)}y"
            assert normalised(text) == twin_normalised(text), hex(code)


@given(st.lists(st.none() | TEXT, max_size=5), st.integers(0, 5))
def test_against_the_twin(texts: list[str | None], cut: int) -> None:
    for model in (BY_WORDS, BY_PIECES):
        wanted = [twin(text, model) for text in texts]
        for kind in (pa.string(), pa.large_string()):
            column = pa.array(texts, kind)
            found = perplexity_signals(column, model)
            assert found.schema == pa.schema([("perplexity", pa.float64())])
            assert found["perplexity"].to_pylist() == wanted
            sliced = perplexity_signals(column.slice(cut), model)
            assert sliced["perplexity"].to_pylist() == wanted[cut:]


@pytest.mark.parametrize(
    ("text", "words", "lines"),
    [
        ("The cat.\n\nSat", 5, ["the cat.", "sat"]),
        ("  one  ", 2, ["one"]),
        ("a\n \n\t\nb\n", 4, ["a", "b"]),
    ],
)
def test_lines_and_their_ends_are_counted(text: str, words: int, lines: list[str]) -> None:
    seen: list[str] = []

    def heard(line: str) -> float:
        seen.append(line)
        return -1.0

    [found] = perplexity_signals(pa.array([text]), LanguageModel(heard))["perplexity"].to_pylist()
    assert seen == lines
    assert found == round(10 ** (len(lines) / words), 1)


def test_with_pieces_newlines_are_deleted() -> None:
    seen: list[str] = []

    def heard(line: str) -> float:
        seen.append(line)
        return -3.0

    model = LanguageModel(heard, lambda text: text.split())
    found = perplexity_signals(pa.array(["One two\nthree\n", " \n"]), model)["perplexity"]
    assert seen == ["one twothree"]
    assert found.to_pylist() == [10.0, None]


def test_of_a_long_text_windows_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_BYTES", 8)
    monkeypatch.setattr(module, "WINDOWS", 3)
    text = "0123456789" + "é" * 10 + "abcdefghij"
    assert list(module._samples(pa.array([text, text[:24], None]))) == [
        "01234567\néééé\ncdefghij", "01234567\nééé\nééabcd",
        "",
    ]  # fmt: skip
    whole = "x" * 24
    assert list(module._samples(pa.array([whole]))) == [whole]


def test_what_is_read_is_bounded() -> None:
    longest = module.WINDOWS * module.WINDOW_BYTES
    [sample] = module._samples(pa.array(["word " * longest]))
    assert len(sample) == longest + module.WINDOWS - 1


def test_a_score_beyond_all_bounds_stays_a_number() -> None:
    model = LanguageModel(lambda line: -1e9)
    assert perplexity_signals(pa.array(["a"]), model)["perplexity"].to_pylist() == [1e300]


ARPA = """\\data\\
ngram 1=6
ngram 2=4

\\1-grams:
-1.0\t<unk>
0\t<s>\t-0.3
-0.9\t</s>
-0.7\tthe\t-0.2
-1.1\tcat\t-0.25
-1.3\t0\t0

\\2-grams:
-0.4\t<s> the
-0.5\tthe cat
-0.2\tcat </s>
-0.8\tcat 0

\\end\\
"""


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no KenLM model at '/none'; give a file"):
        load_language_model("/none")
    model = tmp_path / "m.arpa"
    model.write_text(ARPA)
    with pytest.raises(SourceError, match="there is no SentencePiece model at '/none'"):
        load_language_model(str(model), "/none")
    if not find_spec("kenlm"):
        with pytest.raises(
            SourceError, match=r"needs the package kenlm .* pip install 'coursepack\["
        ):
            load_language_model(str(model))


@needs_kenlm
@pytest.mark.parametrize(
    ("text", "log_score", "words"),
    [
        ("The cat", -0.4 - 0.5 - 0.2, 3),
        ("the dog", -0.4 - 0.2 - 1.0 - 0.9, 3),  # an unknown word has no back-off
        ("Cat 7\n\nthe CÄT", -0.3 - 1.1 - 0.8 - 0.9 - 0.4 - 0.5 - 0.2, 6),
    ],
)
def test_kenlm(tmp_path: Path, text: str, log_score: float, words: int) -> None:
    path = tmp_path / "m.arpa"
    path.write_text(ARPA)
    found = perplexity_signals(pa.array([text]), load_language_model(str(path)))
    assert found["perplexity"].to_pylist() == [round(10 ** (-log_score / words), 1)]


@needs_kenlm
def test_kenlm_with_sentencepiece(tmp_path: Path) -> None:
    path = tmp_path / "m.arpa"
    path.write_text(ARPA.replace("\tthe", "\t▁the").replace("<s> the", "<s> ▁the"))
    texts = ["the cat sat on the mat", "a dog saw the cat", "the 0 is the number"] * 9
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(tmp_path / "sp"), vocab_size=22, minloglevel=2
    )  # fmt: skip
    model = load_language_model(str(path), str(tmp_path / "sp.model"))
    assert model.pieces is not None
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "sp.model"))
    pieces = processor.encode("the cat sat.on the mat", out_type=str)
    assert model.pieces(normalised("The CAT sat.\non the mat")) == pieces
    wanted = round(10 ** (-model.score(" ".join(pieces)) / (len(pieces) + 1)), 1)
    found = perplexity_signals(pa.array(["The CAT sat.\non the mat"]), model)
    assert found["perplexity"].to_pylist() == [wanted]


@needs_kenlm
def test_other_files_are_no_models(tmp_path: Path) -> None:
    other, good = tmp_path / "other", tmp_path / "m.arpa"
    other.write_text("no model")
    good.write_text(ARPA)
    with pytest.raises(SourceError, match="is no KenLM model"):
        load_language_model(str(other))
    with pytest.raises(SourceError, match="is no SentencePiece model"):
        load_language_model(str(good), str(other))
