"""Runs in processes of their own, with kills and delays at chosen places (`hooks/sitecustomize.py`)."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import small_run

from coursepack.pipeline.recipe import Recipe

_DRIVER = """\
import sys
from coursepack.jobs.run import run
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.session import local_session, release
from pathlib import Path

recipe = Recipe.model_validate_json(Path(sys.argv[1]).read_text())
spark = local_session("run", 2, "1g", sys.argv[2])
run(recipe, spark)
release(spark)
"""


class Strike(NamedTuple):
    """A deed, done once, when a file whose URL matches `pattern` comes to `moment`."""

    name: str
    moment: str  # written, before, after
    pattern: str
    deed: str  # kill process, kill run, kill executor, dawdle


def run_apart(
    recipe: Recipe,
    folder: Path,
    master: str = "local[2,4]",
    strikes: Iterable[Strike] = (),
    settings: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `recipe` in a new session of processes; `folder` takes its files, and a marker for each strike.

    No process of it is left when this returns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(recipe.model_dump_json())
    (folder / "strikes.json").write_text(json.dumps(list(strikes)))
    (folder / "conf").mkdir(exist_ok=True)
    lines = [f"{key} {value}" for key, value in (settings or {}).items()]
    (folder / "conf" / "spark-defaults.conf").write_text("\n".join(lines))
    hooks = str(Path(small_run.__file__).parent / "hooks")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([hooks, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "STRIKES": str(folder),
        "SPARK_CONF_DIR": str(folder / "conf"),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    command = [sys.executable, "-c", _DRIVER, str(folder / "recipe.json"), master]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            code = process.wait(timeout=300)
        finally:
            end_session(process.pid)
    return subprocess.CompletedProcess(command, code, (folder / "log").read_text())
