"""Verdicts: what was checked, how many things were looked at, and what is wrong, one line each."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from coursepack.pipeline.errors import CoursepackError

# problems of a check that are named one by one; the others are counted
_NAMED = 20
# what Arrow, Parquet, JSON and pydantic raise on damaged bytes, and file systems on what is gone
DAMAGE = (CoursepackError, pa.ArrowException, OSError, EOFError, ValueError, KeyError, TypeError,
          OverflowError)  # fmt: skip


@dataclass
class Check:
    """One check: how many things were looked at, and what is wrong."""

    name: str
    checked: int = 0
    problems: list[str] = field(default_factory=list)
    note: str = ""  # what is no problem, but good to know
    unnamed: int = 0  # problems beyond those in `problems`

    def add(self, problems: Iterable[str], checked: int = 0, where: str = "") -> None:
        """Count `checked` more things, of which `problems` are wrong; `where` is put before each."""
        self.checked += checked
        for text in problems:
            if len(self.problems) < _NAMED:
                self.problems.append(f"{where}: {text}" if where else text)
            else:
                self.unnamed += 1

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """What damage raises within the block becomes a problem, told after `what`."""
        try:
            yield
        except DAMAGE as error:
            self.add([said(error)], where=what)


@dataclass(frozen=True)
class Verdict:
    """All checks, in a fixed order."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def problems(self) -> list[str]:
        """What is wrong, each with the name of its check before it."""
        found = []
        for check in self.checks:
            more = [f"and {check.unnamed:,} more"] if check.unnamed else []
            found += [f"{check.name}: {text}" for text in (*check.problems, *more)]
        return found


def said(error: BaseException) -> str:
    """The first line of an error, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def differences(found: Mapping[str, Any], should: Mapping[str, Any], says: str) -> Iterator[str]:
    """A line for each name in both whose values differ; `says` is who gives those of `should`."""
    for what, value in found.items():
        if what in should and value != should[what]:
            shown = [f"{v:,}" if isinstance(v, int) else repr(v) for v in (value, should[what])]
            yield f"{what} is {shown[0]}; {says} {shown[1]}"
