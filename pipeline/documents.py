"""Columns of every dataset, once: names, Arrow types, meaning. The data contracts of the workspace.

`doc` says where a document is: `file_no << 38 | place` (DESIGN: 2^25 files, 2^38 places a file). Place is
the row number in Parquet and the byte offset of the record in the decompressed stream elsewhere.
`content` says what it is: XXH3-128 of its text.
"""

import numpy as np
import pyarrow as pa

from coursepack.pipeline.errors import SourceError

PLACE_BITS = 38
MAX_FILES = 1 << 25
MAX_PLACE = (1 << PLACE_BITS) - 1

CONTENT = pa.binary(16)


def doc_numbers(file_no: int, places: np.ndarray) -> np.ndarray:
    """The `doc` of each place (int64) of a file; raises SourceError beyond the last place of a file."""
    if len(places) and places[-1] > MAX_PLACE:
        raise SourceError(
            f"file number {file_no} has a record at byte or row {places[-1]:,}; places go up to {MAX_PLACE:,}: "
            "split the file"
        )
    docs: np.ndarray = (file_no << PLACE_BITS) + places.astype(np.int64)
    return docs


# What a reader yields: one row a record, in the order of the file, good or bad.
RECORDS = pa.schema(
    [
        pa.field("place", pa.int64(), False),
        pa.field("text", pa.string()),  # null exactly where `reject` is not
        pa.field("id", pa.string()),
        pa.field("url", pa.string()),
        pa.field("path", pa.string()),  # of the file in its repository
        pa.field(
            "subset", pa.string()
        ),  # the corpus' own name of a part: "RedPajamaArXiv", "Pile-CC"
        pa.field("license", pa.string()),
        pa.field("repository", pa.string()),
        pa.field("access", pa.string()),  # RESTRICTED, or any word of the corpus' own
        pa.field("origin", pa.string()),  # the source or corpus that the text derives from
        pa.field("parent", pa.string()),  # the id there of the document it derives from
        pa.field("generator", pa.string()),  # what wrote it, such as a model
        pa.field("reject", pa.string()),  # why the record cannot be a document, see REJECTS
        pa.field(
            "detail", pa.string()
        ),  # what was found instead, for people; at most 200 characters
    ]
)

# The metadata of a record: what else tells two records of the same text apart.
METADATA = (
    "id", "url", "path", "subset", "license", "repository", "access", "origin", "parent", "generator",
)  # fmt: skip
RESTRICTED = "restricted"  # `access` of a text that people may train on, but not see

REJECTS = {
    "broken_record": "not a JSON object, or cut short",
    "no_text": "the text field is missing or null",
    "wrong_type": "the text field is not a string",
    "invalid_utf8": "bytes that are not UTF-8, or a lone surrogate",
    "empty": "no characters, or white space alone",
    "too_large": "more bytes than limits.record_bytes",
    "emptied": "nothing but white space was left after local edits",
    "personal_data": "holds what an edit's settings say to drop documents for",
}

# what a recipe's edits drop on purpose: no bad input
CHOSEN = ("emptied", "personal_data")

# measurements/record: one row a record; rows of all column groups of an input group align by position.
MEASURED_RECORD = pa.schema(
    [
        pa.field("doc", pa.int64(), False),
        pa.field(
            "content", CONTENT, False
        ),  # of the source text; of the empty one where there is none
        pa.field("edited", CONTENT, False),  # the same of the text after local edits
        pa.field("metadata", pa.int64(), False),  # 63-bit hash of METADATA: the last tie-breaker
        pa.field("bytes", pa.int64(), False),  # UTF-8 bytes of the text after local edits
        *[pa.field(name, pa.string()) for name in METADATA],
        pa.field("host", pa.string()),  # of the URL, without `www.`
        pa.field("license_id", pa.string()),  # SPDX identifiers, sorted, with commas between
        pa.field("reject", pa.string()),
        pa.field("detail", pa.string()),
    ]
)

# measurements/samples: a few documents of each batch, for people to look at.
SAMPLES = pa.schema(
    [
        pa.field("doc", pa.int64(), False),
        pa.field("lot", pa.int64(), False),  # the hash that chose it
        pa.field("head", pa.string(), False),  # the text's first 2 KB, redacted
        pa.field("name", pa.string()),  # its URL, path or id, redacted
    ]
)

# decisions: one row a record, sorted by doc, one file an input group.
DECISIONS = pa.schema(
    [
        pa.field("doc", pa.int64(), False),
        pa.field("content", CONTENT, False),
        pa.field("bytes", pa.int64(), False),
        pa.field("source", pa.string(), False),
        pa.field("domain", pa.string(), False),
        pa.field("language", pa.string()),
        pa.field("keep", pa.bool_(), False),
        pa.field("reason", pa.string()),  # the first reason in recipe order; null where kept
        pa.field("failed", pa.int64(), False),  # bit i: the recipe's rule i
        pa.field("survivor", pa.int64()),  # the doc kept in its place, of a duplicate
    ]
)

# tokens: kept documents, one file an input group, sorted by (domain, source, ring).
TOKENS = pa.schema(
    [
        pa.field("doc", pa.int64(), False),
        pa.field("content", CONTENT, False),
        pa.field("source", pa.string(), False),
        pa.field("domain", pa.string(), False),
        pa.field("language", pa.string()),
        pa.field("ring", pa.int64(), False),  # hash of (seed, "ring", content)
        pa.field("tokens", pa.int32(), False),  # length of the encoded stream
        pa.field("ids", pa.large_binary(), False),  # int32, little endian
    ]
)
