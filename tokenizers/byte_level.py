"""Byte-level BPE: texts cut by a pattern, the pieces cached, and merged by kernels where they are new.

A piece's ids depend on its bytes alone (the pattern cuts before the merges, and no merge crosses a cut), which is
all that the cache of segments asks for. The alphabet is GPT-2's: a printable sign for each byte, by which
vocabularies spell their tokens.
"""

from collections.abc import Mapping

import numpy as np

from coursepack.tokenizers.cache import CACHE_BYTES, CachedEncoder
from coursepack.tokenizers.merging import Merges
from coursepack.tokenizers.patterns import Pattern
from coursepack.tokenizers.splitting import Cutter

_PLAIN = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_SIGNED = [byte for byte in range(256) if byte not in _PLAIN]
ALPHABET = {**{byte: chr(byte) for byte in _PLAIN},
            **{byte: chr(0x100 + n) for n, byte in enumerate(_SIGNED)}}  # fmt: skip
# what is no sign of the alphabet becomes one that Latin-1 does not have
_BYTES = dict.fromkeys(_SIGNED, 0xFFFF) | {ord(sign): byte for byte, sign in ALPHABET.items()}


def spell(token: bytes) -> str:
    """A token's bytes in the alphabet: `Ġthe` for " the"."""
    return token.decode("latin-1").translate(ALPHABET)


def unspell(piece: str) -> bytes | None:
    """The bytes that a piece of the alphabet stands for; None where it has other characters."""
    try:
        return piece.translate(_BYTES).encode("latin-1")
    except UnicodeEncodeError:
        return None


def byte_sizes(tokens: Mapping[int, bytes], vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The length of each id's bytes (int32; 0 of ids that have none), and which are no valid UTF-8 alone."""
    sizes, broken = np.zeros(vocab_size, np.int32), np.zeros(vocab_size, np.bool_)
    for token, text in tokens.items():
        sizes[token] = len(text)
        try:
            text.decode()
        except UnicodeDecodeError:
            broken[token] = True
    return sizes, broken


class ByteLevelEncoder:
    """Ids of texts by a pattern and merges; `digits` cuts off each digit first."""

    def __init__(
        self, pattern: Pattern, merges: Merges, digits: bool = False, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.cut = Cutter(pattern, digits).cut
        self._merges = merges
        self._cached = CachedEncoder(self, cache_bytes)

    def encode(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Token offsets (int64, n + 1, from 0) and ids (int32) of n texts data[offsets[i]:offsets[i + 1]]."""
        return self._cached.encode(offsets, data)

    def ids(self, data: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `Segments` says."""
        return self._merges.ids(data, bounds)
