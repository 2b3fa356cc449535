"""Whole runs on a small corpus of real text: the shards depend on texts and recipe, on nothing else."""

from collections import Counter
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
from small_run import corpus, recipe, shard_hashes, write_corpus

from coursepack.jobs.run import run
from coursepack.pipeline.errors import PlanError, SourceError
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.workspace import Workspace
from coursepack.shards import Curriculum
from coursepack.shards.format import open_shard, read_docs
from coursepack.stages.report import Report
from coursepack.stages.verify import verify
from coursepack.tokenizers.model import load

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def first(spark, tmp_path_factory):
    """The run that others are compared with: (corpus, workspace, report)."""
    folder = tmp_path_factory.mktemp("first")
    write_corpus(folder / "corpus")
    report = run(recipe(folder / "corpus", folder / "ws"), spark)
    return folder / "corpus", folder / "ws", report


def _again(spark, folder: Path, made: Recipe) -> dict[str, str]:
    run(made, spark)
    return shard_hashes(folder)


def test_every_record_is_kept_or_has_a_reason(first):
    _, _, report = first
    records = sum(len(rows) for rows in corpus().values())
    assert report.documents["read"] == records
    assert sum(n for name, n in report.documents.items() if name != "read") == records
    assert sum(row["documents"] for row in report.funnel) == records


def test_copies_of_lower_priority_go(first):
    _, _, report = first
    lost = Counter()
    for row in report.funnel:
        if row["reason"] in ("exact_duplicate", "near_duplicate"):
            lost[row["source"], row["reason"]] += row["documents"]
    records = corpus()
    exact = sum(r["text"] in {w["text"] for w in records["web"]} for r in records["mirror"])
    kept = sum(r["documents"] for r in report.funnel if r["source"] == "mirror" and not r["reason"])
    assert lost["mirror", "exact_duplicate"] > 0
    assert lost["mirror", "near_duplicate"] > 0
    assert lost["mirror", "exact_duplicate"] <= exact
    assert kept == 0  # each is a copy, exact or near, of a page of `web`


def test_phases_hold_what_was_planned(first):
    _, _, report = first
    packed = Counter()
    for row in report.mixture:
        packed[row["phase"], row["length"], row["domain"]] += row["tokens"]
    assert {row["phase"] for row in report.plan} == {"general", "mixed", "enterprise", "validation"}
    longest = max(row["tokens"] for row in _documents(report))
    for row in report.plan:
        found = packed[row["phase"], row["length"], row["domain"]]
        # an arc ends with whole documents, at either end of each pass
        assert abs(found - row["tokens"]) <= 4 * longest
    for row in report.packing:
        width = row["length"]
        assert row["tokens"] + row["padding"] == row["sequences"] * width


def _documents(report: Report) -> list[dict[str, object]]:
    files = pq.read_table(f"{report.result}/files.parquet")
    return [
        row
        for path in files["docs_path"].to_pylist()
        for row in read_docs(f"{report.result}/{path}").to_pylist()
    ]


def test_nothing_repeats_before_a_ring_is_exhausted(first):
    _, ws, report = first
    files = pq.read_table(ws / "shards/small/files.parquet").to_pylist()
    seen: dict[bytes, list[int]] = {}
    for file in files:
        for row in read_docs(f"{report.result}/{file['docs_path']}").to_pylist():
            if file["phase"] != "validation":
                seen.setdefault(row["content"], []).append(row["epoch"])
    for epochs in seen.values():
        assert sorted(epochs) == list(range(min(epochs), min(epochs) + len(epochs)))
    held = {
        row["content"]
        for file in files
        if file["phase"] == "validation"
        for row in read_docs(f"{report.result}/{file['docs_path']}").to_pylist()
    }
    assert held
    assert not held & seen.keys()


def test_a_second_run_does_nothing_again(first, spark):
    corpus_folder, ws, _ = first
    before = {path: path.stat().st_mtime_ns for path in ws.rglob("*.parquet") if "-" in path.name}
    hashes = shard_hashes(ws)
    run(recipe(corpus_folder, ws), spark)
    assert shard_hashes(ws) == hashes
    after = {path: path.stat().st_mtime_ns for path in ws.rglob("*.parquet") if "-" in path.name}
    assert after == before


