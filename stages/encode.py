"""Step 4, encode: text is read for the second time, kept documents only, and becomes token ids.

A task streams an input group again, merges it with its slice of the decisions by `doc`, encodes what is kept,
and writes the tokens sorted by (domain, source, ring), so that a later arc of the curriculum is a
range of row groups.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline.arrow import binary_array, fixed_rows, totals
from coursepack.pipeline.documents import TOKENS, doc_numbers
from coursepack.pipeline.errors import SourceError
from coursepack.pipeline.hashing import choice, content_hash, fingerprint
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.tasks import check_balance, merge, run_tasks, task_count
from coursepack.pipeline.workspace import Dataset, Record, Workspace
from coursepack.stages.decide import Decided
from coursepack.stages.inventory import Inventory, group_name, group_splits
from coursepack.stages.reader import Reader
from coursepack.stages.records import read_records
from coursepack.tokenizers.model import load

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# rows of a tokens file read together: about 16 MB of ids at 1,000 tokens a document
_ROW_GROUP = 4096


@dataclass(frozen=True)
class Encoded:
    """What encode leaves: a tokens file for each input group."""

    dataset: Dataset
    records: dict[str, Record]

    def classes(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """(documents, tokens) by (domain, source, language), from the commit records."""
        totals: dict[tuple[str, str, str], tuple[int, int]] = {}
        for record in self.records.values():
            for key, count in record.counts.items():
                kind, _, rest = key.partition(":")
                if kind in ("documents", "tokens"):
                    domain, source, language = rest.split("/")
                    documents, tokens = totals.get((domain, source, language), (0, 0))
                    more = (count, 0) if kind == "documents" else (0, count)
                    totals[domain, source, language] = (documents + more[0], tokens + more[1])
        return dict(sorted(totals.items()))


def encode(
    spark: "SparkSession",
    recipe: Recipe,
    inventory: Inventory,
    decided: Decided,
    tokenizer: tuple[str, str],
    progress: Progress,
) -> Encoded:
    """Encode the kept documents of each group; `tokenizer` is (URL, sha256).

    A group is encoded again only when what is kept of it changed. Raises SourceError where a file
    no longer holds the text that was measured.
    """
    url, sha256 = tokenizer
    settings = {
        "version": 1,
        "tokenizer": sha256,
        "bos": recipe.tokenizer.bos,
        "eos": recipe.tokenizer.eos,
        "seed": recipe.seed,
    }
    dataset = inventory.workspace.dataset("tokens", fingerprint(settings))
    keys = {
        f"{group_name(g)}-{decided.records[group_name(g)].counts['kept_digest']:016x}": g
        for g in inventory.groups
    }
    found = dataset.records(keys)
    todo = [group for key, group in keys.items() if key not in found]
    task = EncodeTask(
        inventory.workspace,
        dataset,
        decided.dataset,
        {g: decided.records[group_name(g)].bare() for g in todo},
        {g: key for key, g in keys.items()},
        {g: inventory.reader(g) for g in todo},
        recipe,
        url,
        sha256,
    )
    size = sum(inventory.text_bytes[group] for group in todo)
    tasks = task_count(todo, recipe.execution.partitions)
    with progress.step("encode", total_bytes=size, total_tasks=tasks) as step:
        with step.spark(spark):
            made = [
                record for _, record in run_tasks(spark, task, todo, recipe.execution.partitions)
            ]
        found = merge(found, made)
        check_balance("encode", found.values())
        dataset.publish(found.values(), {"step": "encode", **settings})
        step.done(rows=sum(record.rows for record in found.values()))
    return Encoded(dataset, found)


@dataclass(frozen=True)
class EncodeTask:
    """Encodes one input group; shipped to the executors."""

    workspace: Workspace
    dataset: Dataset
    decisions: Dataset
    slices: dict[int, Record]
    keys: dict[int, str]
    readers: dict[int, Reader]
    recipe: Recipe
    tokenizer_url: str
    tokenizer_sha256: str

    def __call__(self, group: int) -> Iterator[tuple[str, Record]]:
        if record := self.dataset.find(self.keys[group]):
            yield "tokens", record
            return
        kept = self.decisions.read(
            self.slices[group], ["doc", "content", "source", "domain", "language", "keep"]
        )
        kept = kept.filter(kept["keep"]).drop_columns(["keep"]).combine_chunks()
        with self.dataset.attempt(self.keys[group], TOKENS, row_group_rows=_ROW_GROUP) as out:
            out.counts["in"] = kept.num_rows
            tokens = self._tokens(group, kept)
            if tokens.num_rows != kept.num_rows:
                missing = kept.num_rows - tokens.num_rows
                raise SourceError(
                    f"group {self.keys[group]}: {missing:,} of {kept.num_rows:,} kept records are no longer "
                    "in their files, which changed while the run was under way; run again "
                    "(a changed file gets a new number and is measured anew)"
                )
            for start in range(0, tokens.num_rows, _ROW_GROUP):
                out.write(tokens.slice(start, _ROW_GROUP))
            count_classes(out, tokens)
        assert out.record is not None
        yield "tokens", out.record

    def _tokens(self, group: int, kept: pa.Table) -> pa.Table:
        """All kept documents of the group with their ids, sorted."""
        reader = self.readers[group]
        encoded = [
            self._encode(batch, file_no, kept, reader)
            for file_no, split in group_splits(self.workspace, group)
            for batch in read_records(split, reader.layout, self.recipe.limits.record_bytes)
        ]
        table = pa.concat_tables([TOKENS.empty_table(), *encoded])
        order = pc.sort_indices(
            table, [(name, "ascending") for name in ("domain", "source", "ring", "doc")]
        )
        return table.take(order)

    def _encode(
        self, batch: pa.RecordBatch, file_no: int, kept: pa.Table, reader: Reader
    ) -> pa.Table:
        settings = self.recipe.tokenizer
        tokenizer = load(self.tokenizer_url, self.tokenizer_sha256, settings)
        doc = doc_numbers(file_no, batch.column("place").to_numpy())
        known = kept["doc"].to_numpy()
        at = np.searchsorted(known, doc)
        hit = at < len(known)
        hit[hit] = known[at[hit]] == doc[hit]
        rows = kept.take(pa.array(at[hit]))
        batch = batch.filter(pa.array(hit))
        self._check_content(batch.column("text"), rows, file_no)
        offsets, ids = tokenizer.encode(
            reader.texts(batch), bos=settings.adds_bos, eos=settings.adds_eos
        )
        content = rows["content"].combine_chunks() if rows.num_rows else pa.array([], pa.binary(16))
        columns = {name: rows[name] for name in ("doc", "content", "source", "domain", "language")}
        return pa.table(
            {
                **columns,
                "ring": pa.array(choice(self.recipe.seed, "ring", content)),
                "tokens": pa.array(np.diff(offsets), pa.int32()),
                "ids": binary_array(offsets * 4, np.ascontiguousarray(ids, np.int32)),
            }
        ).cast(TOKENS)

    def _check_content(self, text: pa.Array, rows: pa.Table, file_no: int) -> None:
        found = fixed_rows(content_hash(text))
        if rows.num_rows and not np.array_equal(found, fixed_rows(rows["content"])):
            raise SourceError(
                f"file number {file_no} changed while the run was under way: a record no longer holds the "
                "text that was measured; run again (the changed file gets a new number and is measured anew)"
            )


def count_classes(out: Any, tokens: pa.Table) -> None:
    """Count documents and tokens by domain/source/language."""
    keys = [tokens["domain"], tokens["source"], tokens["language"]]
    for key, count in totals(keys, "tokens", tokens["tokens"]).items():
        out.count(key, count)
