"""The loader: order, ranks, resuming, lengths, and the arrays that trainers want."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from coursepack.shards import Curriculum
from coursepack.shards import format as shard_format
from coursepack.shards.curriculum import Batch
from coursepack.shards.format import ShardError, ShardInfo, docs_path, shard_path, shard_schema
from coursepack.shards.format import write_shard as write
from coursepack.shards.manifest import (
    FILES,
    Manifest,
    PhaseInfo,
    Stream,
    manifest_bytes,
    write_files,
)

# phase, length, targets, sequences of each shard, sequences a global batch
STREAMS = [
    ("validation", 8, "shifted", [3], 2),
    ("web", 8, "shifted", [10, 7], 4),
    ("web", 16, "shifted", [9], 2),
    ("code", 8, "next", [5, 1, 6], 4),
]


def sequences(start: int, count: int, width: int) -> tuple[np.ndarray, list[list[int]]]:
    """Rows whose first id is their number; segments of 1, 2, ... tokens, then padding (id 0)."""
    ids = np.zeros((count, width), np.int32)
    lens: list[list[int]] = []
    for row in range(count):
        lens.append([1, 2, width - 3] if (start + row) % 2 else [1, 3])
        ids[row, : sum(lens[-1])] = 1 + np.arange(sum(lens[-1]))
        ids[row, 0] = 1000 + start + row
    return ids, lens


def lists(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int32)
    return offsets, np.array([value for row in rows for value in row], np.int32)


def write_result(folder: Path, loss_spans: list[int] | None = None) -> str:
    files: dict[str, list[Any]] = {field.name: [] for field in FILES}
    streams: dict[str, list[Stream]] = {}
    for phase, length, targets, shards, batch in STREAMS:
        info = ShardInfo(phase, length, targets, "ab", 0, 2)
        schema = shard_schema(length, info.metadata(), loss_spans=loss_spans is not None)
        stream = Stream(length, targets, len(shards), sum(shards), 0, batch)
        streams.setdefault(phase, []).append(stream)
        for number, count in enumerate(shards):
            ids, lens = sequences(sum(shards[:number]), count, info.width)
            columns = dict.fromkeys(["seq_lens", "run_lens", "doc_ids", "doc_starts"], lists(lens))
            if loss_spans is not None:
                columns["loss_spans"] = lists([loss_spans if i else [] for i in range(count)])
            path = folder / shard_path(phase, length, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as out:
                write(out, schema, ids, columns)
            row = {
                "path": shard_path(phase, length, number),
                "phase": phase,
                "length": length,
                "shard": number,
                "sequences": count,
                "docs_path": docs_path(phase, length, number),
            }
            for field in FILES:
                empty = "" if field.type == pa.string() else 0
                files[field.name].append(row.get(field.name, empty))
    with open(folder / "files.parquet", "wb") as out:
        write_files(out, pa.table(files, schema=FILES).take(list(range(len(files["path"])))[::-1]))
    phases = tuple(PhaseInfo(name, tuple(found)) for name, found in streams.items())
    (folder / "manifest.json").write_bytes(
        manifest_bytes(Manifest("mix", "ab", 100, 0, "cd", phases))
    )
    return str(folder)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_format, "BATCH_BYTES", 4 * 4 * 8)  # 4 rows of 8 ids a record batch
        return write_result(tmp_path_factory.mktemp("result"))


def trail(batches: Any) -> list[tuple[str, int, int, list[int]]]:
    return [(b["phase"], b["step"], b["length"], b["sequence"].tolist()) for b in batches]


def test_phases_come_in_order_and_every_sequence_once(result: str) -> None:
    curriculum = Curriculum(result)
    assert curriculum.phases == ["web", "code"]
    assert curriculum.phase("validation").streams[0].sequences == 3
    seen: dict[tuple[str, int], list[int]] = {}
    phases = []
    for batch in curriculum:
        phases.append(batch["phase"])
        assert (batch["input_ids"][:, 0] == 1000 + batch["sequence"]).all()
        seen.setdefault((batch["phase"], batch["length"]), []).extend(batch["sequence"].tolist())
    assert phases == sorted(phases, reverse=True)
    assert seen == {
        ("web", 8): list(range(17)),
        ("web", 16): list(range(9)),
        ("code", 8): list(range(12)),
    }


def test_validation_is_there_by_name(result: str) -> None:
    assert trail(Curriculum(result).batches(phase="validation")) == [
        ("validation", 0, 8, [0, 1]),
        ("validation", 1, 8, [2]),
    ]


def test_batches_inside_a_record_batch_are_views(result: str) -> None:
    batches = list(Curriculum(result).batches(phase="web", sequences=4))
    eight = [b for b in batches if b["length"] == 8]
    # rows 0-3, 4-7 lie in one record batch; 8-11 in two shards; 12-15 in two record batches
    assert [b["input_ids"].flags.writeable for b in eight[:4]] == [False, False, True, True]
    assert all(b["input_ids"].dtype == np.int32 for b in batches)
    ranks = list(Curriculum(result).batches(phase="web", sequences=4, rank=1, world=2))
    assert not ranks[0]["input_ids"].flags.writeable
    assert ranks[0]["input_ids"].shape == (2, 8)


@pytest.mark.parametrize("seed", [None, 0, 5])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_interleave_the_same_global_batches(
    result: str, world: int, seed: int | None
) -> None:
    whole = list(Curriculum(result, seed).batches(sequences=4))
    parts = [
        list(Curriculum(result, seed).batches(sequences=4, rank=r, world=world))
        for r in range(world)
    ]
    assert {len(part) for part in parts} == {len(whole)}
    for step, batch in enumerate(whole):
        for rank in range(world):
            part = parts[rank][step]
            np.testing.assert_array_equal(part["input_ids"], batch["input_ids"][rank::world])
            assert part["seq_counts"].sum() == len(part["seq_lens"])
            assert part["state"] == batch["state"]


@pytest.mark.parametrize("seed", [None, 3])
def test_any_world_size_resumes_at_the_same_sample(result: str, seed: int | None) -> None:
    whole = list(Curriculum(result, seed).batches(sequences=4))
    for stop in range(len(whole)):
        first = Curriculum(result, seed)
        batches = first.batches(sequences=4, rank=1, world=2)
        for _ in range(stop + 1):
            last = next(batches)
        state = json.loads(json.dumps(first.state()))
        assert state == last["state"]
        again = list(Curriculum(result, seed).batches(sequences=4, start=state))
        assert trail(again) == trail(whole[stop + 1 :])
        for one, two in zip(again, whole[stop + 1 :], strict=True):
            np.testing.assert_array_equal(one["input_ids"], two["input_ids"])


def test_resuming_with_another_batch_neither_repeats_nor_skips(result: str) -> None:
    whole = list(Curriculum(result).batches(sequences=4))
    again = list(Curriculum(result).batches(sequences=3, start=whole[2]["state"]))
    seen = [(b["phase"], b["length"], s) for b in whole[:3] + again for s in b["sequence"].tolist()]
    assert len(seen) == len(set(seen)) == 17 + 9 + 12


def test_seed_permutes_within_a_shard(result: str) -> None:
    def firsts(seed: int | None) -> list[int]:
        batches = Curriculum(result, seed).batches(phase="code", sequences=4)
        return [int(i) - 1000 for b in batches for i in b["input_ids"][:, 0]]

    assert firsts(None) == list(range(12))
    assert firsts(1) == firsts(1) != firsts(2)
    for seed in (1, 2):
        assert sorted(firsts(seed)[:5]) == [0, 1, 2, 3, 4]
        assert firsts(seed)[5] == 5
        assert sorted(firsts(seed)[6:]) == [6, 7, 8, 9, 10, 11]


def test_lengths_are_interleaved_in_proportion(result: str) -> None:
    batches = list(Curriculum(result).batches(phase="web"))
    done = {8: 0, 16: 0}
    total = {8: 17, 16: 9}
    for batch in batches:
        done[batch["length"]] += len(batch["sequence"])
        # never further apart than one step of each
        assert abs(done[8] / total[8] - done[16] / total[16]) < 4 / 17 + 2 / 9
    assert done == total


def test_last_batches_are_short_or_dropped(result: str) -> None:
    def sizes(**options: Any) -> list[int]:
        batches = Curriculum(result).batches(phase="web", sequences=4, **options)
        return sorted(len(b["sequence"]) for b in batches)

    assert sizes() == [1, 1, 4, 4, 4, 4, 4, 4]
    assert sizes(drop_last=True) == [4] * 6
    assert sizes(rank=3, world=4) == [0, 0, 1, 1, 1, 1, 1, 1]


def test_batch_tokens_count_by_length(result: str) -> None:
    batches = list(Curriculum(result).batches(phase="web", batch_tokens=35, drop_last=True))
    assert {(b["length"], len(b["sequence"])) for b in batches} == {(8, 4), (16, 2)}


def test_mistakes_are_named(result: str, tmp_path: Path) -> None:
    curriculum = Curriculum(result)
    state = next(curriculum.batches())["state"]
    with pytest.raises(ShardError, match="no phase 'math'; the phases are validation, web, code"):
        curriculum.batches(phase="math")
    with pytest.raises(ShardError, match="ranks run from 0 to 1"):
        curriculum.batches(rank=2, world=2)
    with pytest.raises(ShardError, match="4 sequences of length 8 does not split over 3 ranks"):
        curriculum.batches(sequences=4, world=3)
    with pytest.raises(ShardError, match="0 sequences of length 8"):
        curriculum.batches(batch_tokens=7)
    with pytest.raises(ShardError, match="give one of them"):
        curriculum.batches(batch_tokens=70, sequences=4)
    with pytest.raises(ShardError, match="state is of phase 'web'; the phases asked for are code"):
        curriculum.batches(phase="code", start=state)
    with pytest.raises(ShardError, match="made with seed None, this curriculum has 4"):
        Curriculum(result, seed=4).batches(start=state)
    with pytest.raises(ShardError, match="stands at sequence 99"):
        next(curriculum.batches(start={**state, "sequences": {"8": 99}}))
    with pytest.raises(ShardError, match="no manifest"):
        Curriculum(str(tmp_path))


def test_lists_and_manifest_must_agree(tmp_path: Path) -> None:
    folder = write_result(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace('"sequences": 17', '"sequences": 18'))
    with pytest.raises(ShardError, match="lists 17 sequences of length 8, its manifest says 18"):
        Curriculum(folder)


def test_arrays_for_the_trainer_shifted() -> None:
    batch = Batch(
        input_ids=np.array([[5, 6, 7, 8, 9, 0], [4, 4, 4, 4, 4, 4]], np.int32),
        seq_lens=np.array([2, 3, 6], np.int32),
        seq_counts=np.array([2, 1]),
        length=6,
    )
    assert batch.segment_ids().tolist() == [[1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1]]
    assert batch.position_ids().tolist() == [[0, 1, 0, 1, 2, 0], [0, 1, 2, 3, 4, 5]]
    assert batch.cu_seqlens().tolist() == [0, 2, 5, 6, 12]
    assert batch.inputs().tolist() == batch["input_ids"].tolist()
    assert batch.labels().tolist() == [[5, 6, 7, 8, 9, -100], [4] * 6]
    assert {a.dtype for a in (batch.segment_ids(), batch.position_ids(), batch.cu_seqlens())} == {
        np.dtype(np.int32)
    }


def test_arrays_for_the_trainer_next() -> None:
    batch = Batch(
        input_ids=np.array([[5, 6, 7, 8, 0, 0], [4, 4, 4, 4, 4, 3], [0] * 6], np.int32),
        seq_lens=np.array([2, 2, 5, 1], np.int32),
        seq_counts=np.array([2, 2, 0]),
        length=5,
    )
    assert batch.inputs().tolist() == [[5, 6, 7, 8, 0], [4] * 5, [0] * 5]
    assert batch.labels(-1).tolist() == [[6, 7, 8, -1, -1], [4, 4, 4, 4, 3], [-1] * 5]
    assert batch.segment_ids().tolist() == [[1, 1, 2, 2, 0], [1] * 5, [0] * 5]
    assert batch.position_ids().tolist() == [[0, 1, 0, 1, 0], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    # the second segment of row 1 has no input
    assert batch.cu_seqlens().tolist() == [0, 2, 4, 5, 10, 15]


def test_loss_spans_narrow_the_loss(tmp_path: Path) -> None:
    folder = write_result(tmp_path, loss_spans=[0, 1, 2, 8])
    batch = next(Curriculum(folder).batches(phase="validation", sequences=3))
    used = [[True] * 4 + [False] * 4, [True] * 8, [True] * 4 + [False] * 4]
    spans = [[False] * 8] + [[True, False] + [True] * 6] * 2
    expected = [
        [a and b for a, b in zip(*rows, strict=True)] for rows in zip(used, spans, strict=True)
    ]
    assert batch.loss_mask().tolist() == expected
    assert batch["loss_counts"].tolist() == [0, 4, 4]


def test_an_empty_part_of_a_batch_has_all_arrays(result: str) -> None:
    *_, last = Curriculum(result).batches(phase="validation", rank=1, world=2)
    assert last["input_ids"].shape == (0, 8)
    assert last.segment_ids().shape == last.labels().shape == (0, 8)
    assert last.cu_seqlens().tolist() == [0]
