"""What a file probably is, from a few of its records: for `coursepack init`, which a person corrects."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from coursepack.pipeline.storage import open_input
from coursepack.stages.fields import find
from coursepack.stages.layouts import LAYOUTS, Layout, domain_of, layout_of
from coursepack.stages.parquet import MAGIC
from coursepack.stages.records import Split, read_records
from coursepack.stages.streams import MAGIC_BYTES, BrokenStream, compression, open_stream

RECORDS_SEEN = 20
SAMPLE = 3
SAMPLE_CHARACTERS = 300

_HEAD_BYTES = 8 << 20
# a single document is rarely longer; a list of lines often is
_LONG_DOCUMENT_BYTES = 64 << 20

# A layout is recognised by fields that no other has; the first that fits wins, so the telling come first.
_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("slimpajama", ("text", "meta.redpajama_set_name")),
    ("pile", ("text", "meta.pile_set_name")),
    ("redpajama-v1", ("text", "red_pajama_subset")),
    ("redpajama-v1", ("text", "pred_label", "wiki_prob")),
    ("redpajama-v1", ("text", "meta.arxiv_id")),
    ("redpajama-v1", ("text", "meta.question_score")),
    ("redpajama-v1", ("text", "meta.content_hash", "meta.alnum_prop")),
    ("redpajama-v1", ("text", "meta.source", "meta.timestamp", "meta.language")),
    ("redpajama-v1", ("text", "meta.title", "meta.timestamp", "meta.language")),
    ("redpajama-v2", ("raw_content", "digest", "cc_segment")),
    ("the-stack", ("content", "hexsha", "lang")),
    ("starcoderdata", ("content", "max_stars_repo_path")),
    ("refinedweb", ("content", "url", "dump", "segment")),
    ("fineweb", ("text", "id", "dump", "language_score")),
    ("openwebmath", ("text", "url", "date", "metadata")),
    ("dolma", ("id", "text", "source", "added")),
    ("dolma", ("id", "text", "source", "created")),
    ("dolma", ("id", "text", "source", "metadata")),
    ("ingested", ("text", "url", "warc", "charset")),
    ("wikipedia", ("id", "url", "title", "text")),
    ("c4", ("text", "timestamp", "url")),
)
_MARKS = {
    "sql": r"\bsql\b|\bspider\b|\bwikisql\b",
    "math": r"math|gsm8k|algebra|\bproofs?\b|\btheorems?\b",
    "code": r"\bcode\b|\bgithub\b|starcoder|\bthe-?stack\b|\bpython\b|\bjava\b|\brepos?\b",
    "encyclopedia": r"\bwiki(pedia)?\b",
    "books": r"\bbooks?\b|\bnovels?\b|gutenberg",
    "science": r"\barxiv\b|pubmed|pes2o",
    "web": r"\bweb\b|\bcc\b|common-?crawl|\bcrawl\b|\bc4\b",
}
_PLAIN = ("text", "content", "raw_content")


@dataclass(frozen=True)
class Guess:
    """What `init` proposes for a file; `fields` are overrides of the layout's own."""

    layout: str
    fields: dict[str, str]
    container: str  # jsonl, parquet, text or text-lines
    compression: str  # of the file; Parquet compresses within
    sample: tuple[str, ...]  # the first `SAMPLE_CHARACTERS` of up to `SAMPLE` texts
    records_seen: int  # at most `RECORDS_SEEN`
    rejected: int  # of them
    subset: str | None
    domain: str


def guess(url: str) -> Guess:
    """The layout, fields and domain that the first records of a file suggest; never fails on content.

    Known layouts are told by the fields they alone have. Otherwise the layout is a plain one whose
    text is `text`, `content` or `raw_content`, or else the field with the longest strings. The domain
    is the layout's, or for plain files what the path says.
    """
    with open_input(url) as raw:
        head = raw.read(MAGIC_BYTES)
    kind = compression(head)
    is_parquet = head.startswith(MAGIC)
    seen = _parquet_head(url) if is_parquet else _json_head(url)
    if is_parquet or seen:
        container = "parquet" if is_parquet else "jsonl"
        chosen = _layout(url, container, seen)
    else:
        container = _text_container(url)
        chosen = layout_of(container)
    rows = _first_rows(url, chosen)
    texts = [text for text in rows.column("text") if text.is_valid]
    subsets = [subset for subset in rows.column("subset") if subset.is_valid]
    subset = subsets[0].as_py() if subsets else None
    return Guess(
        chosen.name,
        _overrides(chosen),
        container,
        kind,
        tuple(text.as_py()[:SAMPLE_CHARACTERS] for text in texts[:SAMPLE]),
        rows.num_rows,
        rows.num_rows - len(texts),
        subset,
        _domain(chosen, subset, url),
    )


