"""The first part of a run: inventory, measure, decide. Every document gets keep, or a reason.

Also an entry point: `spark-submit --py-files coursepack.zip jobs/curate.py recipe.toml`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from coursepack.jobs.run import started
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def curate(
    recipe: Recipe | str | Path,
    spark: "SparkSession | None" = None,
    progress: Progress | None = None,
    allow_code: bool = False,
) -> list[dict[str, Any]]:
    """Curate `recipe`'s sources; returns the funnel: documents and bytes by source, domain, reason."""
    with started(recipe, spark, progress, allow_code) as work:
        _, decided = work.curate()
        return decided.funnel()


def main() -> None:
    """The command's `curate`, for spark-submit."""
    from coursepack.jobs.command import submit

    submit("curate")


if __name__ == "__main__":
    main()
