"""The pure parts of tasks, on a stand-in for Spark that runs everything here and in order."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.tasks import (
    check_balance,
    merge,
    missing,
    run_tasks,
    table_of,
    task_cores,
    task_count,
    write_runs,
)
from coursepack.pipeline.workspace import Dataset, Record


class Frame:
    """Partitions of Arrow batches, with the five methods of a DataFrame that are used."""

    def __init__(self, partitions: Sequence[Sequence[pa.RecordBatch]], rows: int = 3) -> None:
        self.partitions = partitions
        self.rows = rows  # of a batch that a function gets

    def repartition(self, count: int, key: str) -> "Frame":
        batches = [batch for part in self.partitions for batch in part]
        if not batches:
            return Frame([])
        table = pa.Table.from_batches(batches)
        home = [hash(name) % count for name in table[key].to_pylist()]
        masks = [pa.array([place == part for place in home], pa.bool_()) for part in range(count)]
        return Frame([table.filter(mask).to_batches() for mask in masks], self.rows)

    def sortWithinPartitions(self, *names: str) -> "Frame":
        order = [(name, "ascending") for name in names]
        tables = [pa.Table.from_batches(part).sort_by(order) for part in self.partitions if part]
        empty = pa.record_batch([pa.array([], pa.string())], ["name"])
        cut = [t.combine_chunks().to_batches(self.rows) for t in tables]
        return Frame([[empty, *part] for part in cut], self.rows)

    def mapInArrow(self, work: Callable[..., Iterable[pa.RecordBatch]], _: Any) -> "Frame":
        return Frame([list(work(iter(part))) for part in self.partitions], self.rows)

    def collect(self) -> list[dict[str, Any]]:
        return [row for part in self.partitions for batch in part for row in batch.to_pylist()]


class Spark:
    """A session whose range has its numbers in so many partitions."""

    def range(self, start: int, end: int, step: int, partitions: int) -> Frame:
        assert partitions > 0
        places = list(range(start, end, step))
        parts = [places[part::partitions] for part in range(partitions)]
        return Frame([[pa.record_batch([pa.array(p, pa.int64())], ["id"])] for p in parts])


def record(
    group: str, path: str = "", rows: int = 0, counts: dict[str, int] | None = None
) -> Record:
    return Record(group, path or group, rows, 0, "", counts or {})


@pytest.mark.parametrize(
    ("numbers", "partitions", "tasks"),
    [([], 0, 0), ([], 5, 0), ([7, 8, 9], 0, 3), ([7, 8, 9], 2, 2), ([7, 8, 9], 5, 3)],
)
def test_task_count(numbers: list[int], partitions: int, tasks: int) -> None:
    assert task_count(numbers, partitions) == tasks


@pytest.mark.parametrize("partitions", [0, 1, 2, 9])
def test_each_number_is_run_once(partitions: int) -> None:
    asked: list[int] = []

    def task(number: int) -> Iterator[tuple[str, Record]]:
        asked.append(number)
        for part in range(number % 3):  # none, one or two records
            yield f"dataset{part}", record(f"g{number}")

    numbers = [5, 3, 100, 1 << 40]
    spark: Any = Spark()
    pairs = run_tasks(spark, task, numbers, partitions)
    assert sorted(asked) == sorted(numbers)
    assert sorted(pairs, key=str) == sorted(
        ((f"dataset{p}", record(f"g{n}")) for n in numbers for p in range(n % 3)), key=str
    )


def test_nothing_to_do_asks_spark_for_nothing() -> None:
    nothing: Any = None
    assert run_tasks(nothing, nothing, []) == []


@pytest.mark.parametrize("numbers", [[], [4, 2, 2]])
@pytest.mark.parametrize("partitions", [0, 1, 5])
def test_table_of_what_tasks_read(numbers: list[int], partitions: int) -> None:
    def read(number: int) -> Iterator[pa.RecordBatch]:
        yield from [pa.record_batch([pa.array([number, -number])], ["n"])] * (number // 2)

    spark: Any = Spark()
    rows: Any = table_of(spark, numbers, read, "n bigint", partitions).collect()
    twin = [n for number in numbers for n in [number, -number] * (number // 2)]
    assert sorted(row["n"] for row in rows) == sorted(twin)


def runs(
    names: list[str], batch_rows: int, partitions: int, take: int
) -> tuple[dict[str, list[int]], list[Record]]:
    """What `write_runs` gave its writer, by key; the writer stops after `take` batches."""
    given: dict[str, list[int]] = {}

    def write(name: str, batches: Iterator[pa.RecordBatch]) -> Record:
        assert name not in given, "a key came twice"
        given[name] = []
        for number, batch in enumerate(batches):
            if number == take:
                break
            assert set(batch["name"].to_pylist()) == {name}
            given[name] += batch["n"].to_pylist()
        return record(name, rows=len(given[name]))

    table = pa.table({"name": pa.array(names, pa.string()), "n": range(len(names), 0, -1)})
    frame: Any = Frame([table.to_batches(max_chunksize=2)], batch_rows)
    return given, write_runs(frame, "name", write, partitions, ["n"])


@given(st.lists(st.sampled_from(["", "a", "b", "ü", "c"])), st.integers(1, 4), st.integers(1, 3))
def test_each_key_is_written_once_in_order(
    names: list[str], batch_rows: int, partitions: int
) -> None:
    given, records = runs(names, batch_rows, partitions, take=1 << 30)
    count = len(names)
    twin = {
        name: sorted(count - place for place, other in enumerate(names) if other == name)
        for name in set(names)
    }
    assert given == twin
    assert sorted((r.group, r.rows) for r in records) == sorted(
        (n, len(v)) for n, v in twin.items()
    )


@given(st.lists(st.sampled_from(["a", "b", "c"])), st.integers(1, 4), st.integers(0, 2))
def test_what_a_writer_leaves_is_not_given_to_the_next(
    names: list[str], batch_rows: int, take: int
) -> None:
    """A writer that finds its record reads nothing; others may stop early."""
    given, records = runs(names, batch_rows, 1, take)
    assert sorted(given) == sorted(set(names))
    assert [r.group for r in records] == sorted(set(names))


def test_an_error_of_a_writer_fails_the_run() -> None:
    def write(name: str, batches: Iterator[pa.RecordBatch]) -> Record:
        raise OSError("no space left")

    frame: Any = Frame([[pa.record_batch([pa.array(["a"])], ["name"])]])
    with pytest.raises(OSError, match="no space left"):
        write_runs(frame, "name", write, 1, [])


def test_rows_balance() -> None:
    even = record("a", rows=5, counts={"in": 8, "dropped:x": 2, "dropped:y": 1, "file:0": 99})
    check_balance("measure", [even, record("empty", counts={"in": 0})])
    check_balance("measure", [])
    odd = record("g0000007", rows=1_000_000, counts={"in": 1_000_003, "dropped:x": 2})
    with pytest.raises(WorkspaceError) as caught:
        check_balance("encode", [even, odd])
    assert str(caught.value) == (
        "encode, group g0000007: 1,000,003 rows in, but 1,000,000 out and 2 dropped; "
        "this is a bug, nothing was published"
    )


def test_merge_keeps_what_was_known_and_the_first_of_the_fresh() -> None:
    known = {"b": record("b", "b-9")}
    fresh = [record("c", "c-2"), record("b", "b-1"), record("c", "c-1"), record("a")]
    merged = merge(known, iter(fresh))
    assert list(merged) == ["a", "b", "c"]
    assert merged == {"a": fresh[3], "b": known["b"], "c": fresh[2]}
    assert known == {"b": record("b", "b-9")}
    assert merge({}, reversed(fresh)) == merge({}, fresh)


def test_missing(tmp_path: Any) -> None:
    dataset = Dataset(str(tmp_path))
    with dataset.attempt("g2", pa.schema([("n", pa.int64())])) as out:
        pass
    assert missing(dataset, ["g3", "g2", "g1"]) == ({"g2": out.record}, ["g3", "g1"])


def test_the_cores_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    pyspark = pytest.importorskip("pyspark")
    assert task_cores() == 1

    class Context:
        def cpus(self) -> int:
            return 3

    monkeypatch.setattr(pyspark.TaskContext, "get", Context)
    assert task_cores() == 3
    monkeypatch.delitem(sys.modules, "pyspark")
    assert task_cores() == 1
