"""The command `whatif`: which recipe it finds, and what it prints."""

import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coursepack.jobs.command import app
from coursepack.jobs.tables import show, whatif_parts
from coursepack.jobs.whatif import find_recipe
from coursepack.pipeline.errors import WorkspaceError
from coursepack.stages.examples import Example
from coursepack.stages.families import column_groups
from coursepack.stages.measure import MeasureTask
from coursepack.stages.whatif import Amount, Answer, Effect, Point, Yield
from tests.hand_made import inventory_of, recipe, write_lines

SMALL = """
name = "small"
workspace = "{0}/ws"
rules = {{ short = {{ drop = "words < 3" }} }}
dedup = {{ exact = false, fuzzy = false }}
source = [{{ name = "s", layout = "jsonl", paths = ["{0}/in"], domain = "web" }}]
tokenizer = {{ model = "none" }}
phase = [{{ name = "p", tokens = 1, length = 8, mixture = {{ "*" = 1 }} }}]
"""


def keep(workspace: Path, name: str, text: str) -> None:
    (workspace / "recipes").mkdir(parents=True, exist_ok=True)
    (workspace / "recipes" / f"{name}.json").write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five texts, measured by hand, with the recipe in a file and in the workspace."""
    (tmp_path / "small.toml").write_text(SMALL.format(tmp_path))
    made = recipe(
        tmp_path, rules={"short": {"drop": "words < 3"}}, dedup={"exact": False, "fuzzy": False}
    )
    write_lines(tmp_path, "a.jsonl", ["one", "one two", "one two three", "a b c d", "a b c d e"])
    inventory = inventory_of(made)
    readers = {g: inventory.reader(g) for g in inventory.groups}
    task = MeasureTask(inventory.workspace, column_groups(made), readers, made)
    for group in inventory.groups:
        for name, record in task(group):
            print_of = column_groups(made)[name].fingerprint()
            inventory.workspace.dataset("measurements", name, print_of).publish([record], {})
    keep(tmp_path / "ws", "small", made.model_dump_json())
    return tmp_path


def run(*arguments: object):
    return CliRunner().invoke(app, ["whatif", *(str(argument) for argument in arguments)])


def test_the_recipe_of_a_file_a_workspace_or_shards(folder, monkeypatch):
    made = find_recipe(f"{folder}/small.toml")
    assert made.name == "small"
    assert find_recipe(f"{folder}/ws/") == made
    shards = folder / "ws" / "shards" / "small"
    shards.mkdir(parents=True)
    (shards / "files.parquet").touch()
    assert find_recipe(f"{shards}/") == made
    monkeypatch.chdir(folder / "ws")
    assert find_recipe("shards/small").workspace == "."
    monkeypatch.chdir(folder)
    assert find_recipe("ws/shards/small").workspace == "ws"


def test_one_of_several_recipes(folder):
    text = (folder / "ws" / "recipes" / "small.json").read_text()
    keep(folder / "ws", "other", text.replace('"small"', '"other"'))
    with pytest.raises(WorkspaceError, match="has 2 recipes: other, small; pick one with --name"):
        find_recipe(f"{folder}/ws")
    assert find_recipe(f"{folder}/ws", "other").name == "other"
    with pytest.raises(WorkspaceError, match="no recipe called 'x'; there are other, small; "):
        find_recipe(f"{folder}/ws", "x")


def test_no_recipe(tmp_path):
    with pytest.raises(WorkspaceError, match="keeps no recipe; `coursepack curate` leaves one"):
        find_recipe(str(tmp_path))
    with pytest.raises(WorkspaceError, match="there is no folder or recipe file"):
        find_recipe(f"{tmp_path}/none")


def test_the_command_prints_tables(folder):
    found = run(
        folder / "ws", "--rule", "short: words < 4", "--rule", "never: words > 99",
        "--curve", "words: 1..5/3",
    )  # fmt: skip
    assert found.exit_code == 0, found.stderr
    lines = [line.split() for line in found.stdout.splitlines()]
    assert ["s", "web", "3", "2", "-1", "29", "B", "16", "B", "6", "4"] in lines
    assert ["short", "now", "words", "<", "3", "2", "2"] in lines
    assert ["then", "words", "<", "4", "3", "3"] in lines
    assert ["5", "1", "/", "2"] in lines
    assert "! rule 'never' never fires" in found.stdout
    assert "! rule 'short' fires on 60% of source 's'" in found.stdout


def test_json(folder):
    found = run(folder / "small.toml", "--without", "short", "--json")
    assert found.exit_code == 0, found.stderr
    answer = json.loads(found.stdout)
    assert answer["yields"][0]["now"]["documents"] == 3
    assert answer["total"]["then"]["documents"] == 5
    assert answer["exact"] is True
    assert answer["effects"][0]["then"] is None


def test_an_error_is_one_line(folder):
    found = run(folder / "ws", "--rule", "words < 5")
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr.startswith("error: 'words < 5' is no rule; write 'name: predicate'")


def test_a_sample_shows_its_bounds(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    amounts = Amount(2_000_000, 10**10, 2 * 10**9), Amount(1_900_000, 9 * 10**9, 10**9)
    errors = Amount(900, 10**6, 10**5), Amount(300, 10**5, 10**4)
    found = Yield("a", "web", 3_000_000, *amounts, *errors)
    curve = tuple(Point(0.5, f"d{n}", Amount(n, n, n)) for n in range(6))
    effect = Effect("x", ("web", "code"), None, "words < 5", 0, 12, 0, 5)
    example = Example("x", True, "a", "web", "http://x/[b]", {"words": 3}, "some [red]text[/red]")
    answer = Answer("r", 0.5, False, (found,), found, (effect,), curve, (example,), ("a note",),
                    ("mind",))  # fmt: skip
    out = io.StringIO()
    show(whatif_parts(answer), out)
    text = out.getvalue()
    for part in ("1,900,000 ±900", "-100,000 ±300", "2.00B", "x@web,+1", "a note", "! mind"):
        assert part in text
    assert text.count("0.5  ") == 2  # six domains are two tables
    assert max(map(len, text.splitlines())) <= 80
