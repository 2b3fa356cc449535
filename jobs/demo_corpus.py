"""The demo's corpus: text that every machine already has, in the layouts of real corpora.

A Python installation holds tens of megabytes of code, reference documentation, licences, vendored
copies, SQL and mathematics. They are real text with real duplicates, and need no download; some SQL
and mathematics of our own (`recipes/demo/`) is added, and `docs/broken.jsonl` with bad records.
Equal installations give equal bytes. Rows have the fields by which readers tell a layout, and those
they take; stars, scores and the like have no meaning here.

| folder | what | layout |
|---|---|---|
| `code/LANGUAGE/` | modules and headers of standard library and packages | The Stack v1, Parquet |
| `vendored/` | copies of packages inside packages and bundled wheels | StarCoderData, Parquet |
| `docs/` | docstrings by module, help topics; loose texts | RedPajama-V1, .jsonl.zst |
| `web/` | project descriptions, docstrings by object | Dolma, .json.gz |
| `licenses/` | licence files of all packages | The Pile, .jsonl.zst |
| `sql/` | ours; statements in the packages' string literals | named fields, .jsonl |
| `math/` | ours; docstrings with formulas | OpenWebMath, Parquet |
"""

import gzip
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from coursepack.jobs.demo_texts import (
    LANGUAGES,
    Library,
    Page,
    Text,
    descriptions,
    documentation,
    files_by_kind,
    language_reference,
    own_texts,
    statements,
    texts_of,
)
from coursepack.pipeline import storage

Row = dict[str, Any]

# Bytes of text in a set of files at most, so that the corpus has one size on every machine.
BUDGETS = {
    "code/python/data.parquet": 30_000_000,
    "vendored/train.parquet": 10_000_000,
    "docs/reference.jsonl.zst": 8_000_000,
}
OTHER_BUDGET = 5_000_000
READ_CHARS = 110_000_000  # Python source looked at: bounds the time where much is installed
PART_ROWS = 500  # documents in a file

DATE = "2025-01-01T00:00:00.000Z"  # files carry no dates that are equal everywhere

# (reject reason or None, line): what real dumps contain, so that the demo counts rejects.
BROKEN: tuple[tuple[str | None, bytes], ...] = (
    (None, b'{"text":"The first record is in order; most others are not.","meta":{}}'),
    ("broken_record", b'{"text":"A line that was cut short in the midd'),
    ("broken_record", b'["a list", "is not a record"]'),
    ("no_text", b'{"text":null,"meta":{"title":"null"}}'),
    ("no_text", b'{"meta":{"title":"no text at all"}}'),
    ("wrong_type", b'{"text":42,"meta":{"title":"a number"}}'),
    ("wrong_type", b'{"text":["one","two"],"meta":{"title":"a list"}}'),
    ("invalid_utf8", b'{"text":"Latin-1 in a UTF-8 file: caf\xe9","meta":{}}'),
    ("invalid_utf8", b'{"text":"half of a pair: \\ud83d","meta":{}}'),
    ("empty", b'{"text":"","meta":{"title":"empty"}}'),
    ("empty", b'{"text":" \\n\\t ","meta":{"title":"white space"}}'),
    (None, b'{"text":"The last record is in order again.","meta":{}}'),
)


def write_corpus(folder: str, library: Library | None = None) -> dict[str, dict[str, int]]:
    """Write the demo's corpus below `folder`, a path or URL where nothing is yet.

    Returns `documents` and `bytes` (UTF-8, of the texts) by source (the folders of the module's
    table), `docs/broken.jsonl` left out. Text comes from `library`, the running interpreter's unless
    told; what is not installed there is left out.
    """
    counts: dict[str, dict[str, int]] = {}
    for path, field, rows in _file_sets(library or Library.of_this_process()):
        count = counts.setdefault(path.split("/")[0], {"documents": 0, "bytes": 0})
        chosen = _within(BUDGETS.get(path, OTHER_BUDGET), field, rows)
        stem, suffix = path.split(".", 1)
        for number in itertools.count():
            part = list(itertools.islice(chosen, PART_ROWS))
            if not part:
                break
            url = storage.join(folder, f"{stem}-{number:05d}.{suffix}")
            storage.write_bytes(url, _encode(suffix, part))
            count["documents"] += len(part)
            count["bytes"] += sum(len(row[field].encode()) for row in part)
    broken = b"".join(line + b"\n" for _, line in BROKEN)
    storage.write_bytes(storage.join(folder, "docs", "broken.jsonl"), broken)
    return counts


