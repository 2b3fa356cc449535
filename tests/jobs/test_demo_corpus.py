"""The demo's corpus from a small made-up installation, and (once) from the running one."""

import gzip
import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlglot
import zstandard
from sqlglot.errors import ErrorLevel

from coursepack.jobs.demo_corpus import BROKEN, BUDGETS, write_corpus
from coursepack.jobs.demo_texts import MAX_FILE_CHARS, Library, own_texts
from coursepack.pipeline.documents import CHOSEN, REJECTS
from coursepack.stages.guess import guess

SOURCES = {"code", "vendored", "docs", "web", "licenses", "sql", "math"}
LICENSE = "Permission is granted to anyone who asks.\n" * 20
DOCSTRING = "What the function does, at some length, for readers.\n" * 30
MODULE = f'"""{DOCSTRING}"""\n\n\ndef area(radius):\n    """{DOCSTRING}"""\n    return radius\n'
MATH = f'"""Circles.\n\n.. math:: A = \\\\pi r^2\n\n{DOCSTRING}"""\n'
QUERIES = '''
def load(db):
    db.sql("SELECT name, price FROM product WHERE price > 10 ORDER BY price DESC, name")
    db.sql("""
        CREATE TABLE product (
            name VARCHAR NOT NULL,
            price DECIMAL(10, 2) CHECK (price >= 0)
        )
    """)
    db.sql(f"SELECT {db} FROM nowhere")
    print("SELECT" + " anything FROM anywhere")
'''
METADATA = f"""Metadata-Version: 2.4
Name: round-things
Version: 1.5
License-Expression: MIT
Project-URL: Home, https://round.example/

# Round things

{DOCSTRING}"""


def put(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def installation(root: Path) -> Library:
    library = Library(root / "std", root / "site", root / "include")
    put(library.standard / "shapes.py", MODULE)
    put(library.standard / "test" / "test_shapes.py", "assert True\n")
    put(library.standard / "_sysconfigdata__linux.py", f"prefix = {str(root)!r}\n")
    put(library.include / "Python.h", "#define PYTHON 1\n")
    wheel = library.standard / "ensurepip" / "_bundled" / "pip-9.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pip/_vendor/rich/box.py", MODULE)
        archive.writestr("pip-9.0.dist-info/LICENSE", LICENSE)
    site = library.packages
    put(site / "round" / "circle.py", MODULE)
    put(site / "round" / "formula.py", MATH)
    put(site / "round" / "store.py", QUERIES)
    put(site / "round" / "latin.py", b"# caf\xe9\n")
    put(site / "round" / "monster.py", "x = 1\n" * (MAX_FILE_CHARS // 6 + 1))
    put(site / "round" / "fast.pyx", "cdef int x = 1\n")
    put(site / "round" / "notes.txt", "Loose notes.\n" * 60)
    put(site / "round" / "_vendor" / "rich" / "box.py", MODULE)
    put(site / "round_things-1.5.dist-info" / "METADATA", METADATA)
    put(site / "round_things-1.5.dist-info" / "licenses" / "LICENSE", LICENSE)
    put(site / "coursepack" / "ours.py", MODULE)
    return library


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]
    raw = path.read_bytes()
    if path.suffix == ".zst":
        raw = zstandard.ZstdDecompressor().stream_reader(raw).read()
    if path.suffix == ".gz":
        raw = gzip.decompress(raw)
    return [json.loads(line) for line in raw.splitlines()]


def records(folder: Path, source: str) -> list[dict[str, Any]]:
    found = [path for path in sorted((folder / source).rglob("*")) if path.is_file()]
    return [row for path in found if path.name != "broken.jsonl" for row in rows(path)]


def text_of(row: dict[str, Any]) -> str:
    return str(next(row[name] for name in ("text", "content", "query_text") if name in row))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, int]]]:
    root = tmp_path_factory.mktemp("made")
    return root / "corpus", write_corpus(str(root / "corpus"), installation(root / "python"))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, int]]]:
    folder = tmp_path_factory.mktemp("real")
    return folder, write_corpus(str(folder))


