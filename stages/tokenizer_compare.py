"""How tokenizers do on documents that no vocabulary was trained on, as figures by class of document.

The documents are a hash sample of the kept ones. A vocabulary is trained on one end of the order of their
hashes (stages/sampling.py), and this sample is taken from the other end of the same order, so that nothing
is in both as long as training leaves so much. Each task encodes what it drew and writes counts: no text leaves it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline import storage
from coursepack.pipeline.errors import RecipeError, TokenizerError
from coursepack.pipeline.hashing import CHOICE_BITS, fingerprint
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.workspace import Workspace
from coursepack.stages.decide import Decided
from coursepack.stages.drawing import DrawTask, draw
from coursepack.stages.inventory import Inventory
from coursepack.stages.programming import programming_language
from coursepack.stages.reader import Reader
from coursepack.stages.sampling import SALT, Class, plan_sample, windows_from
from coursepack.stages.token_counts import CLASSES, COUNTS, SUMS, count_tokens, merge_counts
from coursepack.tokenizers.cost import Cost
from coursepack.tokenizers.model import load

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_HELD_ROWS = 20_000  # of counts, each of a few hundred pieces or of thousands
ALL = "all"  # the dimension of all documents together


@dataclass(frozen=True)
class Candidate:
    """A tokenizer that takes part."""

    name: str
    url: str
    sha256: str
    pieces: int
    trained_here: bool = False  # on the workspace's sample; of others it is not known on what


@dataclass(frozen=True)
class Figures:
    """What one tokenizer makes of the documents of one class. What has no denominator is None."""

    tokenizer: str  # its name
    by: str  # ALL, or one of CLASSES
    value: str  # of the class; empty for ALL and where unknown
    documents: int
    bytes: int
    tokens: int
    bytes_per_token: float | None
    characters_per_token: float | None
    tokens_per_word: float | None
    split_words: float | None  # share of the words whose tokens are told
    told_words: (
        float | None
    )  # share of the words: 1 unless the tokenizer normalises or has unknowns
    byte_tokens: float | None  # share of the tokens
    unknown_tokens: float | None
    used_pieces: int
    dead_pieces: float  # share of the vocabulary that no token uses
    top: dict[int, float]  # n -> share of the tokens that are the n most frequent pieces


@dataclass(frozen=True)
class Comparison:
    """Tokenizers side by side."""

    on: str
    tokenizers: tuple[Candidate, ...]
    figures: tuple[Figures, ...]  # ALL first; of a class, the values with most text first
    notes: tuple[str, ...]  # what was held out, and what cannot be known
    seen: tuple[str, ...] = ()  # domains of which a vocabulary's sample holds all, others not
    cost: tuple[Cost, ...] = ()  # of each tokenizer, where a model was described

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_candidates(urls: Sequence[str], workspace: Workspace | None = None) -> list[Candidate]:
    """The tokenizers at `urls`, under short names that differ.

    Raises TokenizerError where one cannot be loaded, or is given twice.
    """
    own = _trained_in(workspace) if workspace else set()
    found: list[Candidate] = []
    for url in urls:
        model = load(url)
        if twice := [one for one in found if one.sha256 == model.sha256]:
            raise TokenizerError(
                f"{url!r} is the same tokenizer as {twice[0].url!r}; each is compared once"
            )
        name = _name(url, [one.name for one in found])
        here = model.sha256 in own
        found.append(Candidate(name, url, model.sha256, model.vocab_size, here))
    return found


def _name(url: str, taken: Sequence[str]) -> str:
    """The file's name without its ending; of `tokenizer.*`, which all are called, the folder's."""
    *_, folder, file = ["", *url.rstrip("/").split("/")]
    stem = file.rpartition(".")[0] or file
    name = folder[:8] if stem == "tokenizer" and folder else stem
    return next(n for n in (name, *(f"{name}-{i}" for i in range(2, 1000))) if n not in taken)


def _trained_in(workspace: Workspace) -> set[str]:
    """sha256 of the vocabularies that were trained in a workspace; given ones lie under their own sha256."""
    found = set()
    for url in storage.listing(workspace.path("tokenizers")):
        *_, folder, file = url.split("/")
        if file == "tokenizer.model":
            sha256 = storage.sha256_of(url)
            if not sha256.startswith(folder):
                found.add(sha256)
    return found


@dataclass(frozen=True)
class HeldOut:
    """What is drawn of each class, and the domains of which training left nothing of some class, or of all."""

    rates: Mapping[str, float]  # by domain, source and language, with `/` between
    seen: tuple[str, ...]
    all_seen: bool


def held_out(
    recipes: Iterable[Recipe], supplied: Mapping[Class, int], sample: int, seed: int
) -> HeldOut:
    """About `sample` bytes of the kept documents, of all classes alike, that no recipe of `seed` trains on.

    `supplied` is what `sampling.supply` found. Of a class that some vocabulary's sample takes whole, documents are
    drawn all the same.
    """
    trained = dict.fromkeys(supplied, 0.0)
    for recipe in recipes:
        if recipe.tokenizer.train is None or recipe.seed != seed:
            continue
        try:
            rates, _ = plan_sample(recipe.tokenizer.train, supplied)
        except RecipeError:  # of other sources: no sample of these documents
            continue
        for each, rate in rates.items():
            trained[each] = max(trained[each], rate)
    wanted = min(1.0, sample / max(sum(supplied.values()), 1))
    return HeldOut(
        {
            _label(*each): wanted if rate >= 1 else min(wanted, 1 - rate)
            for each, rate in trained.items()
        },
        tuple(sorted({domain for (domain, _, _), rate in trained.items() if rate >= 1})),
        all(rate >= 1 for rate in trained.values()),
    )


def _label(domain: str, source: str, language: str) -> str:
    return f"{domain}/{source}/{language}"


@dataclass(frozen=True)
class CompareTask(DrawTask):
    """Draws windows from the end of the order that no vocabulary is trained on, and counts their tokens."""

    schema = COUNTS
    salt = SALT
    columns = ("domain", "source", "language")
    from_end = True

    tokenizers: Mapping[str, str]  # sha256 -> URL

    def labels_of(self, kept: pa.Table) -> pa.Array:
        names = (pc.fill_null(kept[name], "") for name in self.columns)
        joined = pc.binary_join_element_wise(*names, "/")
        return pa.concat_arrays([pa.array([], pa.string()), *joined.chunks])

    def rows(self, chosen: pa.Table, batch: pa.RecordBatch, reader: Reader) -> pa.Table:
        if not chosen.num_rows:
            return COUNTS.empty_table()
        whole = 1 << CHOICE_BITS
        rates = (self.rates[label] for label in chosen["label"].to_pylist())
        least = np.array([whole - int(rate * whole) for rate in rates], np.int64)
        edited = reader.texts(batch)
        text, row = windows_from(edited, chosen["order"].to_numpy(), least)
        classes = chosen.select(["domain", "language"]).append_column(
            "programming_language", programming_of(self.recipe, batch, edited)
        )
        models = {sha256: load(url, sha256) for sha256, url in self.tokenizers.items()}
        return count_tokens(models, text, classes.take(pa.array(row)))


def programming_of(recipe: Recipe | None, records: pa.RecordBatch, text: pa.Array) -> pa.Array:
    """The programming language of records, by the recipe's model too where it has one."""
    settings = recipe.signals.programming if recipe else None
    model = None
    if settings is not None:
        from coursepack.stages.linear import load_classifier
        from coursepack.stages.model_files import model_path

        model = load_classifier(model_path(settings.model, settings.sha256))
    return programming_language(records.column("path"), records.column("url"), text, model)


