"""One Spark session for all tests that ask for it, and quick property tests."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from coursepack.pipeline.session import local_session, release

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[1]

# no deadlines: the first example compiles kernels, and machines are shared
settings.register_profile("quick", max_examples=30, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for the session is marked, so that `-m "not spark"` needs no Java."""
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)


@pytest.fixture(scope="session")
def spark() -> Iterator["SparkSession"]:
    """The session of a real run, on two cores; started by the first test that asks for it."""
    session = local_session("tests", cores=2, memory="1536m")
    # each shuffle costs a task a partition, and test data is tiny
    session.conf.set("spark.sql.shuffle.partitions", "2")
    yield session
    release(session)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real text and truth beside the checkout; tests that need it are skipped elsewhere."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("no shared data beside the checkout")
    return folder