def test_counts_are_those_of_the_files(made: tuple[Path, dict[str, dict[str, int]]]) -> None:
    folder, counts = made
    assert set(counts) == SOURCES
    for source, tally in counts.items():
        texts = [text_of(row) for row in records(folder, source)]
        size = sum(len(text.encode()) for text in texts)
        assert tally == {"documents": len(texts), "bytes": size}


def test_code_is_the_stack(made: tuple[Path, dict[str, dict[str, int]]]) -> None:
    found = {row["max_stars_repo_path"]: row for row in records(made[0], "code")}
    assert set(found) == {
        "Lib/shapes.py",
        "Include/Python.h",
        "site/round/circle.py",
        "site/round/formula.py",
        "site/round/store.py",
        "site/round/fast.pyx",
    }
    row = found["site/round/circle.py"]
    assert (row["lang"], row["ext"], row["content"]) == ("Python", "py", MODULE)
    data = MODULE.encode()
    assert row["size"] == len(data)
    assert row["hexsha"] == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    assert {found["Include/Python.h"]["lang"], found["site/round/fast.pyx"]["lang"]} == {
        "C",
        "Cython",
    }


def test_copies_and_licences_are_records_of_their_own(
    made: tuple[Path, dict[str, dict[str, int]]],
) -> None:
    assert [
        (row["max_stars_repo_path"], row["content"]) for row in records(made[0], "vendored")
    ] == [
        ("Lib/ensurepip/_bundled/pip-9.0-py3-none-any.whl/pip/_vendor/rich/box.py", MODULE),
        ("site/round/_vendor/rich/box.py", MODULE),
    ]
    assert [row["text"] for row in records(made[0], "licenses")] == [LICENSE, LICENSE]


def test_docs_and_web_share_the_modules(made: tuple[Path, dict[str, dict[str, int]]]) -> None:
    docs, web = records(made[0], "docs"), records(made[0], "web")
    pages = {row["meta"]["title"]: row["text"] for row in docs if "meta" in row}
    pages |= {row["metadata"]["title"]: row["text"] for row in web}
    for module in ("shapes", "round.circle"):  # whole, or by object
        found = [text for title, text in pages.items() if title in (module, f"{module}.area")]
        assert len(found) in (1, 2)
        assert sum(text.count(DOCSTRING.strip()) for text in found) == 2
        assert any(f"{module}.area\n=" in text for text in found)
    assert not any("ours" in title for title in pages)
    assert pages["round_things"].startswith("# Round things")
    (loose,) = [row for row in docs if "meta" not in row]
    assert loose["text"] == "Loose notes.\n" * 60
    assert set(loose) == {"text", "pred_label", "pred_label_prob", "wiki_prob", "source"}


@pytest.mark.parametrize(
    ("path", "layout"),
    [
        ("code/python/data-00000.parquet", "the-stack"),
        ("vendored/train-00000.parquet", "starcoderdata"),
        ("docs/reference-00000.jsonl.zst", "redpajama-v1"),
        ("docs/common_crawl-00000.jsonl.zst", "redpajama-v1"),
        ("web/pages-00000.json.gz", "dolma"),
        ("licenses/licenses-00000.jsonl.zst", "pile"),
        ("math/pages-00000.parquet", "openwebmath"),
    ],
)
def test_rows_are_taken_for_their_layout(
    made: tuple[Path, dict[str, dict[str, int]]], path: str, layout: str
) -> None:
    assert guess(str(made[0] / path)).layout == layout


def test_sql_and_math_hold_ours_and_theirs(made: tuple[Path, dict[str, dict[str, int]]]) -> None:
    sql, math = records(made[0], "sql"), records(made[0], "math")
    assert [row["name"] for row in sql][-1] == "site/round/store.py"
    first, second = sql[-1]["query_text"].split(";\n\n")  # the f-string is left out
    assert first.startswith("SELECT name")
    assert second.startswith("CREATE TABLE product")
    assert len(sql) == len(own_texts("sql")) + 1
    assert len(math) == len(own_texts("math")) + 1
    assert json.loads(math[-1]["metadata"])["title"] == "round.formula"


