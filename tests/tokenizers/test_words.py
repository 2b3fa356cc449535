"""Counted words: against a plain twin, and against what the trainer learns from the sentences themselves."""

import io
import sysconfig
import unicodedata
from collections import Counter
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
import regex
import sentencepiece
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from coursepack.tokenizers import words as module
from coursepack.tokenizers.train import Vocabulary, options_of, train_words
from coursepack.tokenizers.words import WordCounter

SYMBOLS = ("\n", "▁▁", "▁▁▁", "\t\t", "<td>", "<tdx>", "</s>", "▁is", "語語")


def counts(counter: WordCounter) -> dict[str, int]:
    table = counter.table()
    words = [word.decode() for word in table["word"].to_pylist()]
    assert len(words) == len(set(words))
    return dict(zip(words, table["count"].to_pylist(), strict=True))


def twin(text: str, symbols: tuple[str, ...], dummy_prefix: bool) -> Counter[str]:
    """Line by line, symbol by symbol, and between two characters that no piece may hold side by side."""
    found: Counter[str] = Counter()
    longest_first = sorted((s.replace("▁", " ") for s in symbols), key=len, reverse=True)
    pattern = "|".join([*map(regex.escape, longest_first), "[\t▅]"])
    for line in text.replace("▁", " ").split("\n"):
        line = line.rstrip("\r")
        if not line:
            continue
        line = " " + line if dummy_prefix else line
        found[""] += len(regex.findall(pattern, line))
        for part in regex.split(f"{pattern}|\0", line):
            word = ""
            for character in part:
                if word and apart(word[-1], character):
                    found[word] += 1
                    word = ""
                word += character
            found[word] += bool(word)
    return +found


def apart(left: str, right: str) -> bool:
    if regex.search("[0-9０-９]", left + right):
        return True
    if " " in (left, right):
        return right == " " != left
    scripts = [script(left), script(right)]
    return None not in scripts and scripts[0] != scripts[1]


def script(character: str) -> str | None:
    if regex.match(r"\p{Script=Inherited}", character):
        return None
    if unicodedata.ucd_3_2_0.category(character) == "Cn":
        return None
    if regex.match(r"[\p{Han}\p{Hiragana}\p{Katakana}ー]", character):
        return "Han"
    names = ("Latin", "Greek", "Cyrillic", "Thai", "Hangul", "Common")
    return next(name for name in names if regex.match(rf"\p{{Script={name}}}", character))


_atom = st.sampled_from(
    [
        *"ab .,'-09\n\r\t\0_(é語ルひーЖαก한😀▁▅\u0301\u0378０\u3000\u00a0",
        " ",
        "  ",
        "<td>",
        "<tdx",
        ">",
        "</s>",
        " is",
    ]
)
_texts = st.lists(st.none() | st.lists(_atom, max_size=40).map("".join), max_size=6)


@given(_texts, st.booleans(), st.integers(0, 2), st.integers(0, 60))
def test_words_are_the_twins(texts, dummy_prefix, skipped, slice_bytes):
    expected: Counter[str] = Counter()
    for text in texts[skipped:]:
        expected += twin(text or "", SYMBOLS, dummy_prefix)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SLICE_BYTES", slice_bytes)
        patch.setattr(module, "_FIRST_WORDS", 2)
        counter = WordCounter(SYMBOLS, dummy_prefix)
        column = pa.array(texts, pa.string()).slice(skipped)
        counter.add(column.cast(pa.large_string()))
        counter.add(pa.chunked_array([column]))
    assert counts(counter) == {word: 2 * count for word, count in expected.items()}


