"""`coursepack whatif` on millions of documents: how long an answer takes, and how far a sample's is from the truth.

No text is read. Measurements are made up, with the columns and types that measure writes: documents of six sources and
five domains, a fifth of them in clusters of duplicates; and decided on, by the rules of decide. Jobs: `whatif_rule`
(one rule changed), `whatif_curve` (the rule, and a curve of 20 thresholds), both again as `whatif_rule_judged` and
`whatif_curve_judged` (no decisions to read, so that all rules are judged), and `whatif_sample` (the rule on a fifth
more documents than are read exactly, beside the true answer). Each question is asked in a process of its own, as the
command does.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from measuring import Bench, Corpus, Meter, coursepack_version, say

from coursepack.pipeline.documents import DECISIONS, MEASURED_RECORD, PLACE_BITS, SAMPLES
from coursepack.pipeline.recipe import Recipe, parse
from coursepack.pipeline.workspace import Record, Workspace
from coursepack.stages import whatif as stage
from coursepack.stages.catalogue import group_schema
from coursepack.stages.components import COMPONENTS, GROUP
from coursepack.stages.decide import NEAR, Reading, SliceWriter, failed_rules, first_reasons
from coursepack.stages.inventory import Inventory, group_name, take_inventory
from coursepack.stages.measure import datasets_of
from coursepack.stages.published import measurements
from coursepack.stages.rules import rules_of
from coursepack.stages.whatif import Answer, Changes, Yield

SEED = 7
GROUP_DOCUMENTS = 80_000  # of an input group: 256 MB of text
BEYOND = 1.2  # documents of `whatif_sample`, per document of the others
CLUSTERED = 0.2  # share of the documents that have duplicates
SHOWN = 0.002  # share whose first 2 KB measure keeps
# A file is an input group; nothing is in it.
FILE_BYTES, GROUP_BYTES = 7_000_000, 8_000_000
# name, domain, priority, share of the files
SOURCES = (
    ("crawl", "web", 0, 0.45),
    ("forum", "web", 0, 0.15),
    ("books", "books", 2, 0.05),
    ("wiki", "encyclopedia", 3, 0.1),
    ("papers", "science", 1, 0.1),
    ("repos", "code", 1, 0.15),
)
FAMILIES = ("gopher", "repetition", "web", "compression")
RULES = {
    "profiles": ["gopher", "gopher_repetition", "c4", "fineweb"],
    "gibberish": {"drop": "compression_ratio > 0.8"},
    "no_language": {"drop": "language_score < 0.2", "scope": "web"},
}
RULE = Changes(("gopher_too_few_words: words < 80",))
CURVE = Changes(RULE.rules, curve="words: 10..400/20")

# A ratio is low + (high - low) * u ** power with u uniform in [0, 1).
_RATIOS: dict[str, tuple[float, float, float]] = {
    "mean_word_chars": (3.5, 8.0, 1.0),
    "alpha_word_ratio": (1.0, 0.6, 3.0),
    "terminal_punct_line_ratio": (1.0, 0.0, 1.5),
    "language_score": (1.0, 0.0, 4.0),
    "compression_ratio": (0.25, 0.9, 2.0),
    "byte_entropy": (3.0, 6.0, 1.0),
    "mean_line_chars": (5.0, 400.0, 3.0),
}
_OTHER_RATIO = (-0.001, 0.4, 40.0)  # below 0 it is 0, as most are
_COUNTS = {"words": (5.7, 1.2), "sentences": (2.8, 1.0), "stop_words": (1.6, 0.4)}  # lognormal
_OTHER_COUNT = (-2.0, 1.0)
_TEXTS = {
    "language": ("en", "de", "fr", "zh"),
    "second_language": (None, "de"),
    "host": tuple(f"host{n}.example" for n in range(2000)),
    "license_id": (None, "MIT", "Apache-2.0"),
}


@dataclass(frozen=True)
class Made:
    """A workspace of made-up measurements, of `files` files; a recipe may read the first of them."""

    folder: Path
    files: int

    def file(self, number: int) -> Path:
        """It exists, so that an inventory finds it."""
        return self.folder / "in" / f"{number:05d}.jsonl"

    def recipe(self, files: int) -> Recipe:
        """Of the first `files` files."""
        sources = [
            {"name": name, "layout": "jsonl", "domain": domain, "priority": priority}
            | {"paths": [str(self.file(n)) for n in range(files) if source_of(n) == number]}
            for number, (name, domain, priority, _) in enumerate(SOURCES)
        ]
        return parse(
            {
                "name": "benchmark",
                "workspace": str(self.folder / "workspace"),
                "source": [source for source in sources if source["paths"]],
                "signals": {"families": FAMILIES},
                "execution": {"group_bytes": GROUP_BYTES},
                "rules": RULES,
                "tokenizer": {"model": "none"},
                "phase": [{"name": "p", "tokens": 1, "length": 8, "mixture": {"*": 1}}],
            }
        )


def source_of(file: int) -> int:
    """The source of a file: their shares hold among any first files."""
    borders = np.cumsum([share for *_, share in SOURCES])
    spread = (file * 0.6180339887 + 0.05) % 1  # the golden ratio: evenly
    return min(int(np.searchsorted(borders, spread)), len(SOURCES) - 1)


def make(folder: Path, documents: int, group_documents: int = GROUP_DOCUMENTS) -> Made:
    """What curate leaves of BEYOND times as many `documents`: measurements, duplicates and decisions."""
    made = Made(folder, -(-int(documents * BEYOND) // group_documents))
    made.file(0).parent.mkdir(parents=True)
    for number in range(made.files):
        with open(made.file(number), "wb") as out:
            out.truncate(FILE_BYTES)
    few = -(-documents // group_documents)
    workspace = Workspace(str(folder / "workspace"))
    inventories = {n: take_inventory(made.recipe(n), workspace) for n in (few, made.files)}
    docs = _measure(made.recipe(made.files), inventories[made.files], group_documents)
    for number, inventory in inventories.items():
        recipe = made.recipe(number)
        read = np.isin(docs >> PLACE_BITS, list(inventory.sources))
        signals = {name for rule in rules_of(recipe) for name in rule.fires.signals}
        reading = Reading(recipe, inventory, measurements(recipe, inventory, signals))
        clusters = _clusters(docs[read])
        _publish_clusters(reading, clusters)
        _publish_decisions(reading, clusters)
    return made


def _measure(recipe: Recipe, inventory: Inventory, rows: int) -> np.ndarray:
    """Write the column groups that `whatif` reads; returns all documents, ascending (int64)."""
    places = datasets_of(recipe, inventory.workspace)
    schemas = {name: _schema(name) for name in ("record", "language", *FAMILIES)}
    schemas["samples"] = SAMPLES
    written: dict[str, list[Record]] = {name: [] for name in schemas}
    found = []
    for group in inventory.groups:
        [(file_no, _)] = inventory.splits(group)
        chance = np.random.default_rng([SEED, file_no])
        words = _count(chance, rows, *_COUNTS["words"])
        size = (words * chance.uniform(5, 7, rows)).astype(np.int64)
        doc = (file_no << PLACE_BITS) + np.cumsum(size + 200) - size
        found.append(doc)
        given = {"doc": doc, "words": words, "bytes": size, "chars": size}
        for name, schema in schemas.items():
            shown = chance.random(rows) < SHOWN
            columns = {key: values[shown] if name == "samples" else values
                       for key, values in given.items()}  # fmt: skip
            table = _table(schema, chance, columns)
            with places[name].attempt(group_name(group), schema) as out:
                out.write(table)
            assert out.record
            written[name].append(out.record)
    for name, records in written.items():
        places[name].publish(records, {})
    return np.sort(np.concatenate(found))


def _schema(group: str) -> pa.Schema:
    if group == "record":
        return MEASURED_RECORD
    return pa.schema([pa.field("doc", pa.int64(), False), *group_schema(group)])


def _table(schema: pa.Schema, chance: np.random.Generator, given: Mapping[str, np.ndarray]) -> pa.Table:  # fmt: skip
    rows = len(given["doc"])
    columns = [
        pa.array(given[field.name]).cast(field.type) if field.name in given
        else _column(field, chance, rows, given["doc"])
        for field in schema
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=schema)


def _column(field: pa.Field, chance: np.random.Generator, rows: int, doc: np.ndarray) -> pa.Array:
    """Values of the kind that a column of this name and type has."""
    name, kind = field.name, field.type
    if pa.types.is_boolean(kind):
        return pa.array(chance.random(rows) < 0.01)
    if pa.types.is_floating(kind):
        low, high, power = _RATIOS.get(name, _OTHER_RATIO)
        return pa.array(np.maximum(low + (high - low) * chance.random(rows) ** power, 0.0))
    if name in ("metadata", "lot"):
        return pa.array(chance.integers(1 << 62, size=rows))
    if pa.types.is_integer(kind):
        return pa.array(_count(chance, rows, *_COUNTS.get(name, _OTHER_COUNT))).cast(kind)
    if pa.types.is_fixed_size_binary(kind):
        data = chance.bytes(rows * kind.byte_width)
        return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(data)])
    if name in _TEXTS:
        texts = pa.array(_TEXTS[name], pa.string())
        return texts.take(pa.array(np.minimum(chance.zipf(1.5, rows), len(texts)) - 1))
    if name in ("id", "url", "name"):
        pages = pa.array(doc).cast(pa.string())
        return pc.binary_join_element_wise("https://host.example/pages", pages, "/")
    if name == "head":
        return pa.array(["The first two thousand characters of a text. " * 45] * rows)
    return pa.nulls(rows, kind)


def _count(chance: np.random.Generator, rows: int, mean: float, sigma: float) -> np.ndarray:
    found: np.ndarray = chance.lognormal(mean, sigma, rows).astype(np.int64)
    return found


def _clusters(docs: np.ndarray) -> pa.Table:
    """Clusters of 2 to 20, most of them small, of any documents, whatever their sources: COMPONENTS."""
    chance = np.random.default_rng(SEED)
    members = chance.permutation(docs)[: int(len(docs) * CLUSTERED)]
    sizes = np.minimum(chance.zipf(2.5, len(members)) + 1, 20)
    sizes = sizes[: np.searchsorted(np.cumsum(sizes), len(members)) + 1]
    cluster = np.repeat(np.arange(len(sizes)), sizes)[: len(members)]
    least = np.minimum.reduceat(members, np.flatnonzero(np.diff(cluster, prepend=-1)))
    order = np.argsort(members)
    return pa.table([members[order], least[cluster][order]], schema=COMPONENTS)


def _publish_clusters(reading: Reading, clusters: pa.Table) -> None:
    workspace = reading.inventory.workspace
    dataset = workspace.dataset("components", reading.duplicates_fingerprint())
    with dataset.attempt(GROUP, COMPONENTS) as out:
        out.write(clusters)
    assert out.record
    dataset.publish([out.record], {})


def _publish_decisions(reading: Reading, clusters: pa.Table) -> None:
    """What decide says, without Spark: of a cluster the best member that fails no rule stays."""
    rules = rules_of(reading.recipe)
    failed = {}
    eligible = []
    for group in reading.inventory.groups:
        table = _named(reading, group, [n for n in reading.measured.records if n != "record"])
        failed[group] = failed_rules(rules, table)
        passing = table.select(_ORDER[1:]).filter(pa.array(failed[group] == 0))
        eligible.append(passing.join(clusters, "doc", join_type="inner"))
    best = pa.concat_tables(eligible).sort_by([(name, "ascending") for name in _ORDER])
    same = np.diff(best["component"].to_numpy(), prepend=-1) == 0
    lost = best["doc"].filter(pa.array(same)).combine_chunks()
    name = reading.fingerprint(rules)
    dataset = reading.inventory.workspace.dataset("decisions", name)
    records = []
    for group in reading.inventory.groups:
        table = _named(reading, group, ["language"])
        reason = first_reasons(rules, failed[group], table["reject"])
        reason = pc.if_else(pc.is_in(table["doc"], lost), NEAR, reason)
        more = {"failed": pa.array(failed[group]), "reason": reason, "keep": pc.is_null(reason),
                "survivor": pa.nulls(len(reason), pa.int64()), "group": reason}  # fmt: skip
        for column, values in more.items():
            table = table.append_column(column, values)
        decided = table.select([*DECISIONS.names, "group"]).combine_chunks()
        records.append(SliceWriter(dataset)(group_name(group), iter(decided.to_batches())))
    dataset.publish(records, {})


# of the members of a cluster the first in this order is the best
_ORDER = ["component", "rank", "content", "metadata", "source", "doc"]


def _named(reading: Reading, group: int, column_groups: Sequence[str]) -> pa.Table:
    """The records of a group, with columns beside them, source, domain and rank (0 is the highest priority's)."""
    table = reading.measured.read("record", group)
    for name in column_groups:
        more = reading.measured.read(name, group)
        for column in more.schema.names[1:]:
            table = table.append_column(column, more[column])
    [(file_no, _)] = reading.inventory.splits(group)
    source = reading.recipe.source[reading.inventory.sources[file_no]]
    for name, value in (("source", source.name), ("domain", source.domain), ("rank", -source.priority)):  # fmt: skip
        table = table.append_column(name, pa.array([value] * table.num_rows))
    return table


# The questions


@dataclass(frozen=True)
class Asked:
    """An answer, and the seconds it took; the start of the process and its imports are not among them."""

    answer: Answer
    seconds: float


def ask(
    made: Made, files: int, changes: Changes, most: int = stage.MOST_DOCUMENTS, judged: bool = False
) -> Asked:
    """What `whatif` says of the first `files` files; a sample of `most` documents, if they have more.

    Where `judged`, it finds no decisions and judges all rules.
    """
    decisions = (lambda *_: None) if judged else stage.decisions
    with patch.multiple(stage, MOST_DOCUMENTS=most, decisions=decisions):
        start = time.monotonic()
        answer = stage.whatif(made.recipe(files), changes)
        return Asked(answer, time.monotonic() - start)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, in a process of its own, whose memory ends with it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


@dataclass(frozen=True)
class Bounds:
    """How many of the amounts of an estimate are within its bounds: all sources together, and each."""

    total_within: bool
    amounts: int
    within: int


def judge(estimate: Answer, truth: Answer) -> Bounds:
    """What stays, and the change, in documents and bytes. Bounds of 95 % leave some amounts out by design."""
    right = {(y.source, y.domain): y for y in truth.yields}
    each = [_within(y, right[y.source, y.domain]) for y in estimate.yields]
    total = _within(estimate.total, truth.total)
    return Bounds(all(total), sum(map(len, each)), sum(map(sum, each)))


def _within(found: Yield, true: Yield) -> list[bool]:
    then = [
        abs(getattr(found.then, what) - getattr(true.then, what)) <= getattr(found.then_error, what)
        for what in ("documents", "bytes")
    ]
    changes = [
        abs(_change(found, what) - _change(true, what)) <= getattr(found.change_error, what)
        for what in ("documents", "bytes")
    ]
    return then + changes


def _change(of: Yield, what: str) -> int:
    return int(getattr(of.then, what) - getattr(of.now, what))


def measure(at: Bench, made: Made, files: int) -> None:
    """Write the records."""
    most = stage.MOST_DOCUMENTS
    jobs = {
        "whatif_rule": (files, RULE, most, False),
        "whatif_curve": (files, CURVE, most, False),
        "whatif_rule_judged": (files, RULE, most, True),
        "whatif_curve_judged": (files, CURVE, most, True),
    }
    if made.files * GROUP_DOCUMENTS > most:
        jobs["whatif_sample"] = (made.files, RULE, most, False)
    for job, (read, changes, *how) in jobs.items():
        say(job)
        with Meter() as meter:
            asked = apart(ask, made, read, changes, *how)
        counts = {
            "documents": asked.answer.total.read,
            "clustered": CLUSTERED,
            "rules": len(rules_of(made.recipe(read))),
            "answer_s": round(asked.seconds, 3),
            "share": round(asked.answer.share, 4),
            "exact": asked.answer.exact,
            "now": asked.answer.total.now.documents,
            "then": asked.answer.total.then.documents,
            "then_error": asked.answer.total.then_error.documents,
        }
        if job == "whatif_sample":
            truth = apart(ask, made, read, changes, 1 << 62).answer
            counts |= {"then_true": truth.total.then.documents} | asdict(judge(asked.answer, truth))
        at.record(job, "coursepack", coursepack_version(), 0.0, meter.total, **counts)


def main() -> None:
    """Measure as the arguments say."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--documents", type=int, default=stage.MOST_DOCUMENTS, metavar="N")
    arguments.add_argument(
        "--out", type=Path, metavar="FILE.jsonl", help="append the records here too"
    )
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="coursepack-benchmark-") as name:
        folder = Path(name)
        say(f"making up measurements of {int(given.documents * BEYOND):,} documents")
        made = apart(make, folder, given.documents)
        files = -(-given.documents // GROUP_DOCUMENTS)
        corpus = Corpus(folder, ("made-up measurements",), given.documents, 0, 0)
        measure(Bench(corpus, folder, given.out), made, files)


if __name__ == "__main__":
    main()
