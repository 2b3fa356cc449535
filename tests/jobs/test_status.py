import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from typer.testing import CliRunner

from coursepack.jobs.command import app
from coursepack.jobs.status import GROWING, PUBLISHED, UNFINISHED, workspace_status
from coursepack.pipeline import storage
from coursepack.pipeline.workspace import Workspace

SCHEMA = pa.schema([("n", pa.int64())])
PRINT = "0123456789abcdef" * 4


def commit(workspace: Workspace, dataset: str, group: str):
    with workspace.dataset(dataset).attempt(group, SCHEMA) as out:
        out.write(pa.table({"n": [1, 2, 3]}))
    return out.record


def small_workspace(folder: Path) -> Workspace:
    workspace = Workspace(str(folder))
    for step in ("measurements/record", "decisions", "lineage", "comparisons"):
        dataset = f"{step}/{PRINT}"
        records = [commit(workspace, dataset, group) for group in ("g0", "g1")]
        workspace.dataset(dataset).publish(records, {"step": "any"})
    commit(workspace, f"decisions/{PRINT}", "g2")
    commit(workspace, f"measurements/gopher/{PRINT}", "g0")
    commit(workspace, f"tokens/{PRINT}", "g0")
    storage.write_bytes(workspace.path("tokenizers", PRINT, "tokenizer.model"), b"model")
    commit(workspace, "shards/main", "general-0")
    plan = {
        "decisions": PRINT,
        "tokens": PRINT,
        "tokenizer_url": f"{folder}/tokenizers/{PRINT}/tokenizer.model",
    }
    storage.write_bytes(workspace.path("shards", "main", "plan.json"), json.dumps(plan).encode())
    storage.write_bytes(
        workspace.path("report", "main", "report.json"), b'{"seconds": {"a": 1.5, "b": 2}}'
    )
    return workspace


def test_each_dataset_and_its_state(tmp_path):
    found = {entry.name: entry for entry in workspace_status(small_workspace(tmp_path))}
    assert {name: entry.state for name, entry in found.items()} == {
        f"measurements/gopher/{PRINT}": UNFINISHED,
        f"measurements/record/{PRINT}": PUBLISHED,
        f"decisions/{PRINT}": GROWING,
        f"lineage/{PRINT}": PUBLISHED,
        f"comparisons/{PRINT}": PUBLISHED,
        f"tokenizers/{PRINT}": PUBLISHED,
        f"tokens/{PRINT}": UNFINISHED,
        "shards/main": UNFINISHED,
        "report/main": PUBLISHED,
    }
    record = found[f"measurements/record/{PRINT}"]
    assert (record.files, record.rows) == (2, 6)
    assert record.bytes
    assert abs((datetime.now(UTC) - record.when).total_seconds()) < 600
    assert found[f"measurements/gopher/{PRINT}"].files == 1
    assert found["report/main"].seconds == 3.5
    users = {name for name, entry in found.items() if entry.used_by == ("main",)}
    assert users == {f"{step}/{PRINT}" for step in ("decisions", "lineage", "tokens", "tokenizers")}


def test_steps_come_in_their_order(tmp_path):
    steps = [entry.step for entry in workspace_status(small_workspace(tmp_path))]
    assert steps == [
        "measure",
        "measure",
        "decide",
        "lineage",
        "tokenizer",
        "compare",
        "encode",
        "pack",
        "report",
    ]


def test_the_command(tmp_path):
    small_workspace(tmp_path)
    shown = CliRunner().invoke(app, ["status", str(tmp_path)], env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "unfinished" in shown.stdout
    assert PRINT[:8] in shown.stdout
    assert PRINT not in shown.stdout
    rows = json.loads(CliRunner().invoke(app, ["status", str(tmp_path), "--json"]).stdout)
    assert [row["rows"] for row in rows if row["step"] == "lineage"] == [6]


def test_an_empty_workspace(tmp_path):
    found = CliRunner().invoke(app, ["status", str(tmp_path)])
    assert (found.exit_code, found.stdout) == (0, "")
    assert "holds nothing yet" in found.stderr
    missing = CliRunner().invoke(app, ["status", str(tmp_path / "none")])
    assert missing.exit_code == 2