def test_a_word_is_no_longer_than_the_trainer_counts(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_WORD", 3)
    module._find_words.recompile()
    try:
        counter = WordCounter(())
        counter.add(pa.array(["éabcdefg"]))
    finally:
        monkeypatch.undo()
        module._find_words.recompile()
    assert counts(counter) == {"éab": 1, "cde": 1, "fg": 1}


def test_nothing_is_no_word():
    counter = WordCounter(SYMBOLS)
    counter.add(pa.array([], pa.string()))
    counter.add(pa.array(["", None, "\n\r\n"]))
    assert counter.table().num_rows == 0


def sentences_model(texts: list[str], wanted: Vocabulary) -> sentencepiece.SentencePieceProcessor:
    """What the library itself learns from the texts' lines."""
    settings = wanted.settings()
    options = options_of(wanted, settings, accept_fewer=False)
    # a tab cuts our words, and the trainer's where tabs are symbols
    tab = "\t" if "\t" in settings.symbols else "<unk>"
    lines = [line.replace("\t", tab) for text in texts for line in text.split("\n")]
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=out,
        **options
        | {"input_format": "", "add_dummy_prefix": settings.add_dummy_prefix, "minloglevel": 2},
    )
    return sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())


def pieces(processor: sentencepiece.SentencePieceProcessor) -> list[tuple[str, float]]:
    return [(processor.id_to_piece(i), processor.get_score(i)) for i in range(len(processor))]


def words_model(texts: list[str], wanted: Vocabulary) -> sentencepiece.SentencePieceProcessor:
    counter = wanted.counter()
    counter.add(pa.array(texts, pa.large_string()))
    model = train_words(counter.table(), wanted).model
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def modules() -> list[str]:
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:60]
    others = (
        "語彙の学習。漢字かな交じり文、ルビー、123個。 Größe 12.5 km², «кавычки» 5%—да! ก่อน हिन्दी "
        * 3
    )
    return [*(file.read_text("utf-8", "replace") for file in files), others]


@pytest.mark.parametrize("preset", ["gemma", "llama-2"])
def test_bpe_of_words_is_bpe_of_sentences(preset):
    wanted = Vocabulary(6000, preset)
    texts = modules()
    assert pieces(words_model(texts, wanted)) == pieces(sentences_model(texts, wanted))


def real_texts(shared: Path, size: int) -> list[str]:
    """Some texts of each file."""
    found = []
    files = sorted((shared / "data").glob("*.jsonl.zst"))
    for file in files:
        left = size // len(files)
        with zstandard.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                found.append(str(orjson.loads(line)["text"]))
                left -= len(found[-1])
                if left < 0:
                    break
    return found


def test_bpe_of_words_is_bpe_of_sentences_on_real_text(shared):
    texts = real_texts(shared, 4_000_000)
    for preset in ("gemma", "llama-2"):
        wanted = Vocabulary(40_000, preset)
        assert pieces(words_model(texts, wanted)) == pieces(sentences_model(texts, wanted))


@pytest.mark.slow
def test_unigram_of_words_is_near_unigram_of_sentences():
    wanted = Vocabulary(4000, algorithm="unigram")
    texts = modules()
    ours, theirs = words_model(texts, wanted), sentences_model(texts, wanted)
    shared = {p for p, _ in pieces(ours)} & {p for p, _ in pieces(theirs)}
    assert len(shared) > 0.8 * 4000
    lengths = [sum(map(len, each.encode(texts))) for each in (ours, theirs)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.02)


def test_the_trainer_cuts_where_we_cut():
    """Two characters that we cut apart are in no piece, though they always stand together."""
    classes = module._classes()
    known = [c for c in map(chr, range(0x21, 0x3100)) if classes[ord(c)] > 3]
    pairs = [f"a{c}" for c in known if classes[ord(c)] != classes[ord("a")]]
    pairs += [f"{c}語" for c in known if classes[ord(c)] != classes[ord("語")]]
    assert len(pairs) > 8000
    wanted = Vocabulary(13_000)
    processor = sentences_model([" ".join(pairs)] * 2 + ["also some text of words "] * 9, wanted)
    learned = {piece for piece, _ in pieces(processor)}
    assert "▁some" in learned
    assert not learned.intersection(f"▁{pair}" for pair in pairs)
    assert not learned.intersection(pairs)
