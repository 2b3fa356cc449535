"""The benchmark of whatif: its measurements can be asked, and its verdict on a sample is right."""

from dataclasses import replace
from pathlib import Path

import pytest
import whatif as bench

from coursepack.pipeline.workspace import Workspace
from coursepack.stages.components import GROUP
from coursepack.stages.whatif import Amount

DOCUMENTS, GROUP_DOCUMENTS = 20_000, 1_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bench.Made:
    return bench.make(tmp_path_factory.mktemp("made") / "of", DOCUMENTS, GROUP_DOCUMENTS)


def test_what_is_made_up(made: bench.Made) -> None:
    assert made.files == 24
    assert {bench.source_of(n) for n in range(made.files)} == set(range(len(bench.SOURCES)))
    components = Path(Workspace(str(made.folder / "workspace")).path("components"))
    sizes = []
    for name in components.iterdir():
        dataset = Workspace(str(components)).dataset(name.name)
        table = dataset.read(next(r for r in dataset.published() if r.group == GROUP))
        counts = table.group_by("component").aggregate([([], "count_all")])["count_all"]
        assert table["doc"].to_pylist() == sorted(set(table["doc"].to_pylist()))
        assert set(table["component"].to_pylist()) <= set(table["doc"].to_pylist())
        assert sum(count.as_py() == 1 for count in counts) <= 1
        sizes.append(len(table))
    assert sorted(sizes) == [4_000, 4_800]


def test_a_question(made: bench.Made) -> None:
    answer = bench.ask(made, 20, bench.CURVE).answer
    assert answer.exact
    assert answer.total.read == DOCUMENTS
    assert 0.2 < answer.total.now.documents / DOCUMENTS < 0.8
    assert answer.total.then.documents < answer.total.now.documents
    assert [effect.name for effect in answer.effects] == ["gopher_too_few_words"]
    assert len({point.threshold for point in answer.curve}) == 20
    assert answer.examples


@pytest.mark.parametrize("changes", [bench.RULE, bench.CURVE])
def test_both_ways_give_one_answer(made: bench.Made, changes: bench.Changes) -> None:
    short_cut = bench.ask(made, 20, changes).answer
    long_way = bench.ask(made, 20, changes, judged=True).answer
    assert short_cut.notes[1].endswith("part of it was judged again and is the same")
    assert long_way.notes[1].startswith("the recipe's own rules were judged again")
    assert replace(short_cut, notes=()) == replace(long_way, notes=())


def test_a_sample_beside_the_truth(made: bench.Made) -> None:
    truth = bench.ask(made, made.files, bench.RULE).answer
    sample = bench.ask(made, made.files, bench.RULE, most=DOCUMENTS // 2).answer
    assert truth.share == 1
    assert sample.share == pytest.approx(10 / 24)
    found = bench.judge(sample, truth)
    assert found.amounts == 4 * len(truth.yields)
    assert found.total_within
    assert found.within > 0.8 * found.amounts
    assert bench.judge(truth, truth) == bench.Bounds(True, found.amounts, found.amounts)


def test_an_estimate_that_is_far_off_is_found(made: bench.Made) -> None:
    truth = bench.ask(made, made.files, bench.RULE).answer
    wrong = replace(truth, total=replace(truth.total, then=Amount(1, 1, 1)))
    assert bench.judge(wrong, truth).total_within is False
    one = replace(truth.yields[0], then=Amount())
    wrong = replace(truth, yields=(one, *truth.yields[1:]))
    found = bench.judge(wrong, truth)
    assert found.amounts - found.within == 4
