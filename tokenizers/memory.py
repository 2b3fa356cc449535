"""What training a vocabulary will take of memory, before it starts."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from coursepack.tokenizers.train import Vocabulary

_CONTROL_GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class WordsSize:
    """Different words, the characters in them, and the bytes of text that they cover, each as often as it is there."""

    words: int
    characters: int
    covered: int = 0


def estimate(size: WordsSize, wanted: Vocabulary) -> int:
    """Bytes that the trainer takes at its peak.

    Fitted to the resident memory of sentencepiece 0.2.3 on mixed real text, with Gemma's settings. BPE, 32,000 to
    256,000 pieces from 1.6, 3.1, 5.3, 7.7 and 23.9 million characters (15 MB to 1 GB of text): 163 to 1,580 MB; this
    is 3 % less to 30 % more. Unigram from 1.6, 3.1, 5.3, 7.7 and 15.2 million (15 to 522 MB), whatever the pieces:
    320, 800, 1,572, 2,660 and 7,006 MB, more than in proportion; this is 8 to 40 % more.
    """
    if wanted.algorithm == "bpe":
        return 40_000_000 + 65 * size.characters + 800 * wanted.pieces
    return 110_000_000 + int(180e6 * float(size.characters / 1e6) ** 1.37)


def free_bytes() -> int:
    """Memory that is free on this machine, within the limit of its control group (v2); in bytes.

    What the system keeps of files in memory counts as free: it makes room.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError):
        said = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        found += [int(said[1]) * 1024] if said else []
    with suppress(OSError, ValueError):  # no such group, or "max"
        most = int((_CONTROL_GROUP / "memory.max").read_text())
        used = int((_CONTROL_GROUP / "memory.current").read_text())
        files = re.search(
            r"^file (\d+)$", (_CONTROL_GROUP / "memory.stat").read_text(), re.MULTILINE
        )
        found.append(most - used + (int(files[1]) if files else 0))
    return max(min(found), 0)
