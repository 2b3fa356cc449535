"""Where a run is computed changes no byte: one core, two, or a cluster where tasks run twice."""

import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest
from separate_run import HOOKS, Strike, end_session, run_apart, small_recipe
from small_run import shard_hashes

pytestmark = [pytest.mark.spark, pytest.mark.slow]

# a copy of each task that takes more than two seconds; Spark starts it on another host only
SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "200ms",
    "spark.speculation.multiplier": "1.1",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.task.duration.threshold": "2s",
    "spark.executor.memory": "1g",
    "spark.executor.cores": "1",
}


@pytest.mark.parametrize("master", ["local[1]", "local-cluster[2,1,1024]"])
def test_one_core_or_executors_of_their_own(whole, tmp_path, master):
    corpus, undisturbed = whole
    made = small_recipe(corpus, tmp_path / "ws")
    code = run_apart(made, tmp_path / "run", master, [], SPECULATION)
    shutil.rmtree(Path(pyspark.__file__).parent / "work", ignore_errors=True)  # of local-cluster
    assert code == 0, (tmp_path / "run/log").read_text()
    assert shard_hashes(tmp_path / "ws") == shard_hashes(undisturbed)


@pytest.fixture
def cluster(spark, tmp_path) -> Iterator[str]:
    """A Spark master and two workers of one core; yields the master's URL.

    Not `local-cluster`, whose workers share a host: there, Spark never runs a task twice at a time.
    """
    daemons: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> Path:
        command = Path(pyspark.__file__).parent / "bin" / "spark-class"
        environment = os.environ | {
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_NO_DAEMONIZE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [HOOKS, os.environ.get("PYTHONPATH")])),
            "STRIKES": str(tmp_path / "run"),  # executors inherit it
        }
        log = tmp_path / f"{name}.log"
        with log.open("w") as out:
            daemons.append(
                subprocess.Popen(
                    [command, f"org.apache.spark.deploy.{name}", "--webui-port", "0", *arguments],
                    env=environment,
                    cwd=tmp_path,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            )
        return log

    try:
        log = start("master.Master", "--host", "127.0.0.1", "--port", "0")
        url = _wait_for(log, r"Starting Spark master at (\S+)")
        for host in ("127.0.0.2", "127.0.0.3"):
            folder = tmp_path / f"work-{host}"
            start("worker.Worker", "-h", host, "-c", "1", "-m", "2g", "-d", str(folder), url)
        _wait_for(log, r"(?s)Registering worker.*(Registering worker)")
        yield url
    finally:
        for daemon in daemons:
            end_session(daemon.pid)
            daemon.wait()


def _wait_for(log: Path, pattern: str) -> str:
    """What the log says, once it does."""
    for _ in range(600):
        if found := re.search(pattern, log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_a_cluster_where_tasks_run_twice_and_an_executor_dies(whole, cluster, tmp_path):
    corpus, undisturbed = whole
    strikes = [
        Strike("slow-measure", "after", "measurements/record/.*/commits/", "dawdle"),
        Strike("slow-encode", "before", "tokens/.*/commits/", "dawdle"),
        Strike("slow-pack", "before", "shards/small/commits/", "dawdle"),
        Strike("executor", "after", "shards/small/commits/", "kill executor"),
    ]
    made = small_recipe(corpus, tmp_path / "ws")
    code = run_apart(made, tmp_path / "run", cluster, strikes, SPECULATION)
    assert code == 0, (tmp_path / "run/log").read_text()
    assert [s.name for s in strikes if not (tmp_path / "run" / s.name).exists()] == []
    written = Counter(
        path.name.split("-")[0] for path in (tmp_path / "ws/tokens").glob("*/g*.parquet")
    )
    assert max(written.values()) > 1  # a group was encoded by two tasks
    assert shard_hashes(tmp_path / "ws") == shard_hashes(undisturbed)