def _layout(url: str, container: str, seen: list[dict[str, Any]]) -> Layout:
    for name, signs in _SIGNS:
        if any(_shows(record, signs) for record in seen):
            return layout_of(name)
    text = _text_field(seen)
    own = {} if text is None or text in _PLAIN else {"text": text}
    return layout_of(container, own)


def _shows(record: dict[str, Any], signs: tuple[str, ...]) -> bool:
    return all(find(record, (tuple(sign.split(".")),)) is not None for sign in signs)


def _text_field(seen: list[dict[str, Any]]) -> str | None:
    """A usual name if it holds strings, or else the path, of at most two steps, of most characters."""
    sizes: dict[str, int] = {}
    for record in seen:
        for path, size in _string_sizes(record):
            sizes[path] = sizes.get(path, 0) + size
    usual = [name for name in _PLAIN if sizes.get(name)]
    return usual[0] if usual else max(sizes, key=lambda path: sizes[path], default=None)


def _string_sizes(record: Mapping[str, Any]) -> list[tuple[str, int]]:
    found = []
    for name, value in record.items():
        if type(value) is str:
            found.append((name, len(value)))
        elif type(value) is dict:
            found += [(f"{name}.{key}", len(v)) for key, v in value.items() if type(v) is str]
    return [(path, size) for path, size in found if all(path.split("."))]


def _overrides(chosen: Layout) -> dict[str, str]:
    own = LAYOUTS[chosen.name].text
    return {} if chosen.text == own else {"text": chosen.text[0]}


def _json_head(url: str) -> list[dict[str, Any]]:
    """The JSON objects among a file's first lines."""
    data = _head(url)
    found = []
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")[:RECORDS_SEEN]:
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if type(record) is dict:
            found.append(record)
    return found


def _head(url: str) -> bytes:
    """Enough of a stream for `RECORDS_SEEN` lines, but at most `_HEAD_BYTES`."""
    held = b""
    try:
        with open_stream(url) as stream:
            while len(held) < _HEAD_BYTES and held.count(b"\n") < RECORDS_SEEN:
                piece = stream.read(1 << 20)
                if not piece:
                    break
                held += piece
    except BrokenStream:
        pass  # what came before the damage may do
    return held


def _parquet_head(url: str) -> list[dict[str, Any]]:
    """The first rows of a Parquet file; none where it is damaged."""
    with open_input(url) as raw:
        try:
            file = pq.ParquetFile(raw, buffer_size=1 << 20, pre_buffer=False)
            batch = next(file.iter_batches(RECORDS_SEEN, use_threads=False), None)
            return [row.as_py() for row in batch.to_struct_array()] if batch is not None else []
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            return []


def _text_container(url: str) -> str:
    with open_input(url) as raw:
        raw.seek(0, 2)
        return "text-lines" if raw.tell() > _LONG_DOCUMENT_BYTES else "text"


def _first_rows(url: str, chosen: Layout) -> pa.RecordBatch:
    for batch in read_records(Split(url), chosen, batch_bytes=1 << 20):
        return batch.slice(0, RECORDS_SEEN)
    return pa.RecordBatch.from_pydict(
        {"text": pa.array([], pa.string()), "subset": pa.array([], pa.string())}
    )


def _domain(chosen: Layout, subset: str | None, url: str) -> str:
    plain = domain_of(chosen, subset)
    if plain != domain_of(layout_of("text"), None):
        return plain
    words = re.sub(r"[_.]", " ", "/".join(url.lower().split("/")[-3:]))
    return next((domain for domain, mark in _MARKS.items() if re.search(mark, words)), plain)
