import io
from dataclasses import replace
from pathlib import Path

import pytest

from coursepack.jobs.tables import (
    bytes_text,
    closing_parts,
    count,
    funnel_parts,
    percent,
    report_parts,
    sample_parts,
    show,
)
from coursepack.pipeline.recipe import load
from coursepack.stages.report import Report

RECIPE = Path(__file__).parents[2] / "recipes" / "demo.toml"


def fate(source: str, domain: str, reason: str, documents: int) -> dict[str, object]:
    return {
        "source": source, "domain": domain, "reason": reason, "documents": documents,
        "bytes": documents * 4000,
    }  # fmt: skip


FUNNEL = [
    fate("code", "code", "", 2300),
    fate("code", "code", "near_duplicate", 210),
    fate("vendored", "code", "", 80),
    fate("vendored", "code", "exact_duplicate", 500),
    fate("docs", "web", "gopher_few_alpha_words", 194),
    fate("docs", "web", "broken_record", 2),
    fate("docs", "encyclopedia", "", 500),
]
MIXTURE = [
    {"phase": p, "length": length, "domain": d, "source": s, "language": "en", "documents": 3, "tokens": t,
     "repeated": r, "supply": u}
    for p, length, d, s, t, r, u in [
        ("general", 2048, "encyclopedia", "docs", 600_000, 0, 1_100_000),
        ("enterprise", 8192, "code", "code", 900_000_000_000, 0, 999_000_000_000),
        ("enterprise", 8192, "sql", "queries", 45_000, 30_000, 15_000),
    ]
]  # fmt: skip
PLAN = [
    {"phase": "general", "length": 2048, "domain": "encyclopedia", "tokens": 601_000},
    {"phase": "enterprise", "length": 8192, "domain": "code", "tokens": 900_000_000_000},
    {"phase": "enterprise", "length": 8192, "domain": "sql", "tokens": 45_001},
]
PACKING = [
    {"phase": "general", "length": 2048, "planned": 601_000, "shards": 2, "sequences": 296,
     "tokens": 600_000, "padding": 6_208, "documents": 3, "bytes": 2_500_000},
]  # fmt: skip
REPORT = Report(
    "demo", "s3://bucket/a-rather-long-folder/of-a-workspace/shards/demo", 256_000,
    {"read": 3786, "kept": 2880}, FUNNEL, MIXTURE, PLAN, PACKING,
    ["rule 'gopher_few_alpha_words' dropped 61% of source 'docs'"], {"measure": 14.2, "pack": 65.0},
)  # fmt: skip


def shown(parts, width: int, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    show(parts, out)
    return out.buffer.getvalue().decode()


@pytest.mark.parametrize("width", [80, 120])
def test_a_report_fits_and_says_it_all(width, monkeypatch):
    text = shown(report_parts(REPORT), width, monkeypatch)
    rows = text.splitlines()
    assert max(map(len, rows)) <= width
    assert not any(row.endswith(" ") for row in rows)
    assert "…" not in text
    assert "documents: 3,786 read, 2,880 kept (76.1%), 11.5 MB of text" in rows
    find = {row.split()[0]: row.split() for row in rows if row.strip()}
    assert find["vendored"] == ["vendored", "580", "0", "0", "500", "0", "80", "13.8%"]
    assert find["docs"] == ["docs", "696", "2", "194", "0", "0", "500", "71.8%"]
    assert find["near_duplicate"] == ["near_duplicate", "210", "5.5%", "code"]
    assert find["sql"] == ["sql", "45,001", "45,000", "30,000", "<0.1%", "3.00"] or find["sql"][:4] == [
        "sql", "45,001", "45,000", "30,000",
    ]  # fmt: skip
    assert "900.00B" in text
    assert "1.02%" in text
    assert "! rule 'gopher_few_alpha_words' dropped 61% of source 'docs'" in rows


@pytest.mark.parametrize("width", [80, 120])
def test_the_end_says_where_and_what_next(width, monkeypatch):
    recipe = load(RECIPE)
    text = shown(closing_parts(REPORT, recipe, "demo.toml"), width, monkeypatch)
    assert REPORT.result in text
    assert "1:19 (measure 14 s, pack 1:05)" in text
    assert "  coursepack stats demo-run --name demo --by phase,domain,language\n" in text
    assert f"  coursepack verify {REPORT.result}\n" in text
    assert "from coursepack.shards import Curriculum" in text
    assert "all of it" not in text
    sampled = shown(closing_parts(REPORT, recipe.sampled(0.001), "demo.toml"), width, monkeypatch)
    assert "coursepack stats demo-run/samples/0.001 " in sampled
    assert "coursepack run demo.toml    # all of it" in sampled


def test_a_sample_says_that_it_understates_duplicates(monkeypatch):
    text = " ".join(shown(sample_parts(load(RECIPE).sampled(0.001)), 80, monkeypatch).split())
    assert "understates duplicates" in text
    assert "about 0.001 of the pairs" in text
    assert "demo-run/samples/0.001" in text


def test_more_reasons_than_lines(monkeypatch):
    funnel = [fate("a", "web", f"rule_{number:02}", 100 - number) for number in range(20)]
    text = shown(funnel_parts(funnel), 80, monkeypatch)
    assert "8 others" in text
    assert "rule_11" in text
    assert "rule_12" not in text


def test_nothing_read(monkeypatch):
    assert "0 read, 0 kept (-)" in shown(funnel_parts([]), 80, monkeypatch)
    shown(
        report_parts(replace(REPORT, funnel=[], mixture=[], plan=[], packing=[], warnings=[])),
        80,
        monkeypatch,
    )


def test_a_pipe_without_utf8_gets_ascii():
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(funnel_parts(FUNNEL), out)
    assert "-----" in out.buffer.getvalue().decode("ascii")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (9_999_999, "9,999,999"),
        (10_000_000, "10.00M"),
        (12_345_678_901, "12.35B"),
        (10**12, "1.00T"),
    ],
)
def test_counts(number, text):
    assert count(number) == text


def test_bytes_and_percent():
    assert [bytes_text(n) for n in (0, 999, 1000, 12_345_678)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "12.3 MB",
    ]
    assert [percent(*pair) for pair in ((0, 5), (1, 5), (1, 10_000), (0, 0))] == [
        "0.0%",
        "20.0%",
        "<0.1%",
        "-",
    ]
