"""`whatif` after a run by Spark: what it reads from decisions is what judging again gives, and is what was kept."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from small_run import recipe, write_corpus

from coursepack.jobs.curate import curate
from coursepack.pipeline.recipe import Recipe
from coursepack.stages import whatif as module
from coursepack.stages.published import inventory_of
from coursepack.stages.whatif import Answer, Changes, whatif

pytestmark = pytest.mark.spark

ASKED = {
    "nothing": Changes(),
    "changed": Changes(("tiny: words < 150", "gopher_too_few_words@web: words < 60")),
    "added": Changes(("long@code: lines > 300", "english@*[lang=en]: words < 90")),
    "removed": Changes(without=("tiny", "gopher_too_few_words")),
    "profile": Changes(profiles=("c4",)),
    "curve": Changes(("tiny: words < 100",), ("gopher_bullet_lines",), curve="words: 50..500/10"),
}
CUT = {"group_bytes": 2_000_000}  # the files of a source are one input group
Made = tuple[Recipe, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def made(spark, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A recipe that was curated, and its funnel."""
    folder = tmp_path_factory.mktemp("whatif")
    write_corpus(folder / "corpus")
    found = recipe(folder / "corpus", folder / "ws", execution=CUT)
    return found, curate(found, spark)


def told(made: Recipe, changes: Changes) -> tuple[Answer, bool]:
    """What `whatif` says, without its notes, and whether one of them is that it read decisions."""
    answer = whatif(made, changes)
    assert answer.exact
    return replace(answer, notes=()), any("read from its decisions" in n for n in answer.notes)


def told_the_long_way(made: Recipe, changes: Changes) -> Answer:
    with patch.object(module, "decisions", lambda *_: None):
        answer, read = told(made, changes)
    assert not read
    return answer


def kept(funnel: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    found = Counter[tuple[str, str]]()
    for row in funnel:
        found[row["source"], row["domain"]] += 0 if row["reason"] else row["documents"]
    return dict(+found)


def stays(answer: Answer) -> dict[tuple[str, str], int]:
    return {(y.source, y.domain): y.now.documents for y in answer.yields if y.now.documents}


@pytest.mark.parametrize("name", ASKED)
def test_decisions_and_rules_judged_again_give_one_answer(made, name):
    found, funnel = made
    answer, read = told(found, ASKED[name])
    assert read
    assert answer == told_the_long_way(found, ASKED[name])
    assert stays(answer) == kept(funnel)
    assert name == "nothing" or answer.total.then != answer.total.now


def test_a_run_by_the_changed_rules_keeps_what_was_told(made, spark):
    found, _ = made
    then = told(found, Changes(without=("tiny",)))[0].total.then
    folder = Path(found.workspace).parent
    rules = {"profiles": list(found.rules.profiles)}
    changed = recipe(folder / "corpus", folder / "ws", rules=rules, execution=CUT)
    assert not told(changed, Changes())[1]
    funnel = curate(changed, spark)
    answer, read = told(changed, Changes())
    assert read
    assert (answer.total.now, stays(answer)) == (then, kept(funnel))
    assert told(found, Changes())[1]  # the first decisions are still there


def test_records_of_files_that_the_recipe_does_not_read(made, spark):
    """They are measured, as their group is, and not decided on."""
    found, _ = made
    [web, *others] = found.source
    part = web.model_copy(update={"paths": (f"{web.paths[0]}/plain-1.jsonl",)})
    few = found.model_copy(update={"source": (part, *others)})
    funnel = curate(few, spark)
    assert inventory_of(few).groups == inventory_of(found).groups
    answer, read = told(few, ASKED["curve"])
    assert read
    assert answer == told_the_long_way(few, ASKED["curve"])
    assert stays(answer) == kept(funnel) != kept(made[1])
