"""Counts of tokens against a plain twin, on random documents of random classes."""

import functools
import io
from collections import Counter, defaultdict
from typing import Any

import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from coursepack.stages.pieces import find_pieces
from coursepack.stages.token_counts import CLASSES, COUNTS, SUMS, count_tokens, merge_counts
from coursepack.tokenizers.model import Tokenizer
from coursepack.tokenizers.train import train

TEXTS = [
    "the quick brown fox jumps over",
    "größer als 人人生而自由",
    "int main(void) { return 0; }",
]


@functools.cache
def tokenizer(kind: str) -> Tokenizer:
    if kind in ("gemma", "llama-2"):
        return Tokenizer(train(TEXTS * 5, 600, kind, accept_fewer=True))
    out = io.BytesIO()
    options = {"nfkc": {"byte_fallback": True}, "unknown": {"normalization_rule_name": "identity"}}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 5),
        model_writer=out,
        model_type="bpe",
        vocab_size=320,
        hard_vocab_limit=False,
        minloglevel=2,
        **options[kind],
    )
    return Tokenizer(out.getvalue())


def twin(model: Tokenizer, texts: list[str | None], classes: list[dict[str, Any]]) -> Any:
    """(class) -> its sums and how often it uses each piece, character by character."""
    found: dict[Any, Counter[Any]] = defaultdict(Counter)
    for text, kind in zip(texts, classes, strict=True):
        text = text or ""
        one = found[tuple(kind[name] for name in CLASSES)]
        ids = model.encode(pa.array([text]))[1].tolist()
        pieces = find_pieces(pa.array([text]))
        words = list(zip(pieces.word_starts.tolist(), pieces.word_ends.tolist(), strict=True))
        one.update(documents=1, bytes=len(text.encode()), characters=len(text), words=len(words))
        one.update(tokens=len(ids), unknown_tokens=ids.count(model.unk_id))
        one.update(byte_tokens=sum(map(model.byte_pieces().tolist().__getitem__, ids)))
        one.update(("piece", token) for token in ids)
        # where tokens end, from what each stands for
        sizes = [model.piece_bytes()[token] for token in ids]
        extra = sum(sizes) - len(text.encode())
        if extra in (0, 1):
            ends = {sum(sizes[: k + 1]) - extra for k in range(len(sizes))}
            split = [any(start < end < stop for end in ends) for start, stop in words]
            one.update(told_words=len(words), split_words=sum(split))
    return found


_piece = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from(
        [" ", "\n", "the", "quick", " brown", "größer", "人人", "▁", "ﬁ", "{", "\U0001f600"]
    ),
)
_text = st.none() | st.lists(_piece, max_size=20).map("".join)
_class = st.fixed_dictionaries(
    {
        "domain": st.sampled_from(["web", "code"]),
        "language": st.sampled_from([None, "en", "zh"]),
        "programming_language": st.sampled_from([None, "C"]),
    }
)


@given(
    st.lists(st.tuples(_text, _class), max_size=8),
    st.integers(0, 2),
    st.sampled_from(["gemma", "llama-2", "nfkc", "unknown"]),
)
def test_counts_are_those_of_the_twin(
    rows: list[tuple[str | None, dict[str, Any]]], skipped: int, kind: str
) -> None:
    texts, classes = [text for text, _ in rows], [one for _, one in rows]
    schema = pa.schema([(name, pa.string()) for name in CLASSES])
    model = tokenizer(kind)
    table = count_tokens(
        {"sha": model},
        pa.array(texts, pa.string()).slice(skipped),
        pa.Table.from_pylist(classes, schema).slice(skipped),
    )
    assert table.schema == COUNTS
    expected = twin(model, texts[skipped:], classes[skipped:])
    found = {tuple(row[name] for name in CLASSES): row for row in table.to_pylist()}
    assert len(found) == table.num_rows
    assert found.keys() == expected.keys()
    for key, row in found.items():
        assert row["tokenizer"] == "sha"
        assert {name: row[name] for name in SUMS} == {name: expected[key][name] for name in SUMS}
        used = {("piece", token): n for token, n in zip(row["pieces"], row["times"], strict=True)}
        assert used == {k: n for k, n in expected[key].items() if isinstance(k, tuple)}
        assert row["pieces"] == sorted(row["pieces"])


@given(st.lists(st.lists(st.tuples(_text, _class), max_size=5), max_size=4))
def test_merged_counts_are_those_of_all_documents_at_once(
    batches: list[list[tuple[str | None, dict[str, Any]]]],
) -> None:
    models = {kind: tokenizer(kind) for kind in ("gemma", "llama-2")}

    def counted(rows: list[tuple[str | None, dict[str, Any]]]) -> pa.Table:
        schema = pa.schema([(name, pa.string()) for name in CLASSES])
        classes = pa.Table.from_pylist([one for _, one in rows], schema)
        return count_tokens(models, pa.array([text for text, _ in rows], pa.string()), classes)

    parts = merge_counts(pa.concat_tables([COUNTS.empty_table(), *map(counted, batches)]))
    whole = counted([row for batch in batches for row in batch])
    assert parts.schema == COUNTS
    assert parts.to_pylist() == merge_counts(whole).to_pylist()

    def by_class(table: pa.Table) -> list[Any]:
        return sorted(
            table.to_pylist(), key=lambda row: [str(row[n]) for n in ("tokenizer", *CLASSES)]
        )

    assert by_class(parts) == by_class(whole)


@pytest.mark.parametrize("kind", ["gemma", "llama-2"])
def test_split_words(kind: str) -> None:
    classes = pa.table({name: pa.array([None], pa.string()) for name in CLASSES})
    known, strange = "the quick brown", "xyzzy"  # no piece of two letters of the last

    def split(text: str) -> tuple[int, int]:
        (row,) = count_tokens({"t": tokenizer(kind)}, pa.array([text]), classes).to_pylist()
        return row["split_words"], row["told_words"]

    assert split(known) == (0, 3)
    assert split(f"{known} {strange}") == (1, 4)
    assert split("人人") == (0, 2)  # each a word, though one token
    assert split("人字") == (1, 2)  # a character without a piece is bytes
    assert split("") == (0, 0)
    assert split("a ▁ b") == (0, 0)  # U+2581 is a space to it: bytes do not agree


def test_several_tokenizers_have_rows_of_their_own() -> None:
    models = {kind: tokenizer(kind) for kind in ("gemma", "llama-2")}
    classes = pa.table({name: pa.array([None, None, "x"], pa.string()) for name in CLASSES})
    table = count_tokens(models, pa.array(["the quick", None, "fox"]), classes)
    assert table["tokenizer"].to_pylist() == ["gemma"] * 2 + ["llama-2"] * 2
    for name in ("documents", "bytes", "characters", "words"):
        column = table[name].to_pylist()
        assert column[:2] == column[2:]
