"""Raw files as Arrow batches of RECORDS: streamed, in bounded memory, good and bad records alike.

A record is rejected, never the run: each yields exactly one row. The decompressed stream is taken in blocks of whole
lines, each of which becomes columns at once.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from coursepack.pipeline.documents import METADATA
from coursepack.pipeline.storage import open_input
from coursepack.stages.fields import Fields, Reject, Row, fields_of, json_row, plain_row
from coursepack.stages.json_lines import find_lines
from coursepack.stages.json_records import is_columnar, json_records, of_rows
from coursepack.stages.layouts import Layout
from coursepack.stages.parquet import MAGIC, read_parquet
from coursepack.stages.streams import (
    MAGIC_BYTES,
    BrokenStream,
    Frame,
    compression,
    open_stream,
    zst_frames,
)

SPAN_BYTES = 64 << 20  # of an unsplittable stream: what one of several tasks takes at a time

_CHUNK = 1 << 20
_NEAR = 1 << 20  # reading on over so many bytes is cheaper than seeking
_BOM = b"\xef\xbb\xbf"
_ROW_BYTES = 64  # what a row costs beside its text


@dataclass(frozen=True)
class Split:
    """A part of a file. A record belongs to the split in which its first byte lies.

    `start` and `end` are bytes of the decompressed stream, or rows of a Parquet file. Of a stream
    that cannot be cut, each of `stride` splits reads all and takes the records with
    `place // SPAN_BYTES % stride == index`. `frame` may be one of `zst_frames` that begins before
    `start`; without it the headers before `start` are walked.
    """

    url: str
    start: int = 0
    end: int | None = None
    stride: int = 1
    index: int = 0
    frame: tuple[int, int] | None = None

    def owns(self, places: np.ndarray) -> np.ndarray:
        """Which places are of the spans that this one of several tasks takes."""
        owned: np.ndarray = places // SPAN_BYTES % self.stride == self.index
        return owned


def read_records(
    split: Split, layout: Layout, record_bytes: int = 256 << 20, batch_bytes: int = 8 << 20
) -> Iterator[pa.RecordBatch]:
    """The records of a split as batches of RECORDS of about `batch_bytes`, in order of place.

    A record of more than `batch_bytes` is alone in its batch; one of more than `record_bytes` is
    rejected unread. Blank lines are no records. Damage to a stream is one rejected record where it
    begins. Raises only what the storage raises.
    """
    container = _container(split.url, layout)
    if container == "parquet":
        batches = read_parquet(split.url, split.start, split.end, layout, record_bytes, batch_bytes)
        yield from _own(batches, split)
        return
    fields = fields_of(layout, split.url)
    if container == "jsonl" and is_columnar(fields):
        blocks = _json_blocks(split, fields, record_bytes)
    else:
        blocks = _row_blocks(_rows(split, fields, container, record_bytes))
    yield from _batches(blocks, batch_bytes)


def read_places(
    url: str, layout: Layout, places: Sequence[int], record_bytes: int = 256 << 20
) -> Iterator[tuple[int, str | None, str | None]]:
    """(place, text, subset) for each of the sorted `places`; nulls where no good record begins.

    Seeks where the file allows it; a compressed stream of one frame is decompressed once.
    """
    container = _container(url, layout)
    # without metadata, but for what edits of a text may depend on
    layout = Layout(
        layout.name,
        layout.container,
        text=layout.text,
        subset=layout.subset,
        subset_from_path=layout.subset_from_path,
    )
    for run, frame in _runs(url, container, places):
        split = Split(url, run[0], run[-1] + 1, frame=frame)
        found: dict[int, _Text] = dict.fromkeys(run, (None, None))
        if container == "parquet":
            for batch in read_records(split, layout, record_bytes):
                found.update(_texts(batch, run))
        else:
            wanted = frozenset(run)
            fields = fields_of(layout, url)
            for place, row, _ in _rows(split, fields, container, record_bytes, wanted):
                found[place] = row[0], row[_SUBSET]
        for place, text in found.items():
            yield place, *text


def _container(url: str, layout: Layout) -> str:
    """`parquet`, `text`, `text-lines`, `jsonl`, or `misplaced`: Parquet where lines should be."""
    if layout.container in ("parquet", "text"):
        return layout.container
    with open_input(url) as raw:
        is_parquet = raw.read(len(MAGIC)) == MAGIC
    if is_parquet:
        return "parquet" if layout.container == "any" else "misplaced"
    return "jsonl" if layout.container == "any" else layout.container


def _rows(
    split: Split,
    fields: Fields,
    container: str,
    record_bytes: int,
    wanted: frozenset[int] | None = None,
) -> Iterator[tuple[int, Row, int]]:
    """(place, row, bytes) of each record that the split owns, or of those at `wanted` alone."""
    if container in ("text", "misplaced"):
        lines = iter([(0, _whole(split.url, container, record_bytes))] if split.start == 0 else [])
    else:
        lines = _lines(split, record_bytes)
    for place, line in lines:
        if split.stride > 1 and place // SPAN_BYTES % split.stride != split.index:
            continue
        if wanted is not None and place not in wanted:
            continue
        if isinstance(line, Reject):
            yield place, line.row(), 0
            continue
        if place == 0 and line.startswith(_BOM):
            line = line[len(_BOM) :]
        if container == "jsonl":
            if line and not line.isspace():
                yield place, json_row(line, fields), len(line)
        elif container == "text":
            yield place, plain_row(line, fields.defaults), len(line)
        elif line and not line.isspace():
            yield place, plain_row(line.removesuffix(b"\r"), fields.defaults), len(line)


def _json_blocks(
    split: Split, fields: Fields, record_bytes: int
) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Records that the split owns, block by block, and the bytes of each one's line."""
    for place, block in _blocks(split, record_bytes):
        if isinstance(block, Reject):
            if split.owns(np.array([place]))[0]:
                yield of_rows([place], [block.row()]), np.zeros(1, np.int64)
            continue
        bom = len(_BOM) if place == 0 and block.startswith(_BOM) else 0
        data = np.frombuffer(block, np.uint8)[bom:]
        starts, ends = find_lines(data)
        places = np.where(starts == 0, place, place + bom + starts)
        mine = split.owns(places)
        starts, ends, places = starts[mine], ends[mine], places[mine]
        sizes = ends - starts
        large = np.flatnonzero(sizes > record_bytes)
        start = 0
        for line in [*large.tolist(), len(starts)]:
            if start < line:
                part = slice(start, line)
                yield (
                    json_records(data, starts[part], ends[part], places[part], fields),
                    sizes[part],
                )
            if line < len(starts):
                row = _too_large(int(sizes[line]), record_bytes).row()
                yield of_rows([int(places[line])], [row]), np.zeros(1, np.int64)
            start = line + 1


