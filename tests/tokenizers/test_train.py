import hashlib
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest
import sentencepiece

from coursepack.pipeline.errors import TokenizerError
from coursepack.tokenizers.presets import PRESETS
from coursepack.tokenizers.train import Algorithm, Vocabulary, train, train_words

LINES = [
    f"def function_{i}(value):\n\treturn  value + {i} # größer 人人 {'xyz'[i % 3] * (i % 7)}"
    for i in range(400)
]


def processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def test_gemma_ids() -> None:
    sp = processor(train(LINES, 600))
    assert (sp.pad_id(), sp.eos_id(), sp.bos_id(), sp.unk_id()) == (0, 1, 2, 3)
    known = {
        "<pad>": 0,
        "<mask>": 4,
        "<2mass>": 5,
        "[@BOS@]": 6,
        "<unused0>": 7,
        "<unused98>": 105,
        "<start_of_turn>": 106,
        "<end_of_turn>": 107,
        "\n": 108,
        "▁▁": 139,
        "<table>": 169,
        "</code>": 216,
        "\t": 217,
        "<0x00>": 248,
    }
    assert {piece: sp.piece_to_id(piece) for piece in known} == known
    assert sp.get_piece_size() == 600
    assert not sp.encode("")
    assert sp.encode("\n" * 31) == [138]
    assert sp.encode(" " * 31) == [168]
    assert sp.decode(sp.encode(" a  b\n\n\tc ☃ 12")) == " a  b\n\n\tc ☃ 12"
    assert sp.encode("2024", out_type=str) == ["2", "0", "2", "4"]


def test_llama_ids() -> None:
    sp = processor(train(LINES, 380, "llama-2"))
    assert (sp.unk_id(), sp.bos_id(), sp.eos_id(), sp.pad_id()) == (0, 1, 2, -1)
    assert sp.piece_to_id("<0x00>") == 3
    assert sp.encode("value", out_type=str)[0].startswith("▁")
    assert sp.decode(sp.encode("a  b\n\tc ☃")) == "a  b\n\tc ☃"


def test_same_sample_gives_same_bytes() -> None:
    assert train(iter(LINES), 600) == train(tuple(LINES), 600)


def test_same_sample_gives_same_bytes_in_another_process() -> None:
    # hash tables inside the trainer may be seeded by addresses, which change with the process
    program = (
        "import sys, hashlib, sysconfig, pathlib\n"
        "from coursepack.tokenizers.train import train\n"
        "files = sorted(pathlib.Path(sysconfig.get_paths()['stdlib']).glob('*.py'))[:40]\n"
        "model = train((f.read_text('utf-8', 'replace') for f in files), 12_000)\n"
        "print(hashlib.sha256(model).hexdigest())"
    )
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:40]
    model = train((f.read_text("utf-8", "replace") for f in files), 12_000)
    other = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == hashlib.sha256(model).hexdigest()
    assert other.stderr == ""  # the library's log is silent


def test_lines_are_the_unit() -> None:
    joined = "\n".join(LINES)
    assert train([joined], 600) == train(joined.split("\n"), 600)


def test_unigram() -> None:
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:20]
    texts = [file.read_text("utf-8", "replace") for file in files]
    model = train(texts, 2000, algorithm="unigram")
    assert model == train(texts, 2000, algorithm="unigram")
    sp = processor(model)
    assert sp.get_piece_size() == 2000
    assert sp.piece_to_id("<start_of_turn>") == 106
    assert "▁the" in sp.encode("is the value", out_type=str)
    assert sp.decode(sp.encode(" a  b\n\n\tc ☃ 12")) == " a  b\n\n\tc ☃ 12"


