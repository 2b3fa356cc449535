"""Fuzzy deduplication: its speed, and its recall and precision where the truth is known.

Jobs: `session` (the start of Spark), `fuzzy_dedup` (read the text, hash it, find components, choose
survivors, write the ids kept) and, with `--truth PREFIX`, `dedup_truth` for each threshold.
PREFIX.docs.jsonl.zst is then the corpus, and PREFIX.pairs.jsonl.zst holds its pairs {a, b, jaccard},
exact over sets of word 5-grams.

Only what deduplication needs is metered; the other signals, without which coursepack decides
nothing, are measured off the meter in between.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from measuring import (
    Bench,
    Meter,
    Used,
    bench,
    coursepack_version,
    open_compressed,
    parser,
    read_records,
    say,
)
from whole import compile_kernels, recipe_for

from coursepack.pipeline.errors import CoursepackError
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.session import local_session, release
from coursepack.pipeline.tasks import run_tasks
from coursepack.pipeline.workspace import Workspace
from coursepack.stages.check import check
from coursepack.stages.decide import EXACT, NEAR, Decided, decide
from coursepack.stages.families import column_groups
from coursepack.stages.inventory import Inventory, take_inventory
from coursepack.stages.measure import Measured, MeasureTask, measure
from coursepack.stages.minhash import candidate_probability

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Pair = tuple[str, str, float]  # two ids and their Jaccard similarity
THRESHOLDS = (0.7, 0.8, 0.9)
NEEDED = ("record", "bands")  # the column groups that deduplication reads
NGRAM = 5  # words in a shingle of the truth
LEAST_SHINGLES = 5  # documents with fewer are outside the truth


@dataclass(frozen=True)
class Deduplicated:
    """What a run of deduplication took, and left."""

    session: Used
    measuring: Used
    deciding: Used
    dropped: dict[str, int]  # by reason
    kept: frozenset[str]


@dataclass(frozen=True)
class Judgement:
    """Documents removed, judged by the pairs at or over a threshold."""

    ideal_removed: int  # what keeping one document a cluster would remove
    recall: float | None  # share of those that are gone
    precision: float | None  # share of the removed that resemble another document
    strict_precision: float | None  # share of the removed that resemble a document that was kept


def deduplicate(recipe: Recipe, kept: Path) -> Deduplicated:
    """Run what deduplication needs of `recipe` in a Spark session of its own; writes the ids kept."""
    check(recipe)
    workspace = Workspace(recipe.workspace)
    ids = set()
    with Meter() as meter:
        spark = local_session("coursepack benchmark")
        try:
            session = meter.lap()
            inventory = take_inventory(recipe, workspace, spark.sparkContext.defaultParallelism)
            _measure_needed(spark, recipe, inventory)
            measuring = meter.lap()
            measured = measure(spark, recipe, inventory, Progress.silent())
            meter.lap()
            decided = decide(spark, recipe, inventory, measured, Progress.silent())
            with open_compressed(kept) as out:
                for name in _kept_ids(measured, decided, inventory.groups):
                    out.write(orjson.dumps({"id": name}) + b"\n")
                    ids.add(name)
            deciding = meter.lap()
        finally:
            release(spark)
    dropped: dict[str, int] = {}
    for row in decided.funnel():
        if row["reason"]:
            dropped[row["reason"]] = dropped.get(row["reason"], 0) + row["documents"]
    return Deduplicated(session, measuring, deciding, dropped, frozenset(ids))


def _measure_needed(spark: "SparkSession", recipe: Recipe, inventory: Inventory) -> None:
    wanted = {name: group for name, group in column_groups(recipe).items() if name in NEEDED}
    readers = {group: inventory.reader(group) for group in inventory.groups}
    task = MeasureTask(inventory.workspace, wanted, readers, recipe)
    run_tasks(spark, task, inventory.groups, recipe.execution.partitions)


def _kept_ids(measured: Measured, decided: Decided, groups: Iterable[int]) -> Iterator[str]:
    """The ids of the kept documents, one input group after the other; both tables are sorted by doc."""
    for group, record in zip(sorted(groups), decided.records.values(), strict=True):
        keep = decided.dataset.read(record, ["keep"])["keep"]
        ids = measured.read("record", group, ["id"])["id"]
        yield from ids.filter(keep).to_pylist()


def judge(documents: Collection[str], kept: Collection[str], pairs: Iterable[Pair],
          threshold: float) -> Judgement:  # fmt: skip
    """Judge the `kept` of `documents` by their `pairs` of at least `threshold`.

    recall = 1 - (kept - clusters among the kept) / (documents - clusters among all): clusters are connected
    components, so what is asked for is what transitive clustering at the threshold would remove.
    """
    everything, left = set(documents), set(kept) & set(documents)
    gone = everything - left
    close = [(a, b) for a, b, jaccard in pairs
             if jaccard >= threshold and a in everything and b in everything]  # fmt: skip
    ideal = redundant(close)
    still = redundant([(a, b) for a, b in close if a in left and b in left])
    paired = {name for pair in close for name in pair}
    replaced = {a for a, b in close if b in left} | {b for a, b in close if a in left}
    return Judgement(
        ideal,
        1 - still / ideal if ideal else None,
        len(gone & paired) / len(gone) if gone else None,
        len(gone & replaced) / len(gone) if gone else None,
    )


def redundant(edges: Iterable[tuple[str, str]]) -> int:
    """Nodes less connected components: how many to remove to leave one of each component."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := parent.setdefault(name, name)) != name:
            parent[name] = name = parent[above]
        return name

    joined = 0
    for a, b in edges:
        left, right = root(a), root(b)
        parent[left] = right
        joined += left != right
    return joined


