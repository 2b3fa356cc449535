"""Compiled kernels are found again while nothing that they hold has changed, in folders and in zips."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import coursepack
from coursepack.pipeline.kernel_cache import sources

MODULES = {
    "coursepack.stages.a": b"from coursepack.stages.b import X\n",
    "coursepack.stages.b": b"def f():\n    from coursepack.pipeline import (\n        c,\n        d,\n    )\n",
    "coursepack.pipeline.c": b"from coursepack.stages.a import g\nfrom numba import njit\n",
    "coursepack.pipeline.d": b"",
    "coursepack.pipeline.e": b"",
}


@pytest.mark.parametrize(
    ("changed", "stale"),
    [("stages.a", True), ("stages.b", True), ("pipeline.c", True), ("pipeline.d", True), ("pipeline.e", False)],
)  # fmt: skip
def test_a_kernel_is_stale_when_what_it_may_hold_changes(changed: str, stale: bool) -> None:
    other = MODULES | {f"coursepack.{changed}": b"X = 1\n" + MODULES[f"coursepack.{changed}"]}
    before = sources("coursepack.stages.a", MODULES.get)
    assert (sources("coursepack.stages.a", other.get) != before) == stale


CONSTANTS = "LIMIT = {}\n"
KERNEL = """
from numba import njit
from coursepack.stages.constants import LIMIT

@njit(cache=True)
def limit():
    return LIMIT
"""
CALL = """
from coursepack.stages.kernel import limit
print(limit(), sum(limit.stats.cache_hits.values()))
"""


def tree(limit: int) -> dict[str, str]:
    """A package like ours with one kernel and, in another module, its constant."""
    init = Path(coursepack.__path__[0]) / "__init__.py"
    cache = Path(coursepack.__path__[0]) / "pipeline" / "kernel_cache.py"
    return {
        "coursepack/__init__.py": init.read_text(),
        "coursepack/pipeline/kernel_cache.py": cache.read_text(),
        "coursepack/stages/constants.py": CONSTANTS.format(limit),
        "coursepack/stages/kernel.py": KERNEL,
    }


def call(path: Path, home: Path) -> list[int]:
    """What the kernel returns when run from `path`, and how often numba found it compiled."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "XDG_"))}
    environment |= {"PYTHONPATH": str(path), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CALL], env=environment, cwd=home, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    return list(map(int, done.stdout.split()))


def written(folder: Path, limit: int) -> Path:
    for name, source in tree(limit).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)
    return folder


def zipped(path: Path, limit: int) -> Path:
    with zipfile.ZipFile(path, "w") as files:
        for name in ("coursepack/", "coursepack/pipeline/", "coursepack/stages/"):
            files.writestr(name, "")
        for name, source in tree(limit).items():
            files.writestr(name, source)
    return path


def test_a_folder(tmp_path: Path) -> None:
    path = written(tmp_path / "code", 1)
    assert call(path, tmp_path) == [1, 0]
    assert call(path, tmp_path) == [1, 1]
    assert call(written(path, 2), tmp_path) == [2, 0]  # the kernel's own file is the same


def test_a_zip_at_any_path(tmp_path: Path) -> None:
    assert call(zipped(tmp_path / "a.zip", 1), tmp_path) == [1, 0]
    assert call(zipped(tmp_path / "b.zip", 1), tmp_path) == [1, 1]
    assert call(zipped(tmp_path / "b.zip", 2), tmp_path) == [2, 0]
    assert call(zipped(tmp_path / "c.zip", 1), tmp_path) == [1, 1]
