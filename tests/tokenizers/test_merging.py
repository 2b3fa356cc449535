"""Merges against the rule in plain Python: the pair of the lowest rank, of equal ranks the leftmost."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.tokenizers.merging import Merges, Tokens

SINGLE = {bytes([byte]): byte for byte in range(256)}


def merged(
    piece: bytes,
    vocabulary: dict[bytes, int],
    ranks: dict[tuple[bytes, bytes], int],
    whole: bool,
) -> list[int]:
    if whole and piece in vocabulary:
        return [vocabulary[piece]]
    parts = [bytes([byte]) for byte in piece]
    while True:
        found = [
            (ranks[pair], i)
            for i in range(len(parts) - 1)
            if (pair := (parts[i], parts[i + 1])) in ranks
        ]
        if not found:
            return [vocabulary[part] for part in parts]
        _, i = min(found)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


def assert_same(merges: Merges, pieces: list[bytes], expected: list[list[int]]) -> None:
    ends = np.cumsum([0, *map(len, pieces)])
    data = np.frombuffer(b"".join(pieces), np.uint8)
    offsets, ids = merges.ids(data, np.stack((ends[:-1], ends[1:]), axis=1))
    assert ids.dtype == np.int32
    assert offsets[-1] == len(ids)
    found = [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)]
    assert found == expected


@st.composite
def vocabularies(draw: st.DrawFn) -> list[tuple[bytes, bytes]]:
    """Merges that a trainer could have made: of tokens that are there already, in any order."""
    tokens = [b"a", b"b", b"c"]
    merges = []
    for _ in range(draw(st.integers(0, 25))):
        pair = draw(st.sampled_from(tokens)), draw(st.sampled_from(tokens))
        if len(pair[0] + pair[1]) <= 12 and pair not in merges:
            merges.append(pair)
            tokens.append(pair[0] + pair[1])
    return merges


PIECES = st.lists(st.text("abcd", min_size=1, max_size=40).map(str.encode), max_size=6)


# 1: all but the shortest pieces go by the heap
@pytest.mark.parametrize("short", [1, 128])
@given(pairs=vocabularies(), pieces=PIECES, whole=st.booleans(), shuffled=st.randoms())
def test_merges_of_a_list(
    short: int, pairs: list[tuple[bytes, bytes]], pieces: list[bytes], whole: bool, shuffled: object
) -> None:
    shuffled.shuffle(pairs)  # type: ignore[attr-defined]
    vocabulary = dict(SINGLE)
    for a, b in pairs:
        vocabulary.setdefault(a + b, len(vocabulary))
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    merges = Merges.of_list(vocabulary, pairs, whole, short)
    pieces = [*pieces, b"ab" * 300]
    assert_same(merges, pieces, [merged(p, vocabulary, ranks, whole) for p in pieces])


@pytest.mark.parametrize("short", [1, 128])
@given(pairs=vocabularies(), pieces=PIECES)
def test_merges_of_ranks(short: int, pairs: list[tuple[bytes, bytes]], pieces: list[bytes]) -> None:
    """Any two tokens merge that together are one, at its rank."""
    vocabulary = dict(SINGLE)
    for a, b in pairs:
        vocabulary.setdefault(a + b, len(vocabulary))
    ranks = {
        (token[:k], token[k:]): rank
        for token, rank in vocabulary.items()
        for k in range(1, len(token))
        if token[:k] in vocabulary and token[k:] in vocabulary
    }
    pieces = [*pieces, b"aab" * 200]
    merges = Merges.of_ranks(vocabulary, short)
    assert_same(merges, pieces, [merged(p, vocabulary, ranks, True) for p in pieces])


def test_of_two_alike_the_later_counts() -> None:
    vocabulary = SINGLE | {b"ab": 256, b"bc": 257}
    pairs = [(b"a", b"b"), (b"b", b"c"), (b"a", b"b")]
    assert_same(Merges.of_list(vocabulary, pairs, whole=False), [b"abc"], [[97, 257]])


def test_no_pieces_and_long_ones() -> None:
    vocabulary = SINGLE | {b"aa": 256, b"aaaa": 257}
    pairs = [(b"a", b"a"), (b"aa", b"aa")]
    merges = Merges.of_list(vocabulary, pairs, whole=False)
    assert_same(merges, [], [])
    assert_same(merges, [b"a" * 400_003], [[257] * 100_000 + [256, 97]])


def test_tokens() -> None:
    tokens = Tokens.of(SINGLE | {b"abc": 1000, b"": 7, b"x" * 70_000: 8})
    assert tokens.single_bytes().tolist() == list(range(256))
    assert tokens.divisions().shape == (0, 3)
    more = Tokens.of({b"a": 5, b"b": 6, b"ab": 7, b"aba": 8})
    assert sorted(more.divisions().tolist()) == [[5, 6, 7], [7, 5, 8]]
    assert more.single_bytes()[97] == 5
    assert more.single_bytes()[99] == -1