def compare_kept(
    spark: "SparkSession",
    recipe: Recipe,
    inventory: Inventory,
    decided: Decided,
    tokenizers: Sequence[Candidate],
    held: HeldOut,
    progress: Progress,
) -> Comparison:
    """Compare on the kept documents of `recipe`. Counts stay in the workspace: a second time nothing is read.

    The tokenizers' files must be readable where tasks run. Raises TokenizerError where no document is kept.
    """
    code = recipe.signals.programming
    settings = {
        "version": 1,
        "tokenizers": sorted(one.sha256 for one in tokenizers),
        "rates": dict(held.rates),
        "seed": recipe.seed,
        "programming": code and code.model_dump(mode="json"),
        "decisions": decided.dataset.url.rsplit("/", 1)[-1],
    }
    dataset = inventory.workspace.dataset("comparisons", fingerprint(settings))
    with progress.step("compare", total_tasks=len(inventory.groups)) as step:
        with step.spark(spark):
            task = CompareTask(
                inventory.workspace,
                dataset,
                decided,
                {group: inventory.reader(group) for group in inventory.groups},
                recipe,
                held.rates,
                {one.sha256: one.url for one in tokenizers},
            )
            records = draw(spark, task)
        dataset.publish(records.values(), {"step": "compare", **settings})
        found = figures(sum_counts(map(dataset.read, records.values())), tokenizers)
        step.done(rows=found[0].documents)
    notes = [_held_note(found[0], held, recipe.seed), *_training_notes(tokenizers)]
    where, seen = inventory.workspace.url, () if held.all_seen else held.seen
    return Comparison(where, tuple(tokenizers), tuple(found), tuple(notes), seen)


