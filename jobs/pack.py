"""The third part of a run: encode, compose, pack, report. What the first two parts left is used.

Also an entry point: `spark-submit --py-files coursepack.zip jobs/pack.py recipe.toml`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from coursepack.jobs.run import started
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.stages.report import Report

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def pack(
    recipe: Recipe | str | Path,
    spark: "SparkSession | None" = None,
    progress: Progress | None = None,
    allow_code: bool = False,
) -> Report:
    """Pack `recipe`'s shards; returns the report. What is not curated or trained yet is made first."""
    with started(recipe, spark, progress, allow_code) as work:
        inventory, decided = work.curate()
        return work.pack(inventory, decided, work.tokenizer(inventory, decided))


def main() -> None:
    """The command's `pack`, for spark-submit."""
    from coursepack.jobs.command import submit

    submit("pack")


if __name__ == "__main__":
    main()