def expected_recall(pairs: Iterable[Pair], threshold: float, bands: int, rows: int) -> float | None:
    """The share of pairs at or over `threshold` that the S-curve of `bands` x `rows` finds."""
    found = [candidate_probability(j, bands, rows) for _, _, j in pairs if j >= threshold]
    return sum(found) / len(found) if found else None


def in_truth(text: str) -> bool:
    """Whether a document has enough different shingles to take part in the truth."""
    words = re.findall(r"\w+", text.lower())
    shingles = {tuple(words[k : k + NGRAM]) for k in range(len(words) - NGRAM + 1)}
    return len(shingles) >= LEAST_SHINGLES


def record(at: Bench, recipe: Recipe, found: Deduplicated, truth: Path | None) -> None:
    """Write the record of the run, and with a truth one for each threshold."""
    fuzzy = recipe.dedup.fuzzy
    assert fuzzy
    used = found.measuring + found.deciding
    at.record("session", "coursepack", coursepack_version(), 0.0, found.session)
    counts = {
        "ngram": fuzzy.ngram,
        "bands": fuzzy.bands,
        "rows": fuzzy.rows,
        "documents": at.corpus.documents,
        "exact": found.dropped.get(EXACT, 0),
        "near": found.dropped.get(NEAR, 0),
        "compiled": True,
    }
    at.record(
        "fuzzy_dedup", "coursepack", coursepack_version(), at.corpus.mb, used,
        measure_cpu_s=round(found.measuring.cpu_s, 3),
        decide_cpu_s=round(found.deciding.cpu_s, 3), **counts,
    )  # fmt: skip
    if truth is None:
        return
    documents = {record["id"] for part in at.corpus.parts for record in read_records(part)
                 if in_truth(record["text"])}  # fmt: skip
    pairs = [(row["a"], row["b"], row["jaccard"]) for row in read_records(truth)]
    say(f"{'threshold':>9}{'recall':>9}{'expected':>9}{'precision':>10}{'strict':>9}")
    for threshold in THRESHOLDS:
        verdict = judge(documents, found.kept, pairs, threshold)
        row: Mapping[str, Any] = {
            "threshold": threshold,
            "recall": _rounded(verdict.recall),
            "recall_expected": _rounded(expected_recall(pairs, threshold, fuzzy.bands, fuzzy.rows)),
            "precision": _rounded(verdict.precision),
            "strict_precision": _rounded(verdict.strict_precision),
            "judged": len(documents),
            "removed": len(documents - found.kept),
            "ideal_removed": verdict.ideal_removed,
        }
        at.record("dedup_truth", "coursepack", coursepack_version(), at.corpus.mb, used,
                  **row, **counts)  # fmt: skip
        shown = (row[n] for n in ("recall", "recall_expected", "precision", "strict_precision"))
        say(f"{threshold:>9}" + "".join(f"{value!s:>9}" for value in shown))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def main() -> None:
    """Measure as the arguments say."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--truth", metavar="PREFIX", help="of PREFIX.docs.jsonl.zst and PREFIX.pairs.jsonl.zst"
    )
    arguments.add_argument(
        "--kept", type=Path, metavar="FILE.jsonl.zst", help="leave the ids kept here"
    )
    given = arguments.parse_args()
    files, truth = given.corpus, None
    if given.truth:
        if files:
            arguments.error("--truth brings its own corpus; leave --corpus out")
        files = [Path(given.truth + ".docs.jsonl.zst")]
        truth = Path(given.truth + ".pairs.jsonl.zst")
        if missing := [path.name for path in (*files, truth) if not path.is_file()]:
            arguments.error(f"--truth: there is no file {missing[0]!r} beside that prefix")
    with bench(files, given.out) as at:
        try:
            compile_kernels(at.folder / "small")
            say("deduplicating")
            recipe = recipe_for(at.corpus, at.folder / "run", rules={})
            found = deduplicate(recipe, given.kept or at.folder / "kept.jsonl.zst")
        except CoursepackError as error:
            raise SystemExit(f"error: {error}") from error
        record(at, recipe, found, truth)


if __name__ == "__main__":
    main()
