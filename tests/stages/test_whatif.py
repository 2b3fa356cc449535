"""What if: the same answer as decide, and as plain Python, whatever rule is tried."""

import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from coursepack.pipeline import storage
from coursepack.pipeline.errors import RecipeError, WorkspaceError
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.workspace import Dataset
from coursepack.stages import judged
from coursepack.stages import whatif as module
from coursepack.stages.components import COMPONENTS, GROUP
from coursepack.stages.decide import NEAR
from coursepack.stages.families import column_groups
from coursepack.stages.inventory import Inventory
from coursepack.stages.measure import Measured, MeasureTask
from coursepack.stages.published import decisions
from coursepack.stages.rules import rules_of
from coursepack.stages.tally import component_of
from coursepack.stages.whatif import Answer, Changes, Reading, whatif
from tests.hand_made import decided_of, inventory_of, recipe, write_lines


@dataclass(frozen=True)
class Doc:
    """What plain Python knows of a document."""

    doc: int
    source: str
    domain: str
    priority: int
    content: bytes
    metadata: int
    bytes: int
    words: int
    component: int | None = None


Keeps = Callable[[Doc], bool]
SOURCES = {"a": ("web", 0), "b": ("code", 1)}
RULES = {"short": {"drop": "words < 5", "scope": "web"}, "even": {"keep": "bytes > 12"}}
NOW: dict[str, Keeps] = {
    "short": lambda d: not (d.domain == "web" and d.words < 5),
    "even": lambda d: d.bytes > 12,
}


@dataclass(frozen=True)
class Corpus:
    recipe: Recipe
    inventory: Inventory
    measured: Measured
    docs: tuple[Doc, ...]

    @property
    def reading(self) -> Reading:
        return Reading(self.recipe, self.inventory, self.measured)


def made_recipe(folder: Path, **more: Any) -> Recipe:
    sources = [
        {"name": name, "layout": "jsonl", "paths": [f"{folder}/in/{name}"], "domain": domain,
         "priority": priority}
        for name, (domain, priority) in SOURCES.items()
    ]  # fmt: skip
    return recipe(folder, source=sources, **({"rules": RULES} | more))


def measure_by_hand(made: Recipe, inventory: Inventory) -> Measured:
    """All column groups, measured and published without Spark."""
    wanted = column_groups(made)
    readers = {g: inventory.reader(g) for g in inventory.groups}
    task = MeasureTask(inventory.workspace, wanted, readers, made)
    datasets = {
        name: inventory.workspace.dataset("measurements", name, group.fingerprint())
        for name, group in wanted.items()
    }
    records: dict[str, dict[str, Any]] = {name: {} for name in wanted}
    for group in inventory.groups:
        for name, record in task(group):
            records[name][record.group] = record
    for name, dataset in datasets.items():
        dataset.publish(records[name].values(), {})
    return Measured(datasets, records)


def corpus_of(folder: Path, texts: dict[str, list[Any]], clusters: int, seed: int = 0) -> Corpus:
    """Texts by source, measured; documents fall into random clusters, published as components."""
    for name, lines in texts.items():
        half = len(lines) // 2
        write_lines(folder, f"{name}/0.jsonl", lines[:half])
        write_lines(folder, f"{name}/1.jsonl", lines[half:])
    made = made_recipe(folder)
    inventory = inventory_of(made)
    measured = measure_by_hand(made, inventory)
    docs = list(plain(inventory, measured))
    if clusters:
        chance = random.Random(seed)
        labels = {d.doc: chance.randrange(clusters) for d in docs if chance.random() < 0.6}
        least = {label: min(d for d, other in labels.items() if other == label)
                 for label in labels.values()}  # fmt: skip
        docs = [replace(d, component=least[labels[d.doc]] if d.doc in labels else None) for d in docs]  # fmt: skip
        publish_components(Corpus(made, inventory, measured, tuple(docs)))
    return Corpus(made, inventory, measured, tuple(docs))


