"""A hash sample of the kept documents, drawn on the executors: what vocabularies and classifiers are trained on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline.arrow import fixed_rows
from coursepack.pipeline.documents import CONTENT, doc_numbers
from coursepack.pipeline.hashing import CHOICE_BITS, choice
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.tasks import merge, run_tasks
from coursepack.pipeline.workspace import Dataset, Record, Workspace
from coursepack.stages.decide import Decided
from coursepack.stages.inventory import group_name, group_splits
from coursepack.stages.reader import Reader
from coursepack.stages.records import read_records

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class DrawTask(ABC):
    """Draws the sample of one input group; shipped to the executors.

    Documents have a label, and each label a rate. A document is taken by the hash of its content, so it is in
    the sample however the work is cut, and a smaller sample is part of a larger one.
    """

    schema: ClassVar[pa.Schema]  # of the sample: `order`, `content` and what the sample is for
    salt: ClassVar[str]  # one sample is no part of another
    # where in the order of hashes it is taken: two ends of one salt's have nothing in common while the rates
    # of a label add up to 1 at most
    from_end: ClassVar[bool] = False
    columns: ClassVar[tuple[str, ...]]  # of the decisions, for `labels_of`

    workspace: Workspace
    dataset: Dataset
    decided: Decided
    readers: Mapping[int, Reader]  # by input group
    recipe: Recipe
    rates: Mapping[str, float]  # by label; of a label without one nothing is taken

    @abstractmethod
    def labels_of(self, kept: pa.Table) -> pa.Array:
        """The label (string) of each kept document, from its decision; null for none."""

    @abstractmethod
    def rows(self, chosen: pa.Table, batch: pa.RecordBatch, reader: Reader) -> pa.Table:
        """The sample's rows of records of a batch, and `chosen` of them: see `_chosen`."""

    def __call__(self, group: int) -> Iterator[tuple[str, Record]]:
        name = group_name(group)
        if record := self.dataset.find(name):
            yield "sample", record
            return
        columns = ["doc", "content", "keep", *self.columns]
        chosen = self._chosen(self.decided.dataset.read(self.decided.records[name], columns))
        reader = self.readers[group]
        with self.dataset.attempt(name, self.schema) as out:
            limit = self.recipe.limits.record_bytes
            for rows, batch in chosen_records(self.workspace, group, reader, chosen, limit):
                out.write(self.rows(rows, batch, reader))
        assert out.record is not None
        yield "sample", out.record

    def _chosen(self, decisions: pa.Table) -> pa.Table:
        """(doc, content, label, order, *columns) of the documents to take, ascending by doc."""
        kept = decisions.filter(decisions["keep"])
        label = self.labels_of(kept)
        content = kept["content"].combine_chunks() if kept.num_rows else pa.array([], CONTENT)
        order = choice(self.recipe.seed, self.salt, content)
        codes = label.dictionary_encode(null_encoding="encode")
        rates = [self.rates.get(name, 0.0) for name in codes.dictionary.to_pylist()]
        limits = np.array([int(rate * (1 << CHOICE_BITS)) for rate in rates], np.int64)
        limit = limits[codes.indices.to_numpy()]
        taken = order >= (1 << CHOICE_BITS) - limit if self.from_end else order < limit
        table = pa.table({"doc": kept["doc"], "content": content, "label": label, "order": order})
        for name in self.columns:
            table = table.append_column(name, kept[name])
        return table.filter(pa.array(taken))


def chosen_records(
    workspace: Workspace, group: int, reader: Reader, chosen: pa.Table, limit: int
) -> Iterator[tuple[pa.Table, pa.RecordBatch]]:
    """The rows of `chosen` (by `doc`, ascending) and their records, batch by batch; nothing is read for none."""
    if not chosen.num_rows:
        return
    for file_no, split in group_splits(workspace, group):
        for batch in read_records(split, reader.layout, limit):
            doc = pa.array(doc_numbers(file_no, batch.column("place").to_numpy()))
            at = pc.index_in(doc, value_set=chosen["doc"].combine_chunks())
            hit = pc.is_valid(at)
            yield chosen.take(at.filter(hit)), batch.filter(hit)


def draw(spark: "SparkSession", task: DrawTask) -> dict[str, Record]:
    """Write the sample, a file an input group; returns the records."""
    names = {group_name(group): group for group in task.readers}
    found = task.dataset.records(names)
    bare = {name: record.bare() for name, record in task.decided.records.items()}
    shipped = replace(task, decided=Decided(task.decided.dataset, bare))
    todo = [group for name, group in names.items() if name not in found]
    partitions = task.recipe.execution.partitions
    made = [record for _, record in run_tasks(spark, shipped, todo, partitions)]
    return merge(found, made)


def hash_order(sample: pa.Table) -> np.ndarray:
    """The rows (int64) of a sample in the order of their hashes, which is no order of the files."""
    leading = fixed_rows(sample["content"]).view(">u8").astype(np.uint64)
    return np.lexsort((leading[:, 1], leading[:, 0], sample["order"].to_numpy()))
