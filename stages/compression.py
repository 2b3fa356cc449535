"""How well a text compresses: a general signal of gibberish (hardly) and of boilerplate (far too well).

Zstandard sees repeats, the entropy of bytes does not: random letters have about the entropy of prose and
compress worse, templates have it too and compress better. Both read a bounded sample, for they say
little more about a longer one.
"""

import math
from collections.abc import Iterable
from functools import cache
from typing import cast

import numpy as np
import pyarrow as pa
import zstandard
from numba import njit, types, uint64

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.characters import BYTES, INDEX, load8

PIECE_BYTES = 1 << 13  # compressed alone, twice a text
LEAST_BYTES = 512  # below, a code table is much of a frame, and making it most of the time
LEVEL = 1  # the fastest that codes single letters too
LIBRARY = ".".join(map(str, zstandard.ZSTD_VERSION))  # sizes may change with it


def compression_signals(text: Text) -> pa.RecordBatch:
    """One column a signal, one row a text; both null for a text of fewer than LEAST_BYTES bytes.

    The sample of a text is its first PIECE_BYTES and, if it is longer than two such pieces, as many from
    its middle on; all of it otherwise. `compression_ratio` (float64, at most 1) is the sample's size as
    Zstandard frames without checksum or length, one a piece, over its size; it falls as texts grow, up to
    PIECE_BYTES: compare texts of one size, or of at least that. `byte_entropy` (float64, 0 to 8) is the
    sample's Shannon entropy in bits a byte, rounded to six places.

    The ratio follows from the version of the library (LIBRARY), which the lock pins.
    """
    offsets, data = text_buffers(text)
    starts, lengths, rows = _pieces(offsets)
    raw = np.zeros(len(offsets) - 1, np.int64)
    compressed = np.zeros(len(offsets) - 1, np.int64)
    entropy = np.zeros(len(offsets) - 1)
    np.add.at(raw, rows, lengths)
    if len(rows):
        np.add.at(compressed, rows, _compressed(data, starts, lengths))
        _measure_entropy(data, starts, lengths, rows, _log2s(2 * PIECE_BYTES), entropy)
    short = raw == 0
    ratio = np.minimum(compressed, raw) / np.maximum(raw, 1)
    columns = {
        "compression_ratio": pa.array(ratio, mask=short),
        "byte_entropy": pa.array(entropy.round(6) + 0.0, mask=short),
    }
    return pa.RecordBatch.from_pydict(columns)


def _pieces(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start, length and row of the pieces of all samples, a row's next to one another."""
    sizes = np.diff(offsets)
    long = sizes > 2 * PIECE_BYTES
    rows = np.repeat(np.arange(len(sizes)), np.where(sizes < LEAST_BYTES, 0, 1 + long))
    second = np.zeros(len(rows), np.bool_)
    second[1:] = rows[1:] == rows[:-1]
    starts = offsets[rows] + np.where(second, sizes[rows] // 2, 0)
    return starts, np.where(long[rows], PIECE_BYTES, sizes[rows]), rows


def _compressed(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The size of each piece as a frame, all made in one call."""
    segments = np.stack([starts, lengths], axis=1).astype("<u8")
    pieces = zstandard.BufferWithSegments(data.data, segments.tobytes())
    found = _compressor().multi_compress_to_buffer(pieces, threads=1)
    sizes: Iterable[int] = map(len, cast(Iterable[bytes], found))
    return np.fromiter(sizes, np.int64, len(found))


@cache
def _compressor() -> zstandard.ZstdCompressor:
    # For sources of unknown size: a fifth faster than what the library chooses for small ones.
    plain = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, write_content_size=0, write_checksum=0, write_dict_id=0
    )
    return zstandard.ZstdCompressor(compression_params=plain)


@cache
def _log2s(most: int) -> np.ndarray:
    """n * log2(n) for n of 0 to `most`, by the interpreter: NumPy's differs between processors."""
    return np.array([0.0, *(n * math.log2(n) for n in range(1, most + 1))])


@njit(
    types.void(
        BYTES,
        INDEX,
        INDEX,
        INDEX,
        types.Array(types.float64, 1, "C", readonly=True),
        types.float64[::1],
    ),
    nogil=True,
    cache=True,
)
def _measure_entropy(
    data: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    rows: np.ndarray,
    log2s: np.ndarray,
    entropy: np.ndarray,
) -> None:
    # Four histograms, for a counter that was just written is slow to read again.
    seen = np.zeros((4, 256), np.int32)
    total = np.int64(0)
    for piece in range(len(rows)):
        start, length = starts[piece], lengths[piece]
        for i in range(start, start + length - 7, 8):
            eight = load8(data, i)
            for k in range(8):
                seen[k & 3, eight >> uint64(8 * k) & uint64(0xFF)] += 1
        for i in range(start + length - length % 8, start + length):
            seen[0, data[i]] += 1
        total += length
        if piece + 1 == len(rows) or rows[piece + 1] != rows[piece]:
            of_bytes = 0.0
            for byte in range(256):
                of_bytes += log2s[seen[0, byte] + seen[1, byte] + seen[2, byte] + seen[3, byte]]
            entropy[rows[piece]] = max(0.0, (log2s[total] - of_bytes) / total)
            seen[:] = 0
            total = np.int64(0)
