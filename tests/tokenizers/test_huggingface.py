"""A tokenizer.json against the library itself: ids must be equal for every text."""

import functools
import itertools
import json
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from byte_level_files import (
    CL100K_REGEX,
    FOREIGN,
    O200K_REGEX,
    by_regex,
    byte_level_json,
    topics,
)
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, trainers

from coursepack.pipeline.errors import TokenizerError
from coursepack.tokenizers.huggingface import TokenizerJson
from coursepack.tokenizers.model import Tokenizer

ODD = (
    "", " ", "\n", "\x00", "a" * 2000, " " * 700 + "x", "ab" * 400, "-=" * 300 + "\n" * 300,
    "<end><|end|> <end >", "word words sword word", "x  y   z    ", "<x>> <x", "\ufeff\ufffd\u2028\U0010ffff",
)  # fmt: skip
SPACES = [AddedToken(" " * n, normalized=True) for n in (2, 3, 5)]
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
DIGITS = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2])

EXACT: dict[str, dict[str, Any]] = {
    "gpt2": {"special": ["<end>"]},
    "cl100k": {"cut": by_regex(CL100K_REGEX), "ignore_merges": True},
    "o200k": {"cut": by_regex(O200K_REGEX)},
    "digits": {"cut": DIGITS},
    "nfc": {"normalizer": normalizers.NFC(), "special": ["<end>"]},
    "nfkc": {"normalizer": normalizers.Sequence([normalizers.NFKC()])},
    "spaces": {"special": ["<end>", "<x>>"], "added": [*SPACES, AddedToken("> ", normalized=False)]},
    "nested": {"special": ["word"], "added": [AddedToken("words", normalized=False), AddedToken("or")]},
    "odd": {
        "added": [
            AddedToken("word", single_word=True),
            AddedToken("<end>", lstrip=True),
            AddedToken("<x>", rstrip=True, normalized=False),
        ]
    },
    "nfc, normalised": {"normalizer": normalizers.NFC(), "added": [AddedToken("e\u0301"), *SPACES]},
    "nfc, as it is": {
        "normalizer": normalizers.NFC(),
        "added": [AddedToken("e\u0301", normalized=False), *SPACES],
    },
}  # fmt: skip


@functools.cache
def exact(name: str) -> bytes:
    return byte_level_json(**EXACT[name], vocabulary=900)


@functools.cache
def ours(data: bytes, cache_bytes: int = 8 << 20) -> Tokenizer:
    return Tokenizer(data, cache_bytes)


@functools.cache
def library(data: bytes) -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer.from_buffer(data)
    made.no_truncation()
    made.no_padding()
    made.encode_special_tokens = True
    return made


def assert_same(data: bytes, texts: list[str], cache_bytes: int = 8 << 20) -> None:
    tokenizer = ours(data, cache_bytes)
    offsets, ids = tokenizer.encode(pa.array(texts, pa.string()))
    assert offsets.dtype == np.int64
    assert ids.dtype == np.int32
    assert len(offsets) == len(texts) + 1
    assert offsets[-1] == len(ids)
    expected = library(data).encode_batch(texts, add_special_tokens=False)
    for k, text in enumerate(texts):
        mine = ids[offsets[k] : offsets[k + 1]]
        same = mine.tolist() == expected[k].ids
        assert same, text[:200]
        assert tokenizer.loss or tokenizer.decode(mine) == tokenizer.read_back(text)
    sizes, broken = tokenizer.piece_bytes(), tokenizer.byte_pieces()
    assert len(sizes) == len(broken) == tokenizer.vocab_size
    if not tokenizer.loss:  # and no special token stands for text here
        bytes_of = [len(tokenizer.read_back(text).encode()) for text in texts]
        assert [int(sizes[ids[a:b]].sum()) for a, b in pairwise(offsets)] == bytes_of


# 1 KB: a table of 16 rows, emptied every few segments
@pytest.mark.parametrize("cache_bytes", [1 << 10, 8 << 20])
@pytest.mark.parametrize("name", EXACT)
def test_ids_of_real_text_are_the_librarys(name: str, cache_bytes: int) -> None:
    texts = [*topics()[:: 40 if cache_bytes == 1 << 10 else 4], *FOREIGN, *ODD]
    assert ours(exact(name)).exact
    assert_same(exact(name), texts, cache_bytes)
    assert_same(exact(name), texts[::-1], cache_bytes)  # now warm


PART = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from([" ", "  ", "   ", "\n", "\r\n", "\t", "'s", "'LL", "'ſ", "1", "123", "4567", "½"]),
    st.sampled_from(["word", "s", "<end>", "<x>", ">", "or", " the", "e\u0301", "\u0301", "\u1100", "\u1161",
                     "\u0344", "ﬁ", "\u0334", "日本"]),
)  # fmt: skip
TEXTS = st.lists(st.lists(PART, max_size=30).map("".join), max_size=6)


