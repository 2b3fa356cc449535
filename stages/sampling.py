"""The text a vocabulary is trained on: a hash sample of the kept documents, weighted by domain.

Deduplicated and filtered text, as encode will see it. Of a long document one window is taken, at a place
that its hash chooses, so that no book outweighs a thousand pages.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline import storage
from coursepack.pipeline.arrow import fixed_rows, text_buffers
from coursepack.pipeline.documents import CONTENT, doc_numbers
from coursepack.pipeline.errors import RecipeError, TokenizerError
from coursepack.pipeline.hashing import CHOICE_BITS, choice, fingerprint
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe, Train
from coursepack.pipeline.tasks import merge, run_tasks
from coursepack.pipeline.workspace import Dataset, Record, Workspace
from coursepack.stages.decide import Decided
from coursepack.stages.inventory import Inventory, group_name, group_splits
from coursepack.stages.reader import Reader
from coursepack.stages.records import read_records
from coursepack.tokenizers.model import load
from coursepack.tokenizers.train import train

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WINDOW_BYTES = 1 << 16
SAMPLE = pa.schema(
    [
        pa.field("order", pa.int64(), False),
        pa.field("content", CONTENT, False),
        pa.field("text", pa.string(), False),
    ]
)


def get_tokenizer(
    spark: "SparkSession",
    recipe: Recipe,
    inventory: Inventory,
    decided: Decided,
    progress: Progress,
) -> tuple[str, str]:
    """(URL, sha256) of the recipe's tokenizer: the given model, or one trained on the kept documents.

    Raises TokenizerError where the given model is not there or is another than the recipe says.
    """
    settings = recipe.tokenizer
    if settings.model is not None:
        return _kept_model(inventory.workspace, settings.model, settings.sha256)
    assert settings.train is not None
    folder = inventory.workspace.path(
        "tokenizers",
        fingerprint(
            {
                "version": 1,
                "train": settings.train.model_dump(mode="json"),
                "seed": recipe.seed,
                "decisions": decided.dataset.url.rsplit("/", 1)[-1],
            }
        ),
    )
    url = storage.join(folder, "tokenizer.model")
    with progress.step("tokenizer", total_tasks=len(inventory.groups)) as step:
        if storage.exists(url):
            step.nothing_new(1)
        else:
            dataset = Dataset(storage.join(folder, "sample"))
            with step.spark(spark):
                records = draw_sample(spark, recipe, settings.train, inventory, decided, dataset)
            step.note("training")
            model = train(
                sample_texts(dataset, records),
                settings.train.vocabulary,
                settings.train.preset,
                accept_fewer=recipe.sample < 1,
            )
            storage.write_bytes(url, model)
        # text, restricted text too, that nothing reads again
        storage.remove(storage.join(folder, "sample"))
        tokenizer = load(url)
        step.done(text=f"{tokenizer.vocab_size:,} pieces")
    return url, tokenizer.sha256


def _kept_model(workspace: Workspace, model: str, sha256: str | None) -> tuple[str, str]:
    """A given model, copied to where all executors and every later `verify` find it."""
    found = load(model, sha256).sha256
    url = workspace.path("tokenizers", found[:20], "tokenizer.model")
    if not storage.exists(url):
        storage.write_bytes(url, storage.read_bytes(model))
    return url, found


def draw_sample(
    spark: "SparkSession",
    recipe: Recipe,
    settings: Train,
    inventory: Inventory,
    decided: Decided,
    dataset: Dataset,
) -> dict[str, Record]:
    """Write the sample, a file an input group; returns the records."""
    names = {group_name(group): group for group in inventory.groups}
    found = dataset.records(names)
    task = SampleTask(
        inventory.workspace,
        dataset,
        Decided(decided.dataset, {n: record.bare() for n, record in decided.records.items()}),
        {group: inventory.reader(group) for group in inventory.groups},
        recipe,
        sample_rates(settings, decided),
    )
    todo = [group for name, group in names.items() if name not in found]
    made = [record for _, record in run_tasks(spark, task, todo, recipe.execution.partitions)]
    return merge(found, made)


def sample_rates(settings: Train, decided: Decided) -> dict[str, float]:
    """Share of each domain's kept documents to take, for `settings.sample` bytes in all.

    Raises RecipeError where a weight names a domain that keeps nothing.
    """
    sizes: dict[str, int] = {}
    for row in decided.funnel():
        if not row["reason"]:
            sizes[row["domain"]] = sizes.get(row["domain"], 0) + row["bytes"]
    if unknown := sorted(settings.weights.keys() - sizes.keys()):
        raise RecipeError(
            f"tokenizer.train.weights names {unknown[0]!r}, a domain without kept documents; "
            f"there are {', '.join(sorted(sizes)) or 'none'}"
        )
    weights = settings.weights or {domain: float(size) for domain, size in sizes.items()}
    total = sum(weights.values())
    return {
        domain: min(1.0, settings.sample * weight / total / sizes[domain])
        for domain, weight in weights.items()
        if sizes[domain]
    }


@dataclass(frozen=True)
class SampleTask:
    """Draws the sample of one input group; shipped to the executors."""

    workspace: Workspace
    dataset: Dataset
    decided: Decided
    readers: Mapping[int, Reader]
    recipe: Recipe
    rates: Mapping[str, float]

    def __call__(self, group: int) -> Iterator[tuple[str, Record]]:
        name = group_name(group)
        if record := self.dataset.find(name):
            yield "sample", record
            return
        slice_ = self.decided.dataset.read(
            self.decided.records[name], ["doc", "content", "domain", "keep"]
        )
        chosen = self._chosen(slice_)
        reader = self.readers[group]
        with self.dataset.attempt(name, SAMPLE) as out:
            if chosen.num_rows:
                for file_no, split in group_splits(self.workspace, group):
                    limit = self.recipe.limits.record_bytes
                    for batch in read_records(split, reader.layout, limit):
                        out.write(_taken(batch, file_no, chosen, reader))
        assert out.record is not None
        yield "sample", out.record

    def _chosen(self, decisions: pa.Table) -> pa.Table:
        """(doc, content, order) of the documents to take, ascending by doc."""
        kept = decisions.filter(decisions["keep"])
        content = kept["content"].combine_chunks() if kept.num_rows else pa.array([], CONTENT)
        order = choice(self.recipe.seed, "tokenizer", content)
        codes = kept["domain"].combine_chunks().dictionary_encode()
        limits = [
            int(self.rates.get(d.as_py(), 0.0) * (1 << CHOICE_BITS)) for d in codes.dictionary
        ]
        taken = order < np.array(limits or [0], np.int64)[codes.indices.to_numpy()]
        return (
            kept.select(["doc", "content"])
            .append_column("order", pa.array(order))
            .filter(pa.array(taken))
        )


def _taken(batch: pa.RecordBatch, file_no: int, chosen: pa.Table, reader: Reader) -> pa.Table:
    """The chosen documents of a batch, long ones cut to a window."""
    doc = pa.array(doc_numbers(file_no, batch.column("place").to_numpy()))
    at = pc.index_in(doc, value_set=chosen["doc"].combine_chunks())
    hit = pc.is_valid(at)
    rows = chosen.take(at.filter(hit))
    text = windows(reader.texts(batch.filter(hit)), rows["order"].to_numpy())
    return pa.table({"order": rows["order"], "content": rows["content"], "text": text})


def windows(text: pa.Array, order: np.ndarray) -> pa.Array:
    """Each text, or of one above `WINDOW_BYTES` a window at a place that `order` (int64) chooses.

    A window is whole code points, from the first line that begins in its first half.
    """
    offsets, data = text_buffers(text)
    if not len(text) or int(np.diff(offsets).max()) <= WINDOW_BYTES:
        return text
    texts = []
    for start, end, chance in zip(
        offsets[:-1].tolist(), offsets[1:].tolist(), order.tolist(), strict=True
    ):
        if end - start > WINDOW_BYTES:
            start += chance % (end - start - WINDOW_BYTES)
            piece = data[start : start + WINDOW_BYTES].tobytes()
            piece = piece[max(piece.find(b"\n", 0, WINDOW_BYTES // 2), 0) :]
        else:
            piece = data[start:end].tobytes()
        texts.append(piece.decode("utf-8", "ignore"))
    return pa.array(texts, pa.string())


def sample_texts(dataset: Dataset, records: Mapping[str, Record]) -> Iterator[str]:
    """The sample's texts in the order of their hashes; raises TokenizerError when there are none."""
    table = pa.concat_tables([SAMPLE.empty_table(), *(dataset.read(r) for r in records.values())])
    if not table.num_rows:
        raise TokenizerError(
            "no text to train a vocabulary on: no document was kept; look at the reasons in `coursepack stats`"
        )
    leading = fixed_rows(table["content"].combine_chunks()).view(">u8").astype(np.uint64)
    order = np.lexsort((leading[:, 1], leading[:, 0], table["order"].to_numpy()))
    texts = table["text"].cast(pa.large_string()).combine_chunks()
    for row in order.tolist():
        yield texts[row].as_py()
