"""The recipe's tokenizer: the given model, or a vocabulary learned from the words of a sample.

Words are counted where the text is, once an input group; Spark adds the counts up; what the trainer will take is known
before it starts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline import storage
from coursepack.pipeline.errors import TokenizerError
from coursepack.pipeline.hashing import fingerprint
from coursepack.pipeline.progress import Progress, Step
from coursepack.pipeline.recipe import Recipe, TokenizerSettings, Train
from coursepack.pipeline.tasks import merge, run_tasks, table_of, write_runs
from coursepack.pipeline.workspace import Dataset, Record, Workspace
from coursepack.stages.decide import Decided
from coursepack.stages.inventory import Inventory, group_name
from coursepack.stages.sampling import Share, Windows, plan_sample, supply
from coursepack.tokenizers.memory import WordsSize, estimate, free_bytes
from coursepack.tokenizers.model import load
from coursepack.tokenizers.train import Trained, Vocabulary, train_words
from coursepack.tokenizers.words import WORDS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_MOST_BUCKETS, _BUCKET_ROWS = 256, 1 << 22  # files of the counts, and rows that are added up to one
# for each, how many words are as frequent is counted, so that an error can say what would fit
_LEAST = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 70, 100, 200, 500, 1000)


def wanted_vocabulary(settings: Train) -> Vocabulary:
    """What a recipe's table `tokenizer.train` asks the trainer for."""
    return Vocabulary(
        settings.vocabulary,
        settings.preset,
        settings.algorithm,
        settings.symbols,
        settings.reserved,
    )


def get_tokenizer(
    spark: "SparkSession",
    recipe: Recipe,
    inventory: Inventory,
    decided: Decided,
    progress: Progress,
) -> tuple[str, str]:
    """(URL, sha256) of the recipe's tokenizer: the given model, or one trained on the kept documents.

    Raises TokenizerError where the given model is not there or is another than the recipe says, and where training
    would take more memory than there is.
    """
    settings = recipe.tokenizer
    if settings.model is not None:
        return _kept_model(inventory.workspace, settings)
    assert settings.train is not None
    about = {
        "version": 2,
        "seed": recipe.seed,
        "decisions": decided.dataset.url.rsplit("/", 1)[-1],
        "train": settings.train.model_dump(mode="json"),
    }
    url = inventory.workspace.path("tokenizers", fingerprint(about), "tokenizer.model")
    if storage.exists(url):
        with progress.step("tokenizer") as step:
            step.nothing_new()
            step.done(text=f"{load(url).vocab_size:,} pieces")
        return url, load(url).sha256
    # the words of a sample serve vocabularies of any size; they go when there is one, for nothing reads them again
    fewer = settings.train.model_dump(
        mode="json", exclude={"vocabulary", "algorithm", "least_count"}
    )
    words = inventory.workspace.dataset("words", fingerprint(about | {"train": fewer}))
    with progress.step("sample", total_tasks=len(inventory.groups)) as step:
        counted = _sampled(spark, recipe, settings.train, inventory, decided, words, step, progress)
    with progress.step("tokenizer") as step:
        trained = _trained(recipe, settings.train, counted, step, progress)
        storage.write_bytes(url, trained.model)
        storage.remove(words.url)
        step.done(text=f"{load(url).vocab_size:,} pieces, {_gb(trained.peak_bytes)} at the peak")
    return url, load(url).sha256


def _kept_model(workspace: Workspace, settings: TokenizerSettings) -> tuple[str, str]:
    """A given model, copied to where all executors and every later `verify` find it."""
    assert settings.model is not None
    tokenizer = load(settings.model, settings.sha256, settings)
    url = workspace.path("tokenizers", tokenizer.sha256[:20], tokenizer.file_name)
    if not storage.exists(url):
        storage.write_bytes(url, storage.read_bytes(settings.model))
    return url, tokenizer.sha256


def _sampled(
    spark: "SparkSession",
    recipe: Recipe,
    settings: Train,
    inventory: Inventory,
    decided: Decided,
    words: Dataset,
    step: Step,
    progress: Progress,
) -> "Counted":
    readers = {group: inventory.reader(group) for group in inventory.groups}
    with step.spark(spark):
        rates, shares = plan_sample(settings, supply(spark, decided, readers))
        if settings.weights:
            for share in shares:
                if share.is_short:
                    progress.say(_shortage(share))
        bare = Decided(decided.dataset, {n: r.bare() for n, r in decided.records.items()})
        sample = Windows(inventory.workspace, bare, readers, recipe, rates)
        task = CountTask(
            sample, Dataset(storage.join(words.url, "groups")), wanted_vocabulary(settings)
        )
        counted = count_words(spark, task, Dataset(storage.join(words.url, "all")))
    step.done(text=f"{counted.text_bytes / 1e6:,.1f} MB, {counted.size().words:,} different words")
    return counted


def _shortage(share: Share) -> str:
    return (
        f"the vocabulary's sample has {_mb(share.given)} of {share.selector}, not {_mb(share.wanted)}: of the "
        f"{_mb(share.there)} there are, some or all are taken in full, and nothing is taken in their place"
    )


@dataclass(frozen=True)
class CountTask:
    """Counts the words of the sample in one input group; shipped to the executors."""

    sample: Windows
    dataset: Dataset
    vocabulary: Vocabulary

    def __call__(self, group: int) -> Iterator[tuple[str, Record]]:
        name = group_name(group)
        if record := self.dataset.find(name):
            yield "words", record
            return
        counter = self.vocabulary.counter()
        with self.dataset.attempt(name, WORDS, row_group_rows=1 << 20) as out:
            for text in self.sample.texts(group):
                out.count("bytes", pc.sum(pc.binary_length(text)).as_py() or 0)
                counter.add(text)
            for batch in counter.table().to_batches(1 << 20):
                out.write(batch)
        assert out.record is not None
        yield "words", out.record


