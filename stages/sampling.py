"""The text that a vocabulary is learned from: windows of the kept documents, drawn by domain and language.

Deduplicated and edited text, as encode will see it. A document is cut into windows of 64 KB from its beginning to its
end, and each window is drawn by a hash of its own: of a book as large a share is taken as of a thousand pages, and
from all of its length. A window is in the sample however the work is cut, and a smaller sample is part of a larger one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from coursepack.pipeline.arrow import binary_array, row_classes, text_buffers
from coursepack.pipeline.documents import CONTENT
from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.hashing import CHOICE_BITS, choice, choices
from coursepack.pipeline.recipe import Recipe, Selector, Train
from coursepack.pipeline.tasks import table_of
from coursepack.pipeline.workspace import Workspace
from coursepack.stages.compose import matches
from coursepack.stages.decide import Decided
from coursepack.stages.drawing import chosen_records
from coursepack.stages.inventory import group_name
from coursepack.stages.reader import Reader

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WINDOW_BYTES = 1 << 16
# of the hash that orders documents; a text's first window is drawn by it, the others by hashes of it
SALT = "tokenizer"
Class = tuple[str, str, str]
"""The domain, source and language of documents; of an unknown language ''."""


@dataclass(frozen=True)
class Share:
    """What a weight asks for and gets, in bytes; `there` is what its selector selects."""

    selector: str
    wanted: int
    there: int
    given: int

    @property
    def is_short(self) -> bool:
        """Whether it gets less than it asks for; by a byte a class it may be rounding."""
        return self.given < 0.999 * self.wanted


def supply(
    spark: "SparkSession", decided: Decided, groups: Mapping[int, Reader]
) -> dict[Class, int]:
    """Bytes of the kept documents by class."""
    from pyspark.sql import functions as F

    dataset, records = decided.dataset, {n: r.bare() for n, r in decided.records.items()}
    columns = ["domain", "source", "language"]

    def read(group: int) -> Iterator[pa.RecordBatch]:
        table = dataset.read(records[group_name(group)], [*columns, "bytes", "keep"])
        sums = table.filter(table["keep"]).group_by(columns).aggregate([("bytes", "sum")])
        yield from sums.rename_columns([*columns, "bytes"]).to_batches()

    schema = "domain string, source string, language string, bytes long"
    rows = (
        table_of(spark, list(groups), read, schema).groupBy(*columns).agg(F.sum("bytes")).collect()
    )
    return {(row[0], row[1], row[2] or ""): row[3] for row in sorted(rows, key=str)}


def plan_sample(
    settings: Train, supplied: Mapping[Class, int]
) -> tuple[dict[Class, float], list[Share]]:
    """The share of each class to draw, for `settings.sample` bytes in all; and what each weight gets.

    What a selector cannot supply is not taken from others. Raises RecipeError where one selects nothing.
    """
    total = sum(settings.weights.values())
    weights = {t: w / total for t, w in settings.weights.items()} or {"*": 1.0}
    rates: dict[str, float] = {}
    selected: dict[str, list[Class]] = {}
    for text, weight in weights.items():
        selector = Selector.parse(text)
        selected[text] = [
            each for each, size in supplied.items() if size and matches(selector, *each)
        ]
        if not selected[text]:
            if not settings.weights:
                return {}, []  # nothing was kept
            raise RecipeError(_selects_nothing(selector, supplied))
        rates[text] = settings.sample * weight / sum(supplied[each] for each in selected[text])
    asked = {
        each: sum(rates[text] for text in weights if each in selected[text]) for each in supplied
    }
    taken = {each: min(1.0, rate) for each, rate in asked.items() if rate}
    shares = [
        Share(
            text,
            round(settings.sample * weight),
            sum(supplied[each] for each in selected[text]),
            round(sum(supplied[e] * rates[text] * taken[e] / asked[e] for e in selected[text])),
        )
        for text, weight in weights.items()
    ]
    return taken, shares


def _selects_nothing(selector: Selector, supplied: Mapping[Class, int]) -> str:
    of_name = [each for each in supplied if matches(Selector(name=selector.name), *each)]
    if of_name:
        languages = sorted({language or "(unknown)" for _, _, language in of_name})
        there = f"its languages are {', '.join(languages)}"
    else:
        names = sorted({name for domain, source, _ in supplied for name in (domain, source)})
        there = f"there are the domains and sources {', '.join(names) or '(none)'}"
    return f"tokenizer.train.weights: {str(selector)!r} selects no kept document; {there}"


@dataclass(frozen=True)
class Windows:
    """Draws the sample's texts of an input group; shipped to the executors."""

    workspace: Workspace
    decided: Decided
    readers: Mapping[int, Reader]  # by input group
    recipe: Recipe
    rates: Mapping[Class, float]

    def texts(self, group: int) -> Iterator[pa.Array]:
        """The drawn windows, as large_string columns."""
        columns = ["doc", "content", "bytes", "keep", "domain", "source", "language"]
        decisions = self.decided.dataset.read(self.decided.records[group_name(group)], columns)
        chosen = self._chosen(decisions.filter(decisions["keep"]))
        reader, limit = self.readers[group], self.recipe.limits.record_bytes
        for rows, batch in chosen_records(self.workspace, group, reader, chosen, limit):
            text, row, number = windows(reader.texts(batch))
            chance = choices(rows["order"].to_numpy()[row], number)
            yield text.filter(pa.array(chance < rows["limit"].to_numpy()[row]))

    def _chosen(self, kept: pa.Table) -> pa.Table:
        """(doc, order, limit) of the documents of which a window is drawn."""
        row, classes = row_classes(kept.select(["domain", "source", "language"]))
        keys = zip(*(column.to_pylist() for column in classes.columns), strict=True)
        rates = [self.rates.get((d, s, language or ""), 0.0) for d, s, language in keys]
        limits = np.array([int(rate * (1 << CHOICE_BITS)) for rate in rates], np.int64)
        limit = limits[row] if len(limits) else np.zeros(0, np.int64)
        content = kept["content"].combine_chunks() if kept.num_rows else pa.array([], CONTENT)
        order = choice(self.recipe.seed, SALT, content)
        row, number = _parts(kept["bytes"].to_numpy())
        drawn = choices(order[row], number) < limit[row]
        hit = np.bincount(row, drawn, kept.num_rows) > 0
        table = pa.table({"doc": kept["doc"], "order": order, "limit": limit})
        return table.filter(pa.array(hit))


