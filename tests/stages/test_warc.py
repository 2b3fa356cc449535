"""Records of web archives, good and broken, and the main text of pages."""

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from archives import PARAGRAPH, archive, html, record
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.storage import write_bytes
from coursepack.stages import warc as tested
from coursepack.stages.main_text import MOST_DEPTH, Document, read_document
from coursepack.stages.warc import DROPS, Entry, read_entries

pytest.importorskip("fastwarc")
pytest.importorskip("resiliparse")


def entries(folder: Path, data: bytes, name: str = "a.warc.gz", **settings: Any) -> list[Entry]:
    (folder / name).write_bytes(data)
    return list(read_entries(f"{folder}/{name}", **settings))


def reasons(found: list[Entry]) -> list[str | None]:
    return [entry.reason for entry in found]


PAGES = [record(f"http://e.org/{n}", html(f"Page {n} " + "abcdefgh"[n] * 3000)) for n in range(6)]


# --- what a good archive holds


def test_a_page_and_what_is_known_of_it(tmp_path: Path) -> None:
    made = record("http://e.org/x", html("Ärger"), http=[("content-TYPE", "Text/HTML;charset='UTF-8'")],
                  warc={"WARC-Identified-Content-Language": "eng"})  # fmt: skip
    [entry] = entries(tmp_path, archive([made])[0])
    assert (entry.offset, entry.reason, entry.url) == (0, None, "http://e.org/x")
    assert (entry.mime, entry.charset, entry.language) == ("text/html", "UTF-8", "eng")
    assert (entry.id, entry.date) == ("<urn:uuid:" + "0" * 32 + ">", "2024-01-01T00:00:00Z")
    found = read_document(entry)
    assert isinstance(found, Document)
    assert (found.title, found.url, found.language) == ("Ärger", "http://e.org/x", "eng")
    assert found.text.startswith("Ärger\n")
    assert found.text.count(PARAGRAPH.strip()) == 6
    assert "Copyright" not in found.text
    assert "Home" not in found.text


@pytest.mark.parametrize("zipped", [True, False])
def test_offsets_are_those_of_the_records(tmp_path: Path, zipped: bool) -> None:
    data, places = archive(PAGES, zipped)
    found = entries(tmp_path, data)
    assert [entry.offset for entry in found] == places[:-1]
    for entry in found:
        (tmp_path / "one").write_bytes(data[entry.offset :])
        assert next(read_entries(f"{tmp_path}/one")).body == entry.body


KINDS = [
    (record(None, b"software: x", "warcinfo", content_type="application/warc-fields"), "not_response"),
    (record("http://e.org", b"GET / HTTP/1.1\r\n\r\n", "request",
            content_type="application/http;msgtype=request"), "not_response"),
    (record("http://e.org", b"x: y", "metadata", content_type="text/html"), "not_response"),
    (record("http://e.org", html("x"), "resource", content_type="text/html; charset=utf-8"), None),
    (record("http://e.org", b"{}", "resource", content_type="application/json"), "not_html"),
    (record("http://e.org", "wörter".encode(), "conversion", content_type="text/plain"), None),
    (record("http://e.org", html("x"), status="404 Not Found"), "bad_status"),
    (record("http://e.org", html("x"), status="301 Moved"), "bad_status"),
    (record("http://e.org", b"%PDF", http=[("Content-Type", "application/pdf")]), "not_html"),
    (record("http://e.org", b"text", http=[("Content-Type", "text/plain")]), "not_html"),
    (record("http://e.org", html("x"), http=[("Content-Type", "text/plain")],
            warc={"WARC-Identified-Payload-Type": "application/xhtml+xml"}), None),
    (record("http://e.org", html("x"), warc={"WARC-Identified-Payload-Type": "image/png"}), "not_html"),
    (record("http://e.org", html("x"), http=[]), None),  # looks like HTML
    (record("http://e.org", b"\x89PNG", http=[]), "not_html"),
    (record("http://e.org", html("x", 900)), "too_large"),
]  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False])
def test_kinds_of_records(tmp_path: Path, zipped: bool) -> None:
    found = entries(tmp_path, archive([made for made, _ in KINDS], zipped)[0], page_bytes=90_000)
    assert reasons(found) == [reason for _, reason in KINDS]
    assert all(entry.reason is None or not entry.body for entry in found)
    assert {entry.reason for entry in found} <= {None, *DROPS}


def test_a_wet_file(tmp_path: Path) -> None:
    made = [
        record(
            f"http://e.org/{n}",
            f" text {n}\nwörter\n".encode(),
            "conversion",
            content_type="text/plain",
        )
        for n in range(3)
    ]
    found = entries(tmp_path, archive(made)[0], "a.warc.wet.gz")
    assert [entry.is_text for entry in found] == [True] * 3
    assert read_document(found[1]) == Document(
        "text 1\nwörter", None, "http://e.org/1", None, "utf-8"
    )


