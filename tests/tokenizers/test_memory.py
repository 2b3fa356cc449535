"""The estimate of memory, held against a real training; and what is free."""

import sysconfig
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from coursepack.tokenizers import memory as module
from coursepack.tokenizers.memory import WordsSize, estimate, free_bytes
from coursepack.tokenizers.train import Algorithm, Vocabulary, train_words


@pytest.mark.parametrize("algorithm", ["bpe", pytest.param("unigram", marks=pytest.mark.slow)])
def test_the_estimate_is_of_the_trainers_size(algorithm: Algorithm) -> None:
    wanted = Vocabulary(8000, algorithm=algorithm)
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"))[:500]
    counter = wanted.counter()
    counter.add(pa.array([file.read_text("utf-8", "replace") for file in files]))
    words = counter.table()
    characters = pc.sum(pc.utf8_length(words["word"].cast(pa.large_string()))).as_py()
    estimated = estimate(WordsSize(words.num_rows, characters), wanted)
    trained = train_words(words, wanted, accept_fewer=True)
    assert 0.4 * estimated < trained.peak_bytes < 1.1 * estimated


def test_more_takes_more() -> None:
    size, more = WordsSize(10**5, 10**6), WordsSize(10**6, 10**7)
    for algorithm in ("bpe", "unigram"):
        wanted = Vocabulary(32_000, algorithm=algorithm)
        assert estimate(size, wanted) < estimate(more, wanted)
    assert estimate(size, Vocabulary(32_000)) < estimate(size, Vocabulary(256_000))


def test_free_memory_is_what_the_control_group_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = free_bytes()
    assert machine > 10**8
    monkeypatch.setattr(module, "_CONTROL_GROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes() > 10**8
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("2000000\n")
    (tmp_path / "memory.stat").write_text("anon 1500000\nfile 500000\nfile_mapped 7\n")
    assert free_bytes() == 3_500_000
    (tmp_path / "memory.current").write_text("5500001\n")
    assert free_bytes() == 0
