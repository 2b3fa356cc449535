"""Archives become documents once: counts, copies of URLs, restarts, and what a recipe reads."""

import gzip
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import archive, html, record

from coursepack.pipeline.errors import RecipeError, SourceError, WorkspaceError
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Source
from coursepack.pipeline.tasks import check_balance
from coursepack.stages import ingest as tested
from coursepack.stages.ingest import (
    INGESTED,
    CopyWriter,
    Ingested,
    IngestSettings,
    IngestTask,
    Place,
    UrlTask,
    check_ingest,
    ingest,
)
from coursepack.stages.inventory import group_name, source_files
from coursepack.stages.layouts import layout_of
from coursepack.stages.records import Split, read_records
from coursepack.stages.urls import url_keys
from coursepack.stages.warc import DROPS

pytest.importorskip("fastwarc")
pytest.importorskip("resiliparse")


def write(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(archive(records)[0])


def page(url: str, text: str, day: int = 1, number: int = 0) -> dict[str, Any]:
    return record(url, html(text), warc={
        "WARC-Date": f"2024-01-{day:02d}T00:00:00Z", "WARC-Record-ID": f"<urn:uuid:{day}-{number}>",
    })  # fmt: skip


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    """Two archives with copies between and within them, one WET file, two pages, and a file that is none of these."""
    folder = tmp_path / "crawl"
    write(folder / "a.warc.gz", [
        page("http://e.org/one", "One, later", 3),
        page("http://e.org/two", "Two", 2),
        page("https://www.e.org/two/?utm_source=x", "Two again", 2, 1),
        page("http://bad.org/x", "Bad", 1),
        record("http://e.org/gone", html("Gone"), status="404 Not Found"),
        record("http://e.org/empty", b"<html></html>"),
        record("http://e.org", b"GET /", "request", content_type="application/http; msgtype=request"),
    ])  # fmt: skip
    write(folder / "sub/b.warc.gz", [
        page("http://e.org/one#top", "One, first", 1),
        page("http://e.org/two", "Two, last", 9),
        page("http://e.org/three", "Three", 4),
    ])  # fmt: skip
    (folder / "sub/b.warc.gz").open("ab").write(archive([page("http://e.org/4", "Cut")])[0][:-99])
    write(folder / "c.warc.wet.gz", [
        record("http://e.org/wet", b"Text of a page.", "conversion", content_type="text/plain"),
    ])  # fmt: skip
    (folder / "p.html").write_bytes(html("Page"))
    (folder / "q.html.gz").write_bytes(gzip.compress(html("Zipped")))
    (folder / "image.png").write_bytes(b"\x89PNG")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/domains").write_text("bad.org\n")
    return folder


def settings_of(folder: Path, out: str = "out", **changes: Any) -> IngestSettings:
    given = {"sources": (f"{folder}/crawl",), "folder": f"{folder}/{out}", "group_bytes": 2000}
    return IngestSettings(**given | {"block": (f"{folder}/lists",)} | changes)


def done(settings: IngestSettings) -> dict[str, Any]:
    """All groups, one after the other, without Spark and without copies between them."""
    place = Place(settings.folder)
    plan = place.extend(check_ingest(settings), settings.group_bytes)
    found = {}
    for group in sorted(set(plan["group"].to_pylist())):
        if settings.dedup_urls:
            CopyWriter(place.copies)(group_name(group), iter(()))
        [(_, record)] = IngestTask(place, settings)(group)
        found[record.group] = record
    return found


def documents(folder: str) -> list[dict[str, Any]]:
    tables = [pq.read_table(path) for path in sorted(Path(folder).glob("g*.parquet"))]
    return pa.concat_tables(tables).to_pylist()


def titles(folder: str) -> list[str]:
    return [row["title"] or row["text"] for row in documents(folder)]


# --- without Spark


def test_documents_and_what_is_known_of_them(crawl: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, dedup_urls=False, group_bytes=10**6)
    [record] = done(settings).values()
    check_balance("ingest", [record])
    assert record.counts == {
        "in": 14, "dropped:blocked_url": 1, "dropped:bad_status": 1, "dropped:no_text": 1,
        "dropped:not_response": 1, "dropped:broken_record": 1,
    }  # fmt: skip
    assert {name.removeprefix("dropped:") for name in record.counts} - {"in"} <= set(DROPS)
    rows = documents(settings.folder)
    assert len(rows) == record.rows == 9
    assert rows[0] | {"text": ""} == {
        "text": "", "id": "<urn:uuid:3-0>", "url": "http://e.org/one", "title": "One, later",
        "date": "2024-01-03T00:00:00Z", "language": "en", "charset": "utf-8", "mime": "text/html",
        "warc": f"{crawl}/a.warc.gz", "offset": 0,
    }  # fmt: skip
    assert rows[0]["text"].startswith("One, later\n")
    assert [row["id"] for row in rows if row["url"] is None] == [
        f"{crawl}/p.html",
        f"{crawl}/q.html.gz",
    ]
    assert pq.read_schema(next(Path(settings.folder).glob("g*.parquet"))).equals(INGESTED)
    for row in rows:
        if row["warc"].endswith(".warc.gz"):
            raw = Path(row["warc"]).read_bytes()[row["offset"] :]
            assert raw.startswith(b"\x1f\x8b")


def test_a_recipe_reads_them(crawl: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, dedup_urls=False)
    done(settings)
    source = Source(name="cc", layout="parquet", paths=(f"{settings.folder}/g*.parquet",))
    batches = [
        batch
        for file in source_files(source)
        for batch in read_records(Split(file.url), layout_of("parquet"))
    ]
    rows = [row for batch in batches for row in batch.to_pylist()]
    written = documents(settings.folder)
    for name in ("text", "id", "url"):
        assert [row[name] for row in rows] == [row[name] for row in written]


def test_groups_of_files(crawl: Path, tmp_path: Path) -> None:
    small, large = (settings_of(tmp_path, n, dedup_urls=False, group_bytes=size)
                    for n, size in (("small", 1), ("large", 10**9)))  # fmt: skip
    assert len(done(small)) == 5
    assert len(done(large)) == 1
    assert documents(small.folder) == documents(large.folder)


def test_a_task_that_is_killed_begins_anew_and_one_that_is_done_is_found(
    crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = (settings_of(tmp_path, name, dedup_urls=False) for name in ("whole", "killed"))
    expected = done(whole)
    calls = 0
    extract = tested.read_document

    def die(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return extract(*arguments)

    monkeypatch.setattr(tested, "read_document", die)
    with pytest.raises(KeyboardInterrupt):
        done(killed)
    found = done(killed)
    assert {n: (r.sha256, r.counts) for n, r in found.items()} == {
        n: (r.sha256, r.counts) for n, r in expected.items()
    }
    before = calls
    assert done(killed) == found
    assert calls == before


def test_the_plan_grows_and_never_changes(crawl: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, group_bytes=10**6)
    place = Place(settings.folder)
    first = place.extend(check_ingest(settings), settings.group_bytes)
    assert set(first["group"].to_pylist()) == set(first["run"].to_pylist()) == {0}
    write(crawl / "0.warc.gz", [page("http://e.org/new", "New")])
    second = place.extend(check_ingest(settings), 1)
    assert second.slice(0, first.num_rows).equals(first)
    assert second.slice(first.num_rows).to_pylist()[0]["url"] == f"{crawl}/0.warc.gz"
    assert second["run"].to_pylist()[-1] == second["group"].to_pylist()[-1] == 1
    assert place.extend(check_ingest(settings), 1).equals(second)
    assert place.plan(1).equals(second.slice(first.num_rows))


def test_a_file_that_changed(crawl: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    place = Place(settings.folder)
    place.extend(check_ingest(settings), 1)
    os.utime(crawl / "a.warc.gz", (1, 1))
    with pytest.raises(
        WorkspaceError, match=r"a.warc.gz' changed since it was ingested .* written once"
    ):
        place.extend(check_ingest(settings), 1)


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    place = Place(f"{tmp_path}/out")
    place.claim({"version": 1, "extractor": "resiliparse"})
    place.claim({"version": 1, "extractor": "resiliparse"})
    with pytest.raises(
        WorkspaceError,
        match=r"with extractor = 'resiliparse', not 'trafilatura'; give the same settings",
    ):
        place.claim({"version": 1, "extractor": "trafilatura"})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sources": ("{0}/none",)}, SourceError, "no file matches '.*/none'"),
        ({"sources": ("{0}/crawl/*.png",)}, SourceError, "none of 1 files can be read, such as '.*/image.png'"),
        ({"extractor": "readability"}, RecipeError, "no extractor is called 'readability'; the extractors are"),
        ({"block": ("{0}/crawl",)}, SourceError, "holds no list of URLs"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_first(
    crawl: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {
        name: tuple(v.format(tmp_path) for v in value) if isinstance(value, tuple) else value
        for name, value in changes.items()
    }
    with pytest.raises(error, match=message):
        check_ingest(settings_of(tmp_path, **given))


def test_a_library_that_is_not_there(
    crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tested, "find_spec", lambda name: None if name == "trafilatura" else name)
    check_ingest(settings_of(tmp_path))
    with pytest.raises(
        RecipeError, match=r"ingest needs trafilatura; install it: pip install 'coursepack\[web\]'"
    ):
        check_ingest(settings_of(tmp_path, extractor="trafilatura"))


def test_keys_of_urls(crawl: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, group_bytes=10**6)
    place = Place(settings.folder)
    place.extend(check_ingest(settings), settings.group_bytes)
    [(_, record)] = UrlTask(place, settings)(0)
    [(_, again)] = UrlTask(place, settings)(0)
    assert again == record
    table = place.urls.read(record)
    # neither blocked pages nor such without a URL, but the one that has no text
    urls = ["http://e.org/one", "http://e.org/two", "http://e.org/two", "http://e.org/empty", "http://e.org/wet",
            "http://e.org/one", "http://e.org/two", "http://e.org/three"]  # fmt: skip
    assert table["key"].combine_chunks().equals(url_keys(pa.array(urls)))
    assert table["record"].to_pylist() == [0, 1, 2, 5, 0, 0, 1, 2]
    assert table["file"].to_pylist() == [0, 0, 0, 0, 1, 4, 4, 4]


def test_what_killed_tasks_left_is_swept(tmp_path: Path) -> None:
    place = Place(f"{tmp_path}/out")
    table = INGESTED.empty_table()
    for group in ("g0000000", "g0000000", "g0000001"):
        with place.documents.attempt(group, INGESTED) as out:
            out.write(table)
    kept = [place.documents.find(f"g000000{n}") for n in (0, 1)]
    place.documents.publish([record for record in kept if record], {})
    (tmp_path / "out/own.parquet").write_bytes(b"x")
    place.sweep()
    left = sorted(path.name for path in (tmp_path / "out").glob("*.parquet"))
    assert left == sorted(
        [*(record.path for record in kept if record), "files.parquet", "own.parquet"]
    )


# --- with Spark


def test_a_whole_ingest(spark: Any, crawl: Path, tmp_path: Path) -> None:
    """Copies, other partitions, a second run, and new files."""
    silent = Progress.silent()
    settings = settings_of(tmp_path)
    found = ingest(spark, settings, silent)
    assert isinstance(found, Ingested)
    # of one URL the first by date, then by id; b.warc.gz has the first "one"
    assert sorted(titles(settings.folder)) == sorted(
        ["Two", "Text of a page.", "Page", "Zipped", "One, first", "Three"]
    )
    assert found.counts() == {
        "in": 14, "out": 6, "dropped:bad_status": 1, "dropped:blocked_url": 1, "dropped:broken_record": 1,
        "dropped:duplicate_url": 3, "dropped:no_text": 1, "dropped:not_response": 1,
    }  # fmt: skip
    other = ingest(spark, settings_of(tmp_path, "other", partitions=1), silent)
    assert {n: r.sha256 for n, r in other.records.items()} == {
        n: r.sha256 for n, r in found.records.items()
    }
    before = {path: path.stat().st_mtime_ns for path in Path(settings.folder).glob("g*.parquet")}
    assert ingest(spark, settings, silent) == found
    assert {p: p.stat().st_mtime_ns for p in Path(settings.folder).glob("g*.parquet")} == before

    write(
        crawl / "0.warc.gz",
        [page("http://e.org/three?", "Old", 1), page("http://e.org/5", "Five", 1)],
    )
    grown = ingest(spark, settings, silent)
    # what is written stays, though an earlier page comes
    assert grown.counts()["out"] == 7
    assert grown.counts()["dropped:duplicate_url"] == 4
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert "Old" not in titles(settings.folder)
    assert "Five" in titles(settings.folder)
