"""Imported at the start of each Python process of a run under test: strikes where the test says.

`strikes.json` in the folder named by STRIKES lists [name, moment, pattern, deed]: the first process that
comes to `moment` with a URL in which `pattern` is found does the deed, once, and leaves a marker
file named after the strike. Moments of a file: `written` (in full, under its temporary name), and of
one written at once, such as a commit record, `before` and `after`.
"""

import importlib.abc
import importlib.util
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_FOLDER = Path(os.environ.get("STRIKES", ""))
_TARGET = "coursepack.pipeline.storage"


def _strike(moment: str, url: str) -> None:
    for name, at, pattern, deed in json.loads((_FOLDER / "strikes.json").read_text()):
        if at == moment and re.search(pattern, url) and _is_first(name, url):
            _DEEDS[deed]()


def _is_first(name: str, url: str) -> bool:
    try:
        with (_FOLDER / name).open("x") as marker:
            marker.write(url)
    except FileExistsError:
        return False
    return True


def _kill_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_run() -> None:
    """Driver, JVMs and Python workers: all of the session, for the workers form a group of their own."""
    session = os.getsid(0)
    while others := [pid for pid in _processes() if _session_of(pid) == session]:
        for pid in others:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    _kill_process()


def _kill_executor() -> None:
    """The JVM above the daemon that forked this worker."""
    stat = Path(f"/proc/{os.getppid()}/stat").read_text()
    os.kill(int(stat.rsplit(")", 1)[1].split()[1]), signal.SIGKILL)


def _dawdle() -> None:
    time.sleep(15)


_DEEDS = {
    "kill process": _kill_process,
    "kill run": _kill_run,
    "kill executor": _kill_executor,
    "dawdle": _dawdle,
}


def _processes() -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal()]


def _session_of(pid: int) -> int | None:
    """The session of another process that is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(state[3]) if state[0] != "Z" and pid != os.getpid() else None


def _patch(storage: ModuleType) -> None:
    write_bytes, open_output = storage.write_bytes, storage.open_output

    def striking_write(url: str, data: bytes) -> None:
        _strike("before", url)
        write_bytes(url, data)
        _strike("after", url)

    @contextmanager
    def striking_output(url: str) -> Iterator[Any]:
        with open_output(url) as out:
            yield out
            _strike("written", url)

    storage.write_bytes = striking_write  # type: ignore[attr-defined]
    storage.open_output = striking_output  # type: ignore[attr-defined]


class _Finder(importlib.abc.MetaPathFinder):
    """Patches the module of storage when it is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _patch(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if os.environ.get("STRIKES"):
    sys.meta_path.insert(0, _Finder())