def publish_components(corpus: Corpus) -> None:
    workspace = corpus.inventory.workspace
    dataset = workspace.dataset("components", corpus.reading.duplicates_fingerprint())
    members = sorted((d.doc, d.component) for d in corpus.docs if d.component is not None)
    with dataset.attempt(GROUP, COMPONENTS) as out:
        columns = [pa.array([m[i] for m in members], pa.int64()) for i in (0, 1)]
        out.write(pa.table(columns, schema=COMPONENTS))
    dataset.publish([out.record], {})


def plain(inventory: Inventory, measured: Measured) -> Iterator[Doc]:
    for group in inventory.groups:
        record = measured.read("record", group).to_pylist()
        words = measured.read("gopher", group)["words"].to_pylist()
        for row, count in zip(record, words, strict=True):
            if row["reject"] is None:
                name = list(SOURCES)[inventory.sources[row["doc"] >> 38]]
                yield Doc(row["doc"], name, *SOURCES[name], row["content"], row["metadata"],
                          row["bytes"], count)  # fmt: skip


def survivors(docs: tuple[Doc, ...], rules: dict[str, Keeps]) -> list[Doc]:
    """The documents that stay, by the book."""
    passing = [d for d in docs if all(keeps(d) for keeps in rules.values())]
    best: dict[Any, Doc] = {}
    for d in passing:
        key = ("alone", d.doc) if d.component is None else d.component
        best[key] = min(best.get(key, d), d, key=_order)
    return sorted(best.values(), key=lambda d: d.doc)


def _order(d: Doc) -> tuple[Any, ...]:
    return (-d.priority, d.content, d.metadata, d.source, d.doc)


def sums(docs: list[Doc]) -> dict[tuple[str, str], tuple[int, int]]:
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for d in docs:
        count, size = found.get((d.source, d.domain), (0, 0))
        found[d.source, d.domain] = (count + 1, size + d.bytes)
    return found


def amounts(answer: Answer, when: str) -> dict[tuple[str, str], tuple[int, int]]:
    found = {(y.source, y.domain): getattr(y, when) for y in answer.yields}
    return {key: (a.documents, a.bytes) for key, a in found.items() if a.documents}


def random_texts(count: int, seed: int) -> dict[str, list[Any]]:
    """Records of 1 to 9 words, some of them the same, and a broken one in each source."""
    chance = random.Random(seed)

    def record() -> bytes:
        words = [chance.choice(["aé", "bb", "ccc"]) for _ in range(chance.randint(1, 9))]
        return orjson.dumps({"text": " ".join(words), "id": str(chance.random())})

    return {name: [b"{broken", *(record() for _ in range(count))] for name in SOURCES}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpus_of(tmp_path_factory.mktemp("whatif"), random_texts(150, 1), clusters=40)


def decide_by_hand(corpus: Corpus, kept: list[Doc]) -> None:
    """The decisions dataset of the recipe's own rules, with `kept` as those that stay."""
    stays = {d.doc for d in kept}
    order = iter(sorted(corpus.docs, key=lambda d: d.doc))

    def choose(_number: int, _text: str) -> dict[str, Any]:
        d = next(order)
        fails = next((name for name, keeps in NOW.items() if not keeps(d)), None)
        reason = None if d.doc in stays else fails or NEAR
        failed = sum(1 << bit for bit, keeps in enumerate(NOW.values()) if not keeps(d))
        return {"source": d.source, "domain": d.domain, "keep": d.doc in stays, "reason": reason,
                "failed": failed}  # fmt: skip

    name = corpus.reading.fingerprint(rules_of(corpus.recipe))
    decided = decided_of(corpus.inventory, choose, name)
    decided.dataset.publish(decided.records.values(), {})


def remove_decisions(corpus: Corpus) -> None:
    storage.remove(corpus.inventory.workspace.path("decisions"))


def test_without_changes_the_answer_is_what_decide_decided(corpus):
    kept = survivors(corpus.docs, NOW)
    decide_by_hand(corpus, kept)
    try:
        answer = whatif(corpus.recipe, Changes())
    finally:
        remove_decisions(corpus)
    assert answer.exact
    assert amounts(answer, "now") == amounts(answer, "then") == sums(kept)
    assert {y.source: y.read for y in answer.yields} == {"a": 150, "b": 150}
    assert answer.total.now.documents == len(kept)
    assert answer.total.now.bytes == sum(d.bytes for d in kept)
    assert answer.total.change_error.documents == answer.total.then_error.bytes == 0
    assert [effect.name for effect in answer.effects] == ["short", "even"]  # all of them


