"""Step 2, measure: text is read for the first time, and becomes narrow columns.

Each column group has files of its own, under a fingerprint of its own settings and version: a new signal, or
a new file, makes a task compute just what is missing. Rows of all column groups of an input group
are the records of that group, in order: they align by position, so nothing joins them.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from coursepack.pipeline.documents import doc_numbers
from coursepack.pipeline.errors import SourceError
from coursepack.pipeline.hashing import CHOICE_BITS, choice, content_hash
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.tasks import check_balance, merge, run_tasks, task_count
from coursepack.pipeline.workspace import Attempt, Dataset, Record, Workspace
from coursepack.stages.attach import attach, attached
from coursepack.stages.families import ROW, ColumnGroup, column_groups
from coursepack.stages.inventory import Inventory, group_name, group_splits
from coursepack.stages.own_signals import FAILED, errors_of
from coursepack.stages.reader import Reader
from coursepack.stages.records import read_records

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Failures:
    """Texts that code from outside failed on, of all that it was given, and the classes of its errors by frequency."""

    failed: int
    texts: int
    errors: tuple[str, ...]

    def __str__(self) -> str:
        return f"failed on {self.failed:,} of {self.texts:,} texts ({', '.join(self.errors)})"


@dataclass(frozen=True)
class Measured:
    """What measure leaves: for each column group, its dataset and a record per input group."""

    datasets: dict[str, Dataset]
    records: dict[str, dict[str, Record]]  # column group -> input group name -> record

    def read(self, column_group: str, group: int, columns: list[str] | None = None) -> pa.Table:
        """The columns of one input group."""
        record = self.records[column_group][group_name(group)]
        return self.datasets[column_group].read(record, columns)

    def edits(self) -> dict[str, int]:
        """Spans that local edits replaced or deleted, by edit and kind, such as "pii/email"."""
        found: dict[str, int] = {}
        for record in self.records["record"].values():
            for key, count in record.counts.items():
                if key.startswith("edit:"):
                    name = key.removeprefix("edit:")
                    found[name] = found.get(name, 0) + count
        return dict(sorted(found.items()))

    def failures(self) -> dict[str, Failures]:
        """By column group, where code of the recipe's own failed on a text, which has no value then."""
        found = {}
        for name, records in self.records.items():
            errors = Counter[str]()
            for record in records.values():
                for key, count in sorted(record.counts.items()):
                    kind, _, error = key.partition(":")
                    errors.update({error: count} if kind == FAILED else {})
            if errors:
                texts = sum(record.counts.get("texts", 0) for record in records.values())
                kinds = tuple(error for error, _ in errors.most_common())
                found[name] = Failures(errors.total(), texts, kinds)
        return found


def datasets_of(recipe: Recipe, workspace: Workspace) -> dict[str, Dataset]:
    """Where the columns of each group of the recipe are, measured or attached."""
    prints = {name: group.fingerprint() for name, group in column_groups(recipe).items()}
    for table in map(attached, recipe.signals.attach):
        prints[table.name] = table.fingerprint(prints["record"])
    return {name: workspace.dataset("measurements", name, found) for name, found in prints.items()}


