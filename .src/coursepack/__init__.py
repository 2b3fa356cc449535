"""Import name of the folders beside it: `coursepack.stages` is `stages/`, and so on."""

from typing import Any

__version__ = "0.1.0"


def run(recipe: Any, **where: Any) -> Any:
    """`coursepack.jobs.run.run`: a whole run, from raw corpora to packed shards.

    Imported here lazily, so that `import coursepack` (and the loader) needs no Spark.
    """
    from coursepack.jobs.run import run as whole_run

    return whole_run(recipe, **where)