def test_other_decisions_than_the_measurements_say_are_an_error(corpus):
    decide_by_hand(corpus, survivors(corpus.docs, NOW)[1:])
    try:
        with pytest.raises(WorkspaceError, match="keeps other documents than its measurements say"):
            whatif(corpus.recipe, Changes())
    finally:
        remove_decisions(corpus)


_code_profile: dict[str, Keeps] = {}  # fires on none of these texts
CHANGES: dict[str, tuple[Changes, dict[str, Keeps]]] = {
    "added": (Changes(("long: words > 7",)), NOW | {"long": lambda d: d.words <= 7}),
    "scoped": (
        Changes(("long@b: words > 4",)),
        NOW | {"long": lambda d: d.source != "b" or d.words <= 4},
    ),
    "several scopes": (
        Changes(("long@b[lang=xx], code: words > 4",)),
        NOW | {"long": lambda d: d.source != "b" or d.words <= 4},
    ),
    "replaced, in its scope": (
        Changes(("short: words < 8",)),
        NOW | {"short": lambda d: d.domain != "web" or d.words >= 8},
    ),
    "replaced, in another": (
        Changes(("short@*: words < 8",)),
        NOW | {"short": lambda d: d.words >= 8},
    ),
    "left out": (Changes(without=("even",)), {"short": NOW["short"]}),
    "all left out": (Changes(without=("even", "short")), {}),
    "profile": (Changes(profiles=("code",)), NOW | _code_profile),
    "together": (
        Changes(("x: bytes between 20 and 25", "short: words < 2"), ("even",), ("code",)),
        {
            "x": lambda d: not 20 <= d.bytes <= 25,
            "short": lambda d: d.domain != "web" or d.words >= 2,
        },
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_do_what_plain_python_says(corpus, name):
    changes, rules = CHANGES[name]
    answer = whatif(corpus.recipe, changes)
    assert amounts(answer, "now") == sums(survivors(corpus.docs, NOW))
    kept = survivors(corpus.docs, rules)
    assert amounts(answer, "then") == sums(kept)
    for effect in answer.effects:
        for when, known in (("now", NOW), ("then", rules)):
            if getattr(effect, when) is None or effect.name not in known:
                continue
            fires = sum(not known[effect.name](d) for d in corpus.docs)
            assert getattr(effect, f"fires_{when}") == fires
            others = {n: keeps for n, keeps in known.items() if n != effect.name}
            lost = len(survivors(corpus.docs, others)) - len(survivors(corpus.docs, known))
            assert getattr(effect, f"alone_{when}") == lost


@contextmanager
def decided(corpus: Corpus) -> Iterator[Dataset]:
    """The decisions that the recipe's own rules lead to, for a while."""
    decide_by_hand(corpus, survivors(corpus.docs, NOW))
    made = corpus.reading.fingerprint(rules_of(corpus.recipe))
    try:
        yield corpus.inventory.workspace.dataset("decisions", made)
    finally:
        remove_decisions(corpus)


FROM_DECISIONS = "which documents fail the recipe's own rules is read from its decisions"
JUDGED_AGAIN = "the recipe's own rules were judged again: there are no decisions by these rules"


def told(answer: Answer) -> tuple[Answer, bool]:
    """The answer without its notes, and whether decisions were read."""
    said = [sum(note.startswith(way) for note in answer.notes) for way in (FROM_DECISIONS, JUDGED_AGAIN)]  # fmt: skip
    assert sorted(said) == [0, 1]
    return replace(answer, notes=()), said == [1, 0]


@pytest.mark.parametrize("curve", [None, "words: 0..8/5", "bytes: 5..30/3"])
@pytest.mark.parametrize("name", CHANGES)
def test_with_decisions_the_answer_is_the_same(corpus, name, curve):
    changes = replace(CHANGES[name][0], curve=curve)
    long_way = told(whatif(corpus.recipe, changes))
    with decided(corpus):
        short_cut = told(whatif(corpus.recipe, changes))
    assert (long_way[1], short_cut[1]) == (False, True)
    assert short_cut[0] == long_way[0]


def test_with_decisions_a_sample_is_the_same(corpus, monkeypatch):
    monkeypatch.setattr(module, "MOST_DOCUMENTS", 100)
    changes = replace(CHANGES["together"][0], curve="words: 0..8/5")
    long_way = told(whatif(corpus.recipe, changes))
    with decided(corpus):
        assert told(whatif(corpus.recipe, changes)) == (long_way[0], True)
    assert 0 < long_way[0].share < 1


def test_what_was_decided_is_not_read_again(corpus, monkeypatch):
    read: set[str] = set()
    columns = Measured.read

    def note(self, column_group, group, names=None):
        read.update(names)
        return columns(self, column_group, group, names)

    monkeypatch.setattr(Measured, "read", note)
    monkeypatch.setattr(judged, "PROOFS", 0)
    record = {"doc", "content", "bytes", "metadata", "subset", "reject"}
    with decided(corpus):
        whatif(corpus.recipe, Changes(without=("even",)))
        assert read == record
        whatif(corpus.recipe, Changes(("caps@b[lang=en]: lines > 7",)))
        assert read == {*record, "lines", "language"}
        monkeypatch.undo()
        monkeypatch.setattr(Measured, "read", note)
        read.clear()
        whatif(corpus.recipe, Changes(without=("even",)))
        assert read == {*record, "words"}  # what a proof needs


def rewrite(dataset: Dataset, change: Callable[[pa.Table], pa.Table]) -> None:
    """Another file in the place of the first."""
    record = dataset.published()[0]
    table = dataset.read(record)
    with dataset.attempt(record.group, table.schema) as out:
        out.write(change(table))
    dataset.publish([replace(out.record, counts=record.counts)], {})


@pytest.mark.parametrize("bit", [0, 1])
@pytest.mark.parametrize("row", [0, 1, 77])  # the first is rejected
def test_a_verdict_that_measurements_do_not_bear_out_is_an_error(corpus, bit, row):
    def flip(table: pa.Table) -> pa.Table:
        failed = table["failed"].to_numpy().copy()
        failed[row] ^= 1 << bit
        place = table.schema.get_field_index("failed")
        return table.set_column(place, table.schema.field("failed"), pa.array(failed))

    with decided(corpus) as dataset:
        rewrite(dataset, flip)
        text = rf"rule '{[*RULES][bit]}' fires, on 1 records of group 0; delete it and run `coursepack curate`"
        with pytest.raises(WorkspaceError, match=text):
            whatif(corpus.recipe, Changes())


def test_decisions_on_other_documents_are_an_error(corpus):
    with decided(corpus) as dataset:
        rewrite(dataset, lambda table: table.slice(1))
        with pytest.raises(WorkspaceError, match="is not of the records of group 0 that were"):
            whatif(corpus.recipe, Changes())


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("predicate", {"short": {"drop": "words < 6", "scope": "web"}, "even": RULES["even"]}),
        ("scope", {"short": {"drop": "words < 5", "scope": "a"}, "even": RULES["even"]}),
        ("unknown", {"short": {**RULES["short"], "unknown": "drop"}, "even": RULES["even"]}),
        ("order", {"even": RULES["even"], "short": RULES["short"]}),
        ("more", {**RULES, "third": {"drop": "lines > 9"}}),
        ("fewer", {"short": RULES["short"]}),
    ],
)
def test_decisions_by_other_rules_are_not_read(corpus, name, other):
    made = made_recipe(Path(corpus.recipe.workspace).parent, rules=other)
    right = told(whatif(made, CHANGES["added"][0]))
    with decided(corpus):
        assert told(whatif(corpus.recipe, CHANGES["added"][0]))[1]
        assert told(whatif(made, CHANGES["added"][0])) == (right[0], False)