@pytest.mark.parametrize("name", ["a.html", "a.HTM", "a.xhtml", "a.html.gz"])
def test_an_html_file(tmp_path: Path, name: str) -> None:
    page = html("Alone").replace(
        b"<title>", b'<link rel=canonical href="https://e.org/alone"><title>'
    )
    data = gzip.compress(page) if name.endswith("gz") else page
    [entry] = entries(tmp_path, data, name)
    found = read_document(entry)
    assert isinstance(found, Document)
    assert (entry.id, found.url, found.title) == (
        f"{tmp_path}/{name}",
        "https://e.org/alone",
        "Alone",
    )
    assert found.language == "en"
    assert reasons(entries(tmp_path, data, name, page_bytes=len(page))) == [None]
    assert reasons(entries(tmp_path, data, name, page_bytes=len(page) - 1)) == ["too_large"]


# --- HTTP

BODY = html("Encoded")
CHUNKED = b"".join(
    b"%x;a=b\r\n%s\r\n" % (len(BODY[n : n + 99]), BODY[n : n + 99]) for n in range(0, len(BODY), 99)
)
RAW_DEFLATE = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({"Content-Encoding": "gzip"}, gzip.compress(BODY)),
        ({"Content-Encoding": "GZIP, identity"}, gzip.compress(BODY)),
        ({"Content-Encoding": "deflate"}, zlib.compress(BODY)),
        ({"Content-Encoding": "deflate"}, RAW_DEFLATE.compress(BODY) + RAW_DEFLATE.flush()),
        ({"Transfer-Encoding": "chunked"}, CHUNKED + b"0\r\n\r\n"),
        ({"Transfer-Encoding": "chunked"}, CHUNKED),  # without its end
        ({"Transfer-Encoding": "chunked"}, BODY),  # decoded by the crawler
        ({"Content-Encoding": "gzip"}, BODY),
        ({"Content-Encoding": "br"}, BODY),
        ({"Content-Encoding": "zstd"}, BODY),
    ],
)  # fmt: skip
def test_encodings_of_http(tmp_path: Path, headers: dict[str, str], sent: bytes) -> None:
    made = record("http://e.org", sent, http=[("Content-Type", "text/html"), *headers.items()])
    [entry] = entries(tmp_path, archive([made])[0])
    assert entry.body == BODY


def test_a_body_that_grows_without_bound(tmp_path: Path) -> None:
    bomb = gzip.compress(b"<html>" + b" " * 5_000_000)
    made = record(
        "http://e.org", bomb, http=[("Content-Type", "text/html"), ("Content-Encoding", "gzip")]
    )
    assert reasons(entries(tmp_path, archive([made])[0], page_bytes=100_000)) == ["too_large"]


def by_hand(block: bytes, headers: bytes = b"", length: int | None = None) -> bytes:
    size = len(block) if length is None else length
    return (
        b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http; msgtype=response\r\n"
        b"%sContent-Length: %d\r\n\r\n%s\r\n\r\n" % (headers, size, block)
    )


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"HTTP/1.1 200 OK\nContent-Type: text/html\n\n<p>x", None),
        (b"HTTP/1.0 200\r\ncontent-type:text/html\r\n\r\n<p>x", None),
        (b"HTTP/2 200 \xff\r\nX-\xfe: \xff\r\n\r\n<p>x", None),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html", "broken_record"),
        (b"<p>no headers\r\n\r\n", "broken_record"),
        (b"HTTP/1.1 abc\r\n\r\n<p>x", "broken_record"),
        (b"", "broken_record"),
    ],
)
def test_headers_of_http(tmp_path: Path, block: bytes, reason: str | None) -> None:
    data = by_hand(block, b"WARC-Target-URI: <http://e.org/\xff>\r\n") + archive(PAGES, False)[0]
    found = entries(tmp_path, data, "a.warc")
    assert reasons(found) == [reason, *[None] * 6]
    if not reason:
        assert found[0].body == b"<p>x"
        assert (found[0].url or "").startswith("http://e.org/")
        assert not (found[0].url or "").endswith(">")


# --- damage


