import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from coursepack.jobs.command import app
from coursepack.jobs.stats import (
    KEYS,
    Result,
    find_result,
    find_shards,
    funnel_stats,
    mixture_stats,
    result_of,
    summarise,
)
from coursepack.pipeline.errors import RecipeError, WorkspaceError
from coursepack.pipeline.workspace import Workspace
from coursepack.stages.report import MIXTURE, PLAN, Report, write_report

import pyarrow as pa  # isort: skip


def mixture_row(phase, length, domain, source, language, documents, tokens, repeated, supply):
    values = (phase, length, domain, source, language, documents, tokens, repeated, supply)
    return dict(zip(MIXTURE.names, values, strict=True))


MIXTURE_ROWS = [
    mixture_row("zeal", 2048, "web", "a", "en", 10, 1000, 0, 2000),
    mixture_row("zeal", 2048, "web", "a", "", 1, 100, 0, 100),
    mixture_row("apex", 4096, "web", "a", "en", 10, 1500, 500, 2000),
    mixture_row("apex", 4096, "sql", "b", "", 3, 300, 200, 100),
]
PLAN_ROWS = [
    {"phase": "zeal", "length": 2048, "domain": "web", "tokens": 1150},
    {"phase": "apex", "length": 4096, "domain": "web", "tokens": 1400},
    {"phase": "apex", "length": 4096, "domain": "sql", "tokens": 310},
]
FUNNEL_ROWS = [
    {"source": "a", "domain": "web", "reason": "", "documents": 21, "bytes": 3_000_000},
    {
        "source": "a",
        "domain": "web",
        "reason": "near_duplicate",
        "documents": 9,
        "bytes": 1_000_000,
    },
    {"source": "b", "domain": "sql", "reason": "", "documents": 3, "bytes": 500_000},
    {"source": "b", "domain": "sql", "reason": "broken_record", "documents": 7, "bytes": 0},
]


def report(name: str, workspace: Path) -> Report:
    return Report(
        name, f"{workspace}/shards/{name}", 256_000, {"read": 40, "kept": 24}, FUNNEL_ROWS, MIXTURE_ROWS,
        PLAN_ROWS, [], [], {"measure": 2.0, "pack": 1.0},
    )  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write_report(report("main", tmp_path), str(tmp_path / "report" / "main"))
    return tmp_path


def result(workspace: Path) -> Result:
    return find_result(str(workspace))


def test_by_phase_and_domain_in_the_order_of_the_curriculum(workspace):
    rows = mixture_stats(result(workspace)).to_pylist()
    assert [(row["phase"], row["domain"]) for row in rows] == [
        ("zeal", "web"), ("apex", "sql"), ("apex", "web"),
    ]  # fmt: skip
    assert rows[1] == {
        "phase": "apex", "domain": "sql", "planned": 310, "tokens": 300, "unique": 100, "repeated": 200,
        "epochs": 3.0, "share": pytest.approx(300 / 1800), "documents": 3,
    }  # fmt: skip
    assert rows[0]["epochs"] == pytest.approx(1100 / 2100)


def test_by_source_has_no_plan(workspace):
    rows = mixture_stats(result(workspace), ["source"]).to_pylist()
    assert [(row["source"], row["planned"], row["epochs"]) for row in rows] == [
        ("a", None, pytest.approx(2600 / 2100)), ("b", None, 3.0),
    ]  # fmt: skip


def test_by_length_counts_the_supply_of_everything(workspace):
    rows = mixture_stats(result(workspace), ["length"]).to_pylist()
    assert [(row["length"], row["planned"], row["epochs"]) for row in rows] == [
        (2048, 1150, 0.5), (4096, 1710, pytest.approx(1800 / 2200)),
    ]  # fmt: skip


def test_what_was_planned_but_not_packed_is_a_row():
    plan = [*PLAN_ROWS, {"phase": "later", "length": 8, "domain": "math", "tokens": 5}]
    rows = summarise(table(MIXTURE_ROWS, MIXTURE), table(plan, PLAN), ["phase"]).to_pylist()
    assert (rows[-1]["phase"], rows[-1]["planned"], rows[-1]["tokens"]) == ("later", 5, 0)


def test_an_empty_report():
    found = summarise(table([], MIXTURE), table([], PLAN), ["phase", "domain"])
    assert found.num_rows == 0


