"""Pack: each document goes to the shards of its arcs, and a shard's bytes depend on its documents alone."""

import io
import random
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.documents import TOKENS
from coursepack.pipeline.hashing import CHOICE_BITS
from coursepack.pipeline.workspace import Dataset, Record
from coursepack.shards.format import open_shard, read_docs
from coursepack.stages import pack as module
from coursepack.stages.compose import Arc, Atom, Composition, Stream
from coursepack.stages.pack import ShardWriter, clear_other_plan, placed, shards_of

END = 1 << CHOICE_BITS
ATOMS = (Atom("code", ("code",)), Atom("web", ("web",)))
CLASSES = {("code", "s", ""): 0, ("web", "s", "en"): 1}
STREAMS = (
    Stream("one", 8, "shifted", "best_fit", 3, 30),
    Stream("two", 16, "next", "concat", 1, 10),
)
Doc = tuple[str, int, list[int]]  # domain, ring, ids


def tokens_table(docs: list[Doc]) -> pa.Table:
    rows = [
        {"doc": n, "content": n.to_bytes(16), "source": "s", "domain": domain, "ring": ring}
        | {"language": "en" if domain == "web" else None, "tokens": len(ids)}
        | {"ids": np.array(ids, np.int32).tobytes()}
        for n, (domain, ring, ids) in enumerate(docs)
    ]
    return pa.Table.from_pylist(rows, TOKENS)


def composition(docs: list[Doc], arcs: tuple[Arc, ...]) -> Composition:
    inside = np.zeros((2, 16), np.int64)
    for domain, ring, ids in docs:
        inside[int(domain == "web"), ring >> (CHOICE_BITS - 4)] += len(ids)
    before = np.cumsum(inside, axis=1) - inside
    return Composition(ATOMS, CLASSES, before, inside, np.zeros(2, np.int64), STREAMS, arcs, ())


def placed_rows(docs: list[Doc], made: Composition, wave: list[str]) -> list[tuple[object, ...]]:
    """(shard, document, epoch, place, ids) of all row groups of a file."""
    out = io.BytesIO()
    pq.write_table(tokens_table(docs), out, row_group_size=3)
    shards = shards_of(made)
    numbers: dict[int, dict[int, str]] = {}
    for path in wave:
        numbers.setdefault(shards[path].stream, {})[shards[path].number] = path
    file = pq.ParquetFile(out)
    tables = [
        pa.Table.from_batches([batch])
        for group in range(file.num_row_groups)
        for batch in placed(file, group, made, numbers)
    ]
    rows = pa.concat_tables(tables).to_pylist() if tables else []
    return sorted(
        (r["shard"], int.from_bytes(r["content"]), r["epoch"], r["place"],
         tuple(np.frombuffer(r["ids"], np.int32).tolist()))
        for r in rows
    )  # fmt: skip