def _file_sets(library: Library) -> Iterator[tuple[str, str, Iterable[Row]]]:
    """(path, the field that holds the text, rows) of each set of files."""
    files = files_by_kind(library)
    modules = list(texts_of(files["Python"], READ_CHARS))
    pages = documentation(modules)
    ours = [Page(f"coursepack:demo/math/{name}", name, text) for name, text in own_texts("math")]
    yield "code/python/data.parquet", "content", map(_stack, modules)
    for language in sorted(set(LANGUAGES.values()) - {"Python"}):
        path = f"code/{language.lower().replace('+', 'p')}/data.parquet"
        yield path, "content", map(_stack, texts_of(files[language]))
    yield "vendored/train.parquet", "content", map(_starcoder, texts_of(files["vendored"]))
    reference = [*language_reference(), *pages["docs"]]
    yield "docs/reference.jsonl.zst", "text", map(_redpajama, reference)
    yield "docs/common_crawl.jsonl.zst", "text", map(_common_crawl, texts_of(files["texts"]))
    web = [*descriptions(files["metadata"]), *pages["web"]]
    yield "web/pages.json.gz", "text", map(_dolma, web)
    yield "licenses/licenses.jsonl.zst", "text", map(_pile, texts_of(files["licenses"]))
    queries = [*own_texts("sql"), *statements(modules)]
    yield "sql/queries.jsonl", "query_text", ({"query_text": t, "name": n} for n, t in queries)
    yield "math/pages.parquet", "text", map(_open_web_math, [*ours, *pages["math"]])


def _within(budget: int, field: str, rows: Iterable[Row]) -> Iterator[Row]:
    """The rows up to the first whose text does not fit the budget of bytes any more."""
    for row in rows:
        budget -= len(row[field].encode())
        if budget < 0:
            return
        yield row


def _stack(found: Text) -> Row:
    """The Stack v1."""
    file, text = found
    data = text.encode()
    return {
        "hexsha": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),  # git's blob id
        "size": len(data),
        "ext": file.extension,
        "lang": LANGUAGES[file.extension],
        "max_stars_repo_path": file.path,
        "content": text,
    }


def _starcoder(found: Text) -> Row:
    """StarCoderData."""
    file, text = found
    return {"id": file.path, "max_stars_repo_path": file.path, "content": text}


def _redpajama(page: Page) -> Row:
    """RedPajama-V1 with `meta`, as its Wikipedia part."""
    meta = {"title": page.title, "url": page.url, "language": "en", "timestamp": DATE}
    return {"text": page.text, "meta": meta}


def _common_crawl(found: Text) -> Row:
    """RedPajama-V1 without `meta`; the scores are placeholders."""
    file, text = found
    label = {"pred_label": "__label__cc", "pred_label_prob": 0.5, "wiki_prob": 0.5}
    return {"text": text, **label, "source": f"cc/demo/{file.path}"}


def _dolma(page: Page) -> Row:
    """Dolma."""
    return {
        "id": hashlib.sha1(f"{page.url} {page.title}".encode()).hexdigest(),
        "text": page.text,
        "source": "python-packages",
        "added": DATE,
        "metadata": {"url": page.url, "title": page.title},
    }


def _pile(found: Text) -> Row:
    """The Pile."""
    file, text = found
    return {"text": text, "meta": {"pile_set_name": "Licenses", "path": file.path}}


def _open_web_math(page: Page) -> Row:
    """OpenWebMath: `metadata` is a string of JSON."""
    metadata = orjson.dumps({"title": page.title}).decode()
    return {"url": page.url, "text": page.text, "date": DATE, "metadata": metadata}


def _encode(suffix: str, rows: list[Row]) -> bytes:
    """A file's bytes, by what its name ends in."""
    if suffix == "parquet":
        out = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows), out, compression="zstd")
        return bytes(out.getvalue())
    lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    if suffix.endswith("gz"):
        return gzip.compress(lines, mtime=0)
    return zstandard.compress(lines) if suffix.endswith("zst") else lines
