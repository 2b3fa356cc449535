"""What training a vocabulary will take of memory, before it starts."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from coursepack.tokenizers.train import Vocabulary


@dataclass(frozen=True)
class WordsSize:
    """Different words, the characters in them, and the bytes of text that they cover, each as often as it is there."""

    words: int
    characters: int
    covered: int = 0


def estimate(size: WordsSize, wanted: Vocabulary) -> int:
    """Bytes that the trainer takes at its peak.

    Fitted to the resident memory of sentencepiece 0.2.3 on mixed real text of 15 to 138 MB (0.18 to 0.81 million
    words of 1.6 to 7.7 million characters).
    """
    if wanted.algorithm == "bpe":
        return 40_000_000 + 65 * size.characters + 800 * wanted.pieces
    return 100_000_000 + 250 * size.characters


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
