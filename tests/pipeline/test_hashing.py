"""Identities and choices, pinned: were one to change, every shard ever made would differ."""

import hashlib
import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.hashing import (
    CHOICE_BITS,
    canonical_json,
    choice,
    choices,
    content_hash,
    fingerprint,
)

texts = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])))


def test_content_of_known_texts() -> None:
    """XXH3's own test vector of nothing, and texts as xxhash 3.5 gave them."""
    found = content_hash(pa.array(["", None, "course pack", "Übermaß 数"]))
    assert found.type == pa.binary(16)
    assert [value.hex() for value in found.to_pylist()] == [
        "99aa06d3014798d86001c324468d497f",
        "99aa06d3014798d86001c324468d497f",
        "a956f64181ef16d096bfd1d013bc9512",
        "4d78540afbad6ad4137d274d3084e4a4",
    ]


@given(texts, st.integers(0, 4), st.integers(0, 4))
def test_content_is_xxh3_of_each_row(values: list[str | None], start: int, length: int) -> None:
    twin = [xxhash.xxh3_128((v or "").encode()).digest() for v in values]
    for kind in (pa.string(), pa.large_string()):
        array = pa.array(values, kind)
        assert content_hash(array).to_pylist() == twin
        assert content_hash(array.slice(start, length)).to_pylist() == twin[start:][:length]
    chunks = pa.chunked_array([values[:start], values[start:]], pa.string())
    assert content_hash(chunks).to_pylist() == twin


def mixed(x: int) -> int:
    """SplitMix64's finaliser on Python integers."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


@given(texts, st.integers(-(2**70), 2**70), st.text(max_size=5), st.integers(0, 4))
def test_choice_against_a_twin(
    values: list[str | None], seed: int, purpose: str, start: int
) -> None:
    content = content_hash(pa.array(values, pa.string()))
    key = xxhash.xxh3_64_intdigest(f"{seed}:{purpose}".encode())
    halves = [(int.from_bytes(v[:8]), int.from_bytes(v[8:])) for v in content.to_pylist()]
    twin = [mixed((mixed(a ^ key) + b * 0x9E3779B97F4A7C15) % 2**64) >> 2 for a, b in halves]
    found = choice(seed, purpose, content)
    assert found.dtype == np.int64
    assert found.tolist() == twin
    assert choice(seed, purpose, content.slice(start)).tolist() == twin[start:]
    assert choice(seed, purpose, pa.chunked_array([content])).tolist() == twin


def test_choice_of_known_texts() -> None:
    content = content_hash(pa.array(["", "course pack"]))
    assert choice(0, "ring", content).tolist() == [3523759962753923614, 2605989884604118193]
    assert choice(7, "sample", content).tolist() == [35513163743410061, 943295952418212563]


def test_choices_are_uniform_and_independent() -> None:
    """Of 2^16 contents that differ in one number: 256 bins by chi-square, and no bit follows another."""
    count = 1 << 16
    content = content_hash(pa.array([f"document {n}" for n in range(count)]))
    one, other = choice(1, "ring", content), choice(2, "ring", content)
    for values in (one, other, choice(1, "sample", content), one ^ other):
        assert values.min() >= 0
        assert values.max() < 1 << CHOICE_BITS
        for shift in (CHOICE_BITS - 8, 30, 0):
            bins = np.bincount(values >> shift & 255, minlength=256)
            chi = float(((bins - count / 256) ** 2).sum() / (count / 256))
            assert 160 < chi < 370  # 255 degrees of freedom: 4 standard deviations and more
    assert len(np.unique(one)) == count
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02


def test_choices_of_contents_that_differ_in_one_bit() -> None:
    """Half of the bits change, whichever of the 128 differs: neither half of a content counts less."""
    rows = np.zeros((129, 16), np.uint8)
    for bit in range(128):
        rows[bit + 1, bit // 8] = 1 << bit % 8
    values = choice(0, "ring", pa.array([row.tobytes() for row in rows], pa.binary(16)))
    flips = [int(value ^ values[0]).bit_count() for value in values[1:]]
    assert min(flips) > 15
    assert 29 < float(np.mean(flips)) < 33


def test_choices_for_parts_are_further_ones() -> None:
    chosen = choice(1, "ring", content_hash(pa.array([f"document {n}" for n in range(1 << 14)])))
    assert choices(chosen, np.zeros(1 << 14, np.int64)).tolist() == chosen.tolist()
    parts = [choices(chosen, np.full(1 << 14, number)) for number in range(4)]
    for one, other in itertools.combinations(parts, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.04
        assert not np.any(one == other)
    for values in parts:
        assert values.dtype == np.int64
        assert values.min() >= 0
        assert values.max() < 1 << CHOICE_BITS
        assert float(np.mean(values < 1 << CHOICE_BITS - 2)) == pytest.approx(0.25, abs=0.02)
    assert choices(np.array([5]), np.array([1])).tolist() == [1783652790038589654]


SETTINGS: dict[str, Any] = {
    "a": 1,
    "b": [1.5, "x", None, True],
    "c": {"inner": {"z": 0, "é": ""}, "list": [[], {}]},
}


def test_fingerprint_is_pinned() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": {"y": "é", "x": True}}) == (
        '{"a":{"x":true,"y":"é"},"b":[1,2.5,null]}'.encode()
    )
    assert fingerprint({}) == hashlib.sha256(b"{}").hexdigest()[:20]
    assert fingerprint(SETTINGS) == "d43b76c661e17bef6cd0"


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def test_fingerprint_ignores_the_order_of_keys_alone() -> None:
    assert fingerprint(reordered(SETTINGS)) == fingerprint(SETTINGS)
    assert fingerprint([1, 2]) != fingerprint([2, 1])
    assert fingerprint((1, 2)) == fingerprint([1, 2])


def variants(value: Any) -> list[Any]:
    """The value with one thing changed, in every place in turn."""
    if isinstance(value, dict):
        changed: list[Any] = [value | {key: new} for key in value for new in variants(value[key])]
        without = [{k: v for k, v in value.items() if k != key} for key in value]
        return [*changed, *without, value | {"more": None}]
    if isinstance(value, list):
        items = [
            [*value[:n], new, *value[n + 1 :]]
            for n in range(len(value))
            for new in variants(value[n])
        ]
        return [*items, [*value, None]]
    return [v for v in (None, True, 0, 1, 2, 1.0, "", "x", "0") if repr(v) != repr(value)]


def test_fingerprint_sees_every_value() -> None:
    prints = [fingerprint(value) for value in [SETTINGS, *variants(SETTINGS)]]
    assert fingerprint(SETTINGS) not in prints[1:]


def test_what_is_no_plain_data_is_refused() -> None:
    for value in ({1, 2}, object(), 1 << 64, np.int64(3)):
        with pytest.raises(TypeError):
            fingerprint({"value": value})
