"""A whole run with a tokenizer.json: its tokens, its end and pad tokens by name, and `verify`."""

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tokenizers
from byte_level_files import byte_level_json
from small_run import corpus, recipe, write_corpus
from tokenizers import AddedToken

from coursepack.jobs.run import run
from coursepack.jobs.status import workspace_status
from coursepack.pipeline.workspace import Workspace
from coursepack.shards.format import open_shard, read_info
from coursepack.shards.manifest import read_manifest
from coursepack.stages.verify import verify

pytestmark = pytest.mark.spark


def test_a_run_with_a_tokenizer_json(spark, tmp_path: Path) -> None:
    data = byte_level_json(["<end>", "<fill>"], [AddedToken("    ")], vocabulary=1500)
    path, workspace = tmp_path / "mine.json", tmp_path / "ws"
    path.write_bytes(data)
    write_corpus(tmp_path / "corpus", parts=1)
    settings = {"model": path.as_uri(), "eos": "<end>", "pad": "<fill>"}
    phase = {
        "name": "general",
        "tokens": 80_000,
        "length": 4096,
        "mixture": {"web": 0.6, "code": 0.4},
    }
    made = recipe(tmp_path / "corpus", workspace, tokenizer=settings, phase=[phase])
    report = run(made, spark)

    sha256 = hashlib.sha256(data).hexdigest()
    assert (workspace / "tokenizers" / sha256[:20] / "tokenizer.json").read_bytes() == data
    assert read_manifest(report.result).tokenizer == sha256
    library = tokenizers.Tokenizer.from_buffer(data)
    end, fill = library.token_to_id("<end>"), library.token_to_id("<fill>")
    texts = {r.get("text") or r.get("content") for rows in corpus().values() for r in rows}
    whole = 0
    for file in pq.read_table(f"{report.result}/files.parquet").to_pylist():
        url = f"{report.result}/{file['path']}"
        info = read_info(url)
        assert (info.tokenizer, info.pad_id, info.eos_id) == (sha256, fill, end)
        for row in open_shard(url).to_pylist():
            used = sum(row["seq_lens"])
            assert set(row["input_ids"][used:]) <= {fill}
            at = 0
            for length, start in zip(row["run_lens"], row["doc_starts"], strict=True):
                ids = row["input_ids"][at : at + length]
                at += length
                if start == 0 and ids[-1] == end:
                    assert library.decode(ids[:-1], skip_special_tokens=False) in texts
                    whole += 1
    assert whole > 10

    verdict = verify(str(workspace), "small")
    assert verdict.ok
    (round_trip,) = (check for check in verdict.checks if check.name == "round_trip")
    assert round_trip.checked > 20
    assert not round_trip.note
    (entry,) = (e for e in workspace_status(Workspace(str(workspace))) if e.step == "tokenizer")
    assert entry.bytes == len(data)
    assert entry.used_by == ("small",)