def test_broken_records_carry_the_reasons_of_the_contract(
    made: tuple[Path, dict[str, dict[str, int]]],
) -> None:
    lines = (made[0] / "docs" / "broken.jsonl").read_bytes().split(b"\n")
    assert lines == [line for _, line in BROKEN] + [b""]
    assert {reason for reason, _ in BROKEN} == {*REJECTS, None} - {"too_large", *CHOSEN}


@pytest.mark.parametrize(("reason", "line"), BROKEN)
def test_each_broken_record_is_what_it_claims(reason: str | None, line: bytes) -> None:
    """A plain-Python reader comes to the same verdict."""
    try:
        record = json.loads(line)
    except UnicodeDecodeError:
        verdict: str | None = "invalid_utf8"
    except json.JSONDecodeError:
        verdict = "broken_record"
    else:
        text = record.get("text") if isinstance(record, dict) else None
        if not isinstance(record, dict):
            verdict = "broken_record"
        elif text is None:
            verdict = "no_text"
        elif not isinstance(text, str):
            verdict = "wrong_type"
        elif any("\ud800" <= character <= "\udfff" for character in text):
            verdict = "invalid_utf8"
        else:
            verdict = None if text.strip() else "empty"
    assert verdict == reason


def test_the_same_installation_elsewhere_gives_the_same_bytes(
    made: tuple[Path, dict[str, dict[str, int]]], tmp_path: Path
) -> None:
    again = write_corpus(str(tmp_path / "corpus"), installation(tmp_path / "another" / "place"))
    assert again == made[1]
    assert contents(tmp_path / "corpus") == contents(made[0])


def test_an_empty_installation_leaves_our_own_texts(tmp_path: Path) -> None:
    nowhere = Library(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    counts = write_corpus(str(tmp_path / "corpus"), nowhere)
    assert counts["sql"]["documents"] == len(own_texts("sql"))
    assert counts["math"]["documents"] == len(own_texts("math"))
    assert counts["code"] == {"documents": 0, "bytes": 0}


def test_budgets_bound_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUDGETS, "code/python/data.parquet", 2 * len(MODULE) + 10)
    library = installation(tmp_path / "python")
    write_corpus(str(tmp_path / "corpus"), library)
    python = [row for row in records(tmp_path / "corpus", "code") if row["lang"] == "Python"]
    assert 0 < sum(len(row["content"]) for row in python) <= 2 * len(MODULE) + 10


def test_our_texts_are_many_and_in_shape() -> None:
    for kind in ("sql", "math"):
        texts = own_texts(kind)
        assert len(texts) >= 25
        assert len({text for _, text in texts}) == len(texts)
        assert all(1500 <= len(text.encode()) <= 6000 for _, text in texts)
    for name, text in own_texts("math"):
        assert text.startswith("# "), name
        assert text.count("$$") % 2 == 0, name
        assert text.replace("$$", "").count("$") % 2 == 0, name
        assert text.count("{") == text.count("}"), name


@pytest.mark.parametrize(("name", "text"), own_texts("sql"))
def test_our_sql_parses_in_its_dialect(name: str, text: str) -> None:
    dialect = text.splitlines()[0].removeprefix("-- dialect: ")
    statements = sqlglot.parse(text, dialect=dialect, error_level=ErrorLevel.RAISE)
    assert len(statements) >= 2


def test_this_installation_gives_a_corpus_of_the_promised_size(
    real: tuple[Path, dict[str, dict[str, int]]],
) -> None:
    folder, counts = real
    assert 30e6 < sum(tally["bytes"] for tally in counts.values()) < 85e6
    assert all(tally["documents"] >= 20 for tally in counts.values())
    licenses = [row["text"] for row in records(folder, "licenses")]
    assert len(set(licenses)) < len(licenses)  # natural exact duplicates


def test_no_folder_of_this_machine_is_in_the_corpus(
    real: tuple[Path, dict[str, dict[str, int]]],
) -> None:
    library = Library.of_this_process()
    folders = (library.standard, library.packages, Path(sys.prefix), Path(__file__).parents[2])
    for source in SOURCES:
        for row in records(real[0], source):
            shown = json.dumps(row, default=str)
            assert not any(str(folder) in shown for folder in folders if len(folder.parts) > 3)