def test_symbols_of_the_recipe_stand_behind_the_presets() -> None:
    symbols = ("<|im_start|>", '<|fim,"prefix"|>', "▁▁ret", "\r\n")
    wanted = Vocabulary(620, symbols=symbols, reserved=2)
    counter = wanted.counter()
    counter.add(pa.array([*LINES, "<|im_start|>user<|im_start|>user" * 50]))
    sp = processor(train_words(counter.table(), wanted).model)
    assert [sp.id_to_piece(i) for i in range(248, 255)] == [
        *symbols,
        "<unused99>",
        "<unused100>",
        "<0x00>",
    ]
    assert sp.encode("a<|im_start|>r", out_type=str) == ["a", "<|im_start|>", "r"]
    assert not any("im_" in sp.id_to_piece(i) for i in range(255, 620))


def test_the_order_of_words_does_not_matter() -> None:
    wanted = Vocabulary(600)
    counter = wanted.counter()
    counter.add(pa.array(LINES))
    words = counter.table()
    backwards = words.take(pa.array(range(words.num_rows - 1, -1, -1)))
    assert train_words(words, wanted).model == train_words(backwards, wanted).model


@pytest.mark.parametrize(("algorithm", "last"), [("bpe", "merging"), ("unigram", "pruning")])
def test_progress_is_told(algorithm: Algorithm, last: str) -> None:
    wanted = Vocabulary(1000, algorithm=algorithm)
    counter = wanted.counter()
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:20]
    counter.add(pa.array([file.read_text("utf-8", "replace") for file in files]))
    told: list[tuple[str, float | None]] = []
    trained = train_words(counter.table(), wanted, progress=lambda *what: told.append(what))
    assert told[0] == ("reading words", None)
    fractions = [fraction for said, fraction in told if said == last and fraction is not None]
    assert fractions == sorted(fractions)
    assert len(fractions) > 2
    assert 0.5 < fractions[-1] <= 1.1
    assert 1e7 < trained.peak_bytes < 1e9


def test_a_failing_listener_does_no_harm() -> None:
    def fail(said: str, fraction: float | None) -> None:
        raise ValueError(said)

    wanted = Vocabulary(600)
    counter = wanted.counter()
    counter.add(pa.array(LINES))
    assert train_words(counter.table(), wanted, progress=fail).model == train(LINES, 600)


def test_nothing_is_skipped() -> None:
    # the trainer drops sentences with U+2585 and ends the process on words of more than 65,535 characters
    sp = processor(train(["▅ zebrafish zebrafish " * 50, "qw" * 100_000], 600, accept_fewer=True))
    assert sp.encode(" zebrafish qw", out_type=str) == ["▁zebrafish", "▁", "qw"]


def test_too_small_a_sample() -> None:
    with pytest.raises(
        TokenizerError, match=r"gives \d+ pieces, fewer than the vocabulary of 9000"
    ):
        train(["a small sample"], 9_000)
    sp = processor(train(["a small sample"], 9_000, accept_fewer=True))
    assert len(PRESETS["gemma"].symbols) + 260 < sp.get_piece_size() < 9_000


def test_what_cannot_be_trained() -> None:
    with pytest.raises(
        TokenizerError, match="no preset is called 'gpt'; the presets are gemma, llama-2"
    ):
        train(LINES, 600, "gpt")
    with pytest.raises(TokenizerError, match="ask for more than 504"):
        train(LINES, 504)
    with pytest.raises(TokenizerError, match="the sample has no text"):
        train(["", "\n"], 600)
    with pytest.raises(TokenizerError, match="so many distinct characters"):
        train(["".join(map(chr, range(0x4E00, 0x5E00)))], 600)


def test_an_error_of_the_iterator_passes_through() -> None:
    def sentences() -> object:
        yield "one"
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        train(sentences(), 600)  # type: ignore[arg-type]


def test_other_threads_run_during_training() -> None:
    ticks, done = 0, threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    before = time.monotonic()
    train((f"{i * 7919:x} {i * 104729:o}" for i in range(60_000)), 2_500)
    took = time.monotonic() - before
    done.set()
    thread.join()
    assert ticks > took / 0.001 / 20
