"""Tags: which of path, host, markers, classifier and URL says one first."""

import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import coursepack
from coursepack.stages import tags as module
from coursepack.stages.classifiers import normalised
from coursepack.stages.fasttext_training import Training, train_model
from coursepack.stages.linear import Classifier, load_classifier
from coursepack.stages.mathematics import math_signals
from coursepack.stages.programming import programming_language
from coursepack.stages.sql import LOOKS_LIKE_SQL, sql_signals
from coursepack.stages.tags import SAID, SQL_SHARE, tag_signals

DEMO = Path(coursepack.__file__).parent / "recipes" / "demo"
PROSE = (
    "The committee met on Tuesday and agreed to meet again in the autumn, when the report is ready."
)
SQL = "SELECT name, count(*) FROM orders WHERE total > 10 GROUP BY name;\n"
SHELL = '#!/bin/sh\nif [ -f x ]; then\n  run() {\n  echo "a";\n}\nfi\n'
TEX = "\\documentclass{article}\n\\begin{document}\nOn growth.\n\\end{document}\n"
FORMULAS = "Let $\\frac{a}{b} \\leq \\sqrt{c}$ and $\\alpha^2 + \\beta^2 = \\gamma^2$ hold.\n"
SUMS = "She has 3 + 4 = 7 apples, and 7 * 2 = 14 pears.\n"


def columns(path: pa.Array, url: pa.Array, text: pa.Array) -> tuple[pa.RecordBatch, ...]:
    language = programming_language(path, url, text)
    programming = pa.RecordBatch.from_pydict({"programming_language": language})
    return programming, sql_signals(text), math_signals(text)


def tags(
    text: list[str | None],
    path: str | None = None,
    url: str | None = None,
    model: Classifier | None = None,
    least: float = 0.5,
) -> list[dict[str, Any]]:
    given_ = [pa.array([value] * len(text), pa.string()) for value in (path, url)]
    texts = pa.array(text, pa.string())
    found = tag_signals(*given_, texts, *columns(*given_, texts), model, least)
    assert found.schema.types == [pa.string(), pa.string(), pa.float64()]
    return found.to_pylist()


def tag(text: str | None, path: str | None = None, url: str | None = None) -> tuple[Any, Any]:
    [row] = tags([text], path, url)
    assert row["tag_score"] is None
    return row["tag"], row["tag_from"]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("db/schema.sql", PROSE, "sql"),
        ("src/a.py", "x = 1\n", "code"),
        ("src/a.py", SQL, "code"),  # the path comes first
        ("Makefile", "all:\n", "code"),
        ("site/index.html", "<html>", "code"),
        ("paper.tex", PROSE, "science"),
        ("paper.tex", FORMULAS, "math"),
        ("refs.bib", PROSE, None),
        ("README.md", PROSE, None),
        ("LICENSE", PROSE, None),
        ("data.csv", "a,b\n1,2\n", None),
        ("rows.jsonl", '{"a": 1}\n', None),
        ("notes.unknown", PROSE, None),
        ("", PROSE, None),
    ],
)
def test_paths(path: str, text: str, expected: str | None) -> None:
    assert tag(text, path) == (expected, "path" if expected else None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://de.m.wikipedia.org/wiki/Berg", "encyclopedia"),
        ("http://www.arxiv.org/abs/2112.11446", "science"),
        ("https://export.arxiv.org/abs/1", "science"),
        ("https://math.stackexchange.com/questions/1", "dialogue"),
        ("https://STACKOVERFLOW.com/q/1", "dialogue"),
        ("https://www.gutenberg.org/files/1", "books"),
        ("https://raw.githubusercontent.com/a/b/main/README.md", "code"),
        ("https://mathworld.wolfram.com/Torus.html", "math"),
    ],
)
def test_hosts(url: str, expected: str) -> None:
    assert tag(PROSE, url=url) == (expected, "host")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/a/b/blob/main/x.py", ("web", "url")),  # a page about a file
        ("https://notwikipedia.org/", ("web", "url")),
        ("https://wikipedia.org.example.com/", ("web", "url")),
        ("HTTP://example.org/view.pl?id=3", ("web", "url")),
        ("ftp://example.org/x", (None, None)),
        ("mirror:1", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_other_urls(url: str | None, expected: tuple[str | None, str | None]) -> None:
    assert tag(PROSE, url=url) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("### Instruction:\nSay x.\n\n### Response:\nx", "instruction"),
        ("Human: Hi\n\nAssistant: Hello", "instruction"),
        ("Human: Hi\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant: Bye", "dialogue"),
        ("[INST] " + SQL + " [/INST] " + SQL, "instruction"),  # a template before what it holds
        (SQL * 3, "sql"),
        ("Who ordered most?\n" + SQL * 2, "sql"),
        (TEX, "science"),
        (TEX.replace("On growth.", FORMULAS), "math"),
        (FORMULAS + PROSE, "math"),
        (
            "Question: how many?\n" + SUMS + "Answer: 14",
            "math",
        ),  # mathematics before a mere question
        ("Question: how many?\nAnswer: many", "instruction"),
        ("Q: how many?\nA: 3 + 4 = 7. " + PROSE * 3, "math"),  # where fewer sums are enough
        ("He asked how many. 3 + 4 = 7. " + PROSE * 3, None),
        (SHELL, "code"),
        ("#!/bin/sh\n" + PROSE, None),  # lines unlike code
        ("<?xml version='1.0'?>\n<a>\n</a>", None),
        (PROSE, None),
        ("It costs $5 or $10; on 2024-01-02 the rate was 3/4.", None),
        ("", None),
        (None, None),
    ],
)
def test_markers(text: str | None, expected: str | None) -> None:
    assert tag(text) == (expected, "marker" if expected else None)


