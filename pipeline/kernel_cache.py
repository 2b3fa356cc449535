"""Where numba keeps our compiled kernels, and when one is stale.

A kernel holds constants and functions of the modules that its own imports. Numba calls it stale when its own file
changes, and so would run old constants after an upgrade; here it is stale when any of those changes. Code in a
zip numba keeps by the zip's path, which Spark changes with each run; here it is kept by what it says.
Numba's variable NUMBA_CACHE_LOCATOR_CLASSES, which `coursepack` sets, names these classes; numba without that
variable keeps kernels as it always did.
"""

import hashlib
import os
import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, Self

from numba.core import caching

_IMPORT = re.compile(rb"^[ \t]*from (coursepack[\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)


def sources(module: str, read: Callable[[str], bytes | None]) -> str:
    """SHA-256 (hex) of a module of ours and of all modules of ours that it imports, and so on.

    `read` gives the source of a module by its name, and None of what is no module.
    """
    found: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or (source := read(name)) is None:
            continue
        found[name] = source
        for parent, names in _IMPORT.findall(source):
            if read(parent.decode()) is not None:
                waiting.append(parent.decode())
                continue
            # a folder, of modules
            children = re.findall(rb"\w+", names)
            waiting += [f"{parent.decode()}.{child.decode()}" for child in children]
    total = hashlib.sha256()
    for name in sorted(found):
        total.update(f"{name} {len(found[name])}\n".encode() + found[name])
    return total.hexdigest()


@cache
def _read(module: str) -> bytes | None:
    """The source of a module, in a folder or a zip; nothing is imported but the folders above it."""
    spec = find_spec(module)
    if spec is None or spec.origin is None or spec.loader is None:
        return None
    data: bytes = spec.loader.get_data(spec.origin)  # type: ignore[attr-defined]
    return data


@cache
def _stamp(module: str) -> str:
    return sources(module, _read)


class _Ours:
    """Of a kernel of ours; of others these classes say nothing, so that numba's own do."""

    def __init__(self, function: Any, file: str) -> None:
        super().__init__(function, file)  # type: ignore[call-arg]
        self._stamp = _stamp(function.__module__)

    def get_source_stamp(self) -> str:
        return self._stamp

    @classmethod
    def from_function(cls, function: Any, file: str) -> Self | None:
        if not function.__module__.startswith("coursepack."):
            return None
        found: Self | None = super().from_function(function, file)  # type: ignore[misc]
        return found


class InChosenFolder(_Ours, caching.UserProvidedCacheLocator):
    """In NUMBA_CACHE_DIR."""


class BesideSource(_Ours, caching.InTreeCacheLocator):
    """In `__pycache__`, where that can be written."""


class OfUser(_Ours, caching.UserWideCacheLocator):
    """In the user's cache folder."""


class OfZip(_Ours, caching.ZipCacheLocator):
    """In the user's cache folder, under the stamp: one release, one folder, whatever path a zip has."""

    def get_cache_path(self) -> str:
        folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        return os.path.join(folder, "coursepack", "kernels", self._stamp[:20])
