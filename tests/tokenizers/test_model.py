import functools
import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from coursepack.pipeline.errors import TokenizerError
from coursepack.tokenizers.model import Tokenizer, load
from coursepack.tokenizers.sentencepiece_proto import read_spec
from coursepack.tokenizers.train import train

TEXTS = ["the quick brown fox", "jumps over\n\nthe lazy dog", "größer als 人人"]


@functools.cache
def model(preset: str = "gemma") -> bytes:
    return train(TEXTS * 5, 600, preset, accept_fewer=True)


def test_encode_and_decode() -> None:
    tokenizer = Tokenizer(model())
    offsets, ids = tokenizer.encode(pa.array([*TEXTS, None, ""]))
    assert offsets[-1] == offsets[-3] == len(ids)
    for k, text in enumerate(TEXTS):
        assert tokenizer.decode(ids[offsets[k] : offsets[k + 1]]) == text
    assert tokenizer.piece(108) == "\n"


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("eos", [False, True])
@pytest.mark.parametrize("preset", ["gemma", "llama-2"])
def test_bos_and_eos(preset: str, bos: bool, eos: bool) -> None:
    tokenizer = Tokenizer(model(preset))
    text = pa.chunked_array([["a"], [None, *TEXTS], [""]], pa.string()).slice(1)
    plain_offsets, plain = tokenizer.encode(text)
    offsets, ids = tokenizer.encode(text, bos=bos, eos=eos)
    assert len(offsets) == 6
    assert offsets[-1] == len(ids)
    for k in range(5):
        expected = plain[plain_offsets[k] : plain_offsets[k + 1]].tolist()
        expected = [tokenizer.bos_id] * bos + expected + [tokenizer.eos_id] * eos
        assert ids[offsets[k] : offsets[k + 1]].tolist() == expected


def test_properties() -> None:
    gemma, llama = Tokenizer(model()), Tokenizer(model("llama-2"))
    assert (gemma.pad_id, gemma.eos_id, gemma.bos_id, gemma.unk_id) == (0, 1, 2, 3)
    assert (llama.pad_id, llama.eos_id, llama.bos_id, llama.unk_id) == (None, 2, 1, 0)
    assert gemma.vocab_size == len(read_spec(model()).pieces)
    assert gemma.sha256 == hashlib.sha256(model()).hexdigest()


def test_load_once(tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    path.write_bytes(model())
    sha256 = hashlib.sha256(model()).hexdigest()
    assert load(str(path), sha256) is load(str(path), sha256)
    assert load(path.as_uri()).sha256 == sha256
    with pytest.raises(TokenizerError, match="it was replaced"):
        load(str(path), "0" * 64)
    with pytest.raises(TokenizerError, match=r"no tokenizer at '.*b\.model'"):
        load(str(tmp_path / "b.model"))


@pytest.mark.parametrize("junk", [b"", b"junk", model()[:-3], b"\x0a\xff", b"\x12\x00"], ids=repr)
def test_not_a_model(junk: bytes) -> None:
    with pytest.raises(TokenizerError, match="not a SentencePiece model"):
        Tokenizer(junk)


def test_only_strings() -> None:
    with pytest.raises(TokenizerError, match="text is of type binary"):
        Tokenizer(model()).encode(pa.array([b"a"]))
