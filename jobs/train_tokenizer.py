"""The second part of a run: a vocabulary, trained on a sample of the documents that were kept.

Also an entry point: `spark-submit --py-files coursepack.zip jobs/train_tokenizer.py recipe.toml`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from coursepack.jobs.run import started
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def train_tokenizer(
    recipe: Recipe | str | Path,
    spark: "SparkSession | None" = None,
    progress: Progress | None = None,
    allow_code: bool = False,
) -> tuple[str, str]:
    """(URL, sha256) of the recipe's SentencePiece model; sources not yet curated are curated first."""
    with started(recipe, spark, progress, allow_code) as work:
        return work.tokenizer(*work.curate())


def main() -> None:
    """The command `tokenizer train`, for spark-submit."""
    from coursepack.jobs.command import submit

    submit("tokenizer", "train")


if __name__ == "__main__":
    main()
