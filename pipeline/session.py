"""The Spark session of a run on one machine: quiet, bounded in memory, and gone without a trace.

On a cluster the session belongs to whoever submitted the job and is passed in.
"""

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from coursepack.pipeline.java import ensure_java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SCRATCH = "spark.coursepack.scratch"  # where `release` finds the folder to remove

# Errors on one line. Two loggers are off: they print the stack trace of each attempt of a failed
# task, which the exception in Python repeats. One has a level of its own, so that it does not announce
# that it sets one.
_LOG4J = """\
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = spark %p %c{1}: %m%n%ex{short.message}
logger.executor.name = org.apache.spark.executor.Executor
logger.executor.level = off
logger.tasks.name = org.apache.spark.scheduler.TaskSetManager
logger.tasks.level = off
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = error
"""

# The texts are not the JVM's work, and on small corpora compiling its own classes is most of what it does: the
# optimising compiler waits for methods and loops that run fifty times as often as by default, which those over
# millions of documents soon do. The other two spare collections that run beside the tasks, on the same cores.
_JAVA_OPTIONS = (
    "-XX:Tier4InvocationThreshold=250000 -XX:Tier4MinInvocationThreshold=30000 "
    "-XX:Tier4CompileThreshold=750000 -XX:Tier4BackEdgeThreshold=2000000 "
    "-XX:+UseParallelGC -XX:MetaspaceSize=256m"
)


@contextlib.contextmanager
def session(
    spark: "SparkSession | None",
    name: str = "coursepack",
    cores: int | None = None,
    memory: str | None = None,
    master: str | None = None,
) -> "Iterator[SparkSession]":
    """The session given, or else the active one, left running; without either one of our own.

    Our own (see `local_session`) is stopped at the end, with its JVM.
    """
    from pyspark.sql import SparkSession

    found = spark if spark is not None else SparkSession.getActiveSession()
    if found is not None:
        yield found
        return
    own = local_session(name, cores, memory, master)
    try:
        yield own
    finally:
        release(own)


def local_session(
    name: str, cores: int | None = None, memory: str | None = None, master: str | None = None
) -> "SparkSession":
    """A new Spark session on this machine, or on `master`.

    `cores` is the number of tasks at a time (default: the cores this process may use), `memory` the
    heap of the JVM ("2g"; default: 1 GB and 512 MB a core, at most a quarter of the machine's). Each
    task has a Python process of its own beside it. Raises CoursepackError when there is no Java.
    """
    cores = cores or usable_cores()
    # 4 attempts a task: from the second on a task halves its batches, and local[n] gives only one
    master = master or f"local[{cores},4]"
    _set_environment(master)
    scratch = Path(tempfile.mkdtemp(prefix="coursepack-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)  # of a session never released
    (scratch / "log4j2.properties").write_text(_LOG4J)

    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(master).appName(name)
    for key, value in _settings(cores, memory or default_memory(cores), scratch).items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def release(spark: "SparkSession") -> None:
    """Stop a session of `local_session`, end its JVM and remove its temporary folder.

    A stopped session's JVM would keep its heap until this process ends, and would give the next
    session the old heap size.
    """
    from pyspark import SparkContext

    scratch = spark.sparkContext.getConf().get(_SCRATCH)
    gateway = SparkContext._gateway
    spark.stop()
    process: subprocess.Popen[bytes] | None = getattr(gateway, "proc", None)
    if gateway is not None and process is not None and process.stdin is not None:
        gateway.shutdown()
        process.stdin.close()  # the JVM ends when its standard input does
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        SparkContext._gateway = SparkContext._jvm = None
    if scratch:
        shutil.rmtree(scratch, ignore_errors=True)


def usable_cores() -> int:
    """The cores this process may use: its CPU affinity, and the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = _control_group("cpu.max").split()  # "150000 100000": 1.5 cores; "max 100000": no quota
    if len(quota) == 2 and quota[0].isdecimal():
        cores = min(cores, max(1, int(quota[0]) // int(quota[1])))
    return cores


def default_memory(cores: int) -> str:
    """The JVM's heap: 1 GB and 512 MB a core, at most a quarter of the machine or container."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _control_group("memory.max").strip()
    if limit.isdecimal():
        machine = min(machine, int(limit))
    return f"{max(1024, min(1024 + 512 * cores, machine // 4 >> 20))}m"


def _control_group(name: str) -> str:
    """A limit of the container (cgroup v2); empty where there is none."""
    try:
        return Path("/sys/fs/cgroup", name).read_text()
    except OSError:
        return ""


def _set_environment(master: str) -> None:
    ensure_java()
    # Spark would take the `python3` on PATH, which may lack our packages
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if master.startswith("local"):
        # the address of the host's name may be unreachable: laptops, VPNs, containers
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")


def _settings(cores: int, memory: str, scratch: Path) -> dict[str, str]:
    return {
        _SCRATCH: str(scratch),
        # must be known before the JVM starts
        "spark.driver.memory": memory,
        # else Spark announces its own log profile and warns of what is missing on any laptop
        "spark.driver.extraJavaOptions": (
            f'-Dlog4j2.configurationFile="{scratch / "log4j2.properties"}" {_JAVA_OPTIONS}'
        ),
        # our progress replaces both; the UI costs up to 1 s of the start and a port
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # spilled and shuffled data: TMPDIR, which Java does not look at
        "spark.local.dir": tempfile.gettempdir(),
        # else Spark makes `spark-warehouse` in the current folder
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        # compiled kernels, vocabularies and language models stay loaded from task to task
        "spark.python.worker.reuse": "true",
        # a kernel that crashes its process says where
        "spark.sql.execution.pyspark.udf.faulthandler.enabled": "true",
        # the widest rows, tokens of a document, are 100 KB and more: a batch stays near 32 MB where
        # Spark (4.1 and newer) counts bytes, and below a few hundred where it counts rows
        "spark.sql.execution.arrow.maxRecordsPerBatch": "4096",
        "spark.sql.execution.arrow.maxBytesPerBatch": str(32 << 20),
        # Spark's 200 are too many for one machine; adaptive execution merges the small ones
        "spark.sql.shuffle.partitions": str(max(8, 4 * cores)),
        "spark.sql.adaptive.enabled": "true",
        # times are written as they are, wherever the machine stands
        "spark.sql.session.timeZone": "UTC",
    }
