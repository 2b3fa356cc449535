"""Decide: domains, rules as bits, first reasons, and the one document that stays of each cluster."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.documents import DECISIONS
from coursepack.pipeline.errors import SourceError
from coursepack.pipeline.recipe import Recipe, RuleSettings, Source, parse
from coursepack.pipeline.workspace import Dataset, Record
from coursepack.stages import catalogue
from coursepack.stages.decide import (
    Decided,
    SliceWriter,
    check_limits,
    columns_read,
    failed_rules,
    first_reasons,
    keep_one,
    one_per_url,
)
from coursepack.stages.domains import domain_column, source_domain, source_domains
from coursepack.stages.layouts import part_key
from coursepack.stages.rules import Rule, expand


def source(layout: str = "pile", domain: str | dict[str, str] | None = None, **more: Any) -> Source:
    return Source(name=more.pop("name", "s"), layout=layout, paths=("x",), domain=domain, **more)


def recipe(*sources: Source, **more: Any) -> Recipe:
    table = {
        "name": "r",
        "workspace": "ws",
        "source": [s.model_dump() for s in sources],
        "tokenizer": {"model": "m"},
        "phase": [{"name": "p", "tokens": 1, "length": 8, "mixture": {"*": 1}}],
    }
    return parse(table | more)


@pytest.mark.parametrize(
    ("layout", "domain", "subset", "expected"),
    [
        ("pile", None, "Books3", "books"),  # the layout's mapping, however it is spelt
        ("pile", None, "pile_cc", "web"),
        ("pile", None, "Nothing", "web"),  # the layout's own
        ("pile", None, None, "web"),
        ("the-stack", None, "Haskell", "code"),
        ("the-stack", None, "SQL", "sql"),
        ("pile", "law", "Books3", "law"),  # the recipe's word for all
        ("pile", {"Books3": "novels"}, "books3", "novels"),  # its table first
        ("pile", {"BOOKS3": "novels"}, "ArXiv", "science"),  # then the layout's
        ("pile", {"default": "other"}, "ArXiv", "science"),
        ("pile", {"default": "other"}, "Nothing", "other"),  # then its default
        ("pile", {"default": "other"}, None, "other"),
        ("pile", {"PubMed Central": "medicine"}, "pubmed_central", "medicine"),
        ("jsonl", {"a b": "x", "default": "y"}, "A_B", "x"),
        ("jsonl", None, "wikipedia", "general"),
    ],
)
def test_the_domain_of_a_part(layout, domain, subset, expected):
    made = source(layout, domain)
    assert source_domain(made, subset) == expected
    assert expected in source_domains(made)


@given(
    st.sampled_from(["pile", "the-stack", "jsonl"]),
    st.one_of(
        st.none(),
        st.just("law"),
        st.dictionaries(st.sampled_from(["Books3", "default"]), st.just("d")),
    ),
    st.one_of(st.none(), st.text(max_size=5), st.sampled_from(["Books3", "Github", "sql"])),
)
def test_no_domain_is_outside_the_known_ones(layout, domain, subset):
    made = source(layout, domain)
    assert source_domain(made, subset) in source_domains(made)


def test_domains_of_rows():
    made = recipe(source("pile", name="a"), source("jsonl", {"x": "dx", "default": "d"}, name="b"))
    subsets = ["Books3", None, "x", "x", None, "books3", "Github"]
    sources = [0, 0, 0, 1, 1, 1, 0]
    column = pa.chunked_array([pa.array(subsets[:3]), pa.array(subsets[3:])])
    expected = [
        source_domain(made.source[s], subset) for s, subset in zip(sources, subsets, strict=True)
    ]
    assert domain_column(made, np.array(sources), column).to_pylist() == expected
    assert expected == ["books", "web", "web", "dx", "d", "d", "code"]
    empty = pa.chunked_array([], pa.string())
    assert domain_column(made, np.zeros(0, np.int64), empty).to_pylist() == []


SIGNALS = {"words": pa.int32(), "ratio": pa.float64(), "url": pa.string(), "language": pa.string()}
OWN = {
    "short": ({"drop": "words < 50"}, lambda r: r["words"] is not None and r["words"] < 50),
    "odd": ({"keep": "ratio between 0.2 and 0.8", "unknown": "drop"},
            lambda r: r["ratio"] is None or not 0.2 <= r["ratio"] <= 0.8),
    "on_web": ({"drop": "words < 100", "scope": "web"},
               lambda r: r["domain"] == "web" and r["words"] is not None and r["words"] < 100),
    "of_source": ({"drop": "true", "scope": "b"}, lambda r: r["source"] == "b"),
    "german": ({"drop": "words > 3", "scope": "*[lang=de]"},
               lambda r: r["language"] == "de" and r["words"] is not None and r["words"] > 3),
    "two": ({"drop": "true", "scope": ["code", "web[lang=fr]"]},
            lambda r: r["domain"] == "code" or (r["domain"], r["language"]) == ("web", "fr")),
    "named": ({"drop": "contains(url, 'ö')"}, lambda r: "ö" in (r["url"] or "")),
}  # fmt: skip
_row = st.fixed_dictionaries(
    {
        "words": st.one_of(st.none(), st.integers(0, 120)),
        "ratio": st.one_of(st.none(), st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0])),
        "url": st.sampled_from([None, "", "http://ö", "x'; drop"]),
        "language": st.sampled_from([None, "de", "fr", "en"]),
        "domain": st.sampled_from(["web", "code", "math"]),
        "source": st.sampled_from(["a", "b"]),
        "reject": st.sampled_from([None, None, None, "empty"]),
    }
)
_schema = pa.schema(
    [*SIGNALS.items(), ("domain", pa.string()), ("source", pa.string()), ("reject", pa.string())]
)


@given(st.lists(_row, max_size=12), st.integers(0, 3))
def test_failed_rules_are_those_that_fire_by_hand(rows, skipped):
    rules = expand([], {name: RuleSettings(**given) for name, (given, _) in OWN.items()}, SIGNALS)
    table = pa.Table.from_pylist(rows, _schema).slice(skipped)
    expected = [
        sum(1 << bit for bit, (_, fires) in enumerate(OWN.values()) if fires(row))
        if row["reject"] is None
        else 0
        for row in rows[skipped:]
    ]
    found = failed_rules(rules, table)
    assert found.dtype == np.int64
    assert found.tolist() == expected
    reasons = [
        row["reject"] or next((n for b, n in enumerate(OWN) if bits >> b & 1), None)
        for row, bits in zip(rows[skipped:], expected, strict=True)
    ]
    assert first_reasons(rules, found, table["reject"]).to_pylist() == reasons


def _many(count: int) -> tuple[Rule, ...]:
    return expand([], {f"r{n}": RuleSettings(drop=f"words = {n} or words < 0") for n in range(count)},
                  SIGNALS)  # fmt: skip


def test_every_bit_of_62_rules():
    rules = _many(62)
    rows = [dict.fromkeys(_schema.names) | {"words": n, "domain": "d", "source": "s"}
            for n in (*range(63), -1)]  # fmt: skip
    table = pa.Table.from_pylist(rows, _schema)
    found = failed_rules(rules, table)
    assert found.tolist() == [*(1 << n for n in range(62)), 0, (1 << 62) - 1]
    names = [*(f"r{n}" for n in range(62)), None, "r0"]
    assert first_reasons(rules, found, table["reject"]).to_pylist() == names


def test_without_rules_only_rejects_have_reasons():
    table = pa.table({"reject": pa.array([None, "empty"])})
    failed = failed_rules((), table)
    assert failed.tolist() == [0, 0]
    assert first_reasons((), failed, table["reject"]).to_pylist() == [None, "empty"]


def test_only_the_column_groups_that_rules_name_are_read():
    types = {name: signal.type for name, signal in catalogue.SIGNALS.items()}
    record = ["doc", "content", "edited", "bytes", "metadata", "subset", "reject"]
    assert columns_read(()) == {"record": record, "language": ["language"]}
    own = {"a": "bytes < 9 or subset = 'x' or length(url) < 3", "b": "language_score < 0.5"}
    own |= {"c": "words < 5 and language = 'en'", "d": "dup_line_ratio > words"}
    rules = expand(["c4"], {name: RuleSettings(drop=text) for name, text in own.items()}, types)
    assert columns_read(rules) == {
        "record": [*record, "url"],
        "language": ["language", "language_score"],
        "gopher": ["words"],
        "repetition": ["dup_line_ratio"],
        "web": ["curly_braces", "has_lorem_ipsum", "longest_word_chars", "sentences"],
    }


A, B, C = b"a" * 16, b"b" * 16, b"\xff" * 16
# (doc, component, source, priority, content, metadata, reason) and what is decided: survivor, reason
CLUSTERS = [
    ((1, 1, "s", 0, A, 5, None), None, None),  # priority before content and metadata
    ((2, 1, "t", -1, A, 1, None), 1, "exact_duplicate"),
    ((3, 1, "t", -1, B, 1, None), 1, "near_duplicate"),
    ((4, 1, "s", 0, A, 5, "short"), None, "short"),  # what rules drop keeps its own reason
    ((11, 11, "s", 9, B, 1, "short"), None, "short"),  # the best is not eligible
    ((12, 11, "s", 0, C, 1, None), 13, "near_duplicate"),  # content: as unsigned bytes
    ((13, 11, "s", 0, B, 1, None), None, None),
    ((21, 21, "s", 0, A, 7, None), 22, "exact_duplicate"),  # metadata
    ((22, 21, "t", 0, A, 6, None), None, None),
    ((31, 31, "t", 0, A, 7, None), 32, "exact_duplicate"),  # source
    ((32, 31, "s", 0, A, 7, None), None, None),
    ((41, 41, "s", 0, A, 7, None), None, None),  # place
    ((42, 41, "s", 0, A, 7, None), 41, "exact_duplicate"),
    ((51, 51, "s", 0, A, 7, "empty"), None, "empty"),  # nobody is eligible
    ((52, 51, "s", 0, A, 7, "short"), None, "short"),
    ((61, None, "s", 0, A, 7, None), None, None),  # alone
    ((62, None, "s", 0, A, 7, "short"), None, "short"),
]


@pytest.mark.parametrize(("step", "partitions"), [(1, 1), (-1, 3)])
def test_the_best_eligible_member_stays(spark, step, partitions):
    rows = [
        (*row, len(row[4]), "d", None, "g", 3, row[4]) for row, _, _ in CLUSTERS[::step]
    ]  # fmt: skip
    frame = spark.createDataFrame(
        rows,
        "doc bigint, component bigint, source string, priority bigint, content binary, metadata bigint, "
        "reason string, bytes bigint, domain string, language string, group string, failed bigint, "
        "edited binary",
    )
    kept = keep_one(frame.repartition(partitions))
    assert kept.columns == ["group", *DECISIONS.names]
    found = {row.doc: (row.survivor, row.reason, row.keep) for row in kept.collect()}
    assert found == {
        row[0]: (survivor, reason, reason is None) for row, survivor, reason in CLUSTERS
    }


def _decisions(rows: list[tuple[str, str, str | None, int]]) -> pa.Table:
    """(source, domain, reason, bytes) as decisions, with the group that they are shuffled by."""
    count = len(rows)
    columns = {
        "doc": pa.array(range(count), pa.int64()),
        "content": pa.array([bytes([n]) * 16 for n in range(count)], pa.binary()),
        "bytes": pa.array([row[3] for row in rows], pa.int64()),
        "source": pa.array([row[0] for row in rows], pa.string()),
        "domain": pa.array([row[1] for row in rows], pa.string()),
        "language": pa.array([None if n % 2 else "en" for n in range(count)], pa.string()),
        "keep": pa.array([row[2] is None for row in rows], pa.bool_()),
        "reason": pa.array([row[2] for row in rows], pa.string()),
        "failed": pa.array([0] * count, pa.int64()),
        "survivor": pa.array([None] * count, pa.int64()),
        "group": pa.array(["g"] * count, pa.string()),
    }
    return pa.table(columns)


ROWS = [
    ("a", "web", None, 10),
    ("a", "web", None, 5),
    ("a", "web", "empty", 0),
    ("a", "code", "short", 7),
    ("b", "web", "broken_record", 0),
]


def test_the_funnel_counts_documents_and_bytes(tmp_path):
    table = _decisions(ROWS)
    record = SliceWriter(Dataset(str(tmp_path)))("g", iter(table.to_batches(2)))
    assert record.rows == 5
    again = SliceWriter(Dataset(str(tmp_path)))("g", iter(()))
    assert again == record  # what was committed is found
    decided = Decided(Dataset(""), {"g": record, "h": record})
    found = [tuple(row.values()) for row in decided.funnel()]
    assert found == [
        ("a", "code", "short", 2, 14),
        ("a", "web", "", 4, 30),
        ("a", "web", "empty", 2, 0),
        ("b", "web", "broken_record", 2, 0),
    ]
    stored = Dataset(str(tmp_path)).read(record)
    assert stored.schema.equals(DECISIONS)
    assert stored["reason"].to_pylist() == [row[2] for row in ROWS]


def _digest(folder: Path, table: pa.Table, rows: int) -> int:
    batches = itertools.chain(table.to_batches(rows))
    return SliceWriter(Dataset(str(folder)))("g", batches).counts["kept_digest"]


def test_the_digest_of_what_is_kept(tmp_path):
    table = _decisions(ROWS)
    first = _digest(tmp_path / "0", table, 100)
    assert 0 <= first < 1 << 63
    for number, rows in enumerate((1, 2, 3), 1):  # wherever Spark cuts its batches
        assert _digest(tmp_path / str(number), table, rows) == first
    dropped = _decisions([*ROWS[:3], ("a", "math", "long", 9), ("c", "web", "empty", 1)])
    assert _digest(tmp_path / "dropped", dropped, 2) == first  # encode does not see those
    for name, changed in {
        "source": [("c", "web", None, 10), *ROWS[1:]],
        "domain": [("a", "math", None, 10), *ROWS[1:]],
        "keep": [("a", "web", "short", 10), *ROWS[1:]],
    }.items():
        assert _digest(tmp_path / name, _decisions(changed), 2) != first
    other = table.set_column(1, "content", pa.array([b"z" * 16] * 5, pa.binary()))
    assert _digest(tmp_path / "content", other, 2) != first


@pytest.mark.parametrize(("limit", "fails"), [(1.0, False), (0.25, False), (0.24, True), (0, True)])
def test_too_many_rejects_of_a_source_fail_the_run(limit, fails):
    counts = {"documents:a/web/": 2, "documents:a/web/empty": 1, "documents:a/code/short": 1,
              "documents:b/web/": 5, "bytes:a/web/": 3}  # fmt: skip
    decided = Decided(Dataset(""), {"g": Record("g", "", 4, 0, "", counts)})
    made = recipe(source(name="a"), source(name="b"), limits={"rejected": limit})
    if not fails:
        check_limits(made, decided)
        return
    with pytest.raises(SourceError, match=r"source 'a': 1 of 4 records were rejected \(25.00%\); "):
        check_limits(made, decided)


def test_part_keys_of_layouts_are_what_the_table_is_searched_by():
    assert part_key("USPTO Backgrounds") == "uspto-backgrounds" == part_key("uspto__backgrounds")


# (doc, url_key, source, priority, content, reason) and what is decided: url_survivor, reason
PAGES = [
    ((1, 7, "s", 0, B, None), 2, "duplicate_url"),
    ((2, 7, "s", 0, A, None), None, None),  # content before place
    ((3, 7, "s", 9, A, "short"), None, "short"),  # not eligible
    ((4, 8, "s", 0, A, None), 5, "duplicate_url"),
    ((5, 8, "t", 1, C, None), None, None),  # priority first
    ((6, None, "s", 0, A, None), None, None),  # no URL is no URL in common
    ((7, None, "s", 0, A, None), None, None),
    ((8, 9, "s", 0, A, "empty"), None, "empty"),
]


@pytest.mark.parametrize("step", [1, -1])
def test_one_document_of_a_url_stays(spark, step):
    rows = [(*row, 0, row[4], 1) for row, _, _ in PAGES[::step]]
    frame = spark.createDataFrame(
        rows,
        "doc bigint, url_key bigint, source string, priority bigint, content binary, reason string, "
        "metadata bigint, edited binary, bytes bigint",
    )
    found = {row.doc: (row.url_survivor, row.reason) for row in one_per_url(frame).collect()}
    assert found == {row[0]: (survivor, reason) for row, survivor, reason in PAGES}