@pytest.mark.parametrize("name", EXACT)
@given(texts=TEXTS, cache_bytes=st.sampled_from([1 << 10, 8 << 20]))
def test_ids_of_any_unicode_are_the_librarys(name: str, texts: list[str], cache_bytes: int) -> None:
    assert_same(exact(name), texts, cache_bytes)


def test_special_tokens_in_a_text_are_text() -> None:
    data = byte_level_json(["<end>"], [AddedToken("<user>")], vocabulary=300)
    tokenizer = ours(data)
    _, ids = tokenizer.encode(pa.array(["a<end>b<user>"]))
    pieces = [tokenizer.piece(i) for i in ids]
    assert "<end>" not in pieces
    assert pieces[-1] == "<user>"
    assert tokenizer.decode(ids) == "a<end>b<user>"


def test_slices_nulls_and_empty_arrays() -> None:
    for name in ("gpt2", "spaces", "odd", "nfc"):
        array = pa.array(
            ["first e\u0301  x", None, "", "word <x> two", "三", None], pa.large_string()
        )
        for start in range(len(array) + 1):
            for length in range(len(array) - start + 1):
                part = array.slice(start, length)
                offsets, ids = ours(exact(name)).encode(part)
                texts = [text.as_py() or "" for text in part]
                lists = library(exact(name)).encode_batch(texts, add_special_tokens=False)
                expected = [one.ids for one in lists]
                assert ids.tolist() == list(itertools.chain(*expected))
                assert np.diff(offsets).tolist() == [len(one) for one in expected]


def _with(data: bytes, **changes: Any) -> bytes:
    table = json.loads(data)
    for key, value in changes.items():
        part, _, name = key.partition("__")
        if name:
            table[part][name] = value
        else:
            table[part] = value
    return json.dumps(table).encode()


OTHERS = ("prefix space", "unknown pattern", "lower case", "no pre-tokeniser", "end of word",
          "unigram", "wordpiece")  # fmt: skip


@functools.cache
def other_models() -> dict[str, bytes]:
    """Files that are left to the library."""
    files = (
        byte_level_json(cut=pre_tokenizers.ByteLevel(add_prefix_space=True)),
        byte_level_json(cut=by_regex(r"\s?\p{L}+|\s|[^\s\p{L}]+")),
        byte_level_json(normalizer=normalizers.Lowercase()),
        _with(exact("gpt2"), pre_tokenizer=None),
        _with(exact("gpt2"), model__end_of_word_suffix="</w>"),
        _trained(models.Unigram(), trainers.UnigramTrainer, "<unk>", unk_token="<unk>"),
        _trained(models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer, "[UNK]"),
    )
    return dict(zip(OTHERS, files, strict=True))


def _trained(model: models.Model, trainer: Any, unknown: str, **more: Any) -> bytes:
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s"), "merged_with_next")
    settings = trainer(vocab_size=300, show_progress=False, special_tokens=[unknown], **more)
    made.train_from_iterator([*topics()[:20], *FOREIGN], settings)
    return str(made.to_str()).encode()


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_left_to_the_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coursepack.tokenizers.huggingface._CALL_BYTES", 5_000)
    data = other_models()[name]
    assert not ours(data).exact
    assert_same(data, [*topics()[::30], *FOREIGN, *ODD])
    assert_same(data, [])
    assert ours(data).loss


def test_what_a_file_says_of_itself() -> None:
    data = byte_level_json(["<end>", "<pad>"], [AddedToken("<user>")])
    found = TokenizerJson(data)
    assert found.vocab_size == 259
    assert (found.bos_id, found.eos_id, found.pad_id, found.unk_id) == (None, None, None, None)
    assert found.special_pieces() == ["<end>", "<pad>"]
    assert (found.find("<user>"), found.find("Ġ"), found.find("<no>")) == (258, 220, None)
    assert (found.piece(220), found.piece(9999)) == ("Ġ", "")
    assert TokenizerJson(other_models()["wordpiece"]).unk_id == 0


def test_round_trips_that_are_known() -> None:
    strips = AddedToken("<mask>", lstrip=True, special=True)
    assert not Tokenizer(byte_level_json(added=[strips])).loss  # it is never matched
    assert ours(exact("odd")).loss == "some of its tokens take the white space beside them"
    assert ours(exact("nfc")).read_back("e\u0301") == "\u00e9"
    assert ours(exact("nfc")).loss == ""
    for name in ("nfc, as it is", "nfc, normalised"):
        assert ours(exact(name)).loss.endswith("are found in texts that it normalises")


def test_ids_may_have_holes() -> None:
    table = json.loads(byte_level_json(["<end>"]))
    table["added_tokens"][0]["id"] = 1000
    table["model"]["vocab"]["<end>"] = 1000
    assert TokenizerJson(json.dumps(table).encode()).vocab_size == 1001


@pytest.mark.parametrize("junk", [b"{", b"{}", b'{"model": 3}', b'{"a": "\xff"}'])
def test_not_a_file_that_the_library_reads(junk: bytes) -> None:
    with pytest.raises(TokenizerError, match=r"this is not a tokenizer\.json that `tokenizers`"):
        Tokenizer(junk)