_ring = st.one_of(st.integers(0, END - 1), st.sampled_from([0, END // 2 - 1, END // 2, END - 1]))
_docs = st.lists(
    st.tuples(
        st.sampled_from(["web", "code", "math"]), _ring, st.lists(st.integers(0, 99), max_size=5)
    ),
    max_size=10,
)
ARCS = (
    Arc(0, 1, 0, 0, END // 2, 0, 12),
    Arc(0, 1, 1, 0, END, 20, 20),
    Arc(1, 0, 0, END // 2, END, 3, 10),
)


@given(_docs, st.sets(st.sampled_from(sorted(shards_of(composition([], ()))))), st.integers(1, 30))
def test_rows_go_where_their_arcs_say(docs, wave, batch_bytes):
    made = composition(docs, ARCS)
    expected = []
    for arc in ARCS:
        for n, (domain, ring, ids) in enumerate(docs):
            if domain == ATOMS[arc.atom].domain and arc.low <= ring < arc.high:
                shard, place = made.shard_and_order(arc, np.array([ring]))
                stream = STREAMS[arc.stream]
                path = f"{stream.phase}/{stream.length}/{shard[0]:05d}.arrow"
                if path in wave:
                    expected.append((path, n, arc.epoch, int(place[0]), tuple(ids)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH_BYTES", batch_bytes)
        assert placed_rows(docs, made, sorted(wave)) == sorted(expected)


@pytest.mark.parametrize("sizes", [[3, 3, 3, 3], [0, 0], [0, 9, 0, 1, 1, 1, 0], [50, 1, 50], [4]])
def test_batches_are_bounded_in_bytes(monkeypatch, sizes):
    monkeypatch.setattr(module, "_BATCH_BYTES", 24)
    docs = [("web", n, [7] * size) for n, size in enumerate(sizes)]
    out = io.BytesIO()
    pq.write_table(tokens_table(docs), out)
    made = composition(docs, (Arc(0, 1, 0, 0, END, 0, 100),))
    paths = {number: f"path {number}" for number in range(3)}
    batches = list(placed(pq.ParquetFile(out), 0, made, {0: paths}))
    found = [row for batch in batches for row in batch.column("ids").to_pylist()]
    assert [len(row) // 4 for row in found] == sizes
    longest = max(sizes) * 4
    assert all(
        sum(map(len, batch.column("ids").to_pylist())) <= 24 + longest and batch.num_rows
        for batch in batches
    )


PATH = "one/8/00001.arrow"


def _written(folder: Path, batches: list[pa.RecordBatch], path: str = PATH) -> Record:
    made = composition([], ())
    writer = ShardWriter(Dataset(str(folder)), shards_of(made), STREAMS, ("sha", 0, 1), 5)
    record = writer(path, iter(batches))
    assert writer(path, iter(())) == record  # what was committed is found
    return record


def _shuffled(docs: list[Doc], epochs: int = 2) -> pa.Table:
    made = composition(docs, tuple(Arc(0, 1, e, 0, END, 0, 1000) for e in range(epochs)))
    out = io.BytesIO()
    pq.write_table(tokens_table(docs), out)
    paths = dict.fromkeys(range(3), PATH)
    return pa.Table.from_batches(list(placed(pq.ParquetFile(out), 0, made, {0: paths})))


@pytest.mark.parametrize("path", [PATH, "two/16/00000.arrow"])
def test_a_shard_is_its_documents_however_they_come(tmp_path, path):
    docs = [("web", n * (END // 20), list(range(n + 1))) for n in range(20)] + [("web", 3, [])]
    table = _shuffled(docs)
    first = _written(tmp_path / "0", table.to_batches(), path)
    for seed in range(1, 4):
        order = random.Random(seed).sample(range(table.num_rows), table.num_rows)
        again = _written(tmp_path / str(seed), table.take(order).to_batches(seed * 4), path)
        assert (again.sha256, again.about, again.counts) == (
            first.sha256,
            first.about,
            first.counts,
        )
    tokens = 2 * sum(range(21))
    counts = {k: v for k, v in first.counts.items() if ":" not in k}
    width = 8 if path == PATH else 17
    assert counts == {"tokens": tokens, "padding": first.rows * width - tokens, "documents": 42}
    assert {k: v for k, v in first.counts.items() if ":" in k} == {
        "tokens:web/s/en/first": tokens // 2, "tokens:web/s/en/repeated": tokens // 2,
        "documents:web/s/en/first": 21, "documents:web/s/en/repeated": 21,
    }  # fmt: skip
    side = read_docs(str(tmp_path / "0" / first.about["docs_path"]))
    assert sorted(side["tokens"].to_pylist()) == sorted([*range(21), *range(21)])
    assert open_shard(str(tmp_path / "0" / path)).num_rows == first.rows


def test_a_shard_of_nothing(tmp_path):
    record = _written(tmp_path, [])
    assert (record.rows, record.counts) == (0, {"tokens": 0, "padding": 0, "documents": 0})
    assert open_shard(str(tmp_path / PATH)).num_rows == 0
    assert read_docs(str(tmp_path / record.about["docs_path"])).num_rows == 0


def test_shards_are_numbered_within_their_stream():
    found = shards_of(composition([], ()))
    assert {path: (s.stream, s.number, s.group, s.docs) for path, s in found.items()} == {
        **{f"one/8/0000{n}.arrow": (0, n, f"one-8-0000{n}", f"one/8/0000{n}.docs.parquet")
           for n in range(3)},
        "two/16/00000.arrow": (1, 0, "two-16-00000", "two/16/00000.docs.parquet"),
    }  # fmt: skip


def test_what_another_plan_left_goes(tmp_path):
    result = tmp_path / "shards"
    clear_other_plan(str(result), {"plan": "a"})
    assert orjson.loads((result / "plan.json").read_bytes()) == {"plan": "a"}
    (result / "one").mkdir()
    (result / "one" / "shard").write_bytes(b"x")
    (result / "manifest.json").write_bytes(b"{}")
    clear_other_plan(str(result), {"plan": "a"})
    assert (result / "one" / "shard").exists()
    clear_other_plan(str(result), {"plan": "b"})
    assert [path.name for path in result.iterdir()] == ["plan.json"]
    assert orjson.loads((result / "plan.json").read_bytes()) == {"plan": "b"}