def test_decisions_of_older_measurements_or_other_priorities_are_not_read(corpus):
    found = corpus.measured
    moved = {**found.datasets, "gopher": Dataset(found.datasets["gopher"].url + "0")}
    ranks = [s.model_copy(update={"priority": 9 - s.priority}) for s in corpus.recipe.source]
    ranked = corpus.recipe.model_copy(update={"source": tuple(ranks)})
    with decided(corpus):
        assert decisions(corpus.recipe, corpus.inventory, found) is not None
        assert decisions(corpus.recipe, corpus.inventory, replace(found, datasets=moved)) is None
        assert decisions(ranked, corpus.inventory, found) is None


def test_decisions_on_some_of_the_files_are_not_read(corpus):
    with decided(corpus) as dataset:
        [first, *_] = dataset.published()
        storage.remove(f"{dataset.url}/files.parquet")
        dataset.publish([first], {})
        answer, read = told(whatif(corpus.recipe, Changes()))
    assert not read
    assert amounts(answer, "now") == sums(survivors(corpus.docs, NOW))


def test_an_input_group_without_a_record(tmp_path):
    corpus = corpus_of(tmp_path, {"a": random_texts(20, 5)["a"], "b": []}, clusters=4)
    assert len(corpus.inventory.groups) == 2
    long_way, _ = told(whatif(corpus.recipe, CHANGES["added"][0]))
    with decided(corpus):
        assert told(whatif(corpus.recipe, CHANGES["added"][0])) == (long_way, True)
    assert {y.source for y in long_way.yields} == {"a"}


