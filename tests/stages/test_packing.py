"""The packing kernels against plain-Python twins, and what must hold of any packing."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.pipeline.storage import open_output, sha256_of
from coursepack.shards.format import ShardInfo, open_shard, shard_schema, write_shard
from coursepack.stages.packing import METHODS, Packed, best_fit, concat, cut, pack

PAD = 7

lengths_of_documents = st.lists(st.integers(0, 40), max_size=40)
capacities = st.integers(1, 17)


def twin_best_fit(lengths: list[int], capacity: int) -> list[int]:
    room: list[int] = []
    since: list[int] = []  # when a bin last changed
    bins = [-1] * len(lengths)
    for now, unit in enumerate(sorted(range(len(lengths)), key=lambda i: -lengths[i])):
        fits = [b for b in range(len(room)) if room[b] >= lengths[unit]]
        if fits:
            taken = min(fits, key=lambda b: (room[b], since[b]))
        else:
            taken = len(room)
            room.append(capacity)
            since.append(now)
        room[taken] -= lengths[unit]
        since[taken] = now
        bins[unit] = taken
    return bins


def documents(lengths: list[int], seed: int = 0) -> dict[str, np.ndarray]:
    """Random documents; some contents come twice, in two epochs."""
    rng = np.random.default_rng(seed)
    n = len(lengths)
    contents = rng.integers(0, 256, (n, 16), dtype=np.uint8)
    epochs = np.zeros(n, np.int32)
    contents[1::5] = contents[0 : len(contents[1::5]) * 5 : 5]
    epochs[1::5] = 1
    offsets = np.concatenate([[3], 3 + np.cumsum(np.array(lengths, np.int64))])
    return {
        "contents": contents,
        "epochs": epochs,
        "offsets": offsets,
        "ids": rng.integers(10, 1 << 18, int(offsets[-1]), dtype=np.int32),
        "order": rng.integers(0, 1 << 62, n),
    }


def shuffled(docs: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    new = np.random.default_rng(seed).permutation(len(docs["epochs"]))
    texts = [docs["ids"][a:b] for a, b in pairwise(docs["offsets"])]
    moved = [texts[i] for i in new]
    return {
        "contents": docs["contents"][new],
        "epochs": docs["epochs"][new],
        "offsets": np.concatenate([[0], np.cumsum([len(t) for t in moved])]).astype(np.int64),
        "ids": np.concatenate([*moved, np.zeros(0, np.int32)]).astype(np.int32),
        "order": docs["order"][new],
    }


def packed_of(docs: dict[str, np.ndarray], capacity: int, method: str, seed: int = 0) -> Packed:
    return pack(**docs, capacity=capacity, method=method, pad_id=PAD, seed=seed)


@settings(deadline=None)
@given(lengths_of_documents, capacities)
def test_cut_gives_full_blocks_and_a_remainder(lengths: list[int], capacity: int) -> None:
    expected = [
        (doc, start, min(capacity, n - start))
        for doc, n in enumerate(lengths)
        for start in range(0, n, capacity)
    ]
    found = cut(np.array(lengths, np.int32), capacity)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
    assert {column.dtype for column in found} == {np.dtype(np.int32)}


@settings(deadline=None)
@given(lengths_of_documents, capacities)
def test_concat_runs_on_over_borders(lengths: list[int], capacity: int) -> None:
    tokens = [(doc, at) for doc, n in enumerate(lengths) for at in range(n)]
    (doc, start, length), bins = concat(np.array(lengths, np.int32), capacity)
    found: dict[int, list[tuple[int, int]]] = {}
    for d, s, n, b in zip(doc, start, length, bins, strict=True):
        found.setdefault(int(b), []).extend((int(d), int(s) + k) for k in range(n))
    assert [found[b] for b in sorted(found)] == [
        tokens[at : at + capacity] for at in range(0, len(tokens), capacity)
    ]


@settings(deadline=None)
@given(st.data(), st.sampled_from([1, 2, 3, 7, 8, 16, 100, 127, 128, 1000]))
def test_best_fit_equals_its_twin(data: st.DataObject, capacity: int) -> None:
    lengths = data.draw(st.lists(st.integers(1, capacity), max_size=120))
    assert best_fit(np.array(lengths, np.int32), capacity).tolist() == twin_best_fit(
        lengths, capacity
    )


def test_best_fit_equals_its_twin_on_many_units() -> None:
    lengths = np.random.default_rng(5).integers(1, 513, 1500).astype(np.int32)
    assert best_fit(lengths, 512).tolist() == twin_best_fit(lengths.tolist(), 512)


def test_best_fit_worked_example() -> None:
    # 10 | 6 + 4 | 5 + 5 | 4 + 3, and the bin of room 4 that is older takes the first 4
    assert best_fit(np.array([4, 6, 10, 5, 5, 3, 4], np.int32), 10).tolist() == [
        1,
        1,
        0,
        2,
        2,
        3,
        3,
    ]


@pytest.mark.parametrize("lengths", [[0, 3], [3, 9]])
def test_best_fit_refuses_units_that_do_not_fit(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="cut them to 1 to 8"):
        best_fit(np.array(lengths, np.int32), 8)


@settings(deadline=None)
@given(lengths_of_documents, capacities, st.sampled_from(METHODS))
def test_every_token_stands_once_and_lineage_tells_where(
    lengths: list[int], capacity: int, method: str
) -> None:
    docs = documents(lengths)
    packed = packed_of(docs, capacity, method)
    texts = [docs["ids"][a:b] for a, b in pairwise(docs["offsets"])]
    assert sorted(packed.documents.tolist()) == list(range(len(lengths)))
    seen = [np.zeros(len(text), np.int64) for text in texts]
    for row, (a, b) in enumerate(pairwise(packed.offsets)):
        at = 0
        assert a < b, "a sequence without runs"
        for run in range(a, b):
            size, start = packed.run_lens[run], packed.doc_starts[run]
            source = int(packed.documents[packed.doc_ids[run]])
            expected = texts[source][start : start + size]
            assert packed.input_ids[row, at : at + size].tolist() == expected.tolist()
            seen[source][start : start + size] += 1
            at += size
        assert at <= capacity
        assert (packed.input_ids[row, at:] == PAD).all()
    assert all((count == 1).all() for count in seen)
    assert packed.tokens == sum(lengths)
    assert packed.tokens + packed.padding == packed.input_ids.size
    least = -(-sum(lengths) // capacity)
    assert len(packed.input_ids) >= least
    if method == "concat":
        assert len(packed.input_ids) == least
    else:
        # a document is cut only where it is longer than a sequence
        assert (packed.doc_starts % capacity == 0).all()


@settings(deadline=None)
@given(lengths_of_documents, capacities, st.sampled_from(METHODS), st.integers(0, 99))
def test_input_order_does_not_matter(
    lengths: list[int], capacity: int, method: str, seed: int
) -> None:
    docs = documents(lengths)
    other = shuffled(docs, seed)
    one, two = packed_of(docs, capacity, method), packed_of(other, capacity, method)
    for name in ("input_ids", "offsets", "run_lens", "doc_ids", "doc_starts"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert docs["contents"][one.documents].tobytes() == other["contents"][two.documents].tobytes()
    assert docs["epochs"][one.documents].tolist() == other["epochs"][two.documents].tolist()


@pytest.mark.parametrize("method", METHODS)
def test_equal_contents_with_other_tokens_do_not_depend_on_input_order(method: str) -> None:
    docs = documents([5] * 30)
    docs["contents"][:] = 1
    docs["epochs"][:] = 0
    docs["order"][:] = 4
    one = packed_of(docs, 16, method)
    two = packed_of(shuffled(docs, 3), 16, method)
    np.testing.assert_array_equal(one.input_ids, two.input_ids)


def test_sidecar_order_is_by_content_and_epoch_or_by_place() -> None:
    docs = documents([9] * 50)
    by_content = packed_of(docs, 16, "best_fit").documents.tolist()
    keys = list(zip(map(bytes, docs["contents"]), docs["epochs"].tolist(), strict=True))
    assert by_content == sorted(range(50), key=keys.__getitem__)
    by_place = packed_of(docs, 16, "concat").documents.tolist()
    assert by_place == np.argsort(docs["order"]).tolist()


def test_seed_moves_sequences_only() -> None:
    docs = documents([30] * 40)
    one, two = packed_of(docs, 32, "best_fit", 0), packed_of(docs, 32, "best_fit", 1)
    assert one.input_ids.tolist() != two.input_ids.tolist()
    assert sorted(one.input_ids.tolist()) == sorted(two.input_ids.tolist())


def test_padding_is_small_and_order_unbiased_on_log_normal_lengths() -> None:
    rng = np.random.default_rng(2)
    lengths = np.maximum(1, rng.lognormal(4.0, 1.2, 20_000)).astype(np.int64)
    packed = packed_of(documents(lengths.tolist()), 512, "best_fit")
    assert packed.padding / packed.input_ids.size < 0.01
    # sequences of many runs stand no earlier than others, and long runs no earlier in a sequence
    runs = np.diff(packed.offsets)
    half = len(runs) // 2
    assert abs(runs[:half].mean() / runs[half:].mean() - 1) < 0.15
    firsts = packed.run_lens[packed.offsets[:-1]][runs > 1]
    lasts = packed.run_lens[packed.offsets[1:] - 1][runs > 1]
    assert abs(firsts.mean() / lasts.mean() - 1) < 0.15


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_no_tokens_give_no_sequences(method: str, lengths: list[int]) -> None:
    packed = packed_of(documents(lengths), 8, method)
    assert packed.input_ids.shape == (0, 8)
    assert packed.offsets.tolist() == [0]
    assert len(packed.documents) == len(lengths)


def test_packed_sequences_can_be_written(tmp_path: Path) -> None:
    packed = packed_of(documents([30, 5, 17, 2]), 9, "best_fit")
    path = str(tmp_path / "web" / "00000.arrow")
    schema = shard_schema(8, ShardInfo("web", 8, "next", "ab", PAD, 1).metadata())
    with open_output(path) as out:
        write_shard(out, schema, packed.input_ids, packed.lists())
    assert out.sha256 == sha256_of(path)
    table = open_shard(path)
    assert table.column("input_ids").to_pylist() == packed.input_ids.tolist()
    padding = (packed.input_ids == PAD).sum(axis=1)
    assert [sum(lens) for lens in table.column("seq_lens").to_pylist()] == (9 - padding).tolist()
    assert table.column("doc_ids").combine_chunks().flatten().to_pylist() == packed.doc_ids.tolist()


def test_unknown_method_and_capacity_are_named() -> None:
    with pytest.raises(ValueError, match="'greedy'; it must be one of best_fit, concat"):
        packed_of(documents([1]), 8, "greedy")
    with pytest.raises(ValueError, match="capacity is 0"):
        packed_of(documents([1]), 0, "concat")
