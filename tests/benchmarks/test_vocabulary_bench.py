"""The vocabulary benchmark's own parts: what both trainings are given, and what is compared."""

from pathlib import Path
from pydoc_data.topics import topics

import orjson
import pytest
import vocabulary
from measuring import Bench, normalise

from coursepack.tokenizers.train import Vocabulary


@pytest.fixture
def at(tmp_path: Path) -> Bench:
    source = tmp_path / "topics.jsonl"
    source.write_bytes(b"".join(orjson.dumps({"text": t}) + b"\n" for t in topics.values()))
    return Bench(normalise([source], tmp_path / "corpus"), tmp_path, tmp_path / "out.jsonl")


def test_lines_are_what_the_trainer_would_read() -> None:
    found = list(vocabulary._lines(["a\tb\r\n\n\r\nc▅", "é" * 40_000]))
    assert found[:2] == [b"a\tb\r\n", b"c<unk>\n"]
    assert [len(line.decode()) - 1 for line in found[2:]] == [1 << 15, 40_000 - (1 << 15)]


def test_text_is_learned_from_or_held_out(at: Bench) -> None:
    learned, held_out = vocabulary._split(at, at.corpus.bytes // 2)
    assert not set(learned) & set(held_out)
    assert len(learned) + len(held_out) == -(-len(topics) // 2)
    assert len(held_out) == pytest.approx(len(learned) / 19, abs=1)


def test_bpe_of_sentences_agrees(at: Bench) -> None:
    vocabulary.measure_agreement(at, Vocabulary(4000), mb=at.corpus.mb)
    assert at.out is not None
    [record] = map(orjson.loads, at.out.read_bytes().splitlines())
    assert (record["equal_ids"], record["shared_pieces"]) == (1, 1)
    assert record["bytes_per_token"][0] == record["bytes_per_token"][1] > 3
    assert min(record["trainer_mb"]) > 10
