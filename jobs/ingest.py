"""Web archives become documents: a folder of Parquet files that a recipe then reads.

Also an entry point: `spark-submit --py-files coursepack.zip jobs/ingest.py SOURCE... -o FOLDER`.
"""

from typing import TYPE_CHECKING

from coursepack.pipeline.progress import Progress
from coursepack.pipeline.session import session
from coursepack.stages.ingest import Ingested, IngestSettings, check_ingest
from coursepack.stages.ingest import ingest as write_documents

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def ingest(
    settings: IngestSettings,
    spark: "SparkSession | None" = None,
    progress: Progress | None = None,
) -> Ingested:
    """Write the documents that the folder does not hold yet, in the given Spark session or one of its own.

    What is wrong with the settings is said before Spark starts.
    """
    check_ingest(settings)
    with session(spark, name="coursepack ingest") as active:
        return write_documents(active, settings, progress or Progress.silent())


def main() -> None:
    """The command's `ingest`, for spark-submit."""
    from coursepack.jobs.command import submit

    submit("ingest")


if __name__ == "__main__":
    main()