def _parts(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each window of texts of so many bytes: its text, and its number in the text (int64)."""
    count = np.maximum(-(-sizes // WINDOW_BYTES), 1)
    text = np.repeat(np.arange(len(sizes)), count)
    return text, np.arange(len(text)) - np.repeat(np.cumsum(count) - count, count)


def windows(text: pa.Array) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """All windows of the texts as large_string, and of each its text and its number in the text (int64).

    A text of n bytes is cut into n / `WINDOW_BYTES`, rounded up, windows of about one length: at the first line that
    begins in the half window behind each place, or else at a code point.
    """
    offsets, data = text_buffers(text)
    row, number = _parts(np.diff(offsets))
    cuts = offsets
    if len(row) > len(offsets) - 1:
        counts = np.bincount(row, minlength=len(offsets) - 1).tolist()
        bounds = zip(offsets[:-1].tolist(), offsets[1:].tolist(), counts, strict=True)
        cuts = np.array([*(at for a, b, n in bounds for at in _cuts(data, a, b, n)), offsets[-1]])
    return binary_array(cuts, data, pa.large_string()), row, number


def windows_from(
    text: pa.Array, order: np.ndarray, least: np.ndarray
) -> tuple[pa.Array, np.ndarray]:
    """The windows whose choice is `least` (int64, one a text) or more, of texts chosen for by `order`; and their texts'
    numbers: the end of the order that no sample of up to `least` reaches."""
    found, row, number = windows(text)
    taken = choices(order[row], number) >= least[row]
    return found.filter(pa.array(taken)), row[taken]


def _cuts(data: np.ndarray, start: int, end: int, count: int) -> Iterator[int]:
    """Where the `count` windows of data[start:end] begin."""
    yield start
    for number in range(1, count):
        place = start + (end - start) * number // count
        behind = data[place - 1 : place + WINDOW_BYTES // 2 - 1].tobytes().find(b"\n")
        if behind >= 0:
            place += behind
        else:
            while place < end and data[place] & 0xC0 == 0x80:
                place += 1
        yield place
