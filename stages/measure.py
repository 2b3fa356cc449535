"""Step 2, measure: text is read for the first time, and becomes narrow columns.

Each column group has files of its own, under a fingerprint of its own settings and version: a new signal, or
a new file, makes a task compute just what is missing. Rows of all column groups of an input group
are the records of that group, in order: they align by position, so nothing joins them.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.pipeline.documents import MEASURED_RECORD, METADATA, doc_numbers
from coursepack.pipeline.hashing import CHOICE_BITS, choice, content_hash, fingerprint
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.storage import sha256_of
from coursepack.pipeline.tasks import check_balance, merge, run_tasks, task_count
from coursepack.pipeline.workspace import Attempt, Dataset, Record, Workspace
from coursepack.stages.catalogue import group_schema
from coursepack.stages.gopher import gopher_signals
from coursepack.stages.inventory import Inventory, group_name, group_splits
from coursepack.stages.language import identify, model_path
from coursepack.stages.layouts import Layout
from coursepack.stages.minhash import band_hashes
from coursepack.stages.records import read_records
from coursepack.stages.repetition import repetition_signals
from coursepack.stages.web import web_signals
from coursepack.stages.words import find_words

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Column groups that follow from the text alone.
TEXT_SIGNALS: dict[str, Callable[[Text], pa.RecordBatch]] = {
    "gopher": gopher_signals,
    "repetition": repetition_signals,
    "web": web_signals,
}


@dataclass(frozen=True)
class ColumnGroup:
    """Columns measured together: their schema, and the settings that shape their values."""

    name: str
    version: int  # raised only when the output of the same settings changes
    schema: pa.Schema
    settings: Mapping[str, Any]

    def fingerprint(self) -> str:
        return fingerprint(
            {"name": self.name, "version": self.version, "settings": dict(self.settings)}
        )


@dataclass(frozen=True)
class Measured:
    """What measure leaves: for each column group, its dataset and a record per input group."""

    datasets: dict[str, Dataset]
    records: dict[str, dict[str, Record]]  # column group -> input group name -> record

    def read(self, column_group: str, group: int, columns: list[str] | None = None) -> pa.Table:
        """The columns of one input group."""
        record = self.records[column_group][group_name(group)]
        return self.datasets[column_group].read(record, columns)


def column_groups(recipe: Recipe) -> dict[str, ColumnGroup]:
    """All that this recipe wants measured."""
    sample = {"sample": recipe.sample}
    groups = [
        ColumnGroup("record", 1, MEASURED_RECORD, sample),
        *(ColumnGroup(name, 1, _signal_schema(name), sample) for name in TEXT_SIGNALS),
        ColumnGroup(
            "language",
            1,
            _signal_schema("language"),
            sample
            | {"model": sha256_of(model_path(recipe.language.model, recipe.language.sha256))},
        ),
    ]
    if recipe.dedup.fuzzy:
        fuzzy = recipe.dedup.fuzzy
        bands = pa.field("bands", pa.list_(pa.int64(), fuzzy.bands))
        schema = pa.schema([pa.field("doc", pa.int64(), False), bands])
        groups.append(ColumnGroup("bands", 1, schema, sample | fuzzy.model_dump()))
    return {group.name: group for group in groups}


def _signal_schema(group: str) -> pa.Schema:
    return pa.schema([pa.field("doc", pa.int64(), False), *group_schema(group)])


def measure(
    spark: "SparkSession", recipe: Recipe, inventory: Inventory, progress: Progress
) -> Measured:
    """Measure what has not been measured; returns all of it."""
    workspace = inventory.workspace
    wanted = column_groups(recipe)
    datasets = {
        name: workspace.dataset("measurements", name, group.fingerprint())
        for name, group in wanted.items()
    }
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
        {group: inventory.layouts[inventory.readers[group]] for group in todo},
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
        for name, dataset in datasets.items():
            dataset.publish(
                records[name].values(),
                {"step": "measure", "columns": name, "version": wanted[name].version},
            )
        step.done(rows=sum(record.rows for record in records["record"].values()))
    return Measured(datasets, records)


@dataclass(frozen=True)
class MeasureTask:
    """Measures one input group; shipped to the executors."""

    workspace: Workspace
    wanted: dict[str, ColumnGroup]
    layouts: dict[int, Layout]
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
            for file_no, split in group_splits(self.workspace, group):
                for batch in read_records(
                    split, self.layouts[group], self.recipe.limits.record_bytes
                ):
                    self._measure(batch, file_no, attempts)
        for column_group, attempt in attempts.items():
            assert attempt.record is not None
            yield column_group, attempt.record

    def _measure(self, batch: pa.RecordBatch, file_no: int, attempts: dict[str, Attempt]) -> None:
        rows_in = batch.num_rows
        content = content_hash(batch.column("text"))
        if self.recipe.sample < 1:
            chosen = pa.array(in_sample(content, self.recipe.sample))
            batch, content = batch.filter(chosen), content.filter(chosen)
        doc = pa.array(doc_numbers(file_no, batch.column("place").to_numpy()))
        for column_group, attempt in attempts.items():
            columns = self._columns(column_group, batch, content)
            attempt.write(pa.table({"doc": doc, **columns}))
            attempt.count("in", rows_in)
            attempt.count("dropped:not_sampled", rows_in - batch.num_rows)
            attempt.count(f"file:{file_no}", batch.num_rows)

    def _columns(
        self, column_group: str, batch: pa.RecordBatch, content: pa.Array
    ) -> dict[str, pa.Array]:
        text = batch.column("text")
        if column_group == "record":
            return record_columns(batch, content)
        if column_group in TEXT_SIGNALS:
            signals = TEXT_SIGNALS[column_group](text)
            return dict(zip(signals.schema.names, signals.columns, strict=True))
        if column_group == "language":
            language = self.recipe.language
            found, score = identify(text, model_path(language.model, language.sha256))
            return {"language": found, "language_score": score}
        fuzzy = self.recipe.dedup.fuzzy
        assert fuzzy
        words = find_words(text)
        return {"bands": band_hashes(words, fuzzy.bands, fuzzy.rows, fuzzy.ngram, fuzzy.seed)}


def record_columns(batch: pa.RecordBatch, content: pa.Array) -> dict[str, pa.Array]:
    """What identifies a record: its content, a hash of its metadata, its size, why it is no document."""
    offsets, _ = text_buffers(batch.column("text"))
    texts = [pc.fill_null(batch.column(name), "") for name in METADATA]
    joined = pc.binary_join_element_wise(*texts, "\x00")
    starts, data = text_buffers(joined)
    view, bounds = data.data, starts.tolist()
    digests = [xxhash.xxh3_64_intdigest(view[a:b]) >> 1 for a, b in itertools.pairwise(bounds)]
    return {
        "content": content,
        "metadata": pa.array(np.array(digests, np.int64)),
        "bytes": pa.array(np.diff(offsets)),
        **{name: batch.column(name) for name in (*METADATA, "reject", "detail")},
    }


def in_sample(content: pa.Array, share: float) -> np.ndarray:
    """Which contents belong to the hash sample of `share`; a larger sample holds every smaller one."""
    return choice(0, "sample", content) < int(share * float(1 << CHOICE_BITS))
