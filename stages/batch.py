"""Documents that are measured together, and what several families ask of them, found once."""

from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from coursepack.stages.edits import Edited, edit
from coursepack.stages.pieces import Pieces, find_pieces
from coursepack.stages.reader import Reader
from coursepack.stages.words import Words, find_words


@dataclass(frozen=True)
class Batch:
    """Some records of one input group, good and bad: a bad one has no text, and counts as an empty one."""

    records: pa.RecordBatch  # of RECORDS
    content: pa.Array  # XXH3-128 of each source text
    text: pa.Array  # after local edits; null exactly where `reject` is not
    reject: pa.Array
    edited: Edited | None = None  # None where the recipe edits nothing
    measured: dict[str, pa.RecordBatch] = field(
        default_factory=dict
    )  # families, as they are asked for

    @property
    def is_edited(self) -> bool:
        """Whether the texts may be others than those of the records."""
        return self.edited is not None

    @property
    def edit(self) -> Edited:
        """What the recipe's edits did; nothing where there are none."""
        return self.edited or edit(self.text, ())

    @cached_property
    def pieces(self) -> Pieces:
        """Words and lines of the texts."""
        return find_pieces(self.text)

    @cached_property
    def words(self) -> Words:
        """Hashes of the normalised words, for n-grams."""
        return find_words(self.text)

    @property
    def path(self) -> pa.Array:
        """Of each document's file in its repository; null where unknown."""
        return self.records.column("path")

    @property
    def url(self) -> pa.Array:
        """Where each document was found; null where unknown."""
        return self.records.column("url")


def batch_of(records: pa.RecordBatch, content: pa.Array, reader: Reader) -> Batch:
    """Records as they are measured: edited, with those that edits emptied or refused among the rejects."""
    reject = records.column("reject")
    if not reader.edits:
        return Batch(records, content, records.column("text"), reject)
    edited = reader.edited(records)
    reject = pc.coalesce(
        reject,
        pc.if_else(pa.array(edited.refused), "personal_data", pa.scalar(None, pa.string())),
        pc.if_else(pa.array(edited.emptied), "emptied", pa.scalar(None, pa.string())),
    )
    text = pc.if_else(pc.is_null(reject), edited.text, pa.scalar(None, edited.text.type))
    return Batch(records, content, text, reject, edited)