@pytest.mark.parametrize("partitions", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_partitions_do_not_matter(first, spark, tmp_path, partitions):
    corpus_folder, ws, _ = first
    cut = {"partitions": partitions, "group_bytes": 50_000 * partitions}
    made = recipe(corpus_folder, tmp_path / "ws", execution=cut)
    assert _again(spark, tmp_path / "ws", made) == shard_hashes(ws)


@pytest.mark.parametrize(
    ("variant", "parts"), [("zst", 3), pytest.param("gz", 1, marks=pytest.mark.slow)]
)
def test_files_do_not_matter(first, spark, tmp_path, variant, parts):
    _, ws, _ = first
    write_corpus(tmp_path / "other", parts, variant)
    made = recipe(tmp_path / "other", tmp_path / "ws")
    assert _again(spark, tmp_path / "ws", made) == shard_hashes(ws)


@pytest.mark.slow
def test_sources_may_come_in_instalments(first, spark, tmp_path):
    corpus_folder, ws, _ = first
    whole = recipe(corpus_folder, tmp_path / "ws")
    part = whole.model_copy(
        update={
            "name": "part",
            "source": tuple(s for s in whole.source if s.name not in ("mirror",)),
        }
    )
    run(part, spark)
    measured = set((tmp_path / "ws/measurements").rglob("*.parquet"))
    again = _again(spark, tmp_path / "ws", whole)
    assert again == shard_hashes(ws)
    kept = {path for path in measured if path.name != "files.parquet"}
    assert kept <= set((tmp_path / "ws/measurements").rglob("*.parquet"))
    groups = {path.name.split("-")[0] for path in kept}
    assert len(groups) == len({p.name for p in kept if p.parent.parent.name == "record"})


def test_a_reader_gets_the_shards(first):
    _, ws, report = first
    curriculum = Curriculum(str(ws / "shards/small"))
    tokens = Counter()
    for batch in curriculum.batches(sequences=4):
        tokens[batch["phase"]] += int(batch["seq_lens"].sum())
    packed = Counter()
    for row in report.packing:
        packed[row["phase"]] += row["tokens"]
    assert tokens == {phase: n for phase, n in packed.items() if phase != "validation"}


def test_the_result_verifies(first):
    _, ws, report = first
    verdict = verify(str(ws), "small")
    assert verdict.ok, verdict.problems
    checked = {check.name: check.checked for check in verdict.checks}
    assert checked["replay"] > 50
    assert checked["hashes"] == 2 * sum(row["shards"] for row in report.packing)


def test_the_vocabulary_decodes_a_shard(first):
    _, ws, report = first
    plan = orjson.loads((ws / "shards/small/plan.json").read_bytes())
    tokenizer = load(plan["tokenizer_url"])
    table = open_shard(str(ws / "shards/small/general/256/00000.arrow"))
    ids = np.concatenate(list(table["input_ids"].to_numpy()[:3]))
    assert ids.max() < tokenizer.vocab_size == report.vocabulary
    assert " the " in tokenizer.decode(ids)


def test_an_impossible_plan_is_refused_with_numbers(first, spark):
    corpus_folder, ws, _ = first
    whole = recipe(corpus_folder, ws)
    greedy = whole.model_copy(
        update={
            "name": "greedy",
            "phase": (whole.phase[0].model_copy(update={"tokens": 50_000_000}),),
        }
    )
    with pytest.raises(
        PlanError,
        match=r"phase .general., .web.: asks for 30M tokens(.|\n)*lower phase.general.tokens",
    ):
        run(greedy, spark)
    assert not (ws / "shards/greedy").exists()


def test_bad_records_are_counted_and_a_limit_stops_the_run(spark, tmp_path):
    write_corpus(tmp_path / "corpus")
    bad = b'{"text": 5}\n{"text": null}\nno json\n{"text": ""}\n{"text": "\xff"}\n{"url": 1}\n'
    (tmp_path / "corpus/web/bad.jsonl").write_bytes(bad)
    made = recipe(tmp_path / "corpus", tmp_path / "ws")
    report = run(made, spark)
    reasons = {k: v for k, v in report.documents.items() if k not in ("read", "kept")}
    assert reasons["wrong_type"] == 1
    assert reasons["no_text"] == 2
    assert reasons["broken_record"] == 1
    assert reasons["invalid_utf8"] == 1
    assert reasons["empty"] == 1
    assert any("6 of" in warning for warning in report.warnings)
    strict = made.model_copy(update={"limits": made.limits.model_copy(update={"rejected": 0.001})})
    with pytest.raises(SourceError, match=r"limits\.rejected allows 0\.10%"):
        run(strict, spark)


@pytest.mark.slow
def test_a_sample_has_a_workspace_of_its_own(first, spark, tmp_path):
    corpus_folder, _, _ = first
    made = recipe(corpus_folder, tmp_path / "ws", holdout=None).sampled(0.5)
    report = run(made, spark)
    records = sum(len(rows) for rows in corpus().values())
    assert 0.3 * records < report.documents["read"] < 0.7 * records
    assert Workspace(made.workspace).url.endswith("samples/0.5")
    assert sum(row["planned"] for row in report.packing) == 100_000
