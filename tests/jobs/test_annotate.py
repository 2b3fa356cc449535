"""The job `annotate`: which signals it writes, and what it says."""

import gzip
import json
from pathlib import Path

import pytest

from coursepack.jobs.annotate import annotate, said
from coursepack.pipeline.errors import RecipeError
from coursepack.stages.annotate import Exported
from tests.hand_made import inventory_of, recipe, write_lines
from tests.stages.test_whatif import measure_by_hand


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Two texts and a broken record, measured by hand, with the recipe in the workspace."""
    made = recipe(tmp_path, dedup={"exact": False, "fuzzy": False})
    write_lines(tmp_path, "a.jsonl", ["one two", "three", b"{"])
    measure_by_hand(made, inventory_of(made))
    folder = tmp_path / "ws"
    (folder / "recipes").mkdir()
    (folder / "recipes" / "small.json").write_text(made.model_dump_json())
    return folder


def test_signals_are_named_with_commas(workspace: Path, tmp_path: Path) -> None:
    written = annotate(str(workspace), "redpajama", f"{tmp_path}/out", " words , chars,")
    assert written.signals == ("words", "chars")
    path = tmp_path / "out" / "quality_signals" / "a.signals.json.gz"
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [line["quality_signals"] for line in lines] == [
        {"coursepack_words": [[0, 7, 2.0]], "ccnet_length": [[0, 7, 7.0]]},
        {"coursepack_words": [[0, 5, 1.0]], "ccnet_length": [[0, 5, 5.0]]},
    ]
    assert said(written) == (
        f"wrote 2 signals of 2 documents below {tmp_path}/out; files: 1; records that are no documents: 1"
    )
    with pytest.raises(RecipeError, match="there is no signal 'word'; did you mean 'words'"):
        annotate(str(workspace), "redpajama", f"{tmp_path}/out", "word")


def test_what_was_not_decided_is_said() -> None:
    written = Exported("parquet", "out", 3, 2_000_000, 0, ("words",), False)
    assert said(written) == (
        "wrote 1 signals of 2,000,000 documents below out; files: 3; nothing has been decided yet"
    )
