"""Hashes: fingerprints of settings, identities of texts, and the choices that follow from them.

A text's identity is its XXH3-128 (`content`); every choice is a hash of (seed, purpose, content),
so it depends neither on row order nor on partitions, clocks or a generator's state.
"""

import hashlib
import itertools
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import xxhash

from coursepack.pipeline.arrow import Text, fixed_binary, fixed_rows, text_buffers

# one bit less than an int64 holds, so that the end of the range is a number too
CHOICE_BITS = 62
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def fingerprint(settings: Any) -> str:
    """20 hex digits of the sha256 of `settings` as canonical JSON (sorted keys, no spaces)."""
    return hashlib.sha256(canonical_json(settings)).hexdigest()[:20]


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces; numbers, strings, lists and maps only."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


def content_hash(text: Text) -> pa.Array:
    """XXH3-128 (big endian, 16 bytes) of each row's UTF-8 bytes; a null row hashes as empty.

    xxhash is called once a row on a view of the Arrow buffer: 0.3 us a document, no copy of text.
    """
    offsets, data = text_buffers(text)
    view = data.data
    digest = xxhash.xxh3_128_digest
    bounds = offsets.tolist()
    joined = b"".join(digest(view[a:b]) for a, b in itertools.pairwise(bounds))
    return fixed_binary(np.frombuffer(joined, np.uint8).reshape(len(offsets) - 1, 16))


def choice(seed: int, purpose: str, content: Text) -> np.ndarray:
    """A uniform int64 in [0, 2^62) a row, from (seed, purpose, content)."""
    key = np.uint64(xxhash.xxh3_64_intdigest(f"{seed}:{purpose}".encode()))
    halves = fixed_rows(content).view(">u8").astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = _mix(_mix(halves[:, 0] ^ key) + halves[:, 1] * _GOLDEN)
    chosen: np.ndarray = (mixed >> np.uint64(64 - CHOICE_BITS)).astype(np.int64)
    return chosen


def choices(chosen: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Further choices (int64, in [0, 2^62)) for parts of what `choice` chose for; part 0 has the choice itself."""
    with np.errstate(over="ignore"):
        mixed = _mix(chosen.astype(np.uint64) + number.astype(np.uint64) * _GOLDEN)
    further: np.ndarray = (mixed >> np.uint64(64 - CHOICE_BITS)).astype(np.int64)
    return np.where(number == 0, chosen, further)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed
