"""Tokenizers compared on files, as the command does: figures, tables and the page."""

import functools
import io
import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from coursepack.jobs.command import app
from coursepack.jobs.compare_tokenizers import compare_tokenizers
from coursepack.jobs.comparison import comparison_page, comparison_parts
from coursepack.jobs.tables import show
from coursepack.pipeline.errors import SourceError, TokenizerError, WorkspaceError
from coursepack.stages.report import read_report
from coursepack.stages.tokenizer_compare import Comparison
from coursepack.tokenizers.cost import Shape
from coursepack.tokenizers.model import load
from coursepack.tokenizers.train import train

PROSE = [
    f"Story {n}: the quick brown fox jumps over the lazy dog. " * (n % 5 + 1) for n in range(40)
]
CHINESE = [
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。"
] * 3


@functools.cache
def model(preset: str, pieces: int) -> bytes:
    return train(PROSE, pieces, preset, accept_fewer=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "large.model").write_bytes(model("gemma", 620))
    (tmp_path / "small.model").write_bytes(model("llama-2", 300))
    (tmp_path / "docs").mkdir()
    rows = [{"text": text, "url": f"https://example.org/{n}"} for n, text in enumerate(PROSE)]
    rows += [{"text": text} for text in CHINESE] + [{"text": None}]
    (tmp_path / "docs" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code = [{"text": "def f(x):\n    return x + 1\n" * 9, "path": "src/f.py"}]
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in code))
    return tmp_path


def compare(folder: Path, sample: int = 10**9, shape: Shape | None = None) -> Comparison:
    models = [f"{folder}/large.model", f"{folder}/small.model"]
    return compare_tokenizers(models, [f"{folder}/docs", f"{folder}/code"], sample, shape)


def test_figures_of_files(folder: Path) -> None:
    found = compare(folder)
    texts = [*PROSE, *CHINESE, "def f(x):\n    return x + 1\n" * 9]
    for place, name in enumerate(("large", "small")):
        row = found.figures[place]
        _, ids = load(f"{folder}/{name}.model").encode(pa.array(texts))
        assert (row.tokenizer, row.documents, row.tokens) == (name, len(texts), len(ids))
        assert row.bytes == sum(len(text.encode()) for text in texts)
    assert found.figures[0].bytes_per_token > found.figures[1].bytes_per_token
    python = [row for row in found.figures if row.by == "programming_language"]
    assert [(row.tokenizer, row.value, row.documents) for row in python] == [
        ("large", "Python", 1),
        ("small", "Python", 1),
    ]
    assert "is not known" in found.notes[0]
    assert "a hash sample" not in found.notes[0]


def test_a_sample_of_files(folder: Path) -> None:
    whole, part = compare(folder).figures[0], compare(folder, 2_500)
    assert 500 < part.figures[0].bytes < whole.bytes / 2
    assert part == compare(folder, 2_500)
    assert "a hash sample" in part.notes[0]


def shown(found: Comparison) -> str:
    out = io.StringIO()
    show(comparison_parts(found), out)
    return out.getvalue()


def test_tables(folder: Path) -> None:
    found = compare(folder, shape=Shape(8, 100_000, 2, 64))
    lines = [" ".join(line.split()) for line in shown(found).splitlines()]
    large = next(line for line in lines if line.startswith("large "))
    row = found.figures[0]
    assert large.startswith(f"large {found.tokenizers[0].pieces} {row.bytes_per_token:.2f} ")
    assert "by programming language" in lines
    assert any(line.startswith("Python large ") for line in lines)
    cost = found.cost[1]
    at = lines.index("in the model")
    assert lines[at + 4].startswith(f"small {cost.embedding:,} {cost.tied:,} ")
    assert lines[at + 4].endswith(f"{cost.relative_flops:.2f}")
    marked = replace(found, seen=(next(r.value for r in found.figures if r.by == "domain"),))
    several = [replace(r, value="other") for r in found.figures if r.by == "domain"]
    marked = replace(marked, figures=(*marked.figures, *several))
    assert f"{marked.seen[0]} * large" in " ".join(shown(marked).split())


