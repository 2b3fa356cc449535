"""Local edits: a chain of changes to each text, made alike before it is measured and before it is encoded.

An edit is a pure function of one text and its settings. It is found as spans and then applied, so each is counted,
and a byte of the edited text leads back to a byte of the source.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types

from coursepack.pipeline.arrow import Text, int32s, ratio, text_buffers
from coursepack.pipeline.edits import Credentials, EditSettings, Pii
from coursepack.stages.c4_lines import c4_line_spans
from coursepack.stages.characters import BYTES, INDEX, characters, decode
from coursepack.stages.citations import find_citations
from coursepack.stages.credentials import find_credentials
from coursepack.stages.line_edits import python_spaces, skip_spaces
from coursepack.stages.pii import PiiPolicy, dropped, find_pii
from coursepack.stages.refinedweb_lines import refinedweb_line_spans
from coursepack.stages.spans import (
    Spans,
    apply,
    count_kinds,
    edited_bytes,
    no_spans,
    source_bytes,
    spread,
)
from coursepack.stages.unicode_repair import unicode_spans

# What finds the spans of an edit.
FINDERS: dict[str, Callable[[Text, Any], Spans]] = {
    "unicode": unicode_spans,
    "citations": lambda text, _: find_citations(text),
    "c4_lines": c4_line_spans,
    "refinedweb_lines": refinedweb_line_spans,
    "pii": lambda text, settings: find_pii(text, policy_of(settings)),
    "credentials": lambda text, _: find_credentials(text),
}
_WORDS_OF = "refinedweb_lines"  # the edit whose share of words DCLM limits


@dataclass(frozen=True)
class Edited:
    """A batch of texts after its edits, one `Spans` an edit in the order they were made."""

    text: pa.Array  # large_string; null where the source is
    names: tuple[str, ...]
    spans: tuple[Spans, ...]
    source_sizes: np.ndarray  # int64, bytes a row
    emptied: np.ndarray  # bool: something was there, and nothing but white space is left
    refused: (
        np.ndarray
    )  # bool: holds what costs the document its place, by the settings of `pii` or `credentials`
    words_removed: pa.Array  # float64: share of words that `refinedweb_lines` took

    @property
    def counts(self) -> dict[str, np.ndarray]:
        """int64 by edit: spans a row."""
        return {name: np.diff(s.offsets) for name, s in zip(self.names, self.spans, strict=True)}

    @property
    def by_kind(self) -> dict[str, int]:
        """Spans in the batch, by edit and kind, such as "pii/email"."""
        return {
            f"{edit}/{kind}": int(count)
            for edit, spans in zip(self.names, self.spans, strict=True)
            for kind, count in zip(spans.names, count_kinds(spans).sum(axis=0), strict=True)
            if count
        }

    def source_bytes(self, row: int, positions: np.ndarray) -> np.ndarray:
        """Where bytes of the edited text of a row stand in its source; see `spans.source_bytes`."""
        for spans in reversed(self.spans):
            positions = source_bytes(spans, row, positions)
        return positions

    def edited_bytes(self, row: int, positions: np.ndarray) -> np.ndarray:
        """Where bytes of the source of a row stand in its edited text; see `spans.edited_bytes`."""
        for spans in self.spans:
            positions = edited_bytes(spans, row, positions)
        return positions


def edit(
    text: Text,
    chain: Sequence[EditSettings],
    masks: Mapping[str, np.ndarray] | None = None,
) -> Edited:
    """Makes the edits of `chain` in its order; each on the rows of its mask (bool by edit), or on all of them.

    A null row stays null. Without an edit that finds something, no text is copied.
    """
    masks = masks or {}
    array = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    source, found = array, []
    refused = np.zeros(len(array), np.bool_)
    words_removed = pa.nulls(len(array), pa.float64())
    for settings in chain:
        mask = masks.get(settings.edit)
        spans = _find(array, settings, mask)
        after = apply(array, spans)
        refused |= _refused(spans, settings)
        if settings.edit == _WORDS_OF:
            words_removed = _words_removed(array, after, np.diff(spans.offsets) > 0, mask)
        array = after
        found.append(spans)
    emptied = np.zeros(len(source), np.bool_)
    if any(len(spans.starts) for spans in found):
        emptied = _is_blank(array) & ~_is_blank(source)
    return Edited(
        apply(array, no_spans(len(array))),
        tuple(settings.edit for settings in chain),
        tuple(found),
        np.diff(text_buffers(source)[0]),
        emptied,
        refused,
        words_removed,
    )


def edit_signals(edited: Edited) -> pa.RecordBatch:
    """What edits did to each text: the columns of the family `edits`, one row a text.

    `edited_bytes` (int64) is the size of the edited text; `edit_removed_ratio` (float64) the share of the source's
    bytes that it is shorter by, 0 where it is longer, null where the source is empty. `edit_spans` and `edit_<name>`
    (int32) count spans, 0 for an edit that is not made. `edit_words_removed_ratio` (float64) is DCLM's: words
    that `refinedweb_lines` took per word before it; a word stands between ASCII white space and starts with a
    letter or number; null without words, or where that edit is not made.
    """
    sizes = np.diff(text_buffers(edited.text)[0])
    source = edited.source_sizes
    counts = {name: np.zeros(len(sizes), np.int64) for name in FINDERS} | edited.counts
    columns = {
        "edited_bytes": pa.array(sizes),
        "edit_spans": int32s(np.sum(list(counts.values()), axis=0)),
        "edit_removed_ratio": ratio(np.maximum(source - sizes, 0), source),
        "edit_words_removed_ratio": edited.words_removed,
        **{f"edit_{name}": int32s(n) for name, n in counts.items()},
    }
    return pa.RecordBatch.from_pydict(columns)


def _find(array: pa.Array, settings: EditSettings, mask: np.ndarray | None) -> Spans:
    find = FINDERS[settings.edit]
    if mask is None or mask.all():
        return find(array, settings)
    if not mask.any():
        return no_spans(len(array))
    return spread(find(array.filter(pa.array(mask)), settings), mask)


def policy_of(settings: Pii) -> PiiPolicy:
    """What `find_pii` is told."""
    chosen = settings.model_dump(exclude={"scope"})
    if settings.national_ids is None:
        del chosen["national_ids"]
    return PiiPolicy(**chosen)


def _refused(spans: Spans, settings: EditSettings) -> np.ndarray:
    if isinstance(settings, Pii) and spans.names:
        return dropped(spans, policy_of(settings))
    if isinstance(settings, Credentials) and settings.action == "drop":
        return np.diff(spans.offsets) > 0
    return np.zeros(spans.rows, np.bool_)


def _is_blank(array: pa.Array) -> np.ndarray:
    offsets, data = text_buffers(array)
    blank = np.zeros(len(array), np.bool_)
    _find_blank(offsets, data, python_spaces(), blank)
    return blank


def _words_removed(
    before: pa.Array, after: pa.Array, changed: np.ndarray, mask: np.ndarray | None
) -> pa.Array:
    table = characters()
    starts_word = table.is_letter | table.is_number
    counts = np.zeros((2, len(before)), np.int64)
    for array, count in zip((before, after), counts, strict=True):
        _count_words(*text_buffers(array), starts_word, changed, count)
    return ratio(counts[0] - counts[1], counts[0], None if mask is None else ~mask)


@njit(types.void(INDEX, BYTES, BYTES, types.boolean[::1]), nogil=True, cache=True)
def _find_blank(
    offsets: np.ndarray, data: np.ndarray, is_space: np.ndarray, blank: np.ndarray
) -> None:
    for row in range(len(blank)):
        end = offsets[row + 1]
        blank[row] = skip_spaces(data, offsets[row], end, is_space) == end


@njit(
    types.void(
        INDEX, BYTES, BYTES, types.Array(types.boolean, 1, "C", readonly=True), types.int64[::1]
    ),
    nogil=True,
    cache=True,
)
def _count_words(
    offsets: np.ndarray,
    data: np.ndarray,
    starts_word: np.ndarray,
    changed: np.ndarray,
    words: np.ndarray,
) -> None:
    """Words stand between what fastText splits at: ASCII white space and NUL. One will do of unchanged rows."""
    for row in range(len(words)):
        inside = False
        for i in range(offsets[row], offsets[row + 1]):
            byte = data[i]
            if byte == 0x20 or 0x09 <= byte <= 0x0D or byte == 0:
                inside = False
            elif not inside:
                inside = True
                code, _ = decode(data, i, offsets[row + 1])
                words[row] += starts_word[code]
                if words[row] > 0 and not changed[row]:
                    break
