"""Runs in processes of their own, with kills and delays at chosen places (`hooks/sitecustomize.py`)."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import small_run

from coursepack.pipeline.recipe import Recipe

# each dataset that the tasks of a run write, by a pattern of its URL
DATASETS = {
    "measure": "measurements/record",
    "components": "components",
    "slices": "decisions",
    "lineage": "lineage",
    "sample": "words/.*/groups",
    "words": "words/.*/all",
    "encode": "tokens",
    "pack": "shards/small",
}
HOOKS = str(Path(small_run.__file__).parent / "hooks")
_DRIVER = """\
import sys
from pathlib import Path
from coursepack.jobs.run import run
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.session import local_session, release

spark = local_session("run", 2, "1g", sys.argv[2])
spark.conf.set("spark.sql.shuffle.partitions", "2")
run(Recipe.model_validate_json(Path(sys.argv[1]).read_text()), spark, Progress.console(sys.stderr))
release(spark)
"""


class Strike(NamedTuple):
    """A deed, done once, when a file whose URL matches `pattern` comes to `moment`."""

    name: str
    moment: str  # written, before, after
    pattern: str
    deed: str  # kill process, kill run, kill executor, dawdle


def small_recipe(corpus: Path, workspace: Path) -> Recipe:
    """Less than `small_run.recipe`, with all of its steps: three sources and two phases."""
    made = small_run.recipe(corpus, workspace, execution={"group_bytes": 250_000})
    sources = tuple(s for s in made.source if s.name in ("web", "mirror", "code"))
    phases = (
        made.phase[0],
        made.phase[1].model_copy(update={"mixture": {"web": 0.3, "code": 0.7}}),
    )
    return made.model_copy(update={"source": sources, "phase": phases})


def run_apart(
    recipe: Recipe,
    folder: Path,
    master: str = "local[2,4]",
    strikes: Iterable[Strike] = (),
    settings: Mapping[str, str] | None = None,
) -> int:
    """Run `recipe` in a new session of processes; returns the driver's exit code.

    `folder` takes its log, and a marker for each strike that fell. No process of it is left.
    """
    (folder / "conf").mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(recipe.model_dump_json())
    (folder / "strikes.json").write_text(json.dumps(list(strikes)))
    lines = [f"{key} {value}\n" for key, value in (settings or {}).items()]
    (folder / "conf" / "spark-defaults.conf").write_text("".join(lines))
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [HOOKS, os.environ.get("PYTHONPATH")])),
        "STRIKES": str(folder),
        "SPARK_CONF_DIR": str(folder / "conf"),
    }
    command = [sys.executable, "-c", _DRIVER, str(folder / "recipe.json"), master]
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            return process.wait(timeout=300)
        finally:
            end_session(process.pid)


def end_session(session: int) -> None:
    """Kill what is left of a session, and wait until it is gone."""
    while left := [pid for pid in _processes() if _session_of(pid) == session]:
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _processes() -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal()]


def _session_of(pid: int) -> int | None:
    """None for zombies, and for what has just ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state[0] == "Z" else int(state[3])


def listed(workspace: Path) -> dict[str, list[dict[str, Any]]]:
    """The list of files of each dataset of a workspace, by the dataset's path."""
    return {
        str(path.parent.relative_to(workspace)): pq.read_table(path).to_pylist()
        for path in sorted(workspace.rglob("files.parquet"))
        if path.parent.name != "inventory"
    }


def committed(workspace: Path) -> dict[Path, int]:
    """When each commit record, and the file it is of, was written; words apart, which go once they are learnt."""
    found = {}
    for record in workspace.glob("**/commits/*/*.json"):
        if "words" in record.parts:
            continue
        dataset = record.parents[2]
        for path in (record, dataset / json.loads(record.read_bytes())["path"]):
            found[path] = path.stat().st_mtime_ns
    return found
