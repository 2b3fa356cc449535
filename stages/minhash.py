"""MinHash and its bands (Broder 1997; banding: Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4).

Documents whose sets of word n-grams have Jaccard similarity s agree in one band with probability
s^rows, and in some band with 1 - (1 - s^rows)^bands.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types, uint32, uint64

from coursepack.stages.characters import INDEX, UINT64S
from coursepack.stages.copies import mix
from coursepack.stages.words import Words

_STEP = np.uint64(0x9E3779B97F4A7C15)
_NO_SHINGLE = np.uint32(0xFFFFFFFF)
_BLOCK = 1024  # shingles hashed together
_UINT32S = types.uint32[::1]


def band_hashes(
    words: Words, bands: int = 14, rows: int = 8, ngram: int = 5, seed: int = 1
) -> pa.Array:
    """A 64-bit hash of each band of each document: `fixed_size_list<int64>[bands]`.

    Null where a document has fewer than `ngram` words: it has no signature and is kept, as in datatrove,
    whose 14 bands of 8 rows over word 5-grams are the defaults (datatrove, pipeline/dedup/minhash.py).
    The band's number is part of its hash, so one table may hold all bands.
    """
    found = signatures(words, bands * rows, ngram, seed)
    hashes = np.empty((len(found), bands), np.uint64)
    _hash_bands(found, rows, hashes)
    short = np.diff(words.offsets) < ngram
    return pa.FixedSizeListArray.from_arrays(
        pa.array(hashes.view(np.int64).reshape(-1)), bands, mask=pa.array(short)
    )


def signatures(words: Words, permutations: int, ngram: int = 5, seed: int = 1) -> np.ndarray:
    """The MinHash signature of each document: uint32 (documents, permutations).

    The share of equal entries in two rows estimates the Jaccard similarity of their sets of
    `ngram`-grams. All ones where a document has fewer than `ngram` words.
    """
    factors, terms = _permutations(permutations, seed)
    least = np.full((len(words.offsets) - 1, permutations), _NO_SHINGLE, np.uint32)
    _least(words.offsets, words.hashes, ngram, factors, terms, least)
    return least


def candidate_probability(similarity: float, bands: int = 14, rows: int = 8) -> float:
    """The probability that two documents of this Jaccard similarity share a band: 1 - (1 - s^r)^b."""
    return float(1.0 - (1.0 - similarity**rows) ** bands)


@njit("UniTuple(uint32[::1], 2)(int64, int64)", nogil=True, cache=True)
def _permutations(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Odd factors and terms of x -> factor * x + term mod 2^32, from SplitMix64 started at `seed`."""
    factors = np.empty(count, np.uint32)
    terms = np.empty(count, np.uint32)
    state = uint64(seed)
    for j in range(count):
        state += _STEP
        drawn = mix(state)
        factors[j] = uint32(drawn >> uint64(32)) | uint32(1)
        terms[j] = uint32(drawn & uint64(0xFFFFFFFF))
    return factors, terms


@njit(types.void(_UINT32S, _UINT32S, _UINT32S, _UINT32S, types.int64), nogil=True, cache=True)
def _lower(
    signature: np.ndarray, factors: np.ndarray, terms: np.ndarray, held: np.ndarray, count: Any
) -> None:
    """Takes eight shingles at a time: an entry is then loaded and stored once for all of them."""
    for k in range(0, count, 8):
        a, b, c, d = held[k], held[k + 1], held[k + 2], held[k + 3]
        e, f, g, h = held[k + 4], held[k + 5], held[k + 6], held[k + 7]
        for j in range(len(signature)):
            factor, term = factors[j], terms[j]
            least = min(signature[j], uint32(factor * a + term))
            least = min(least, uint32(factor * b + term))
            least = min(least, uint32(factor * c + term))
            least = min(least, uint32(factor * d + term))
            least = min(least, uint32(factor * e + term))
            least = min(least, uint32(factor * f + term))
            least = min(least, uint32(factor * g + term))
            signature[j] = min(least, uint32(factor * h + term))


@njit(
    types.void(INDEX, UINT64S, types.int64, _UINT32S, _UINT32S, types.uint32[:, ::1]),
    nogil=True,
    cache=True,
)
def _least(
    offsets: np.ndarray,
    hashes: np.ndarray,
    ngram: int,
    factors: np.ndarray,
    terms: np.ndarray,
    least: np.ndarray,
) -> None:
    """Plain loops over a block of shingles, which LLVM makes vectors of; rolling hashes would wait for each other."""
    shingles = np.empty(_BLOCK, np.uint64)
    held = np.empty(_BLOCK + 8, np.uint32)
    for row in range(len(least)):
        last = offsets[row + 1] - ngram + 1
        for start in range(offsets[row], last, _BLOCK):
            first, count = uint64(start), uint64(min(last - start, _BLOCK))
            shingles[:] = 0
            for word in range(uint64(ngram)):
                for k in range(count):
                    shingles[k] = shingles[k] * _STEP + hashes[first + word + k]
            for k in range(count):
                held[k] = uint32(mix(shingles[k]) >> uint64(32))
            for k in range(uint64(8)):
                held[count + k] = held[0]  # once more changes nothing
            _lower(least[row], factors, terms, held, np.int64(count))


@njit(types.void(types.uint32[:, ::1], types.int64, types.uint64[:, ::1]), nogil=True, cache=True)
def _hash_bands(signatures: np.ndarray, rows: int, hashes: np.ndarray) -> None:
    for document in range(hashes.shape[0]):
        for band in range(hashes.shape[1]):
            value = uint64(band)
            for j in range(band * rows, (band + 1) * rows):
                value = mix((value ^ uint64(signatures[document, j])) + _STEP)
            hashes[document, band] = value
