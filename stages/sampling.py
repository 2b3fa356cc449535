"""The text a vocabulary is trained on: a hash sample of the kept documents, weighted by domain.

Deduplicated and filtered text, as encode will see it. Of a long document one window is taken, at a place
that its hash chooses, so that no book outweighs a thousand pages.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from coursepack.pipeline import storage
from coursepack.pipeline.arrow import text_buffers
from coursepack.pipeline.documents import CONTENT
from coursepack.pipeline.errors import RecipeError, TokenizerError
from coursepack.pipeline.hashing import fingerprint
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe, TokenizerSettings, Train
from coursepack.pipeline.workspace import Dataset, Record, Workspace
from coursepack.stages.decide import Decided
from coursepack.stages.drawing import DrawTask, draw, hash_order
from coursepack.stages.inventory import Inventory
from coursepack.stages.reader import Reader
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
        return _kept_model(inventory.workspace, settings)
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
                task = SampleTask(
                    inventory.workspace,
                    dataset,
                    decided,
                    {group: inventory.reader(group) for group in inventory.groups},
                    recipe,
                    sample_rates(settings.train, decided),
                )
                records = draw(spark, task)
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


def _kept_model(workspace: Workspace, settings: TokenizerSettings) -> tuple[str, str]:
    """A given model, copied to where all executors and every later `verify` find it."""
    assert settings.model is not None
    tokenizer = load(settings.model, settings.sha256, settings)
    url = workspace.path("tokenizers", tokenizer.sha256[:20], tokenizer.file_name)
    if not storage.exists(url):
        storage.write_bytes(url, storage.read_bytes(settings.model))
    return url, tokenizer.sha256


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


class SampleTask(DrawTask):
    """Draws the text for a vocabulary: the labels are domains, and long documents are cut to a window."""

    schema = SAMPLE
    salt = "tokenizer"
    columns = ("domain",)

    def labels_of(self, kept: pa.Table) -> pa.Array:
        return pa.concat_arrays([pa.array([], pa.string()), *kept["domain"].chunks])

    def rows(self, chosen: pa.Table, batch: pa.RecordBatch, reader: Reader) -> pa.Table:
        text = windows(reader.texts(batch), chosen["order"].to_numpy())
        return chosen.append_column("text", text)


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
    texts = table["text"].cast(pa.large_string()).combine_chunks()
    for row in hash_order(table).tolist():
        yield texts[row].as_py()