def test_a_recipe_without_rules_says_nothing_of_them(corpus):
    made = made_recipe(Path(corpus.recipe.workspace).parent, rules={})
    assert len(whatif(made, Changes()).notes) == 1


def test_a_rule_in_anothers_place_treats_unknown_alike(corpus):
    folder = Path(corpus.recipe.workspace).parent
    rules = {"named": {"drop": "starts_with(url, 'x')", "unknown": "drop", "scope": "a"}}
    answer = whatif(
        made_recipe(folder, rules=rules), Changes(("named: url = 'y'", "other@b: url = 'y'"))
    )
    kept = sums(survivors(corpus.docs, {"named": lambda d: d.source != "a"}))
    assert amounts(answer, "now") == amounts(answer, "then") == kept  # no document has a url


def test_effects_are_of_the_rules_that_change(corpus):
    answer = whatif(corpus.recipe, CHANGES["together"][0])
    said = {e.name: (e.now, e.then) for e in answer.effects if not e.name.startswith("code_")}
    assert said == {
        "x": (None, "bytes between 20 and 25"),
        "short": ("words < 5", "words < 2"),
        "even": ("not bytes > 12", None),
    }
    assert {e.name: e.scope for e in answer.effects}["short"] == ("web",)


def test_a_curve_is_a_rule_at_each_threshold(corpus):
    changes = replace(CHANGES["added"][0], curve="words: 0..8/5")
    answer = whatif(corpus.recipe, changes)
    assert [p.threshold for p in answer.curve[::2]] == [0, 2, 4, 6, 8]
    for point in answer.curve:
        rules = CHANGES["added"][1] | {"t": lambda d, t=point.threshold: d.words >= t}
        kept = [d for d in survivors(corpus.docs, rules) if d.domain == point.domain]
        assert (point.kept.documents, point.kept.bytes) == (len(kept), sum(d.bytes for d in kept))
    assert answer.curve[0].kept.documents > answer.curve[-2].kept.documents


def test_the_next_best_survives(tmp_path):
    corpus = corpus_of(tmp_path, {"a": ["one two three four five six"] * 2, "b": ["x"] * 2}, 0)
    one, other, *_ = sorted(corpus.docs, key=lambda d: (d.source, d.metadata, d.doc))
    third = next(d for d in corpus.docs if d.source == "b")
    docs = [replace(d, component=1) if d in (one, other, third) else d for d in corpus.docs]
    corpus = replace(corpus, docs=tuple(docs))
    publish_components(corpus)
    answer = whatif(corpus.recipe, Changes(without=("even",)))
    # `third` has the highest priority; without `even` it is eligible and takes the place of `one`
    assert amounts(answer, "now") == {("a", "web"): (1, one.bytes)}
    assert amounts(answer, "then") == {("b", "code"): (2, 2)}
    answer = whatif(corpus.recipe, Changes(("few@code: words < 2",), ("even",)))
    assert amounts(answer, "then") == {("a", "web"): (1, one.bytes)}
    few = next(e for e in answer.effects if e.name == "few")
    assert (few.fires_then, few.alone_then) == (2, 1)  # one more in its cluster would not count


