"""A run that is killed, in whole or in part, ends with the same shards, and does nothing twice.

The places: at each dataset, when a file is written but has no name yet, when it lies there without its
commit record, and when it is committed but its task has not told the driver.
"""

import signal
from collections import Counter
from pathlib import Path

import pytest
from separate_run import DATASETS, Strike, committed, listed, run_apart, small_recipe
from small_run import shard_hashes

from coursepack.stages.lineage import Lineage

pytestmark = pytest.mark.spark
DATA, RECORD = r"/[^/]+\.(parquet|arrow)$", r"/commits/"
MOMENTS = {"written": DATA, "before": RECORD, "after": RECORD}


@pytest.mark.parametrize(
    "moment", ["before", *(pytest.param(m, marks=pytest.mark.slow) for m in ("written", "after"))]
)
def test_a_worker_killed_in_each_step(whole, tmp_path, moment):
    """Spark runs its task again, which finds what was committed."""
    corpus, undisturbed = whole
    strikes = [
        Strike(dataset, moment, where + ".*" + MOMENTS[moment], "kill process")
        for dataset, where in DATASETS.items()
    ]
    code = run_apart(small_recipe(corpus, tmp_path / "ws"), tmp_path / "run", strikes=strikes)
    assert code == 0, (tmp_path / "run/log").read_text()
    assert [s.name for s in strikes if not (tmp_path / "run" / s.name).exists()] == []
    _check_same(tmp_path / "ws", undisturbed)


# where the whole run ends, in the order of its steps
KILLS = [
    ("after", r"inventory/files\.parquet"),
    ("after", "measurements/bands.*" + RECORD),  # before the other columns
    ("before", "measurements/record.*" + RECORD),
    ("before", "components.*" + RECORD),
    ("after", "components.*" + RECORD),
    ("after", "decisions.*" + RECORD),
    ("before", "decisions.*/files.parquet"),
    ("before", "lineage.*" + RECORD),
    ("after", "lineage.*" + RECORD),
    ("after", "words/.*/groups.*" + RECORD),
    ("before", "words/.*/all.*" + RECORD),
    ("before", "tokenizer.model"),
    ("before", "tokens.*" + RECORD),
    ("written", "shards/small.*" + DATA),
    ("after", "shards/small.*" + RECORD),
    ("after", "shards/small/files.parquet"),
]


@pytest.mark.slow
def test_the_whole_run_killed_again_and_again(whole, tmp_path):
    """Driver, JVM and workers; each run goes on from where the one before it ended."""
    corpus, undisturbed = whole
    made = small_recipe(corpus, tmp_path / "ws")
    before: dict[Path, int] = {}
    for number, (moment, where) in enumerate(KILLS):
        folder = tmp_path / f"run{number}"
        code = run_apart(made, folder, strikes=[Strike("kill", moment, where, "kill run")])
        assert code == -signal.SIGKILL, (where, (folder / "log").read_text())
        now = committed(tmp_path / "ws")
        assert before.items() <= now.items(), where
        before = now
    assert run_apart(made, tmp_path / "last") == 0
    assert before.items() <= committed(tmp_path / "ws").items()
    _check_same(tmp_path / "ws", undisturbed)


def _check_same(workspace: Path, undisturbed: Path) -> None:
    """The same shards; in each dataset the same groups, listed once, done once, with as many rows."""
    assert shard_hashes(workspace) == shard_hashes(undisturbed)
    found, expected = listed(workspace), listed(undisturbed)
    assert found.keys() == expected.keys()
    for dataset, files in found.items():
        key, rows = ("group", "rows") if "group" in files[0] else ("path", "tokens")
        assert max(Counter(file[key] for file in files).values()) == 1
        assert {f[key]: f[rows] for f in files} == {f[key]: f[rows] for f in expected[dataset]}
        assert all((workspace / dataset / file["path"]).exists() for file in files)
        assert (workspace / dataset / "manifest.json").exists()
    for url in (workspace / "lineage").iterdir():
        Lineage.open(str(url))
    records = Counter(path.parent for path in workspace.glob("**/commits/*/*.json"))
    assert set(records.values()) == {1}
