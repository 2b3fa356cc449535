import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from coursepack.jobs.command import app
from coursepack.jobs.init import find_sources, recipe_text, write_recipe
from coursepack.jobs.look import check_sources
from coursepack.pipeline.errors import RecipeError, SourceError
from coursepack.pipeline.recipe import load
from coursepack.stages.inventory import source_files

ENGLISH = "The weather of page {} was fine, and everybody in the town went for a long walk. "


def lines(path: Path, records: list[dict[str, object]], pack=bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack("".join(json.dumps(record) + "\n" for record in records).encode()))


def texts(count: int, field: str = "text", **more: object) -> list[dict[str, object]]:
    return [{field: ENGLISH.format(n) * 3, **more} for n in range(count)]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch) -> Path:
    """A folder of several corpora; the current folder is above it."""
    root = tmp_path / "corpus"
    for number in range(3):
        lines(root / "web" / f"part-{number}.jsonl", texts(200, url="https://example.org"))
    for language in ("python", "sql"):
        rows = [
            {"hexsha": str(n), "lang": language, "content": f"select {n} as a;\n" * 30, "ext": "x"}
            for n in range(20)
        ]
        (root / "code" / language).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), root / "code" / language / "data-0.parquet")
    lines(
        root / "pile" / "00.jsonl.gz", texts(20, meta={"pile_set_name": "FreeLaw"}), gzip.compress
    )
    lines(root / "gsm8k-math" / "train.jsonl", texts(50, "problem_and_proof"))
    (root / "README.md").write_text("# About\n")
    monkeypatch.chdir(tmp_path)
    return root


def by_name(drafts):
    return {draft.source.name: draft for draft in drafts}


def test_folders_become_sources_with_globs(corpus):
    drafts, skipped = find_sources(["corpus"])
    found = by_name(drafts)
    assert {name: (draft.source.layout, draft.source.paths) for name, draft in found.items()} == {
        "web": ("jsonl", ("corpus/web/*.jsonl",)),
        "code": ("the-stack", ("corpus/code/**/*.parquet",)),
        "pile": ("pile", ("corpus/pile/*.jsonl.gz",)),
        "gsm8k-math": ("jsonl", ("corpus/gsm8k-math/*.jsonl",)),
    }
    assert found["gsm8k-math"].source.fields == {"text": "problem_and_proof"}
    assert found["gsm8k-math"].source.domain == "math"
    assert found["code"].tokens.keys() == {"code", "sql"}
    assert found["pile"].tokens.keys() == {"law"}
    assert found["web"].files == 3
    assert [message.split(":")[0] for message in skipped] == ["corpus/README.md"]


def test_sources_share_no_file(corpus):
    drafts, _ = find_sources(["corpus"])
    urls = [file.url for draft in drafts for file in source_files(draft.source)]
    assert len(urls) == len(set(urls)) == sum(draft.files for draft in drafts) == 7


def test_two_layouts_in_one_folder_are_two_sources(corpus):
    lines(corpus / "web" / "pile-0.jsonl", texts(5, meta={"pile_set_name": "FreeLaw"}))
    lines(corpus / "web" / "pile-1.jsonl", texts(5, meta={"pile_set_name": "FreeLaw"}))
    drafts, _ = find_sources(["corpus/web"])
    assert {draft.source.name: draft.source.paths for draft in drafts} == {
        "web": ("corpus/web/part-*.jsonl",),
        "web-2": ("corpus/web/pile-*.jsonl",),
    } or {draft.source.name: draft.source.paths for draft in drafts} == {
        "web": ("corpus/web/pile-*.jsonl",),
        "web-2": ("corpus/web/part-*.jsonl",),
    }


@pytest.mark.parametrize("path", ["corpus/web/part-0.jsonl", "./corpus/web/part-0.jsonl"])
def test_a_file_stays_a_file(corpus, path):
    (draft,), _ = find_sources([path])
    assert draft.source.paths == (path,)
    assert draft.source.name == "part-0"


def test_a_glob_and_the_folder_itself(corpus, monkeypatch):
    (draft,), _ = find_sources(["corpus/web/*-[01].jsonl"])
    assert draft.files == 2
    assert {Path(f.url).name for f in source_files(draft.source)} == {
        "part-0.jsonl",
        "part-1.jsonl",
    }
    monkeypatch.chdir(corpus / "web")
    (draft,), _ = find_sources(["."])
    assert draft.source.name == "web"
    assert len(source_files(draft.source)) == 3