def measure(
    spark: "SparkSession", recipe: Recipe, inventory: Inventory, progress: Progress
) -> Measured:
    """Measure what has not been measured; returns all of it."""
    workspace = inventory.workspace
    wanted = column_groups(recipe)
    places = datasets_of(recipe, workspace)
    datasets = {name: places[name] for name in wanted}
    names = {group_name(group): group for group in inventory.groups}
    found = {name: dataset.records(names) for name, dataset in datasets.items()}
    todo = [
        group
        for name, group in names.items()
        if any(name not in records for records in found.values())
    ]
    task = MeasureTask(
        workspace,
        wanted,
        {group: inventory.reader(group) for group in todo},
        recipe,
    )
    size = sum(inventory.text_bytes[group] for group in todo)
    tasks = task_count(todo, recipe.execution.partitions)
    with progress.step("measure", total_bytes=size, total_tasks=tasks) as step:
        with step.spark(spark):
            pairs = run_tasks(spark, task, todo, recipe.execution.partitions)
        records = {
            name: merge(found[name], (record for made, record in pairs if made == name))
            for name in datasets
        }
        check_balance("measure", records["record"].values())
        measured = Measured(datasets, records)
        for name, failures in measured.failures().items():
            if failures.failed == failures.texts:
                raise SourceError(
                    f"the code of {name!r} {failures}, which are all; call it on one by hand, and see that its package "
                    f"and models are where tasks run; then delete {datasets[name].url!r} and run again"
                )
            step.results.append(f"the code of {name!r} {failures}, which have no value")
        for name, dataset in datasets.items():
            dataset.publish(
                records[name].values(),
                {"step": "measure", "columns": name, "version": wanted[name].version},
            )
        for table in map(attached, recipe.signals.attach):
            with step.spark(spark):
                joined = attach(spark, recipe, inventory, measured, table)
            measured.datasets[table.name], measured.records[table.name] = joined
            if missing := sum(record.counts.get("unmatched", 0) for record in joined[1].values()):
                step.results.append(
                    f"{missing:,} documents without a row in {table.settings.table!r}"
                )
        step.done(rows=sum(record.rows for record in records["record"].values()))
    return measured


@dataclass(frozen=True)
class MeasureTask:
    """Measures one input group; shipped to the executors."""

    workspace: Workspace
    wanted: dict[str, ColumnGroup]
    readers: dict[int, Reader]
    recipe: Recipe

    def __call__(self, group: int) -> Iterator[tuple[str, Record]]:
        name = group_name(group)
        pending: dict[str, Dataset] = {}
        for column_group, wanted in self.wanted.items():
            dataset = self.workspace.dataset("measurements", column_group, wanted.fingerprint())
            if record := dataset.find(name):
                yield column_group, record
            else:
                pending[column_group] = dataset
        if not pending:
            return
        with ExitStack() as stack:
            attempts = {
                column_group: stack.enter_context(
                    dataset.attempt(name, self.wanted[column_group].schema)
                )
                for column_group, dataset in pending.items()
            }
            for attempt in attempts.values():
                attempt.counts["in"] = 0
            reader = self.readers[group]
            for file_no, split in group_splits(self.workspace, group):
                limit = self.recipe.limits.record_bytes
                for records in read_records(split, reader.layout, limit):
                    self._measure(records, reader, file_no, attempts)
        for column_group, attempt in attempts.items():
            assert attempt.record is not None
            yield column_group, attempt.record

    def _measure(
        self, records: pa.RecordBatch, reader: Reader, file_no: int, attempts: dict[str, Attempt]
    ) -> None:
        from coursepack.stages.batch import batch_of  # kernels: only where texts are

        rows_in = records.num_rows
        content = content_hash(records.column("text"))
        if self.recipe.sample < 1:
            chosen = pa.array(in_sample(content, self.recipe.sample))
            records, content = records.filter(chosen), content.filter(chosen)
        doc = pa.array(doc_numbers(file_no, records.column("place").to_numpy()))
        batch = batch_of(records, content, reader)
        if batch.edited and "record" in attempts:
            for name, count in batch.edited.by_kind.items():
                attempts["record"].count(f"edit:{name}", count)
        for column_group, attempt in attempts.items():
            columns = self.wanted[column_group].measure(batch)
            found = pa.Table.from_batches([columns])
            if ROW in found.schema.names:  # of some of the batch alone
                of_rows = doc.take(found[ROW])
                attempt.write(found.drop_columns([ROW]).add_column(0, "doc", of_rows))
                continue
            attempt.write(found.add_column(0, "doc", doc))
            attempt.count("in", rows_in)
            attempt.count("dropped:not_sampled", rows_in - records.num_rows)
            attempt.count(f"file:{file_no}", records.num_rows)
            if FAILED in columns.schema.names:
                attempt.count("texts", len(batch.text) - batch.text.null_count)
                for error, count in errors_of(columns).items():
                    attempt.count(f"{FAILED}:{error}", count)


def in_sample(content: pa.Array, share: float) -> np.ndarray:
    """Which contents belong to the hash sample of `share`; a larger sample holds every smaller one."""
    return choice(0, "sample", content) < int(share * float(1 << CHOICE_BITS))