def damaged(zipped: bool) -> dict[str, tuple[bytes, list[int]]]:
    """Broken archives of PAGES, and which of them are still found."""
    data, at = archive(PAGES, zipped)
    middle = (at[2] + at[3]) // 2
    return {
        "cut in the last": (data[: (at[5] + at[6]) // 2], [0, 1, 2, 3, 4]),
        "cut in its headers": (data[: at[5] + 40], [0, 1, 2, 3, 4]),
        "cut at its first bytes": (data[: at[5] + 12], [0, 1, 2, 3, 4]),
        "half of one lost": (data[:middle] + data[at[3] :], [0, 1, 3, 4, 5]),
        "one overwritten": (data[: at[2]] + b"\xaa" * (at[3] - at[2]) + data[at[3] :],
                            [0, 1, 3, 4, 5] if zipped else [0, 3, 4, 5]),  # a length that misled
        "garbage first": (b"garbage" * 9 + data, [] if zipped else [0, 1, 2, 3, 4, 5]),
    }  # fmt: skip


NAMES = list(damaged(True))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_what_a_broken_archive_still_holds(tmp_path: Path, name: str, zipped: bool) -> None:
    data, left = damaged(zipped)[name]
    found = entries(tmp_path, data)
    good = [entry for entry in found if entry.reason is None]
    assert [entry.url for entry in good] == [f"http://e.org/{n}" for n in left]
    assert [entry.body for entry in good] == [PAGES[n]["body"] for n in left]
    broken = [entry.reason for entry in found if entry.reason]
    assert broken == ["broken_record"] * 1


def test_damage_within_a_gzip_member(tmp_path: Path) -> None:
    data, at = archive(PAGES)
    for place in range(at[2], at[3], 17):
        broken = bytearray(data)
        broken[place] ^= 0xFF
        found = entries(tmp_path, bytes(broken))
        good = [entry.url for entry in found if entry.reason is None]
        others = [f"http://e.org/{n}" for n in (0, 1, 3, 4, 5)]
        # a few bytes of a gzip header mean nothing, and then the page is whole
        assert good in (others, [f"http://e.org/{n}" for n in range(6)])
        assert reasons(found).count("broken_record") == (len(good) == 5)


@given(st.binary(max_size=300), st.integers(0, 400), st.booleans())
def test_any_bytes_end_in_counted_records(noise: bytes, place: int, zipped: bool) -> None:
    data, _ = archive([record("http://e.org", b"<p>x"), record("http://e.org/2", b"<p>y")], zipped)
    broken = data[:place] + noise + data[place + len(noise) // 2 :]
    for name, content in (("a.warc.gz", broken), ("b.warc", noise), ("c.html", noise)):
        url = f"memory://warc/{name}"
        write_bytes(url, content)
        found = list(read_entries(url))
        assert {entry.reason for entry in found} <= {None, *DROPS}
        assert all(isinstance(read_document(e), Document | str) for e in found if not e.reason)


def test_an_error_of_the_storage_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.warc.gz").write_bytes(archive(PAGES)[0])

    class Failing(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            if self.reads > 2:
                raise OSError("the network is gone")
            return super().read(min(size or 0, 9000))

    data = (tmp_path / "a.warc.gz").read_bytes()
    monkeypatch.setattr(tested, "open_input", lambda url: Failing(data))
    with pytest.raises(OSError, match="the network is gone"):
        list(read_entries("s3://bucket/a.warc.gz"))


def test_a_gzip_file_of_one_member(tmp_path: Path) -> None:
    """As some tools write it; nothing can be found again behind damage."""
    data, _ = archive(PAGES, gzip=False)
    found = entries(tmp_path, gzip.compress(data))
    assert [entry.body for entry in found] == [page["body"] for page in PAGES]
    found = entries(tmp_path, gzip.compress(data)[:-900])
    assert set(reasons(found[:-1])) <= {None}
    assert found[-1].reason == "broken_record"


# warcio's own test files, and what it makes of them: `content_stream().read()` of each page


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("bad.arc", ["broken_record"]),  # of the format before WARC, which fastwarc does not read
        ("example.arc.gz", ["broken_record"]),
        ("example-trunc.warc", ["not_response"] * 2 + ["broken_record", "not_response"]),
        ("example-wrong-chunks.warc.gz", [None, "not_response"]),
        ("example-bad-non-chunked.warc.gz", ["not_response"] * 2 + [None] + ["not_response"] * 3),
        ("example-space-in-target-uri.warc.gz", ["not_response", "not_html"]),
        ("example-wget-bad-target-uri.warc.gz", ["not_response"] * 2 + [None, "not_response"] + ["not_html"] * 2),
        ("post-test.warc.gz", ["not_html", "not_response"] * 3),
    ],
)  # fmt: skip
def test_edge_cases(shared: Path, name: str, found: list[str | None]) -> None:
    path = shared / "data/native/warc_edge_cases" / f"test__data__{name}"
    assert reasons(list(read_entries(str(path)))) == found


def test_pages_are_those_of_warcio(shared: Path, tmp_path: Path) -> None:
    from warcio.archiveiterator import ArchiveIterator

    folder = shared / "data/native/warc_edge_cases"
    names = ("example.warc", "example.warc.gz", "example-iana.org-chunked.warc", "example-resource.warc.gz",
             "example-wget-bad-target-uri.warc.gz", "post-test.warc.gz")  # fmt: skip
    (tmp_path / "own.warc.gz").write_bytes(archive([made for made, _ in KINDS] + PAGES)[0])
    pages = 0
    for path in [*(folder / f"test__data__{name}" for name in names), tmp_path / "own.warc.gz"]:
        with path.open("rb") as raw:
            theirs = {
                other.rec_headers["WARC-Record-ID"]: other.content_stream().read()
                for other in ArchiveIterator(raw)
            }
        for entry in read_entries(str(path)):
            assert entry.id in theirs
            if entry.reason is None:
                assert entry.body == theirs[entry.id]
                pages += 1
    assert pages == 5 + sum(reason is None for _, reason in KINDS) + 1 + len(PAGES)


def test_every_reason_is_said_once() -> None:
    assert all(re.fullmatch("[a-z_]+", reason) and DROPS[reason] for reason in DROPS)
    assert str(MOST_DEPTH) in DROPS["too_deep"]
