from pathlib import Path

import pytest

from coursepack.jobs import demo
from coursepack.pipeline import storage
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import load
from coursepack.stages.domains import source_domains
from coursepack.stages.rules import rules_of

RECIPE = Path(__file__).parents[2] / "recipes" / "demo.toml"


def test_the_recipe_is_in_order():
    recipe = load(RECIPE)
    domains = set().union(*map(source_domains, recipe.source))
    assert all(set(phase.mixture) <= domains for phase in recipe.phase)
    assert [phase.length for phase in recipe.phase] == [2048, 4096, 8192]
    assert recipe.tokenizer.train.vocabulary == 256_000
    assert len(rules_of(recipe)) > 13
    assert "sql" not in recipe.phase[0].mixture
    assert "sql" in recipe.phase[-1].mixture


@pytest.mark.parametrize("name", ["elsewhere", 'with "quotes" and \\'])
def test_the_recipe_moves_with_the_workspace(tmp_path, name):
    workspace = str(tmp_path / name)
    recipe = load(demo.make_recipe(workspace))
    assert recipe.workspace == workspace
    paths = [path for source in recipe.source for path in source.paths]
    assert all(path.startswith(workspace + "/corpus/") for path in paths)
    assert [source.name for source in recipe.source] == [
        source.name for source in load(RECIPE).source
    ]


def test_a_recipe_that_was_edited_stays(tmp_path):
    path = Path(demo.make_recipe(str(tmp_path)))
    path.write_text("mine")
    demo.make_recipe(str(tmp_path))
    assert path.read_text() == "mine"


def test_the_corpus_is_written_once_and_anew_when_it_was_cut_short(tmp_path, monkeypatch):
    calls = []

    def write(folder: str) -> dict[str, dict[str, int]]:
        calls.append(folder)
        storage.write_bytes(f"{folder}/a.jsonl", b"{}")
        if len(calls) == 1:
            raise KeyboardInterrupt
        return {"web": {"files": 1, "documents": 1, "bytes": 2, "broken": 0}}

    monkeypatch.setattr(demo, "write_corpus", write)
    folder = tmp_path / "corpus"
    with pytest.raises(KeyboardInterrupt):
        demo.make_corpus(str(folder), Progress.silent())
    (folder / "left.jsonl").touch()
    for _ in range(2):
        path = demo.prepare(str(tmp_path), Progress.silent())
    assert load(path).name == "demo"
    assert len(calls) == 2
    assert not (folder / "left.jsonl").exists()
    assert (folder / "a.jsonl").exists()
