"""What identifies a record: its content, its text after edits, a hash of its metadata, why it is no document."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from coursepack.pipeline.arrow import text_buffers
from coursepack.pipeline.documents import METADATA
from coursepack.pipeline.hashing import content_hash
from coursepack.stages.licenses import license_ids

_HOST = (
    r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(?i:www\.)?(?P<host>[^/:?#\\]+?)\.?(?:[/:?#\\]|$)"
)


def record_columns(
    records: pa.RecordBatch, content: pa.Array, text: pa.Array, reject: pa.Array, edited: bool
) -> pa.RecordBatch:
    """The columns of MEASURED_RECORD but `doc`; `text` and `reject` are those after local edits, if `edited`."""
    offsets, _ = text_buffers(text)
    columns = {
        "content": content,
        "edited": content_hash(text) if edited else content,
        "metadata": metadata_hash(records),
        "bytes": pa.array(np.diff(offsets)),
        **{name: records.column(name) for name in METADATA},
        "host": hosts(records.column("url")),
        "license_id": license_ids(records.column("license")),
        "reject": reject,
        "detail": records.column("detail"),
    }
    return pa.RecordBatch.from_pydict(columns)


def metadata_hash(records: pa.RecordBatch) -> pa.Array:
    """A 63-bit hash of METADATA a row (int64); an absent field is an empty one."""
    texts = [records.column(name) for name in METADATA]
    joined = pc.binary_join_element_wise(
        *texts, "\x00", null_handling="replace", null_replacement=""
    )
    starts, data = text_buffers(joined)
    view, bounds = data.data, starts.tolist()
    digests = [xxhash.xxh3_64_intdigest(view[a:b]) >> 1 for a, b in itertools.pairwise(bounds)]
    return pa.array(np.array(digests, np.int64))


def hosts(url: pa.Array) -> pa.Array:
    """The host of each URL (string) in lower case, without `www.`; null where there is none."""
    return pc.ascii_lower(pc.struct_field(pc.extract_regex(url, _HOST), "host"))