def _row_blocks(
    rows: Iterable[tuple[int, Row, int]],
) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Rows that Python objects hold as blocks of about _CHUNK bytes, and the bytes of each one's line."""
    held: list[tuple[int, Row, int]] = []
    size = 0
    for row in rows:
        held.append(row)
        size += row[2] + _ROW_BYTES
        if size >= _CHUNK:
            yield _block(held)
            held, size = [], 0
    if held:
        yield _block(held)


def _block(rows: list[tuple[int, Row, int]]) -> tuple[pa.RecordBatch, np.ndarray]:
    places, found, sizes = zip(*rows, strict=True)
    return of_rows(list(places), list(found)), np.array(sizes, np.int64)


def _batches(
    blocks: Iterable[tuple[pa.RecordBatch, np.ndarray]], batch_bytes: int
) -> Iterator[pa.RecordBatch]:
    """The rows of all blocks again, in batches of about `batch_bytes`; a row takes its bytes and _ROW_BYTES."""
    held: list[pa.RecordBatch] = []
    size = 0
    for block, sizes in blocks:
        start = 0
        while start < block.num_rows:
            ends = size + np.cumsum(sizes[start:] + _ROW_BYTES)
            fitting = int(np.searchsorted(ends - _ROW_BYTES, batch_bytes, "right"))
            if not fitting and not held:
                fitting = 1
            if fitting:
                held.append(block.slice(start, fitting))
                size = int(ends[fitting - 1])
                start += fitting
            if start < block.num_rows:
                yield _joined(held)
                held, size = [], 0
    if held:
        yield _joined(held)


def _joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(parts).combine_chunks().to_batches()[0]


def _lines(split: Split, record_bytes: int) -> Iterator[tuple[int, bytes | Reject]]:
    """(place, line without its end) of each line that begins in the split, in bounded memory."""
    for place, block in _blocks(split, record_bytes):
        if isinstance(block, Reject):
            yield place, block
            continue
        for line in block.removesuffix(b"\n").split(b"\n"):
            yield place, line if len(line) <= record_bytes else _too_large(len(line), record_bytes)
            place += len(line) + 1


