"""A run with all that shapes texts and decides on them: edits, tags, own signals, quotas, licences, restricted text."""

from pathlib import Path
from typing import Any

import acme_signals
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_run import TEXTS, corpus, shard_hashes

from coursepack.jobs.run import run
from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.recipe import Recipe, parse
from coursepack.shards.format import open_shard
from coursepack.stages.replay import read_as
from coursepack.stages.report import Report
from coursepack.stages.verify import verify
from coursepack.stages.whatif import Changes, whatif
from coursepack.tokenizers.model import load

pytestmark = pytest.mark.spark

MAIL = "jo.doe@gmail.com"
SECRET_WORD = "zebrafinch"  # in restricted texts alone
LICENSES = ("MIT", "Apache-2.0", "GPL-3.0-only", None)


def write(folder: Path) -> None:
    """Pages with addresses, licensed modules, a restricted book, and files that only their tags tell apart."""
    found = corpus()
    pages = [
        {"text": f"{row['text']}\nWrite to {MAIL} for more on this.\n", "url": f"http://{host}/{n}"}
        for n, row in enumerate(found["web"])
        for host in [("www.a.org", "b.org", "b.org")[n % 3]]
    ]
    modules = [
        {"text": row["content"], "path": row["name"], "license": LICENSES[n % 4]}
        for n, row in enumerate(found["code"])
    ]
    book = [
        {"text": f"Chapter {n}. The {SECRET_WORD} sang of {row['text'][:3000]}", "id": f"c{n}"}
        for n, row in enumerate(found["web"][:20])
    ]
    mixed = [
        {"text": path.read_text("utf-8"), "path": path.name}
        for kind in ("sql", "math")
        for path in sorted((TEXTS / kind).glob("*"))
    ]
    for name, rows in {"pages": pages, "modules": modules, "book": book, "mixed": mixed}.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "a.jsonl").write_bytes(b"".join(orjson.dumps(r) + b"\n" for r in rows))


def recipe(folder: Path, workspace: Path, **changes: Any) -> Recipe:
    def source(name: str, domain: str, **more: Any) -> dict[str, Any]:
        paths = [f"{folder}/{name}"]
        return {"name": name, "layout": "jsonl", "paths": paths, "domain": domain} | more

    table: dict[str, Any] = {
        "name": "governed",
        "workspace": str(workspace),
        "source": [
            source("pages", "web"),
            source("modules", "code"),
            source("book", "books", access="restricted", license="proprietary"),
            source("mixed", "auto"),
        ],
        "edits": {"order": ["unicode", "pii", "credentials"], "pii": {"emails": "redact"}},
        "signals": {"python": ["acme_signals:table_refs", "acme_signals:length"]},
        "rules": {
            "joins": {"scope": "web", "drop": "table_refs > 0"},
            "licence": {
                "scope": "code",
                "keep": "within(license_id, 'mit,apache-2.0')",
                "unknown": "drop",
            },
            "site_cap": {"scope": "web", "by": "host", "max_documents": 15},
        },
        "dedup": {"fuzzy": False},
        "tokenizer": {"train": {"preset": "gemma", "vocabulary": 1500, "sample": "1MB"}},
        "phase": [
            {"name": "all", "tokens": 30_000, "length": 256}
            | {"mixture": {"web": 0.4, "code": 0.4, "books": 0.1, "sql": 0.1}},
        ],
        "shards": {"tokens": 20_000},
    }
    return parse(table | changes).allowing_code()


@pytest.fixture(scope="module")
def made(spark, tmp_path_factory) -> tuple[Path, Recipe, Report]:
    folder = tmp_path_factory.mktemp("governed")
    spark.sparkContext.addPyFile(acme_signals.__file__)  # as --py-files does
    write(folder / "corpus")
    chosen = recipe(folder / "corpus", folder / "ws", execution={"partitions": 1})
    return folder, chosen, run(chosen, spark)


def test_what_is_packed_is_what_was_edited(made):
    folder, _, report = made
    plan = read_as(f"{folder}/ws/shards/governed/plan.json", orjson.loads)
    model = load(plan["tokenizer_url"])
    files = pq.read_table(f"{report.result}/files.parquet")["path"].to_pylist()
    ids = pa.concat_tables([open_shard(f"{report.result}/{path}") for path in files])["input_ids"]
    text = model.decode(ids.combine_chunks().flatten().to_numpy())
    assert "<EMAIL>" in text
    assert MAIL not in text
    verdict = verify(f"{folder}/ws", "governed", 200)
    assert verdict.ok, verdict.problems


def test_quotas_licences_tags_and_own_signals(made):
    _, _, report = made
    rows = report.funnel
    kept = {row["domain"]: row["documents"] for row in rows if not row["reason"]}
    lost = {(row["domain"], row["reason"]): row["documents"] for row in rows if row["reason"]}
    assert kept["web"] == 30  # two hosts, fifteen pages each
    assert lost["web", "site_cap"] == len(corpus()["web"]) - 30 - lost.get(
        ("web", "joins"), 0
    ) - sum(n for (domain, reason), n in lost.items() if domain == "web" and "duplicate" in reason)
    modules = corpus()["code"]
    allowed = sum(LICENSES[n % 4] in ("MIT", "Apache-2.0") for n in range(len(modules)))
    assert kept["code"] == allowed
    assert lost["code", "licence"] == len(modules) - allowed
    assert kept["sql"] == len(list((TEXTS / "sql").glob("*")))  # tagged by what they hold
    assert {"math", "science"} & kept.keys()


def test_restricted_text_is_packed_and_shown_nowhere(made):
    folder, chosen, report = made
    assert any(row["source"] == "book" for row in report.mixture)
    looked = 0
    for path in sorted((folder / "ws").rglob("*.*")):
        where = path.relative_to(folder / "ws").parts[0]
        if where in ("shards", "tokens", "tokenizers") or not path.is_file():
            continue
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            said = str(table.to_pylist())
        else:
            said = path.read_text("utf-8", "replace")
        assert SECRET_WORD not in said, path
        assert MAIL not in said, path
        looked += 1
    assert looked > 20
    answer = whatif(chosen, Changes(rules=("short@books,web: words < 400",)))
    assert {example.source for example in answer.examples} == {"pages"}
    assert not any(
        SECRET_WORD in example.text or MAIL in example.text for example in answer.examples
    )


def test_the_same_bytes_for_any_partitions(made, spark, tmp_path):
    folder, _, _ = made
    run(recipe(folder / "corpus", tmp_path / "ws", execution={"partitions": 3}), spark)
    assert shard_hashes(tmp_path / "ws", "governed") == shard_hashes(folder / "ws", "governed")


def test_its_code_must_be_allowed(made, spark):
    _, chosen, _ = made
    with pytest.raises(RecipeError, match="runs code of its own"):
        run(Recipe.model_validate(chosen.model_dump()), spark)
