"""A small corpus of real text, and a recipe for it: what the tests of whole runs share."""

import gzip
import io
import pydoc_data.topics
import sysconfig
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

import coursepack
from coursepack.pipeline.recipe import Recipe, parse

TEXTS = Path(coursepack.__file__).parent / "recipes" / "demo"


def corpus() -> dict[str, list[dict[str, Any]]]:
    """Records by source: Python's help topics (with near and exact copies), its modules, SQL, mathematics."""
    topics = [text for _, text in sorted(pydoc_data.topics.topics.items())]
    near = [text.replace("the", "a", 1) + "\nSeen elsewhere.\n" for text in topics[::4]]
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    modules = [p for p in sorted(stdlib.glob("*.py")) if 2_000 < p.stat().st_size < 20_000][:60]
    return {
        "web": [{"text": t, "url": f"https://example.org/{n}"} for n, t in enumerate(topics)],
        "mirror": [{"text": t, "url": f"mirror:{n}"} for n, t in enumerate(near + topics[::5])],
        "code": [{"content": p.read_text("utf-8"), "name": p.name} for p in modules],
        "sql": [{"text": p.read_text("utf-8")} for p in sorted(TEXTS.glob("sql/*"))],
        "math": [{"text": p.read_text("utf-8")} for p in sorted(TEXTS.glob("math/*"))],
    }


def jsonl(records: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


def write_corpus(folder: Path, parts: int = 2, variant: str = "plain") -> None:
    """The corpus as files; `variant` is the compression, and the names' beginning."""
    for source, records in corpus().items():
        (folder / source).mkdir(parents=True, exist_ok=True)
        step = -(-len(records) // parts)
        for part in range(parts):
            piece = records[part * step : (part + 1) * step]
            if not piece:
                continue
            path = folder / source / f"{variant}-{part}"
            if source == "code":
                pq.write_table(pa.Table.from_pylist(piece), path.with_suffix(".parquet"))
            elif variant == "gz":
                out = io.BytesIO()
                with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as file:
                    file.write(jsonl(piece))
                path.with_suffix(".json.gz").write_bytes(out.getvalue())
            elif variant == "zst":
                data = zstandard.ZstdCompressor(3).compress(jsonl(piece))
                path.with_suffix(".jsonl.zst").write_bytes(data)
            else:
                path.with_suffix(".jsonl").write_bytes(jsonl(piece))


def recipe(corpus: Path, workspace: Path, **changes: Any) -> Recipe:
    """A recipe with all that a run can have: rules, duplicates, a trained vocabulary, a hold-out, three phases."""
    table: dict[str, Any] = {
        "name": "small",
        "seed": 3,
        "workspace": str(workspace),
        "source": [
            {"name": "web", "layout": "jsonl", "paths": [f"{corpus}/web"], "domain": "web"},
            {"name": "mirror", "layout": "jsonl", "paths": [f"{corpus}/mirror"], "domain": "web"}
            | {"priority": -1},
            {"name": "code", "layout": "parquet", "paths": [f"{corpus}/code"], "domain": "code"}
            | {"fields": {"text": "content", "path": "name"}},
            {"name": "sql", "layout": "jsonl", "paths": [f"{corpus}/sql"], "domain": "sql"},
            {"name": "math", "layout": "jsonl", "paths": [f"{corpus}/math"], "domain": "math"},
        ],
        "rules": {"profiles": ["gopher", "code"], "tiny": {"scope": "web", "drop": "words < 80"}},
        "tokenizer": {"train": {"preset": "gemma", "vocabulary": 2000, "sample": "2MB"}},
        "holdout": {"tokens": 2000, "length": 256},
        "phase": [
            {"name": "general", "tokens": 80_000, "length": 256}
            | {"mixture": {"web": 0.6, "code": 0.4}},
            {"name": "mixed", "tokens": 60_000, "length": {"code": 512, "default": 256}}
            | {"mixture": {"web": 0.3, "code": 0.5, "math": 0.2}},
            {"name": "enterprise", "tokens": 60_000, "length": 1024, "max_epochs": 4}
            | {"mixture": {"code": 0.4, "sql": 0.3, "math": 0.3}, "packing": "concat"},
        ],
        "shards": {"tokens": 20_000},
        "execution": {"group_bytes": 200_000},
    }
    return parse(table | changes)


def shard_hashes(workspace: Path, name: str = "small") -> dict[str, str]:
    """sha256 of each shard and sidecar, by path."""
    files = pq.read_table(workspace / "shards" / name / "files.parquet")
    shards = dict(zip(files["path"].to_pylist(), files["sha256"].to_pylist(), strict=True))
    docs = zip(files["docs_path"].to_pylist(), files["docs_sha256"].to_pylist(), strict=True)
    return shards | dict(docs)