def test_markers_are_asked_before_the_url_and_after_the_host() -> None:
    assert tag(SQL * 3, url="https://example.org/x") == ("sql", "marker")
    assert tag(SQL * 3, url="https://stackoverflow.com/x") == ("dialogue", "host")
    assert tag(SQL * 3, "notes.md", "https://example.org/x") == ("sql", "marker")


@pytest.mark.parametrize("domain", ["sql", "math"])
def test_the_demo_files_show_what_they_are(domain: str) -> None:
    texts = [path.read_text("utf-8") for path in sorted(DEMO.glob(f"{domain}/*"))]
    assert {row["tag"] for row in tags(list(texts))} == {domain}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    texts = ["the committee met", "ingredients : two eggs"] * 30
    made = train_model(
        ["law", "food"] * 30, normalised(pa.array(texts)), Training(buckets=500, words=9)
    )
    path: Path = tmp_path_factory.mktemp("model") / "m.bin"
    path.write_bytes(made)
    return load_classifier(str(path))


def test_the_classifier_is_asked_of_what_is_open(model: Classifier) -> None:
    found = tags(["two eggs", SQL, "the committee met", None], None, "https://example.org", model)
    assert [row["tag"] for row in found][:3] == ["food", "sql", "law"]
    assert [row["tag_from"] for row in found][:3] == ["classifier", "marker", "classifier"]
    assert found[0]["tag_score"] > 0.5
    assert found[1]["tag_score"] is None
    unsure = tags(["two eggs", "the committee met"], None, "https://example.org", model, least=1.1)
    assert [(row["tag"], row["tag_from"]) for row in unsure] == [("web", "url")] * 2
    assert unsure[0]["tag_score"] == found[0]["tag_score"]
    assert tags(["two eggs"], None, None, model, least=1.1)[0]["tag"] is None


def test_what_it_says_is_listed() -> None:
    said = {"code", "dialogue", "instruction", "math", "science", "sql", "web", *module._HOSTS}
    assert set(SAID) == said
    assert f"sql_statements >= 1 and sql_char_ratio >= {SQL_SHARE}" == LOOKS_LIKE_SQL
    names = [len(host.split(".")) for held in module._HOSTS.values() for host in held.split()]
    assert max(names) < module._MOST_NAMES


_text = st.none() | st.text(max_size=30) | st.sampled_from([PROSE, SQL, SHELL, TEX, FORMULAS, SUMS])
_path = st.none() | st.text(max_size=8) | st.sampled_from(["a.py", "b.sql", "c.tex", "d.md"])
_url = (
    st.none() | st.text(max_size=8) | st.sampled_from(["https://en.wikipedia.org/x", "http://a.b"])
)


@given(st.lists(st.tuples(_path, _url, _text), max_size=6), st.integers(0, 5), st.integers(0, 5))
def test_any_text_and_slice(rows: list[tuple[Any, Any, Any]], start: int, length: int) -> None:
    given_ = [pa.array([row[n] for row in rows], pa.string()) for n in range(3)]
    others = columns(*given_)
    found = tag_signals(*given_, *others)
    found.validate(full=True)
    parts = [column.slice(start, length) for column in (*given_, *others)]
    assert tag_signals(*parts).equals(found.slice(start, length))
    assert set(found["tag"].to_pylist()) <= {*SAID, None}
    for name, origin in itertools.pairwise(["tag", "tag_from"]):
        assert found[name].is_null().equals(found[origin].is_null())