def _blocks(split: Split, record_bytes: int) -> Iterator[tuple[int, bytes | Reject]]:
    """(place, whole lines from there) of a split; what is too large or damaged by itself."""
    end = float("inf") if split.end is None else split.end
    # the byte before `start` tells whether a line begins at `start`
    place = max(split.start - 1, 0)
    held: list[bytes] = []  # of the line that begins at `place`; empty once it is too large
    size = 0
    try:
        with open_stream(split.url, place, Frame(*split.frame) if split.frame else None) as stream:
            while place < end and (chunk := stream.read(_CHUNK)):
                line_end = chunk.find(b"\n") + 1
                if not line_end:
                    size += len(chunk)
                    held = [*held, chunk] if size <= record_bytes else []
                    continue
                if place < split.start or size + line_end - 1 > record_bytes:
                    if place >= split.start:
                        yield place, _too_large(size + line_end - 1, record_bytes)
                    place += size + line_end
                    chunk, held, size = chunk[line_end:], [], 0
                whole = chunk.rfind(b"\n") + 1
                block = b"".join([*held, chunk[:whole]])
                if place + len(block) > end > place:  # the last line holds the byte before `end`
                    block = block[: block.find(b"\n", int(end) - 1 - place) + 1]
                if block and place < end:
                    yield place, block
                place += len(block)
                held, size = [chunk[whole:]], len(chunk) - whole
        if size and split.start <= place < end:
            if size > record_bytes:
                yield place, _too_large(size, record_bytes)
            else:
                yield place, b"".join(held)
    except BrokenStream as error:
        if split.start <= place < end:
            yield place, Reject("broken_record", str(error))


def _too_large(size: int, record_bytes: int) -> Reject:
    return Reject("too_large", f"{size} bytes; at most {record_bytes} are read")


def _whole(url: str, container: str, record_bytes: int) -> bytes | Reject:
    """A file that is one document; or why it is none."""
    if container == "misplaced":
        return Reject("broken_record", "a Parquet file where lines are expected")
    held: list[bytes] = []
    size = 0
    try:
        with open_stream(url) as stream:
            while size <= record_bytes and (chunk := stream.read(_CHUNK)):
                held.append(chunk)
                size += len(chunk)
    except BrokenStream as error:
        return Reject("broken_record", str(error))
    if size > record_bytes:
        return Reject("too_large", f"more than {record_bytes} bytes")
    return b"".join(held)


def _own(batches: Iterator[pa.RecordBatch], split: Split) -> Iterator[pa.RecordBatch]:
    """The rows of the spans that the split takes."""
    for batch in batches:
        if split.stride > 1:
            batch = batch.filter(pa.array(split.owns(batch.column("place").to_numpy())))
        if batch.num_rows:
            yield batch


_Text = tuple[str | None, str | None]  # with its subset
_SUBSET = 1 + METADATA.index("subset")  # of a Row


def _texts(batch: pa.RecordBatch, places: Sequence[int]) -> dict[int, _Text]:
    rows = np.flatnonzero(np.isin(batch.column("place").to_numpy(), places))
    chosen = batch.select(["place", "text", "subset"]).take(pa.array(rows))
    return {row["place"]: (row["text"], row["subset"]) for row in chosen.to_pylist()}


def _runs(
    url: str, container: str, places: Sequence[int]
) -> Iterator[tuple[list[int], Frame | None]]:
    """The places in runs to be read without seeking, each with the frame to begin at."""
    anywhere, frames = _seekable(url, container)
    near = 0 if container == "parquet" else _NEAR
    run: list[int] = []
    for place in places:
        far = bool(run) and place - run[-1] > near
        if far and (anywhere or _frame(frames, place) != _frame(frames, run[-1])):
            yield run, _frame(frames, run[0])
            run = []
        run.append(place)
    if run:
        yield run, _frame(frames, run[0])


def _seekable(url: str, container: str) -> tuple[bool, list[Frame]]:
    """Whether reading can begin at any place; or else at which: zstd frames, row groups."""
    with open_input(url) as raw:
        kind = compression(raw.read(MAGIC_BYTES))
        if container == "parquet":
            return False, _row_groups(raw)
    return kind == "none", zst_frames(url) or []


def _row_groups(raw: IO[bytes]) -> list[Frame]:
    """Row groups as frames whose places are row numbers; none where the footer is damaged."""
    try:
        metadata = pq.ParquetFile(raw).metadata
    except (pa.ArrowException, OSError, ValueError):
        return []
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    return [Frame(0, first) for first in accumulate([0, *sizes[:-1]])]


def _frame(frames: list[Frame], place: int) -> Frame | None:
    """The last frame that begins before `place`: the byte before a line is read too."""
    index = bisect_right(frames, max(place - 1, 0), key=lambda frame: frame.decompressed)
    return frames[index - 1] if index else None
