"""The report, from commit records and a composition made by hand."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hand_made import recipe

from coursepack.pipeline.workspace import Dataset, Record
from coursepack.stages.compose import Arc, Atom, Composition, Stream
from coursepack.stages.decide import Decided
from coursepack.stages.encode import Encoded
from coursepack.stages.measure import Failures
from coursepack.stages.pack import shards_of
from coursepack.stages.report import FUNNEL, MIXTURE, PLAN, make_report, read_report, write_report

STREAMS = (
    Stream("late", 8, "shifted", "best_fit", 2, 30),
    Stream("early", 8, "shifted", "best_fit", 1, 12),
    Stream("early", 16, "shifted", "best_fit", 1, 5),
    Stream("validation", 8, "shifted", "best_fit", 1, 3),
)
ATOMS = (Atom("code", ("*",)), Atom("web", ("*",)), Atom("web", ("*", "web")))
ARCS = (
    Arc(0, 0, 0, 5, 9, 0, 20),  # one stretch in two passes
    Arc(0, 0, 1, 0, 5, 0, 20),
    Arc(0, 2, 0, 0, 9, 0, 10),
    Arc(1, 1, 0, 0, 9, 0, 4),  # two atoms of a domain
    Arc(1, 2, 0, 9, 10, 10, 8),
    Arc(2, 0, 1, 5, 9, 20, 5),
    Arc(3, 1, 0, 0, 1, -3, 3),
)
COUNTS = {
    "late/8/00000.arrow": {"code/s//first": (2, 14), "web/t/en/first": (1, 5)},
    "late/8/00001.arrow": {"code/s//repeated": (1, 7), "web/t/en/first": (1, 6)},
    "early/8/00000.arrow": {"web/t/en/first": (3, 11)},
    "early/16/00000.arrow": {"code/s//repeated": (1, 6)},
    "validation/8/00000.arrow": {"web/t/en/first": (1, 3)},
}


def _shards() -> dict[str, Record]:
    records = {}
    for path, classes in COUNTS.items():
        counts = {f"documents:{key}": n for key, (n, _) in classes.items()}
        counts |= {f"tokens:{key}": n for key, (_, n) in classes.items()}
        tokens = sum(n for _, n in classes.values())
        counts |= {"tokens": tokens, "padding": 24 - tokens, "documents": len(classes)}
        records[path] = Record(path, path, 3, 1000, "", counts)
    return records


FUNNEL_COUNTS = {
    "s/code/": 4, "s/code/short": 7, "s/code/empty": 1,
    "t/web/": 2, "t/web/exact_duplicate": 10, "t/web/near_duplicate": 9, "t/web/short": 1,
}  # fmt: skip


@pytest.fixture
def report(tmp_path):
    counts = {f"documents:{k}": n for k, n in FUNNEL_COUNTS.items()}
    counts |= {f"bytes:{k}": 100 * n for k, n in FUNNEL_COUNTS.items()}
    counts |= {"judged/s": 11, "fires/0/s": 7, "judged/t": 22, "fires/0/t": 11}
    encoded = {"documents:code/s/": 4, "tokens:code/s/": 21, "documents:web/t/en": 2,
               "tokens:web/t/en": 25}  # fmt: skip
    none = np.zeros((3, 16), np.int64)
    made = Composition(ATOMS, {}, none, none, none[:, 0], STREAMS, ARCS, ())
    assert list(shards_of(made)) == list(COUNTS)
    sources = [{"name": n, "layout": "jsonl", "paths": ["x"]} for n in ("s", "t", "unused")]
    rules = {"short": {"drop": "words < 5"}, "idle": {"drop": "words < 0"}}
    return make_report(
        recipe(tmp_path, source=sources, rules=rules),
        Decided(Dataset(""), {"g": Record("g", "", 34, 0, "", counts)}),
        Encoded(Dataset(""), {"g": Record("g", "", 6, 0, "", encoded)}),
        made,
        _shards(),
        600,
        "somewhere",
        {"pack": 1.5},
        {"pii/email": 3},
        {"own_f": Failures(2, 4, ("ValueError",))},
    )


def test_every_record_has_a_fate(report):
    assert report.documents == {"read": 34, "kept": 6, "exact_duplicate": 10, "near_duplicate": 9,
                                "short": 8, "empty": 1}  # fmt: skip
    assert list(report.documents)[2:] == ["exact_duplicate", "near_duplicate", "short", "empty"]
    assert sum(row["documents"] for row in report.funnel) == 34
    assert sum(row["bytes"] for row in report.funnel) == 3400


def test_the_mixture_is_what_was_packed_in_phase_order(report):
    rows = [tuple(row.values()) for row in report.mixture]
    assert rows == [
        ("late", 8, "code", "s", "", 3, 21, 7, 21),
        ("late", 8, "web", "t", "en", 2, 11, 0, 25),
        ("early", 8, "web", "t", "en", 3, 11, 0, 25),
        ("early", 16, "code", "s", "", 1, 6, 6, 21),
        ("validation", 8, "web", "t", "en", 1, 3, 0, 25),
    ]
    assert list(report.mixture[0]) == MIXTURE.names


def test_the_plan_counts_a_stretch_once(report):
    assert [tuple(row.values()) for row in report.plan] == [
        ("late", 8, "code", 20),
        ("late", 8, "web", 10),
        ("early", 8, "web", 12),
        ("early", 16, "code", 5),
        ("validation", 8, "web", 3),
    ]


def test_packing_sums_the_shards_of_a_stream(report):
    first = report.packing[0]
    assert first == {"phase": "late", "length": 8, "planned": 30, "shards": 2, "sequences": 6,
                     "tokens": 32, "padding": 16, "documents": 4, "bytes": 2000}  # fmt: skip
    assert [row["planned"] for row in report.packing] == [30, 12, 5, 3]


def test_warnings(report):
    assert report.warnings == [
        "the code of 'own_f' failed on 2 of 4 texts (ValueError)",
        "source 's': 1 of 12 records were rejected",
        "rule 'short' fires on 64% of source 's'",  # not on more than half of t
        "rule 'idle' never fires",
    ]


@pytest.mark.parametrize(("alarm", "warns"), [(0.86, True), (0.87, False)])
def test_the_alarm_of_a_source_that_loses_too_much(tmp_path, alarm, warns):
    counts = {
        "documents:s/d/": 2,
        "documents:s/d/exact_duplicate": 7,
        "documents:s/d/near_duplicate": 6,
    }
    none = np.zeros((1, 16), np.int64)
    found = make_report(
        recipe(tmp_path, dedup={"alarm": alarm}),
        Decided(Dataset(""), {"g": Record("g", "", 15, 0, "", counts)}),
        Encoded(Dataset(""), {}),
        Composition((), {}, none, none, none[:, 0], (), (), ()),
        {}, 1, "r", {}, {}, {},
    )  # fmt: skip
    text = f"source 's' lost 87% of its documents to duplicates (dedup.alarm is {alarm:.0%})"
    assert found.warnings == ([text] if warns else [])


def test_a_report_is_read_as_it_was_written(report, tmp_path):
    folder = str(tmp_path / "report")
    assert read_report(folder) is None
    write_report(report, folder)
    assert read_report(folder) == report
    for name, schema in (("funnel", FUNNEL), ("mixture", MIXTURE), ("plan", PLAN)):
        table = pq.read_table(f"{folder}/{name}.parquet")
        assert table.schema.equals(schema)
        assert table.to_pylist() == getattr(report, name)
