"""The jobs by spark-submit, with the package in a zip: nothing of it is installed where they run."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pyspark
import pytest
from separate_run import small_recipe
from small_run import shard_hashes

import coursepack

pytestmark = [pytest.mark.spark, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """What `make zip` builds."""
    folder = tmp_path_factory.mktemp("package")
    pip = [sys.executable, "-m", "pip"]
    wheel = subprocess.run(
        [*pip, "wheel", "-q", "--no-deps", "--wheel-dir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
    )
    if "hatchling" in wheel.stderr:
        pytest.skip("no package index to get the build system from")
    assert wheel.returncode == 0, wheel.stderr
    target = ["--no-deps", "--no-compile", "--target", str(folder / "ship")]
    subprocess.run([*pip, "install", "-q", *target, *folder.glob("*.whl")], check=True)
    command = [sys.executable, "-m", "zipfile", "-c", str(folder / "coursepack.zip"), "coursepack/"]
    subprocess.run(command, cwd=folder / "ship", check=True)
    return folder / "coursepack.zip"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> dict[str, str]:
    """The environment of a machine with all that coursepack needs, but not coursepack.

    Its home cannot be written, as in many containers.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "site").mkdir()
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "coursepack" not in path.name and path.suffix != ".pth":
            (folder / "site" / path.name).symlink_to(path)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    kept = ("PATH", "JAVA_HOME", "TMPDIR", "SPARK_LOCAL_IP")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "PYSPARK_PYTHON": str(python),
        "PYSPARK_DRIVER_PYTHON": str(python),
        "PYTHONPATH": str(folder / "site"),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "HOME": "/proc",
    }


def _toml(value: Any) -> str:
    """Inline TOML: JSON but for tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _recipe(corpus: Path, folder: Path, **changes: Any) -> Path:
    made = small_recipe(corpus, folder / "ws")
    table = made.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | changes
    path = folder / "recipe.toml"
    path.write_text("".join(f"{name} = {_toml(value)}\n" for name, value in table.items()))
    return path


def _submit(
    job: Path, package: Path | str, environment: dict[str, str], *arguments: Path | str
) -> str:
    """Run a job outside the checkout; returns what it printed, progress too: spark-submit joins the two."""
    command = [Path(environment["SPARK_HOME"]) / "bin" / "spark-submit", "--master", "local[2,4]"]
    settings = ["--conf", "spark.ui.enabled=false", "--conf", "spark.sql.shuffle.partitions=2"]
    made = subprocess.run(
        [*command, *settings, "--py-files", package, job, *arguments],
        env=environment,
        cwd=Path(str(package).split(",")[0]).parent,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


def test_a_run(whole, package, elsewhere, tmp_path):
    corpus, undisturbed = whole
    printed = _submit(ROOT / "jobs/run.py", package, elsewhere, _recipe(corpus, tmp_path))
    assert "general" in printed
    assert shard_hashes(tmp_path / "ws") == shard_hashes(undisturbed)


def test_its_parts_one_after_another(whole, package, elsewhere, tmp_path):
    corpus, undisturbed = whole
    recipe = _recipe(corpus, tmp_path)
    assert "near_duplicate" in _submit(ROOT / "jobs/curate.py", package, elsewhere, recipe)
    assert not (tmp_path / "ws/tokenizers").exists()
    printed = _submit(ROOT / "jobs/train_tokenizer.py", package, elsewhere, recipe)
    models = [line for line in printed.splitlines() if line.endswith("/tokenizer.model")]
    assert [Path(model).is_file() for model in models] == [True]
    assert not (tmp_path / "ws/shards").exists()
    compared = [ROOT / "jobs/compare_tokenizers.py", package, elsewhere, models[0]]
    assert "bytes" in _submit(*compared, "--on", recipe)
    _submit(ROOT / "jobs/pack.py", package, elsewhere, recipe)
    assert shard_hashes(tmp_path / "ws") == shard_hashes(undisturbed)


def test_a_signal_of_another_package(whole, package, elsewhere, tmp_path):
    """Ten lines of a user's, shipped beside ours, are a signal that rules name."""
    corpus, _ = whole
    recipe = _recipe(
        corpus,
        tmp_path,
        signals={"python": ["acme_signals:shouting"]},
        rules={"loud": {"scope": "web", "drop": "shouting > 0.03"}},
    )
    both = f"{package},{ROOT / 'tests/acme_signals.py'}"
    printed = _submit(ROOT / "jobs/curate.py", both, elsewhere, recipe, "--allow-code")
    assert "loud" in printed


def test_workers_take_the_package_from_the_zip(spark, package, elsewhere, tmp_path):
    job = tmp_path / "where.py"
    job.write_text(
        "from pyspark.sql import SparkSession\n"
        "import coursepack.stages.words\n"
        "def where(batches):\n"
        "    import pyarrow as pa, coursepack.stages.words as words\n"
        "    yield pa.record_batch([pa.array([words.__file__])], ['file'])\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        "rows = spark.range(1).mapInArrow(where, 'file string').collect()\n"
        "print(coursepack.stages.words.__file__)\n"
        "print(rows[0]['file'])\n"
    )
    printed = _submit(job, package, elsewhere).split()
    assert len(printed) == 2
    assert all("coursepack.zip/coursepack/stages/words.py" in line for line in printed)


def test_the_zip_holds_the_recipes_and_their_texts(package):
    inside = set(zipfile.ZipFile(package).namelist())
    source = Path(coursepack.__file__).parent
    wanted = {
        f"coursepack/{path.relative_to(source)}"
        for folder in ("pipeline", "stages", "tokenizers", "shards", "jobs", "recipes")
        for path in (source / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= inside
    assert {f"coursepack/{folder}/" for folder in ("pipeline", "stages", "jobs")} <= inside
