"""What must hold within a shard: sums, padding, ids, borders, and runs that cover each document once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from coursepack.shards.format import ShardError


@dataclass(frozen=True)
class Lists:
    """The list columns of a shard: int64 arrays, one entry a segment or a run; rows ascend."""

    segment_row: np.ndarray
    segment_length: np.ndarray
    row: np.ndarray  # of a run, as are all the others
    length: np.ndarray
    doc: np.ndarray  # row of the sidecar
    start: np.ndarray  # in the document's encoded stream
    used: np.ndarray  # tokens of each sequence, without padding


def read_lists(table: pa.Table) -> Lists:
    """The list columns of `read_shard`; raises ShardError where those of runs do not match."""
    found = {}
    for name in ("seq_lens", "run_lens", "doc_ids", "doc_starts"):
        column = table[name].combine_chunks()
        rows = np.repeat(np.arange(len(column)), np.diff(column.offsets.to_numpy()))
        found[name] = (rows, column.flatten().to_numpy().astype(np.int64))
    row, length = found["run_lens"]
    for name in ("doc_ids", "doc_starts"):
        if not np.array_equal(found[name][0], row):
            raise ShardError(f"{name} and run_lens have different numbers of entries in some rows")
    used = np.bincount(row, length, len(table)).astype(np.int64)
    return Lists(*found["seq_lens"], row, length, found["doc_ids"][1], found["doc_starts"][1], used)


def row_problems(table: pa.Table, lists: Lists, vocab_size: int, pad: int) -> Iterator[str]:
    """What is wrong with rows, and what it should be."""
    width, first = table.schema.field("input_ids").type.list_size, 0
    for chunk in table["input_ids"].chunks:
        ids = chunk.flatten().to_numpy().reshape(len(chunk), width)
        used = lists.used[first : first + len(chunk)]
        wrong = wrong_ids(ids, used, vocab_size, pad)
        for i in np.flatnonzero(wrong.any(axis=1)):
            k = wrong[i].argmax()
            should = f"{used[i]:,} ids lie in 0..{vocab_size - 1}, the others are {pad}"
            yield f"row {first + i:,}: token {k:,} is {ids[i, k]}; {should}"
        first += len(chunk)
    should = f"each is above 0, their sums are equal and at most {width}, segments end with runs"
    for row in np.flatnonzero(wrong_lengths(lists, width)).tolist():
        segments, runs = (table[name][row].as_py()[:10] for name in ("seq_lens", "run_lens"))
        yield f"row {row:,}: seq_lens are {segments}, run_lens {runs}; {should}"


def wrong_ids(ids: np.ndarray, used: np.ndarray, vocab_size: int, pad: int) -> np.ndarray:
    """Which ids (rows, width) are not in the vocabulary or, behind the `used` ones, no padding."""
    inside = np.arange(ids.shape[1]) < used[:, None]
    return np.where(inside, (ids < 0) | (ids >= vocab_size), ids != pad)


def wrong_lengths(lists: Lists, width: int) -> np.ndarray:
    """Rows whose segments and runs are empty, too long, of two sums, or end at different tokens."""
    attended = np.bincount(lists.segment_row, lists.segment_length, len(lists.used))
    wrong: np.ndarray = (lists.used > width) | (attended != lists.used)
    wrong[lists.row[lists.length < 1]] = True
    wrong[lists.segment_row[lists.segment_length < 1]] = True
    ends = _ends(lists.segment_row, lists.segment_length)
    wrong[lists.segment_row[~np.isin(ends, _ends(lists.row, lists.length))]] = True
    return wrong


def _ends(row: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Row and token, as one number, at which each segment or run ends."""
    total = np.cumsum(length)
    ends: np.ndarray = (row << 32) + total - (total - length)[np.searchsorted(row, row)]
    return ends


def coverage_problems(lists: Lists, docs: pa.Table) -> Iterator[str]:
    """Documents of the sidecar of which some token does not stand in exactly one run."""
    tokens = docs["tokens"].to_numpy().astype(np.int64)
    known = (lists.doc >= 0) & (lists.doc < len(tokens))
    for k in np.flatnonzero(~known):
        should = f"the sidecar has {len(tokens):,}"
        yield f"row {lists.row[k]:,}: a run is of document {lists.doc[k]}; {should}"
    doc, start, length = (column[known] for column in (lists.doc, lists.start, lists.length))
    for d in not_once(doc, start, length, tokens).tolist():
        mine = sorted(zip(start[doc == d].tolist(), length[doc == d].tolist(), strict=True))[:4]
        held = ", ".join(f"{a:,} to {a + n:,}" for a, n in mine) or "nothing"
        name = f"document {d:,} (content {docs['content'][d].as_py().hex()})"
        yield f"{name} has {tokens[d]:,} tokens, each to be in one run; its first runs hold {held}"


def not_once(
    doc: np.ndarray, start: np.ndarray, length: np.ndarray, tokens: np.ndarray
) -> np.ndarray:
    """Documents, ascending, whose runs (of 1 token or more) do not lead from 0 to their end.

    They do where each run begins at 0 or where another ends: then both lists here are the same.
    """
    docs = np.append(doc, np.arange(len(tokens))) << 33
    begins = np.sort(docs + np.append(start, tokens) + (1 << 32))  # a damaged start may be negative
    ends = np.sort(docs + np.append(start + length, 0 * tokens) + (1 << 32))
    return np.unique(begins[begins != ends] >> 33)
