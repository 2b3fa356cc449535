"""A whole run: inventory, measure, decide, tokenizer, encode, compose, pack, report.

Also an entry point: `spark-submit --py-files coursepack.zip jobs/run.py recipe.toml`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from coursepack.pipeline import storage
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe, load
from coursepack.pipeline.session import session
from coursepack.pipeline.workspace import Workspace
from coursepack.stages.check import check
from coursepack.stages.compose import compose
from coursepack.stages.decide import Decided, decide
from coursepack.stages.encode import encode
from coursepack.stages.inventory import Inventory, take_inventory
from coursepack.stages.lineage import write_lineage
from coursepack.stages.measure import Failures, measure
from coursepack.stages.pack import pack
from coursepack.stages.report import Report, make_report, write_report
from coursepack.stages.vocabulary import get_tokenizer
from coursepack.tokenizers.model import load as load_model

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass
class Run:
    """One run under way: its recipe, Spark session and progress, and what its steps have left."""

    recipe: Recipe
    spark: "SparkSession"
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    edits: dict[str, int] = field(default_factory=dict)
    failures: dict[str, Failures] = field(default_factory=dict)  # of code that makes signals

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.recipe.workspace)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note the wall time of a step."""
        start = time.monotonic()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - start

    def curate(self) -> tuple[Inventory, Decided]:
        """Inventory, measure, decide."""
        with self.timed("inventory"):
            parallel = self.spark.sparkContext.defaultParallelism
            inventory = take_inventory(self.recipe, self.workspace, parallel)
        with self.timed("measure"):
            measured = measure(self.spark, self.recipe, inventory, self.progress)
            self.edits, self.failures = measured.edits(), measured.failures()
        with self.timed("decide"):
            decided = decide(self.spark, self.recipe, inventory, measured, self.progress)
            write_lineage(
                self.spark,
                decided,
                self.workspace.path("lineage", decided.dataset.url.rsplit("/", 1)[-1]),
                self.recipe.execution.partitions,
                self.progress,
            )
        return inventory, decided

    def tokenizer(self, inventory: Inventory, decided: Decided) -> tuple[str, str]:
        """Train the tokenizer, or load the given one."""
        with self.timed("tokenizer"):
            return get_tokenizer(self.spark, self.recipe, inventory, decided, self.progress)

    def pack(self, inventory: Inventory, decided: Decided, tokenizer: tuple[str, str]) -> Report:
        """Encode, compose, pack, report."""
        result = self.workspace.path("shards", self.recipe.name)
        model = load_model(*tokenizer, self.recipe.tokenizer)
        with self.timed("encode"):
            encoded = encode(self.spark, self.recipe, inventory, decided, tokenizer, self.progress)
        with self.timed("compose"):
            composition = compose(self.spark, self.recipe, encoded, self.progress)
        about = {
            "decisions": decided.dataset.url.rsplit("/", 1)[-1],
            "tokens": encoded.dataset.url.rsplit("/", 1)[-1],
            "tokenizer_url": tokenizer[0],
        }
        with self.timed("pack"):
            records = pack(
                self.spark, self.recipe, encoded, composition, model, result, about, self.progress
            )
        report = make_report(
            self.recipe,
            decided,
            encoded,
            composition,
            records,
            model.vocab_size,
            result,
            self.seconds,
            self.edits,
            self.failures,
        )
        write_report(report, self.workspace.path("report", self.recipe.name))
        return report


def run(
    recipe: Recipe | str | Path,
    spark: "SparkSession | None" = None,
    progress: Progress | None = None,
    allow_code: bool = False,
) -> Report:
    """Do all of `recipe` (or the one at a path), in the given Spark session or one of its own.

    What a former run of the same settings finished is not done again. `allow_code` lets the functions be
    loaded that a recipe file names in `signals.python`.
    """
    with started(recipe, spark, progress, allow_code) as work:
        inventory, decided = work.curate()
        return work.pack(inventory, decided, work.tokenizer(inventory, decided))


@contextmanager
def started(
    recipe: Recipe | str | Path,
    spark: "SparkSession | None" = None,
    progress: Progress | None = None,
    allow_code: bool = False,
) -> Iterator[Run]:
    """A checked recipe with a Spark session: the given one, or one that ends with the block."""
    chosen = recipe if isinstance(recipe, Recipe) else load(recipe, allow_code)
    check(chosen)
    _keep(chosen)
    with session(spark, name=f"coursepack {chosen.name}") as active:
        yield Run(chosen, active, progress or Progress.silent())


def _keep(recipe: Recipe) -> None:
    """Leave the recipe in the workspace, for the commands that look at results."""
    url = Workspace(recipe.workspace).path("recipes", recipe.name + ".json")
    storage.write_bytes(url, recipe.model_dump_json(indent=1).encode())


def main() -> None:
    """The command's `run`, for spark-submit."""
    from coursepack.jobs.command import submit

    submit("run")


if __name__ == "__main__":
    main()
