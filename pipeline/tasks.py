"""Fat tasks: Spark runs a Python function over input groups and brings back their commit records.

Paths go in, small records come out; files are read and written by pyarrow inside the task
(2.5 CPU-seconds per GB of text, against 7-9 when Spark reads text and hands it to Python).
"""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.workspace import Dataset, Record

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Task = Callable[[int], Iterable[tuple[str, Record]]]


def task_count(numbers: Sequence[int], partitions: int) -> int:
    """Spark tasks for so many groups: one each, or at most `partitions` where that is not 0."""
    return min(len(numbers), partitions) if partitions else len(numbers)


def task_cores() -> int:
    """The cores that a library's threads may use: Spark's `spark.task.cpus` inside a task, one elsewhere."""
    # where Spark was never imported there is no task, and it may not be installed
    context = sys.modules["pyspark"].TaskContext.get() if "pyspark" in sys.modules else None
    return context.cpus() if context else 1


def run_tasks(
    spark: "SparkSession", task: Task, numbers: Sequence[int], partitions: int = 0
) -> list[tuple[str, Record]]:
    """Run `task(number)` for each number; returns its (dataset name, commit record) pairs.

    One Spark task a number, or at most `partitions` tasks. A task may run twice (retry, speculation):
    it must find its own commit record first. Errors of a task fail the run.
    """
    if not numbers:
        return []
    count = task_count(numbers, partitions)
    todo = np.asarray(numbers, np.int64)

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for place in batch.column(0).to_numpy():
                pairs = list(task(int(todo[place])))
                yield pa.record_batch(
                    [
                        pa.array([name for name, _ in pairs], pa.string()),
                        pa.array([record.to_json().decode() for _, record in pairs], pa.string()),
                    ],
                    ["dataset", "record"],
                )

    rows = (
        spark.range(0, len(todo), 1, count)
        .mapInArrow(work, "dataset string, record string")
        .collect()
    )
    return [(row["dataset"], Record.from_json(row["record"])) for row in rows]


def table_of(
    spark: "SparkSession",
    numbers: Sequence[int],
    read: Callable[[int], Iterator[pa.RecordBatch]],
    schema: Any,
    partitions: int = 0,
) -> "DataFrame":
    """A DataFrame whose rows `read(number)` yields inside tasks; nothing is read until an action."""
    count = task_count(numbers, partitions)
    todo = np.asarray(numbers, np.int64)

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for place in batch.column(0).to_numpy():
                yield from read(int(todo[place]))

    return spark.range(0, max(len(todo), 0), 1, max(count, 1)).mapInArrow(work, schema)


def check_balance(step: str, records: Iterable[Record]) -> None:
    """Rows in = rows out + rows dropped by reason, file by file; raises WorkspaceError otherwise.

    A record's counts hold `in` and any number of `dropped:<reason>`.
    """
    for record in records:
        dropped = sum(n for name, n in record.counts.items() if name.startswith("dropped:"))
        if record.counts["in"] != record.rows + dropped:
            raise WorkspaceError(
                f"{step}, group {record.group}: {record.counts['in']:,} rows in, but {record.rows:,} out "
                f"and {dropped:,} dropped; this is a bug, nothing was published"
            )


def merge(found: dict[str, Record], fresh: Iterable[Record]) -> dict[str, Record]:
    """Records by group, the ones known before winning over fresh ones of the same group."""
    merged = dict(found)
    for record in sorted(fresh, key=lambda r: (r.group, r.path)):
        merged.setdefault(record.group, record)
    return dict(sorted(merged.items()))


def missing(dataset: Dataset, groups: Sequence[str]) -> tuple[dict[str, Record], list[str]]:
    """Records there are, and the groups still to be done, in order."""
    found = dataset.records(groups)
    return found, [group for group in groups if group not in found]


def write_runs(
    frame: "DataFrame",
    key: str,
    write: Callable[[str, Iterator[pa.RecordBatch]], Record],
    partitions: int,
    order: Sequence[str],
) -> list[Record]:
    """Shuffle rows by the string column `key`, sort by `order`, and write each key's run as one file.

    `write(key, batches)` must find its own commit record first, and may then leave the batches unread.
    """

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for name, run in _runs(batches, key):
            record = write(name, run)
            for _ in run:  # what the writer left
                pass
            yield pa.record_batch([pa.array([record.to_json().decode()])], ["record"])

    rows = (
        frame.repartition(partitions, key)
        .sortWithinPartitions(key, *order)
        .mapInArrow(work, "record string")
        .collect()
    )
    return [Record.from_json(row["record"]) for row in rows]


def _runs(
    batches: Iterator[pa.RecordBatch], key: str
) -> Iterator[tuple[str, Iterator[pa.RecordBatch]]]:
    """Consecutive rows of equal `key`, across batch borders; one run is alive at a time."""
    pieces = _pieces(batches, key)
    ahead: list[tuple[str, pa.RecordBatch]] = []

    def run(name: str) -> Iterator[pa.RecordBatch]:
        while ahead or (piece := next(pieces, None)):
            if not ahead:
                assert piece is not None
                ahead.append(piece)
            if ahead[0][0] != name:
                return
            yield ahead.pop()[1]

    while ahead or (first := next(pieces, None)):
        if not ahead:
            assert first is not None
            ahead.append(first)
        name = ahead[0][0]
        yield name, run(name)


def _pieces(batches: Iterator[pa.RecordBatch], key: str) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Each batch cut where `key` changes."""
    for batch in batches:
        if not batch.num_rows:
            continue
        codes = batch.column(key).dictionary_encode()
        numbers = codes.indices.to_numpy()
        starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        for start, end in itertools.pairwise(starts):
            yield codes.dictionary[numbers[start]].as_py(), batch.slice(start, end - start)
