"""What training a vocabulary will take of memory, before it starts."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from coursepack.tokenizers.train import Algorithm

_BASE = 100_000_000


@dataclass(frozen=True)
class WordsSize:
    """Different words, the characters in them, and the bytes of text that they cover, each as often as it is there."""

    words: int
    characters: int
    covered: int = 0


def estimate(size: WordsSize, algorithm: Algorithm) -> int:
    """Bytes that training takes at the peak."""
    return _BASE


def free_bytes() -> int:
    """Memory that is free on this machine, within the limits of its control group; in bytes."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError):
        said = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        found += [int(said[1]) * 1024] if said else []
    group = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # no such group, or "max"
            most = int((group / limit).read_text())
            found.append(most - int((group / used).read_text()))
    return max(min(found), 0)
