"""A small sample of the texts, for people: the first 2 KB of a few documents of each batch, redacted.

`whatif` and reports show documents from here, so that no question reads the corpus again. Documents are chosen
by hash; personal data and credentials are replaced; restricted texts are never among them.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline.arrow import binary_array, text_buffers
from coursepack.pipeline.documents import RESTRICTED, SAMPLES
from coursepack.pipeline.hashing import choice
from coursepack.stages.credentials import find_credentials
from coursepack.stages.families import ROW
from coursepack.stages.pii import PiiPolicy, find_pii
from coursepack.stages.spans import apply

HEAD_BYTES = 2048
_BEHIND = 33_000  # bytes read beyond it, so that the cut splits nothing unseen: a private key's block is 32 KB
OF_A_BATCH = 8  # about 0.2 % of the text

_POLICY = PiiPolicy(emails="redact", ips="redact", regions=("US", "GB", "DE", "FR"))


def sample_columns(records: pa.RecordBatch, content: pa.Array, text: pa.Array) -> pa.RecordBatch:
    """`row` (int64, ascending), and the rest of SAMPLES, of the documents of a batch that are shown to people."""
    shown = pc.and_(pc.is_valid(text), pc.invert(is_restricted(records)))
    shown = shown.to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(shown)
    lots = choice(0, "samples", content)[rows]
    chosen = np.sort(rows[np.argsort(lots, kind="stable")[:OF_A_BATCH]])
    long = heads_of(text.take(pa.array(chosen)), HEAD_BYTES + _BEHIND)
    heads = heads_of(redacted(long), HEAD_BYTES).cast(pa.string())
    rows = records.take(pa.array(chosen))
    names = pc.coalesce(*(rows.column(name) for name in ("url", "path", "id")))
    return pa.RecordBatch.from_arrays(
        [pa.array(chosen), pa.array(choice(0, "samples", content)[chosen]), heads, redacted(names)],
        [ROW, *SAMPLES.names[1:]],
    )


def is_restricted(records: pa.RecordBatch) -> pa.Array:
    """Which records (bool) are of texts that people may train on, but not see."""
    return pc.fill_null(pc.equal(pc.ascii_lower(records.column("access")), RESTRICTED), False)


def heads_of(text: pa.Array, size: int) -> pa.Array:
    """The first `size` bytes of each text, to the last whole character (large_string); no nulls."""
    offsets, data = text_buffers(text)
    ends = np.minimum(offsets[1:], offsets[:-1] + size)
    for row in np.flatnonzero(ends < offsets[1:]):
        while ends[row] > offsets[row] and data[ends[row]] & 0xC0 == 0x80:
            ends[row] -= 1
    pieces = [data[a:b] for a, b in zip(offsets[:-1], ends, strict=True)]
    joined = np.concatenate(pieces) if pieces else np.zeros(0, np.uint8)
    lengths = np.concatenate([[0], np.cumsum(ends - offsets[:-1])])
    return binary_array(lengths, joined, pa.large_string())


def redacted(text: pa.Array) -> pa.Array:
    """The texts (string) with personal data and credentials replaced."""
    text = apply(text, find_credentials(text))
    return apply(text, find_pii(text, _POLICY)).cast(pa.string())