def test_warnings(corpus):
    changes = Changes(
        ("never: words > 99", "most@a: words > 2", "half@b: bytes > 99999 or words < 0")
    )
    warnings = whatif(corpus.recipe, changes).warnings
    fires = sum(d.source == "a" and d.words > 2 for d in corpus.docs)
    assert warnings == (
        "rule 'never' never fires",
        f"rule 'most' fires on {fires / 150:.0%} of source 'a'",
        "rule 'half' never fires",
    )


def test_without_components_the_answer_is_an_estimate(tmp_path):
    corpus = corpus_of(tmp_path, random_texts(20, 2), clusters=0)
    answer = whatif(corpus.recipe, Changes())
    assert not answer.exact
    assert any(
        note.startswith("an estimate: duplicates have not been found") for note in answer.notes
    )
    assert amounts(answer, "now") == sums(survivors(corpus.docs, NOW))
    alone = made_recipe(tmp_path, dedup={"exact": False, "fuzzy": False})
    answer = whatif(alone, Changes())  # no duplicates are asked for: nothing to find
    assert answer.exact
    assert amounts(answer, "now") == sums(survivors(corpus.docs, NOW))


def test_a_sample_is_near_and_says_how_near(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path, random_texts(1500, 3), clusters=500)
    changes, rules = CHANGES["added"]
    truth, now = survivors(corpus.docs, rules), survivors(corpus.docs, NOW)
    monkeypatch.setattr(module, "MOST_DOCUMENTS", 1000)
    answer = whatif(corpus.recipe, changes)
    assert answer.share == pytest.approx(1000 / 3002)
    assert not answer.exact
    assert any("hash sample of 33.311%" in note for note in answer.notes)
    total = answer.total
    assert 0 < abs(total.then.documents - len(truth)) < 1.5 * total.then_error.documents < 200
    size = sum(d.bytes for d in truth)
    assert abs(total.then.bytes - size) < 1.5 * total.then_error.bytes < 0.2 * size
    change = total.then.documents - total.now.documents
    assert abs(change - (len(truth) - len(now))) < 1.5 * total.change_error.documents < 200
    p = answer.share
    seen = total.then.documents * p
    assert total.then_error.documents == pytest.approx(1.96 * math.sqrt((1 - p) * seen) / p, abs=3)
    assert whatif(corpus.recipe, changes) == answer


def test_tokens_are_guessed_before_encode(corpus):
    answer = whatif(corpus.recipe, Changes())
    for found in answer.yields:
        assert found.now.tokens == round(found.now.bytes / 4.5)
    assert answer.notes[0] == (
        "tokens are bytes / 4.5: no text of recipe 'small' has been encoded yet"
    )


def test_tokens_per_byte_of_what_was_encoded(corpus):
    workspace = corpus.inventory.workspace
    kept = survivors(corpus.docs, NOW)
    decide_by_hand(corpus, kept)
    name = corpus.reading.fingerprint(rules_of(corpus.recipe))
    tokens = workspace.dataset("tokens", "made")
    records = []
    for record in workspace.dataset("decisions", name).published():
        key = f"{record.group}-{record.counts['kept_digest']:016x}"
        with tokens.attempt(key, pa.schema([("doc", pa.int64())])) as out:
            for count, size in record.counts.items():
                kind, _, rest = count.partition(":")
                source, domain, reason = [*rest.split("/"), "", ""][:3]
                if kind == "bytes" and not reason:
                    out.count(f"tokens:{domain}/{source}/en", size * (2 if source == "a" else 3))
        records.append(out.record)
    tokens.publish(records, {})
    plan = workspace.path("shards", "small", "plan.json")
    storage.write_bytes(plan, b'{"decisions": "%s", "tokens": "made"}' % name.encode())
    try:
        answer = whatif(corpus.recipe, Changes())
    finally:
        remove_decisions(corpus)
        storage.remove(workspace.path("shards"))
    ratios = {y.source: y.now.tokens / y.now.bytes for y in answer.yields}
    assert ratios == {"a": 2, "b": 3}
    assert answer.total.now.tokens == sum(y.now.tokens for y in answer.yields)
    assert answer.notes[0].endswith("as encoded for 'small'")


