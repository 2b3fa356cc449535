"""A ranks file against tiktoken's rules in plain Python; tiktoken itself is no dependency."""

import base64
import functools
import hashlib
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from byte_level_files import FOREIGN, cuts, ranks_file, topics
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.errors import TokenizerError
from coursepack.pipeline.recipe import TokenizerSettings
from coursepack.tokenizers.model import Tokenizer, load
from coursepack.tokenizers.tiktoken_ranks import NAMED, is_ranks


@functools.cache
def ranks() -> dict[bytes, int]:
    lines = (line.split() for line in ranks_file().splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in lines}


@functools.cache
def encoded(piece: bytes) -> list[int]:
    """A piece that is a token is that token; else the pair of the lowest rank merges, the leftmost first."""
    if piece in ranks():
        return [ranks()[piece]]
    parts = [piece[i : i + 1] for i in range(len(piece))]
    while True:
        joined = [(ranks().get(a + b), i) for i, (a, b) in enumerate(pairwise(parts))]
        best = min(((rank, i) for rank, i in joined if rank is not None), default=None)
        if best is None:
            return [ranks()[part] for part in parts]
        parts[best[1] : best[1] + 2] = [parts[best[1]] + parts[best[1] + 1]]


@functools.cache
def ours(pattern: str, cache_bytes: int = 8 << 20) -> Tokenizer:
    return Tokenizer(ranks_file(), cache_bytes, pattern)


def assert_same(pattern: str, texts: list[str], cache_bytes: int = 8 << 20) -> None:
    tokenizer = ours(pattern, cache_bytes)
    offsets, ids = tokenizer.encode(pa.array(texts, pa.string()))
    for k, pieces in enumerate(cuts(texts, NAMED[pattern])):
        expected = [token for piece in pieces for token in encoded(piece.encode())]
        mine = ids[offsets[k] : offsets[k + 1]].tolist()
        assert mine == expected
        assert tokenizer.decode(mine) == texts[k] == tokenizer.read_back(texts[k])


@pytest.mark.parametrize("cache_bytes", [1 << 10, 8 << 20])
@pytest.mark.parametrize("pattern", NAMED)
def test_real_text(pattern: str, cache_bytes: int) -> None:
    texts = [*topics()[::20], *FOREIGN, "", "aaaa aaaaa" * 90, "<|endoftext|>"]
    assert_same(pattern, texts, cache_bytes)
    assert_same(pattern, texts, cache_bytes)


@given(st.lists(st.text(max_size=40), max_size=5), st.sampled_from(sorted(NAMED)))
def test_any_unicode(texts: list[str], pattern: str) -> None:
    assert_same(pattern, texts)


def test_what_a_file_says_of_itself() -> None:
    found = ours("gpt2")
    assert (found.vocab_size, found.unk_id, found.eos_id) == (700, None, None)
    assert found.piece(ranks()[b" t"]) == "Ġt"
    assert found.naming(eos="Ġt").eos_id == ranks()[b" t"]
    assert found.naming(eos=7).eos_id == 7
    with pytest.raises(TokenizerError, match=r"no piece '<\|end\|>'; its special tokens are none"):
        found.naming(eos="<|end|>")


# the first bytes of the true files; the whole is recognised by its hash
def test_openais_files_are_known_by_their_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(ranks_file()).hexdigest()
    special = {"<|endoftext|>": 800, "<|endofprompt|>": 805}
    monkeypatch.setattr("coursepack.tokenizers.tiktoken_ranks.KNOWN", {digest: ("o200k", special)})
    found = Tokenizer(ranks_file())
    assert (found.eos_id, found.vocab_size, found.piece(805)) == (800, 806, "<|endofprompt|>")
    assert found.decode([ranks()[b"a"], 800, ranks()[b"b"]]) == "ab"
    with pytest.raises(TokenizerError, match="one of OpenAI's, which is cut by 'o200k'"):
        Tokenizer(ranks_file(), pattern="gpt2")


def test_load_by_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "own.tiktoken"
    path.write_bytes(ranks_file())
    settings = TokenizerSettings(model=str(path), pattern="cl100k", eos=699, pad=698)
    found = load(str(path), None, settings)
    assert (found.eos_id, found.pad_id, found.file_name) == (699, 698, "tokenizer.tiktoken")
    with pytest.raises(TokenizerError, match=r"tokenizer\.pattern = 'gpt2' or 'cl100k' or 'o200k'"):
        load(str(path))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data.replace(b" 300\n", b"\n"), "line 301 of the tiktoken ranks file is no token"),
        (lambda data: data.replace(b" 300\n", b" 299\n"), "two tokens of one rank"),
        (lambda data: data[data.index(b"\n") + 1 :], "no token for byte 0x21"),
    ],
)  # fmt: skip
def test_damaged_files(damage: "functools.partial[bytes]", said: str) -> None:
    with pytest.raises(TokenizerError, match=said):
        Tokenizer(damage(ranks_file()), pattern="gpt2")


def test_other_files_are_no_ranks() -> None:
    assert is_ranks(b"IQ== 0\r\nIg== 1\r\n")
    assert not any(map(is_ranks, (b"", b"{}", b"\n\x0e\n\x05<unk>\x15", b"words and more\n")))