def sum_counts(tables: Iterable[pa.Table]) -> pa.Table:
    """All counts in one table; of many, no more are held than _HELD_ROWS and what they come to."""
    held, rows = [COUNTS.empty_table()], 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        if rows > _HELD_ROWS:
            held, rows = [merge_counts(pa.concat_tables(held))], 0
    return merge_counts(pa.concat_tables(held))


def _held_note(total: Figures, held: HeldOut, seed: int) -> str:
    what = f"{total.documents:,} documents, {total.bytes:,} bytes"
    if held.all_seen:
        return (
            f"{what}, and none held out: the sample of a vocabulary takes all kept documents; lower "
            "tokenizer.train.sample, or compare on other files"
        )
    save = f", save those of {', '.join(held.seen)} (*), which it takes whole" if held.seen else ""
    return (
        f"{what}: a hash sample of the kept documents that the sample of no vocabulary trained here with seed "
        f"{seed} holds{save}"
    )


def _training_notes(tokenizers: Sequence[Candidate]) -> list[str]:
    foreign = [one.name for one in tokenizers if not one.trained_here]
    if not foreign:
        return []
    return [f"not trained in this workspace, so these texts may have been in the training of "
            f"{', '.join(foreign)}"]  # fmt: skip


def figures(counts: pa.Table, tokenizers: Sequence[Candidate]) -> list[Figures]:
    """Figures of COUNTS: of all documents first, then by each of CLASSES; of a value, in the tokenizers' order.

    Documents whose programming language is unknown are no code, and are in no class of that. Raises
    TokenizerError where there is no document.
    """
    if not counts.num_rows:
        raise TokenizerError(
            "no documents to compare on: none was kept or drawn; take a larger --sample, or look at "
            "`coursepack stats --funnel`"
        )
    parts = {
        one.name: counts.filter(pc.equal(counts["tokenizer"], one.sha256)) for one in tokenizers
    }
    sizes = {one.name: one.pieces for one in tokenizers}
    found = [_figures(name, ALL, "", part, sizes[name]) for name, part in parts.items()]
    for by in CLASSES:
        values = next(iter(parts.values())).group_by(by).aggregate([("bytes", "sum")])
        ranked = sorted(values.to_pylist(), key=lambda row: (-row["bytes_sum"], row[by] or ""))
        for value in (row[by] for row in ranked):
            if value is None and by == "programming_language":
                continue
            for name, part in parts.items():
                same = pc.is_null(part[by]) if value is None else pc.equal(part[by], value)
                found.append(_figures(name, by, value or "", part.filter(same), sizes[name]))
    return found


def _figures(name: str, by: str, value: str, part: pa.Table, pieces: int) -> Figures:
    sums = {column: int(pc.sum(part[column]).as_py() or 0) for column in SUMS}
    ids = pc.list_flatten(part["pieces"]).to_numpy()
    times = np.bincount(ids, pc.list_flatten(part["times"]).to_numpy(), pieces).astype(np.int64)
    running = np.cumsum(np.sort(times)[::-1])
    tokens, words, told = sums["tokens"], sums["words"], sums["told_words"]
    used = int(np.count_nonzero(times))
    return Figures(
        name,
        by,
        value,
        sums["documents"],
        sums["bytes"],
        tokens,
        _ratio(sums["bytes"], tokens),
        _ratio(sums["characters"], tokens),
        _ratio(tokens, words),
        _ratio(sums["split_words"], told),
        _ratio(told, words),
        _ratio(sums["byte_tokens"], tokens),
        _ratio(sums["unknown_tokens"], tokens),
        used,
        1 - used / pieces,
        {n: int(running[n - 1]) / tokens for n in _steps(pieces) if tokens},
    )


def _ratio(count: int, of: int) -> float | None:
    return count / of if of else None


def _steps(pieces: int) -> Iterable[int]:
    """1, 2, 5, 10, ... and the vocabulary's size."""
    scale = 1
    while scale < pieces:
        yield from (n for n in (scale, 2 * scale, 5 * scale) if n < pieces)
        scale *= 10
    yield pieces