@dataclass(frozen=True)
class Counted:
    """The words of a sample: each once, in files by a hash of the word."""

    dataset: Dataset
    records: dict[str, Record]
    text_bytes: int  # of the sample

    def size(self, least: int = 1) -> WordsSize:
        """Of the words that are there so often at least; `least` is one of those that were counted, or between them."""
        known = max(each for each in _LEAST if each <= least)
        names = ("words", "characters", "covered")
        sums = (
            sum(record.counts.get(f"{name}:{known}", 0) for record in self.records.values())
            for name in names
        )
        return WordsSize(*sums)

    def table(self, least: int) -> pa.Table:
        """WORDS that are there so often at least."""
        tables = (self.dataset.read(record) for record in self.records.values())
        return pa.concat_tables(t.filter(pc.greater_equal(t["count"], least)) for t in tables)


def count_words(spark: "SparkSession", task: CountTask, dataset: Dataset) -> Counted:
    """Count each input group's words, and add the counts up into `dataset`."""
    from pyspark.sql import functions as F

    if done := dataset.manifest():
        return Counted(dataset, {r.group: r for r in dataset.published()}, done["text_bytes"])
    groups = {group_name(group): group for group in task.sample.readers}
    partitions = task.sample.recipe.execution.partitions
    found = task.dataset.records(groups)
    todo = [group for name, group in groups.items() if name not in found]
    records = merge(found, (record for _, record in run_tasks(spark, task, todo, partitions)))
    buckets = min(1 + sum(r.rows for r in records.values()) // _BUCKET_ROWS, _MOST_BUCKETS)
    parts, shipped = task.dataset, {name: record.bare() for name, record in records.items()}

    def read(group: int) -> Iterator[pa.RecordBatch]:
        for batch in parts.read(shipped[group_name(group)]).to_batches(1 << 16):
            yield batch.cast(_SHUFFLED)

    sums = (
        table_of(spark, list(groups.values()), read, "word binary, count long", partitions)
        .groupBy("word")
        .agg(F.sum("count").alias("count"))
        .withColumn(
            "bucket", F.format_string("words-%03d", F.expr(f"pmod(xxhash64(word), {buckets})"))
        )
    )

    def write(name: str, batches: Iterator[pa.RecordBatch]) -> Record:
        if record := dataset.find(name):
            return record
        with dataset.attempt(name, WORDS, row_group_rows=1 << 20) as out:
            for batch in batches:
                out.write(batch)
                for key, value in _sizes(batch).items():
                    out.count(key, value)
        assert out.record is not None
        return out.record

    made = write_runs(sums, "bucket", write, min(partitions or buckets, buckets), ["word"])
    text_bytes = sum(record.counts.get("bytes", 0) for record in records.values())
    dataset.publish(made, {"text_bytes": text_bytes})
    return Counted(dataset, merge({}, made), text_bytes)


_SHUFFLED = pa.schema([("word", pa.binary()), ("count", pa.int64())])


def _sizes(batch: pa.RecordBatch) -> dict[str, int]:
    """By least count: the words, their characters, and the bytes of text that they cover."""
    word = batch.column("word").cast(pa.string())
    counts = batch.column("count").to_numpy()
    characters = pc.utf8_length(word).to_numpy()
    covered = counts * pc.binary_length(word).to_numpy()
    found = {}
    for least in _LEAST:
        frequent = counts >= least
        found[f"words:{least}"] = int(np.count_nonzero(frequent))
        found[f"characters:{least}"] = int(characters[frequent].sum())
        found[f"covered:{least}"] = int(covered[frequent].sum())
    return found


def _trained(
    recipe: Recipe, settings: Train, counted: Counted, step: Step, progress: Progress
) -> Trained:
    if not counted.size().words:
        raise TokenizerError(
            "no text to train a vocabulary on: no document was kept; look at the reasons in `coursepack stats`"
        )
    wanted = wanted_vocabulary(settings)
    free = recipe.execution.memory or free_bytes()
    size = counted.size(settings.least_count)
    needed = estimate(size, wanted)
    progress.say(
        f"tokenizer: {wanted.pieces:,} pieces from {size.words:,} different words will take about "
        f"{_gb(needed)} of memory; there are {_gb(free)}"
    )
    if needed > free:
        raise TokenizerError(_too_large(counted, settings, wanted, needed, free))
    return train_words(
        counted.table(settings.least_count),
        wanted,
        accept_fewer=recipe.sample < 1,
        progress=lambda said, fraction: _show(step, said, fraction),
    )


def _show(step: Step, said: str, fraction: float | None) -> None:
    step.note(said)
    if fraction is not None:
        step.advance(fraction)


def _too_large(
    counted: Counted, settings: Train, wanted: Vocabulary, needed: int, free: int
) -> str:
    advice = "sample less"
    for least in _LEAST:
        size = counted.size(least)
        if least > settings.least_count and (less := estimate(size, wanted)) <= free:
            out = 100 * (1 - size.covered / counted.size().covered)
            fits = f"{_gb(less)}, {out:.2g} % of the text left out"
            advice = f"set tokenizer.train.least_count = {least} ({fits}), {advice}"
            break
    return (
        f"training {wanted.pieces:,} pieces from {counted.size(settings.least_count).words:,} different words would "
        f"take about {_gb(needed)} of memory, and there are {_gb(free)}; {advice}, or say in execution.memory how much "
        "there is"
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _gb(size: int) -> str:
    return f"{size / 1e9:.2g} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"