def table(rows, schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["p", "q"]), st.sampled_from([8, 16]), st.sampled_from(["web", "sql"]),
            st.sampled_from(["a", "b"]), st.sampled_from(["", "en", "de"]), st.integers(0, 1000),
        ),
        unique_by=lambda row: row[:5],
        max_size=12,
    ),
    st.lists(st.sampled_from(KEYS), unique=True, min_size=1),
)  # fmt: skip
def test_summarise_is_its_plain_twin(cells, by):
    supply = {("web", "a", ""): 7, ("sql", "b", "en"): 13}
    rows = [
        mixture_row(*cell[:5], cell[5] + 1, cell[5], cell[5] // 3, supply.get(cell[2:5], 101))
        for cell in cells
    ]
    classes = {
        tuple(row[k] for k in ("domain", "source", "language")): row["supply"] for row in rows
    }
    wanted = {}
    for row in rows:
        one = wanted.setdefault(tuple(row[key] for key in by), [0, 0, 0])
        for place, name in enumerate(("tokens", "repeated", "documents")):
            one[place] += row[name]
    found = summarise(table(rows, MIXTURE), table([], PLAN), by).to_pylist()
    assert len(found) == len(wanted)
    for row in found:
        key = tuple(row[name] for name in by)
        named = dict(zip(by, key, strict=True))
        matching = sum(
            size
            for own, size in classes.items()
            if all(
                named.get(k, v) == v
                for k, v in zip(("domain", "source", "language"), own, strict=True)
            )
        )
        whole = sum(
            tokens
            for other, (tokens, _, _) in wanted.items()
            if "phase" not in by or other[by.index("phase")] == named["phase"]
        )
        assert [row["tokens"], row["repeated"], row["documents"]] == wanted[key]
        assert row["unique"] == row["tokens"] - row["repeated"]
        assert row["epochs"] == pytest.approx(row["tokens"] / matching)
        assert row["share"] == (pytest.approx(row["tokens"] / whole) if whole else None)


def test_the_funnel(workspace):
    rows = funnel_stats(result(workspace), ["source", "reason"]).to_pylist()
    assert [(row["source"], row["reason"], row["documents"], row["megabytes"]) for row in rows] == [
        ("a", "kept", 21, 3.0), ("a", "near_duplicate", 9, 1.0),
        ("b", "broken_record", 7, 0.0), ("b", "kept", 3, 0.5),
    ]  # fmt: skip
    assert sum(row["share"] for row in rows) == pytest.approx(1)


@pytest.mark.parametrize(("count", "key"), [(mixture_stats, "reason"), (funnel_stats, "phase")])
def test_a_key_that_is_none(workspace, count, key):
    with pytest.raises(RecipeError, match=f"cannot count by '{key}'; the keys are "):
        count(result(workspace), [key])


def test_results_are_found_by_folder_and_by_recipe(workspace):
    recipe = workspace / "main.toml"
    recipe.write_text(
        f"""name = "main"\nworkspace = "{workspace}"
        source = [{{ name = "a", layout = "jsonl", paths = ["x"] }}]
        tokenizer = {{ model = "x" }}
        phase = [{{ name = "p", tokens = 1, length = 8, mixture = {{ a = 1 }} }}]"""
    )
    assert find_result(str(recipe)) == find_result(f"{workspace}/") == result(workspace)


def test_several_results_are_told_apart_by_name(workspace):
    write_report(report("other", workspace), str(workspace / "report" / "other"))
    with pytest.raises(WorkspaceError, match="2 results: main, other; pick one with --name"):
        find_result(str(workspace))
    assert find_result(str(workspace), "other").name == "other"
    with pytest.raises(WorkspaceError, match="no report called 'third'; there are main, other"):
        find_result(str(workspace), "third")


def test_no_report_yet_names_samples(tmp_path):
    (tmp_path / "samples" / "0.001").mkdir(parents=True)
    with pytest.raises(WorkspaceError, match=r"has no report; .*samples/0.001"):
        find_result(str(tmp_path))
    with pytest.raises(WorkspaceError, match="there is no folder or recipe file"):
        find_result(str(tmp_path / "nothing"))


def test_shards_are_found_where_they_are_and_through_results(workspace):
    assert find_shards(str(workspace)) == f"{workspace}/shards/main"
    copy = workspace / "copied"
    copy.mkdir()
    (copy / "files.parquet").touch()
    assert find_shards(f"{copy}/") == str(copy)
    assert result_of("a/shards/b") == Result(Workspace("a"), "b")
    assert result_of("shards/b") == Result(Workspace("."), "b")
    for outside in (str(copy), "b"):
        with pytest.raises(WorkspaceError, match="is not shards/NAME of a workspace"):
            result_of(outside)


def test_the_command_prints_a_table_json_and_csv(workspace):
    def printed(*flags: str) -> str:
        found = CliRunner().invoke(app, ["stats", str(workspace), *flags], env={"COLUMNS": "80"})
        assert found.exit_code == 0, found.stderr
        return found.stdout

    shown = printed("--by", "phase,domain,source")
    assert "apex" in shown
    assert "planned" not in shown  # the plan does not know of sources
    assert max(map(len, shown.splitlines())) <= 80
    rows = json.loads(printed("--json"))
    assert rows == mixture_stats(result(workspace)).to_pylist()
    lines = list(csv.DictReader(io.StringIO(printed("--csv", "--funnel"))))
    assert lines[0] == {
        "source": "a", "domain": "web", "reason": "kept", "documents": "21", "megabytes": "3", "share": "0.525",
    }  # fmt: skip
