"""MinHash against a plain twin, and its estimates against exact Jaccard similarity."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.stages.minhash import band_hashes, candidate_probability, signatures
from coursepack.stages.words import Words, find_words

MASK = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


def mix(x: int) -> int:
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def twin_signature(hashes: list[int], permutations: int, ngram: int, seed: int) -> list[int]:
    shingles = []
    for i in range(len(hashes) - ngram + 1):
        value = 0
        for h in hashes[i : i + ngram]:
            value = (value * STEP + h) & MASK
        shingles.append(mix(value) >> 32)
    drawn = [mix((seed + (j + 1) * STEP) & MASK) for j in range(permutations)]
    return [
        min((((d >> 32 | 1) * x + d) & 0xFFFFFFFF for x in shingles), default=0xFFFFFFFF)
        for d in drawn
    ]


def twin_bands(signature: list[int], rows: int) -> list[int]:
    hashes = []
    for band in range(len(signature) // rows):
        value = band
        for entry in signature[band * rows : (band + 1) * rows]:
            value = mix((value ^ entry) + STEP & MASK)
        hashes.append(value - (1 << 64) if value >> 63 else value)
    return hashes


TEXTS = st.lists(st.none() | st.text(st.sampled_from("ab 漢.É"), max_size=40), max_size=6)


@given(TEXTS, st.integers(1, 3), st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**40))
@settings(max_examples=150, deadline=None)
def test_against_the_twin(
    texts: list[str | None], bands: int, rows: int, ngram: int, seed: int
) -> None:
    words = find_words(pa.array(texts, pa.string()).slice(1))
    each = [
        words.hashes[a:b].tolist() for a, b in zip(words.offsets, words.offsets[1:], strict=False)
    ]
    wanted = [twin_signature(hashes, bands * rows, ngram, seed) for hashes in each]
    assert signatures(words, bands * rows, ngram, seed).tolist() == wanted
    found = band_hashes(words, bands, rows, ngram, seed)
    assert found.type == pa.list_(pa.int64(), bands)
    assert found.to_pylist() == [
        twin_bands(s, rows) if len(hashes) >= ngram else None
        for s, hashes in zip(wanted, each, strict=True)
    ]


@pytest.mark.parametrize("count", [1023, 1024, 1025, 1033, 2048, 2049])
def test_blocks_of_shingles(count: int) -> None:
    ngram, permutations = 3, 7
    hashes = np.random.default_rng(count).integers(0, 2**64, count + ngram - 1, np.uint64)
    found = signatures(Words(np.array([0, len(hashes)]), hashes), permutations, ngram)
    assert found.tolist() == [twin_signature(hashes.tolist(), permutations, ngram, seed=1)]


def test_too_few_words_are_null() -> None:
    words = find_words(pa.array(["a b c d", "a b c d e", None, "", "我们在这里"]))
    found = band_hashes(words)
    assert found.is_null().to_pylist() == [True, False, True, True, False]
    assert band_hashes(find_words(pa.array([], pa.string()))).to_pylist() == []


def test_golden_hashes() -> None:
    """Stored measurements depend on these values: raise the technique's version when they change."""
    found = band_hashes(find_words(pa.array(["The quick brown fox jumps over the lazy dog"])))
    assert found.to_pylist()[0][:2] == [-1135970592403292309, -7755629343159612351]


def pairs(similarity: float, size: int, count: int) -> tuple[Words, float]:
    """`count` pairs of random sets of `size`, and the exact Jaccard similarity of each pair."""
    shared = round(2 * size * similarity / (1 + similarity))
    union = 2 * size - shared
    every = np.random.default_rng(7).integers(0, 2**64, (count, union), dtype=np.uint64)
    hashes = np.concatenate([every[:, :size], every[:, union - size :]], axis=1)
    return Words(
        np.arange(2 * count + 1, dtype=np.int64) * size, hashes.reshape(-1)
    ), shared / union


@pytest.mark.parametrize(
    ("similarity", "size"), [(0.1, 40), (0.5, 100), (0.5, 1000), (0.7, 300), (0.8, 50), (0.9, 2000)]
)
def test_estimates_have_binomial_error(similarity: float, size: int) -> None:
    count, permutations = 400, 112
    words, exact = pairs(similarity, size, count)
    found = signatures(words, permutations, ngram=1)
    estimates = (found[0::2] == found[1::2]).mean(axis=1)
    error = np.sqrt(exact * (1 - exact) / permutations)
    assert abs(estimates.mean() - exact) < 4 * error / np.sqrt(count)
    assert 0.8 * error < estimates.std() < 1.2 * error  # correlated permutations would widen it


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_pairs_become_candidates_as_often_as_predicted(similarity: float) -> None:
    count = 2000
    words, exact = pairs(similarity, 100, count)
    found = np.array(band_hashes(words, ngram=1).flatten()).reshape(count, 2, 14)
    share = (found[:, 0] == found[:, 1]).any(axis=1).mean()
    wanted = candidate_probability(exact)
    assert abs(share - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / count) + 0.002


def test_estimates_on_text() -> None:
    rng = np.random.default_rng(5)
    vocabulary = np.array([f"w{i}" for i in range(500)])
    for changed in (0, 20, 60):
        one = rng.choice(vocabulary, 1000)
        two = one.copy()
        two[rng.choice(1000, changed, replace=False)] = "Other"
        sets = [{tuple(t[i : i + 5]) for i in range(996)} for t in (one, two)]
        exact = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
        words = find_words(pa.array([" ".join(one), ", ".join(two).upper()]))
        found = signatures(words, 1024)
        assert abs((found[0] == found[1]).mean() - exact) < 4 * 0.5 / np.sqrt(1024) + 1e-9


def test_band_number_is_part_of_the_hash() -> None:
    words = find_words(pa.array(["a b c d e f g"]))
    assert len(set(band_hashes(words, bands=50, rows=1).to_pylist()[0])) == 50


@pytest.mark.parametrize(
    ("bands", "rows", "similarity", "wanted"),
    [(14, 8, 0.8, 0.924), (20, 13, 0.8, 0.677), (9, 13, 0.8, 0.399), (5, 25, 0.9, 0.311)],
)
def test_candidate_probability(bands: int, rows: int, similarity: float, wanted: float) -> None:
    """What published settings find of pairs at their nominal threshold."""
    assert candidate_probability(similarity, bands, rows) == pytest.approx(wanted, abs=5e-4)
