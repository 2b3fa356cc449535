"""Import name of the folders beside it: `coursepack.stages` is `stages/`, and so on."""

import os
import tempfile
from typing import Any

__version__ = "0.1.0"


def run(recipe: Any, **where: Any) -> Any:
    """`coursepack.jobs.run.run`: a whole run, from raw corpora to packed shards.

    Imported here lazily, so that `import coursepack` (and the loader) needs no Spark.
    """
    from coursepack.jobs.run import run as whole_run

    return whole_run(recipe, **where)


def _find_cache_folder() -> None:
    """Where compiled kernels may be kept, set before numba asks.

    Numba keeps those of code in a zip in the user's cache folder only, and fails where it cannot be
    written, as in many containers.
    """
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    try:
        os.makedirs(folder, exist_ok=True)
        if os.access(folder, os.W_OK):
            return
    except OSError:
        pass
    folder = os.path.join(tempfile.gettempdir(), f"coursepack-{os.getuid()}")
    os.makedirs(folder, 0o700, exist_ok=True)
    if os.lstat(folder).st_uid != os.getuid():  # someone else's: what lies there is not to be run
        folder = tempfile.mkdtemp(prefix="coursepack-")
    os.environ["XDG_CACHE_HOME"] = folder


_find_cache_folder()
# how numba finds compiled kernels again: ours by `pipeline/kernel_cache.py`, others as it always does
os.environ.setdefault(
    "NUMBA_CACHE_LOCATOR_CLASSES",
    ",".join(
        (
            *(
                f"coursepack.pipeline.kernel_cache.{name}"
                for name in ("InChosenFolder", "BesideSource", "OfUser", "OfZip")
            ),
            *("UserProvidedCacheLocator", "InTreeCacheLocator", "UserWideCacheLocator"),
            *("IPythonCacheLocator", "ZipCacheLocator"),
        )
    ),
)
