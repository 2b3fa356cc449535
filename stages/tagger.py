"""A classifier that tells labels of a corpus' own documents apart, and what it gets wrong.

The labels are the domains that the recipe says of its sources (their `auto` ones are what it is for), or
`positive` and `negative` for documents that selectors choose. Of each label a hash sample of the kept documents is
taken; some of it, chosen by the text that the model reads, is held out and only judged.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline import storage
from coursepack.pipeline.arrow import text_buffers
from coursepack.pipeline.documents import CONTENT
from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.hashing import CHOICE_BITS, choice, content_hash, fingerprint
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.workspace import Dataset
from coursepack.stages.classifiers import normalised
from coursepack.stages.decide import Decided
from coursepack.stages.drawing import DrawTask, draw, hash_order
from coursepack.stages.evaluation import Evaluation, judge
from coursepack.stages.fasttext_training import Training, train_model
from coursepack.stages.inventory import Inventory
from coursepack.stages.labels import Labels
from coursepack.stages.linear import Classifier, load_classifier
from coursepack.stages.reader import Reader
from coursepack.stages.samples import is_restricted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LEAST_DOCUMENTS = 20  # kept, of a label; one with fewer is left out
SAMPLE = pa.schema(
    [
        pa.field("order", pa.int64(), False),
        pa.field("content", CONTENT, False),
        pa.field("label", pa.string(), False),
        pa.field("text", pa.large_string(), False),  # normalised
    ]
)
_BATCH = 1 << 10  # texts normalised at once
_TRAINING = Training()


@dataclass(frozen=True)
class TaggerSettings:
    """What is told apart, from how many documents, and how. Without selectors the labels are domains."""

    positive: tuple[str, ...] = ()  # selectors, such as "wiki", "web[lang=de]" or "*"
    negative: tuple[str, ...] = ()  # of what no positive one selects
    documents: int = 6_000  # of a label, about, held-out ones among them
    held_out: float = 0.2
    training: Training = _TRAINING


@dataclass(frozen=True)
class Trained:
    """A model in the workspace, and what it was made of."""

    url: str
    sha256: str
    size: int  # bytes
    documents: Mapping[str, int]  # label -> documents it was trained on
    evaluation: Evaluation
    left_out: Mapping[str, int] = field(default_factory=dict)  # label -> kept documents, too few

    def to_json(self) -> bytes:
        scores = {
            label: {
                "precision": self.evaluation.precision(label),
                "recall": self.evaluation.recall(label),
                "f1": self.evaluation.f1(label),
            }
            for label in self.evaluation.labels
        }
        more = {"scores": scores, "macro_f1": self.evaluation.macro_f1}
        return orjson.dumps(asdict(self) | more, option=orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, data: bytes) -> "Trained":
        found = orjson.loads(data)
        matrix = tuple(map(tuple, found["evaluation"]["matrix"]))
        found["evaluation"] = Evaluation(tuple(found["evaluation"]["labels"]), matrix)
        return cls(**{name: found[name] for name in cls.__dataclass_fields__})


def train(texts: Iterable[tuple[str, str]], settings: Training = _TRAINING) -> bytes:
    """The file of a model of (label, text) pairs; the same pairs in any order give the same bytes.

    Texts are read as `classifiers.normalised`; empty ones teach nothing. Raises RecipeError where fewer than two
    labels have a text.
    """
    labels, read = _columns(texts)
    order = choice(settings.seed, "tagger", content_hash(read))
    return _train(labels, read, np.lexsort((labels, order)), settings)


def evaluate(texts: Iterable[tuple[str, str]], model: Classifier) -> Evaluation:
    """What a model says of (label, text) pairs; labels are those of both, in alphabetical order."""
    return judge(*_columns(texts), model)


def _columns(texts: Iterable[tuple[str, str]]) -> tuple[np.ndarray, pa.Array]:
    """Labels (an array of str) and normalised texts."""
    labels: list[str] = []
    batch: list[str] = []
    read = []
    for label, text in texts:
        labels.append(label)
        batch.append(text)
        if len(batch) == _BATCH:
            read.append(normalised(pa.array(batch, pa.large_string())))
            batch.clear()
    read.append(normalised(pa.array(batch, pa.large_string())))
    return np.array(labels, np.str_), pa.concat_arrays(read)


def _train(labels: np.ndarray, texts: pa.Array, order: np.ndarray, settings: Training) -> bytes:
    filled = order[np.diff(text_buffers(texts)[0])[order] > 0]
    return train_model(labels[filled].tolist(), texts.take(pa.array(filled)), settings)


def train_tagger(
    spark: "SparkSession",
    recipe: Recipe,
    inventory: Inventory,
    decided: Decided,
    settings: TaggerSettings,
    progress: Progress,
) -> Trained:
    """Train on the kept documents, or find the model that was trained on them.

    Raises RecipeError where a selector selects nothing, or fewer than two labels have LEAST_DOCUMENTS.
    """
    settings = replace(settings, training=replace(settings.training, seed=recipe.seed))
    labels = Labels.of(recipe, settings.positive, settings.negative)
    sizes = labels.sizes(decided)
    folder = inventory.workspace.path(
        "taggers",
        fingerprint(
            {
                "version": 1,
                "settings": asdict(settings),
                "sources": labels.sources,
                "decisions": decided.dataset.url.rsplit("/", 1)[-1],
            }
        ),
    )
    report = storage.join(folder, "report.json")
    with progress.step("tagger", total_tasks=len(inventory.groups)) as step:
        if storage.exists(report):
            step.nothing_new(1)
            return Trained.from_json(storage.read_bytes(report))
        dataset = Dataset(storage.join(folder, "sample"))
        enough = {name: size for name, size in sizes.items() if size >= LEAST_DOCUMENTS}
        _check_labels(enough, sizes)
        with step.spark(spark):
            rates = {name: min(1.0, settings.documents / size) for name, size in enough.items()}
            task = TaggerSample(
                inventory.workspace,
                dataset,
                decided,
                {group: inventory.reader(group) for group in inventory.groups},
                recipe,
                rates,
                labels,
            )
            records = draw(spark, task)
        step.note("training")
        sample = pa.concat_tables([SAMPLE.empty_table(), *map(dataset.read, records.values())])
        left_out = {name: size for name, size in sizes.items() if name not in enough}
        trained = _trained(sample, settings, folder, left_out)
        storage.write_bytes(report, trained.to_json())
        step.done(text=f"{len(trained.evaluation.labels)} labels, {trained.size / 1e6:.1f} MB")
    return trained


def _check_labels(enough: Mapping[str, int], sizes: Mapping[str, int]) -> None:
    if len(enough) < 2:
        found = ", ".join(f"{name} {size}" for name, size in sorted(sizes.items())) or "none"
        raise RecipeError(
            f"a classifier needs two labels or more with {LEAST_DOCUMENTS} kept documents each; there are: {found}; "
            "say the domain of more sources, or select other positive and negative documents"
        )


@dataclass(frozen=True)
class TaggerSample(DrawTask):
    """Draws the documents with a label, normalised for the classifier."""

    schema = SAMPLE
    salt = "tagger"
    columns = ("source", "domain", "language")

    labels: Labels

    def labels_of(self, kept: pa.Table) -> pa.Array:
        return self.labels.column(kept)

    def rows(self, chosen: pa.Table, batch: pa.RecordBatch, reader: Reader) -> pa.Table:
        # what people may not see is no sample: it stays in the workspace
        seen = pc.invert(is_restricted(batch))
        return chosen.filter(seen).append_column(
            "text", normalised(reader.texts(batch.filter(seen)))
        )


def _trained(
    sample: pa.Table, settings: TaggerSettings, folder: str, left_out: Mapping[str, int]
) -> Trained:
    """A model of the sample, in the order of its hashes, and what it says of the documents held out."""
    order = hash_order(sample)
    labels = np.array(sample["label"].to_pylist(), np.str_)
    texts = sample["text"].combine_chunks()
    # by what is read: of texts that differ in numbers alone, none is learnt where another is judged
    chance = choice(settings.training.seed, "tagger held out", content_hash(texts))
    held = chance < int(settings.held_out * float(1 << CHOICE_BITS))
    model = _train(labels, texts, order[~held[order]], settings.training)
    url = storage.join(folder, "model.bin")
    storage.write_bytes(url, model)
    with tempfile.TemporaryDirectory() as local:
        path = Path(local) / "model.bin"
        path.write_bytes(model)
        rows = np.flatnonzero(held)
        evaluation = judge(labels[rows], texts.take(pa.array(rows)), load_classifier(str(path)))
    counts = Counter(labels[~held].tolist())
    return Trained(
        url,
        storage.sha256_of(url),
        len(model),
        dict(sorted(counts.items())),
        evaluation,
        dict(sorted(left_out.items())),
    )
