"""Which rules are judged again on which input groups, what is read for them, and which verdicts count as the same."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.documents import DECISIONS
from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.workspace import Dataset
from coursepack.stages.decide import Decided
from coursepack.stages.inventory import group_name
from coursepack.stages.judged import PROOFS, Judged, signals_read
from coursepack.stages.rules import MAX_RULES, Rule, compile_predicate

TYPES = {"words": pa.int64(), "alpha": pa.float64()}


def rule(name: str, text: str, *scope: str, unknown: str = "keep") -> Rule:
    return Rule(name, name, scope, compile_predicate(text, TYPES), unknown)


@given(st.integers(0, MAX_RULES), st.sets(st.integers(0, 10_000), min_size=1, max_size=200))
def test_every_rule_is_proven_on_several_groups_and_every_group_proves_some(count, groups):
    rules = tuple(rule(f"r{n}", "words < 1") for n in range(count))
    judged = Judged(Decided(Dataset(""), {}), rules, tuple(sorted(groups)))
    taken = [judged.again(group) for group in sorted(groups)]
    assert all(len(set(bits)) == len(bits) <= count for bits in taken)
    assert all(taken) or not count
    times = Counter(bit for bits in taken for bit in bits)
    assert sorted(times) == list(range(count))
    assert all(found >= min(PROOFS, len(groups)) for found in times.values())
    assert sum(times.values()) <= max(PROOFS * count, 1) + len(groups)


def test_the_columns_that_rules_and_scopes_ask_for():
    few, some = rule("few", "words < 5", "web"), rule("some", "alpha < 1 or words > 9")
    assert signals_read([]) == set()
    assert signals_read([few]) == {"words"}
    assert signals_read([few, some]) == {"words", "alpha"}
    assert signals_read([rule("few", "words < 5", "web", "*[lang=en]")]) == {"words", "language"}


RULES = (
    rule("few", "words < 5", "web", "code[lang=en]"),
    rule("some", "alpha < 0.5", unknown="drop"),
    rule("other", "alpha > 0.5"),
)
# domain, language, words, alpha, reject, and the rules that fire
ROWS = [
    ("web", None, 4, 0.5, None, 0b001),
    ("web", None, 5, 0.4, None, 0b010),
    ("code", "en", 4, None, None, 0b011),
    ("code", None, 4, 0.9, None, 0b100),
    ("books", "en", None, 1.0, None, 0b100),
    ("web", None, None, None, "empty", 0),
]


def judge(folder: Path, failed: list[int]) -> list[int]:
    """What is read where `failed` was decided."""
    count = len(ROWS)
    made = {field.name: pa.nulls(count, field.type) for field in DECISIONS}
    made |= {"doc": pa.array(range(count), pa.int64()), "failed": pa.array(failed, pa.int64())}
    dataset = Dataset(str(folder))
    with dataset.attempt(group_name(3), pa.schema([(f.name, f.type) for f in DECISIONS])) as out:
        out.write(pa.table(made))
    names = ("domain", "language", "words", "alpha", "reject")
    columns = dict(zip(names, zip(*(row[:-1] for row in ROWS), strict=True), strict=True))
    documents = {"doc": made["doc"], "source": pa.array(["s"] * count)}
    for name, values in columns.items():
        documents[name] = pa.array(values, TYPES.get(name, pa.string()))
    judged = Judged(Decided(dataset, {group_name(3): out.record}), RULES, (3,))
    return judged.failed(3, pa.table(documents)).to_pylist()


def test_scopes_unknown_values_and_rejects_are_judged_as_decide_does(tmp_path):
    right = [row[-1] for row in ROWS]
    assert judge(tmp_path, right) == right


@pytest.mark.parametrize("row", range(len(ROWS)))
@pytest.mark.parametrize("bit", range(len(RULES)))
def test_any_other_verdict_is_an_error(tmp_path, row, bit):
    wrong = [found[-1] ^ (1 << bit if number == row else 0) for number, found in enumerate(ROWS)]
    with pytest.raises(WorkspaceError, match=f"whether rule '{RULES[bit].name}' fires, on 1 rec"):
        judge(tmp_path, wrong)
