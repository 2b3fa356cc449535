"""Examples: documents on either side of a rule, nearest first, in its scope, safe to print."""

import pyarrow as pa

from coursepack.pipeline.recipe import RuleSettings
from coursepack.stages.examples import EACH, SHOWN, beside, examples
from coursepack.stages.rules import expand

TYPES = {"words": pa.int32(), "tag": pa.string()}


def documents(count=20):
    rows = range(count)
    return pa.table(
        {
            "source": ["s"] * count,
            "domain": ["web" if n % 2 else "code" for n in rows],
            "language": pa.array([None] * count, pa.string()),
            "lot": [(n * 7) % count for n in rows],
            "head": [f"text\n{n} \x1b[31m" + "x" * 500 for n in rows],
            "name": [f"u{n}" if n % 3 else None for n in rows],
            "words": pa.array(rows, pa.int32()),
            "tag": ["a" if n < 10 else None for n in rows],
        }
    )


def found_by(**rules):
    own = {name: RuleSettings(**settings) for name, settings in rules.items()}
    return examples(expand((), own, TYPES), documents())


def test_the_nearest_to_a_threshold_come_first():
    found = found_by(short={"scope": "web", "drop": "words < 9.5"})
    assert [(e.dropped, e.values["words"]) for e in found] == [
        (True, 9), (True, 7), (True, 5), (False, 11), (False, 13), (False, 15)
    ]  # fmt: skip
    assert {e.domain for e in found} == {"web"}
    assert [e.name for e in found] == ["", "u7", "u5", "u11", "u13", ""]


def test_other_predicates_take_any_by_hash():
    found = found_by(mixed={"drop": "tag = 'a' and words > 2"})
    dropped = [e.values["words"] for e in found if e.dropped]
    assert dropped == sorted(range(3, 10), key=lambda n: (n * 7) % 20)[:EACH]
    assert len(found) == 2 * EACH
    assert found_by(none={"drop": "words < 0"})[0].dropped is False


def test_no_document_steers_the_terminal():
    [first, *_] = found_by(all={"drop": "words >= 0"})
    assert "\x1b" not in first.text
    assert "\n" not in first.text
    assert first.text.endswith("x…")
    assert len(first.text) == SHOWN + 1


def test_beside_joins_by_document():
    table = pa.table({"doc": [2, 4, 6], "words": [1, 2, 3]})
    samples = pa.table(
        {"doc": [1, 4, 6, 9], "lot": [5, 6, 7, 8], "head": list("abcd"), "name": list("wxyz")}
    )
    assert beside(table, samples).to_pydict() == {
        "doc": [4, 6], "words": [2, 3], "lot": [6, 7], "head": ["b", "c"], "name": ["x", "y"]
    }  # fmt: skip
    assert beside(table.slice(0, 0), samples).num_rows == 0
