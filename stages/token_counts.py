"""What tokenizers make of texts, counted by class: tokens, split words, and how often each piece is used.

A word is one of stages/pieces.py: what stands between white space, and in scripts without spaces each character.
It is split where a token ends inside it (the "continued words" of Rust et al. 2021, arXiv:2012.15613, told from
the text as it is encoded in training, not word by word). That is known where the tokens' bytes are those of
the text; texts that a tokenizer normalises, or has no pieces for, are left out of it and counted apart.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit, types

from coursepack.pipeline.arrow import int32_lists, row_classes
from coursepack.stages.characters import INDEX, INT32S
from coursepack.stages.pieces import Pieces, find_pieces
from coursepack.tokenizers.model import Tokenizer

CLASSES = ("domain", "language", "programming_language")
SUMS = (
    "documents",
    "bytes",
    "characters",  # code points
    "words",
    "tokens",
    "byte_tokens",  # a byte of what has no piece
    "unknown_tokens",
    "told_words",  # of documents whose tokens have the bytes of the text
    "split_words",  # of those, into more than one token
)
COUNTS = pa.schema(
    [
        pa.field("tokenizer", pa.string(), False),  # its sha256
        *(pa.field(name, pa.string()) for name in CLASSES),  # null where unknown
        *(pa.field(name, pa.int64(), False) for name in SUMS),
        pa.field("pieces", pa.list_(pa.int32()), False),  # ids that were used, ascending
        pa.field("times", pa.list_(pa.int64()), False),  # how often
    ]
)


def count_tokens(
    tokenizers: Mapping[str, Tokenizer], text: pa.Array, classes: pa.Table
) -> pa.Table:
    """Counts (of COUNTS) of the documents `text` (string), a row for each tokenizer and class.

    `tokenizers` are named by sha256; `classes` has the columns CLASSES, as many rows as texts. A null text is
    an empty document.
    """
    code, values = row_classes(classes.select(CLASSES))
    order = np.argsort(code, kind="stable")
    text = text.take(pa.array(order))
    pieces = find_pieces(text)
    # documents of one class stand together: their rows, tokens and pieces are ranges
    starts = np.append(np.flatnonzero(np.diff(code[order], prepend=-1)), len(order))
    of_text = {
        "documents": np.diff(starts),
        "bytes": _sums(np.diff(pieces.offsets), starts),
        "characters": _sums(pc.fill_null(pc.utf8_length(text), 0).to_numpy(), starts),
        "words": np.diff(pieces.words[starts]),
    }
    tables = [COUNTS.empty_table()]
    for name, tokenizer in tokenizers.items():
        found = _count(tokenizer, text, pieces, starts)
        columns = {"tokenizer": [name] * len(values), **values.to_pydict(), **of_text, **found}
        tables.append(pa.table(columns).cast(COUNTS))
    return pa.concat_tables(tables)


def merge_counts(counts: pa.Table) -> pa.Table:
    """The same counts, one row for each tokenizer and class, in the order of their names."""
    names = ["tokenizer", *CLASSES]
    rows = counts.select([*names, *SUMS]).append_column("row", pa.array(np.arange(len(counts))))
    sums = [*((name, "sum") for name in SUMS), ("row", "list")]
    grouped = rows.group_by(names).aggregate(sums).sort_by([(n, "ascending") for n in names])
    # the group of each of the rows, and so of each piece
    of_row = np.empty(len(counts), np.int64)
    lengths = pc.list_value_length(grouped["row_list"]).to_numpy()
    of_row[pc.list_flatten(grouped["row_list"]).to_numpy()] = np.repeat(
        np.arange(len(grouped)), lengths
    )
    sizes = pc.list_value_length(counts["pieces"]).to_numpy()
    keys = np.repeat(of_row, sizes) << 32 | pc.list_flatten(counts["pieces"]).to_numpy()
    keys, place = np.unique(keys, return_inverse=True)
    times = np.zeros(len(keys), np.int64)
    np.add.at(times, place, pc.list_flatten(counts["times"]).to_numpy())
    ends = np.searchsorted(keys, np.arange(len(grouped) + 1) << 32)
    merged = {name: grouped[name] for name in names}
    merged |= {name: grouped[f"{name}_sum"] for name in SUMS}
    merged["pieces"] = int32_lists(ends, keys & 0xFFFFFFFF)
    merged["times"] = _int64_lists(ends, times)
    return pa.table(merged).cast(COUNTS)


def _int64_lists(ends: np.ndarray, values: np.ndarray) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values, pa.int64()))


def _sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return _between(np.append(0, np.cumsum(values, dtype=np.int64)), starts)


def _between(running: np.ndarray, places: np.ndarray) -> np.ndarray:
    """What a running sum grows by between places."""
    found: np.ndarray = np.diff(running[places])
    return found


def _count(
    tokenizer: Tokenizer, text: pa.Array, pieces: Pieces, starts: np.ndarray
) -> dict[str, object]:
    offsets, ids = tokenizer.encode(text)
    told, split = np.zeros(len(text), np.int64), np.zeros(len(text), np.int64)
    _split_words(
        *(offsets, ids, tokenizer.piece_bytes(), pieces.offsets),
        *(pieces.words, pieces.word_starts, pieces.word_ends, told, split),
    )
    bounds = offsets[starts]
    unknown = tokenizer.unk_id
    rare = tokenizer.byte_pieces()
    used, times, lengths = [], [], [0]
    for start, end in pairwise(bounds.tolist()):
        counts = np.bincount(ids[start:end])
        used.append(np.flatnonzero(counts))
        times.append(counts[used[-1]])
        lengths.append(len(used[-1]))
    ends = np.cumsum(lengths)
    return {
        "tokens": np.diff(bounds),
        "byte_tokens": _sums(rare[ids], bounds),
        "unknown_tokens": _sums(ids == (-1 if unknown is None else unknown), bounds),
        "told_words": _sums(told, starts),
        "split_words": _sums(split, starts),
        "pieces": int32_lists(ends, _joined(used)),
        "times": _int64_lists(ends, _joined(times)),
    }


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *parts])


@njit(
    types.void(
        *(INDEX, INT32S, INT32S, INDEX, INDEX, INDEX, INDEX),
        *(types.int64[::1], types.int64[::1]),
    ),
    nogil=True,
    cache=True,
)
def _split_words(
    offsets: np.ndarray,
    ids: np.ndarray,
    sizes: np.ndarray,
    text_offsets: np.ndarray,
    words: np.ndarray,
    word_starts: np.ndarray,
    word_ends: np.ndarray,
    told: np.ndarray,
    split: np.ndarray,
) -> None:
    """How many words each row has, and how many of them a token ends inside; 0 where bytes do not agree."""
    for row in range(len(told)):
        size = 0
        for j in range(offsets[row], offsets[row + 1]):
            size += sizes[ids[j]]
        prefix = size - (text_offsets[row + 1] - text_offsets[row])
        if prefix != 0 and prefix != 1:  # 1: the space that a tokenizer puts before a text
            continue
        told[row] = words[row + 1] - words[row]
        k, last = words[row], words[row + 1]
        at = text_offsets[row] - prefix
        for j in range(offsets[row], offsets[row + 1]):
            at += sizes[ids[j]]
            while k < last and word_ends[k] <= at:
                k += 1
            if k < last and word_starts[k] < at:
                split[row] += 1
                k += 1