class Balanced(HTMLParser):
    """Fails where tags do not close in order, and collects the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name in ("src", "href") for name, _ in attrs)  # nothing from elsewhere
        self.tags.append(tag)
        if tag not in ("meta", "path"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_page(folder: Path) -> None:
    found = compare(folder, shape=Shape(8, 100_000))
    found = replace(found, on="<docs> & more", notes=("a note <b>",))
    page = Balanced()
    page.feed(comparison_page(found))
    assert page.open == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 5  # coverage, three classes, cost
    text = "".join(page.text)
    for word in (
        "Tokenizers on <docs> & more",
        "a note <b>",
        "By domain",
        "Python",
        "In the model",
    ):
        assert word in text
    assert found.tokenizers[0].sha256[:16] in text


def test_the_command(folder: Path) -> None:
    models = [f"{folder}/large.model", f"{folder}/small.model"]
    given = ["tokenizer", "compare", *models, "--on", f"{folder}/docs", "-q"]
    cost = ["--hidden", "8", "--parameters", "0.1M", "--html", f"{folder}/out/page.html"]
    ran = CliRunner().invoke(app, [*given, "--json", *cost])
    assert ran.exit_code == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert [one["name"] for one in answer["tokenizers"]] == ["large", "small"]
    assert answer["cost"][0]["tied"] == 100_000
    assert answer["figures"][0]["by"] == "all"
    assert "wrote" in ran.stderr
    assert (folder / "out" / "page.html").read_text("utf-8").startswith("<!doctype html>")
    ran = CliRunner().invoke(app, [*given, "--sample", "3KB"])
    assert "tokenizers on" in ran.stdout
    ran = CliRunner().invoke(app, [*given, "--layers", "8"])
    assert ran.exit_code == 2
    assert "go with --hidden" in ran.stderr
    for wrong in ("some", "0", "1.5"):
        ran = CliRunner().invoke(app, [*given, "--sample", wrong])
        assert ran.exit_code == 2
        assert repr(wrong) in ran.stderr


def test_a_workspace(whole, spark, tmp_path: Path) -> None:
    shutil.copytree(whole[1], tmp_path / "ws")
    (own,) = (tmp_path / "ws" / "tokenizers").glob("*/tokenizer.model")
    (tmp_path / "other.model").write_bytes(model("gemma", 620))
    models = [str(own), f"{tmp_path}/other.model"]
    found = compare_tokenizers(models, [f"{tmp_path}/ws"], spark=spark)
    assert [(one.name, one.trained_here) for one in found.tokenizers] == [
        (own.parent.name[:8], True),
        ("other", False),
    ]
    kept = read_report(f"{tmp_path}/ws/report/small")
    assert kept is not None
    assert found.figures[0].documents == kept.documents["kept"]  # the sample asks for all of it
    assert "none held out" in found.notes[0]
    assert "training of other" in found.notes[1]
    domains = {row["domain"] for row in kept.funnel if not row["reason"]}
    assert {row.value for row in found.figures if row.by == "domain"} == domains
    assert found == compare_tokenizers(models, [f"{tmp_path}/ws/shards/small"], spark=spark)


def test_what_cannot_be_compared(folder: Path) -> None:
    models = [f"{folder}/large.model"]
    with pytest.raises(SourceError, match="no file matches"):
        compare_tokenizers(models, [f"{folder}/none"])
    with pytest.raises(TokenizerError, match="no tokenizer at"):
        compare_tokenizers([f"{folder}/none.model"], [f"{folder}/docs"])
    with pytest.raises(TokenizerError, match="no documents to compare on"):
        compare_tokenizers(models, [f"{folder}/docs"], 1)
    (folder / "ws" / "inventory").mkdir(parents=True)
    with pytest.raises(WorkspaceError, match="keeps no recipe"):
        compare_tokenizers(models, [f"{folder}/ws"])
