import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from coursepack.pipeline import session
from coursepack.pipeline.progress import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GIB = 1 << 30


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The limits of a container, on a machine of 8 cores and 64 GB."""
    found: dict[str, str] = {}
    monkeypatch.setattr(session, "_control_group", lambda name: found.get(name, ""))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * GIB // 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    return found


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("", 8), ("max 100000\n", 8), ("150000 100000\n", 1), ("400000 100000\n", 4), ("5 100", 1)],
)
def test_cores_are_those_of_the_container(limits: dict[str, str], quota: str, cores: int) -> None:
    limits["cpu.max"] = quota
    assert session.usable_cores() == cores


@pytest.mark.parametrize(
    ("limit", "cores", "memory"),
    [("", 2, "2048m"), ("max\n", 64, "16384m"), (f"{6 * GIB}\n", 8, "1536m"), ("1000", 2, "1024m")],
)
def test_memory_grows_with_cores_within_a_quarter_of_the_container(
    limits: dict[str, str], limit: str, cores: int, memory: str
) -> None:
    limits["memory.max"] = limit
    assert session.default_memory(cores) == memory


def test_a_session_given_is_left_running(spark: "SparkSession") -> None:
    with session.session(spark) as given:
        assert given is spark
    assert spark.range(3).count() == 3


def test_an_active_session_is_taken_and_left_running(spark: "SparkSession") -> None:
    with session.session(None) as found:
        assert found is spark
    assert spark.range(3).count() == 3


def test_tasks_run_in_this_python_and_are_tried_again(
    spark: "SparkSession", tmp_path: Path
) -> None:
    def fail_once(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        if context is None or context.attemptNumber() == 0:
            raise ValueError("the first attempt")
        (tmp_path / "python").write_text(sys.executable)
        yield from batches

    assert spark.range(0, 4, 1, 1).mapInArrow(fail_once, "id long").count() == 4
    assert (tmp_path / "python").read_text() == sys.executable


def test_progress_counts_real_tasks(spark: "SparkSession") -> None:
    with Progress.silent().step("count", total_tasks=6) as step:
        with step.spark(spark):
            spark.range(0, 6, 1, 6).mapInArrow(lambda batches: batches, "id long").collect()
        assert step.fraction == 1.0
        assert step.counts == "6/6 groups"


OWN = """
import subprocess, sys
from pyspark import SparkContext
from coursepack.pipeline.session import session
for memory in ("512m", "640m"):
    with session(None, "own", cores=1, memory=memory) as spark:
        process = SparkContext._gateway.proc
        heap = spark._jvm.java.lang.Runtime.getRuntime().maxMemory() >> 20
        spark.range(3).selectExpr("id as a").createOrReplaceTempView("t")
        print(heap, spark.sql("select count(*) from t").collect()[0][0])
    assert process.returncode is not None
"""


@pytest.mark.slow
def test_own_sessions_are_quiet_and_leave_nothing(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    work = tmp_path / "work"
    scratch.mkdir()
    work.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", OWN],
        cwd=work,
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    heaps = [line.split() for line in ran.stdout.splitlines()]
    assert [count for _, count in heaps] == ["3", "3"]
    assert int(heaps[0][0]) < 520 < int(heaps[1][0])  # each with a JVM of its own
    # Java's own remark about a module that Spark asks for
    noise = [line for line in ran.stderr.splitlines() if "incubator modules" not in line]
    assert noise == []
    assert list(work.iterdir()) == []
    assert list(scratch.iterdir()) == []


def test_the_temporary_folder_is_not_the_current_one(spark: "SparkSession") -> None:
    warehouse = spark.conf.get("spark.sql.warehouse.dir") or ""
    assert Path(tempfile.gettempdir()) in Path(warehouse.removeprefix("file:")).parents