def test_the_workspace_is_left_as_it_was(corpus):
    before = {url: storage.read_bytes(url) for url in storage.listing(corpus.recipe.workspace)}
    whatif(corpus.recipe, CHANGES["together"][0])
    assert {
        url: storage.read_bytes(url) for url in storage.listing(corpus.recipe.workspace)
    } == before


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (Changes(("words < 5",)), r"'words < 5' is no rule; write 'name: predicate'"),
        (Changes(("x:  ",)), r"'x:  ' is no rule"),
        (Changes(("x: wrds < 5",)), r"rule 'x': there is no signal 'wrds', .* did you mean 'words' or"),
        (Changes(("x: words <",)), r"rule 'x': cannot read 'words <'"),
        (Changes(("X y: words < 5",)), r"a rule is called 'X y'; names of rules are snake case"),
        (Changes(("x@: words < 5",)), r"rule 'x': '' selects nothing"),
        (Changes(("x: words < 5", "x: words < 6")), r"'x' is named twice"),
        (Changes(("even: words < 5",), ("even",)), r"'even' is named twice"),
        (Changes(without=("evn",)), r"there is no rule 'evn' to leave out; did you mean 'even'\?"),
        (Changes(without=("zzz",)), r"'zzz' to leave out; the rules are short, even$"),
        (Changes(profiles=("gofer",)), r"there is no profile 'gofer'; the profiles are gopher, code"),
        (Changes(curve="words 1..2/3"), r"'words 1..2/3' is no curve; write 'signal: from..to/steps'"),
        (Changes(curve="words: 1..2/1"), r"is no curve"),
        (Changes(curve="words: 2..1/5"), r"is no curve"),
        (Changes(curve="wrds: 1..2/5"), r"there is no signal 'wrds'"),
        (Changes(curve="url: 1..2/5"), r"'<' wants two of one type"),
    ],
)  # fmt: skip
def test_errors_say_what_to_write(corpus, changes, text):
    with pytest.raises(RecipeError, match=text):
        whatif(corpus.recipe, changes)


def test_too_many_rules_to_compare(tmp_path):
    rules = {f"r{n}": {"drop": f"words = {n}"} for n in range(62)}
    made = made_recipe(tmp_path, rules=rules)
    with pytest.raises(RecipeError, match="64 rules, old and new together; at most 63"):
        whatif(made, Changes(("r0: words > 5", "r1: words > 6")))


def test_what_has_not_been_measured(tmp_path):
    made = made_recipe(tmp_path)
    with pytest.raises(
        WorkspaceError, match="holds no measurements; run `coursepack curate` first"
    ):
        whatif(made, Changes())
    corpus = corpus_of(tmp_path, random_texts(5, 1), clusters=0)
    write_lines(tmp_path, "a/new.jsonl", ["more text"])
    groups = len(corpus.inventory.groups)
    with pytest.raises(WorkspaceError, match=f"1 of {groups + 1} input groups have no 'record'"):
        whatif(corpus.recipe, Changes())


def test_many_batches_count_as_one(corpus, monkeypatch):
    from coursepack.stages import tally

    answer = whatif(corpus.recipe, CHANGES["together"][0])
    monkeypatch.setattr(tally, "_BATCH_ROWS", 1)
    assert whatif(corpus.recipe, CHANGES["together"][0]) == answer


def test_component_of_documents():
    known, component = np.array([2, 5, 9]), np.array([20, 50, 90])
    doc = np.array([9, 1, 2, 6, 5, 100])
    assert component_of(doc, known, component).tolist() == [90, -1, 20, -1, 50, -1]
    assert component_of(np.sort(doc), known, component).tolist() == [-1, 20, 50, -1, 90, -1]
    assert component_of(np.array([3, 4]), known, component).tolist() == [-1, -1]
    assert component_of(doc, known[:0], component[:0]).tolist() == [-1] * 6
    assert component_of(doc[:0], known, component).tolist() == []


def test_spark_is_not_imported():
    program = (
        "import coursepack.jobs.whatif, coursepack.stages.whatif, coursepack.jobs.tables, sys\n"
        "assert 'pyspark' not in sys.modules\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
