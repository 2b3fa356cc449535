"""Lineage: from a content to every file and place that holds it.

One narrow shuffle after decide: (content, doc) in buckets of the content's leading bits, sorted. A lookup
opens one bucket. `inventory` turns the file number in `doc` into a URL.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline.arrow import fixed_rows
from coursepack.pipeline.documents import CONTENT
from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.tasks import table_of, write_runs
from coursepack.pipeline.workspace import Dataset, Record
from coursepack.stages.decide import Decided

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LINEAGE = pa.schema([pa.field("content", CONTENT, False), pa.field("doc", pa.int64(), False)])
_BUCKET_ROWS = 1_000_000


def write_lineage(
    spark: "SparkSession", decided: Decided, url: str, partitions: int, progress: Progress
) -> "Lineage":
    """Write the lineage of all decided documents, kept or not, as the dataset at `url`."""
    dataset = Dataset(url)
    rows = sum(record.rows for record in decided.records.values())
    bits = max(0, int(rows // _BUCKET_ROWS)).bit_length()
    names = [bucket_name(number) for number in range(1 << bits)]
    found = dataset.records(names)
    with progress.step("lineage", total_tasks=len(names)) as step:
        if len(found) == len(names):
            step.nothing_new(len(names))
        else:
            with step.spark(spark):
                frame = _located(spark, decided, names, bits, partitions)
                writer = _BucketWriter(dataset)
                made = write_runs(
                    frame, "bucket", writer, partitions or len(names), ["content", "doc"]
                )
            found |= {record.group: record for record in made}
            for name in set(names) - found.keys():
                found[name] = writer(name, iter(()))
            step.done(rows=rows)
        # also when nothing is new: the run that wrote it may have ended before it came here
        dataset.publish(found.values(), {"step": "lineage", "bits": bits})
    return Lineage(dataset, bits)


def _located(
    spark: "SparkSession", decided: Decided, names: Sequence[str], bits: int, partitions: int
) -> "DataFrame":
    """(content, doc, bucket) of all decided documents."""
    groups = sorted(decided.records)

    def read(number: int) -> Iterator[pa.RecordBatch]:
        table = decided.dataset.read(decided.records[groups[number]], ["content", "doc"])
        bucket = pa.array(names).take(pa.array(bucket_of(table["content"], bits)))
        table = table.append_column("bucket", bucket)
        yield from table.cast(_SHUFFLED).to_batches()

    columns = "content binary, doc bigint, bucket string"
    return table_of(spark, range(len(groups)), read, columns, partitions)


_SHUFFLED = pa.schema([("content", pa.binary()), ("doc", pa.int64()), ("bucket", pa.string())])


def bucket_name(number: int) -> str:
    """The name of a bucket in file names and commit records."""
    return f"b{number:05d}"


def bucket_of(content: pa.Array | pa.ChunkedArray, bits: int) -> np.ndarray:
    """The bucket of each content (16 bytes): its `bits` leading bits, at most 16, as int64."""
    leading = fixed_rows(content)[:, :2].astype(np.int64)
    return (leading[:, 0] * 256 + leading[:, 1]) >> (16 - bits)


@dataclass(frozen=True)
class _BucketWriter:
    dataset: Dataset

    def __call__(self, bucket: str, batches: Iterator[pa.RecordBatch]) -> Record:
        if record := self.dataset.find(bucket):
            return record
        with self.dataset.attempt(bucket, LINEAGE) as out:
            for batch in batches:
                out.write(pa.Table.from_batches([batch]).drop_columns(["bucket"]).cast(LINEAGE))
        assert out.record is not None
        return out.record


@dataclass(frozen=True)
class Lineage:
    """Looks up where contents stand."""

    dataset: Dataset
    bits: int

    @classmethod
    def open(cls, url: str) -> "Lineage":
        """A published lineage; raises WorkspaceError when there is none."""
        manifest = Dataset(url).manifest()
        if manifest is None:
            raise WorkspaceError(f"there is no lineage at {url!r}; run `coursepack run` first")
        return cls(Dataset(url), manifest["bits"])

    def docs(self, contents: Sequence[bytes]) -> dict[bytes, list[int]]:
        """The docs of each content, ascending; a content that is nowhere has no entry."""
        wanted = pa.array(sorted(set(contents)), CONTENT)
        numbers = bucket_of(wanted, self.bits)
        records = {record.group: record for record in self.dataset.published()}
        found: dict[bytes, list[int]] = {}
        for number in np.unique(numbers):
            table = self.dataset.read(records[bucket_name(int(number))])
            hits = table.filter(
                pc.is_in(table["content"], wanted.filter(pa.array(numbers == number)))
            )
            for content, doc in zip(
                hits["content"].to_pylist(), hits["doc"].to_pylist(), strict=True
            ):
                found.setdefault(content, []).append(doc)
        return found
