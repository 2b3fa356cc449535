"""What the tests of kills, clusters and submitted jobs compare with."""

import pytest
from separate_run import small_recipe
from small_run import write_corpus

from coursepack.jobs.run import run


@pytest.fixture(scope="session")
def whole(spark, tmp_path_factory):
    """The corpus, and the workspace of an undisturbed run on two cores, in this process."""
    folder = tmp_path_factory.mktemp("whole")
    write_corpus(folder / "corpus", parts=1)
    run(small_recipe(folder / "corpus", folder / "ws"), spark)
    return folder / "corpus", folder / "ws"