def test_an_absolute_path_stays_absolute(corpus):
    (draft,), _ = find_sources([str(corpus / "web")])
    assert draft.source.paths == (f"{corpus}/web/*.jsonl",)


def test_numbered_folders_are_one_source(corpus):
    for year in (2013, 2014):
        lines(corpus / "crawl" / f"dump-{year}" / "x.jsonl", texts(5))
    (draft,), _ = find_sources(["corpus/crawl"])
    assert draft.source.paths == ("corpus/crawl/**/*.jsonl",)
    assert draft.source.name == "crawl"


def test_what_holds_no_document_is_skipped(corpus):
    (corpus / "images").mkdir()
    (corpus / "images" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40)
    drafts, skipped = find_sources(["corpus"])
    assert "images" not in by_name(drafts)
    assert any(".png" in message for message in skipped)
    with pytest.raises(SourceError, match="no file could be read as documents"):
        find_sources(["corpus/images"])


def test_a_path_that_matches_nothing(corpus):
    with pytest.raises(SourceError, match="no file matches 'corpus/none'"):
        find_sources(["corpus/none"])


@pytest.mark.parametrize(
    ("paths", "phases"),
    [
        (["corpus"], ["general", "code-sql-math"]),
        (["corpus/web"], ["main"]),
        (["corpus/code"], ["main"]),
        (["corpus/web", "corpus/gsm8k-math"], ["general", "math"]),
    ],
)
def test_the_recipe_passes_check(corpus, paths, phases):
    drafts, _ = find_sources(paths)
    write_recipe(drafts, Path("new.toml"), None)
    recipe = load("new.toml")
    assert [phase.name for phase in recipe.phase] == phases
    assert recipe.name == "new"
    checked = check_sources(recipe)
    assert all(entry.look.texts for entry in checked)


def test_budgets_fit_the_estimate(corpus):
    drafts, _ = find_sources(["corpus"])
    tokens: dict[str, int] = {}
    for draft in drafts:
        for domain, number in draft.tokens.items():
            tokens[domain] = tokens.get(domain, 0) + number
    Path("new.toml").write_text(recipe_text(drafts, "new"))
    recipe = load("new.toml")
    taken = dict.fromkeys(tokens, 0.0)
    for phase in recipe.phase:
        for domain, weight in phase.mixture.items():
            taken[domain] += phase.tokens * weight
            assert taken[domain] <= 0.75 * phase.max_epochs * tokens[domain]
    assert recipe.holdout.tokens * 2 < min(tokens.values())


def test_the_command_shows_documents_and_overwrites_nothing(corpus):
    found = CliRunner().invoke(app, ["init", "corpus", "-o", "new.toml", "--name", "mine"])
    assert found.exit_code == 0, found.stderr
    assert "The weather of page 0 was fine" in found.stdout
    assert "corpus/README.md" in found.stderr
    assert "coursepack check new.toml" in found.stderr
    assert load("new.toml").name == "mine"
    written = Path("new.toml").read_text()
    again = CliRunner().invoke(app, ["init", "corpus", "-o", "new.toml"])
    assert again.exit_code == 2
    assert "'new.toml' is there already" in again.stderr
    assert Path("new.toml").read_text() == written
    with pytest.raises(RecipeError):
        write_recipe([], Path("new.toml"))


def test_control_characters_of_a_document_do_not_reach_the_terminal(corpus):
    lines(
        corpus / "odd" / "a.jsonl",
        [{"text": "red \x1b[31m and a bell \x07 and [bold]markup[/bold]"}],
    )
    shown = CliRunner().invoke(app, ["init", "corpus/odd", "-o", "odd.toml"]).stdout
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[bold]markup[/bold]" in shown


def test_odd_names_are_valid_toml(corpus):
    folder = corpus / 'a "quoted" näme'
    lines(folder / "x.jsonl", texts(3))
    drafts, _ = find_sources([str(folder)])
    Path("odd.toml").write_text(recipe_text(drafts, "odd"), "utf-8")
    recipe = load("odd.toml")
    assert len(source_files(recipe.source[0])) == 1
