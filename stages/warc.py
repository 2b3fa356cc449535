"""Pages of web archives: WARC, WET and HTML files as records.

fastwarc reads the archives (Bevendorff et al. 2018). A record is dropped with a reason, never the run; what follows
damage is found again.
"""

import io
import re
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO, Any

import zstandard

from coursepack.pipeline.storage import open_input
from coursepack.stages.streams import MAGIC_BYTES, compression

# Why a record of an archive is no document.
DROPS = {
    "not_response": "a request, a revisit or other record without a page",
    "bad_status": "another HTTP status than 200",
    "not_html": "another kind of file than HTML, by its declared or identified type",
    "broken_record": "a record that is cut short, cannot be decompressed or has no valid headers",
    "too_large": "more bytes than `page_bytes`",
    "too_deep": "elements nested more than 512 deep",
    "bad_charset": "more than one character in 1,000 cannot be decoded",
    "no_text": "no main text was found",
    "extractor_failed": "the extractor raised an error, or took more than its CPU time",
    "blocked_url": "its URL is on a blocklist",
    "duplicate_url": "an earlier page has the same URL, normalised",
}

PAGE_BYTES = 8_000_000  # Common Crawl itself cuts payloads at 5 MiB, until 2025 at 1 MiB
_HEADER_BYTES = 64 << 10  # of HTTP
_SNIFFED_BYTES = 1024
_SCANNED_BYTES = 1 << 20
_WARC_MAGIC, _GZ_MAGIC = b"WARC/", b"\x1f\x8b\x08"
# of a compressed member that is a record, and of a plain record
_FIRST_BYTES = {"gz": re.compile(re.escape(_GZ_MAGIC)), "zst": re.compile(rb"\x28\xb5\x2f\xfd")}
_FIRST_LINE = re.compile(rb"WARC/[01]\.\d+\r?\n[A-Z][A-Za-z-]+: ")
_TAIL_BYTES = 64  # longer than what is searched
_HTML_TYPES = ("text/html", "application/xhtml+xml")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:+-]+)", re.ASCII | re.IGNORECASE)
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # zlib's name of each encoding
_CHUNK = re.compile(rb"(?:\r?\n)?([0-9A-Fa-f]{1,8})[^\r\n]*\r?\n")
_LOOKS_LIKE_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|title|script|style|meta|table|div|p|h1|a|br)\b", re.IGNORECASE
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A record of an archive: `body` is its HTML, or its text where `is_text`; or `reason` says why it is dropped."""

    offset: int  # of the record in the file, or of its compressed member
    reason: str | None = None  # of DROPS
    id: str | None = None
    url: str | None = None
    date: str | None = None  # as the archive has it: ISO 8601
    mime: str | None = None
    charset: str | None = None  # as declared
    language: str | None = None  # as identified by the crawler, or declared
    body: bytes = b""
    is_text: bool = False


def read_entries(url: str, page_bytes: int = PAGE_BYTES) -> Iterator[Entry]:
    """The records of a file in order, good and bad; an HTML file (`.html`, `.htm`, `.xhtml`) is one.

    Of a damaged archive what can be found again is read on: the next member of gzip, frame of zstd, or record. Raises
    only what the storage raises.
    """
    if re.search(r"\.x?html?(\.gz)?$", url, re.IGNORECASE):
        yield _html_file(url, page_bytes)
        return
    with open_input(url) as raw:
        kind = compression(raw.read(MAGIC_BYTES))
        begin: int | None = 0
        while begin is not None:
            begin = yield from _run(raw, kind, begin, page_bytes)


def _html_file(url: str, page_bytes: int) -> Entry:
    with open_input(url) as raw:
        body = raw.read(page_bytes + 1)
    if body.startswith(_GZ_MAGIC):
        decoded = _inflated(body, 31, page_bytes)
        if decoded is None:
            return Entry(0, "broken_record", id=url)
        body = decoded
    if len(body) > page_bytes:
        return Entry(0, "too_large", id=url)
    return Entry(0, None, url, mime="text/html", body=body)


class _Source:
    """A file as fastwarc reads it, which tells an error of the storage from damage."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.failed = False

    def read(self, size: int = -1) -> bytes:
        try:
            return self._raw.read(size)
        except BaseException:
            self.failed = True
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def close(self) -> None:
        """The file is its opener's."""


def _run(
    raw: IO[bytes], kind: str, begin: int, page_bytes: int
) -> Generator[Entry, None, int | None]:
    """The records from `begin` up to damage; returns where to go on after it, None at the file's end."""
    from fastwarc.warc import ArchiveIterator

    source = _Source(raw)
    raw.seek(begin)
    at, finished = begin, False  # the record under way, and whether it was read
    held: Entry | None = (
        None  # of a plain file: the next header proves that this record's length is right
    )
    try:
        for record in ArchiveIterator(source, parse_http=False, strict_mode=False):
            if held:
                yield held
                held = None
            at, finished = max(record.stream_pos, begin), False
            entry = _entry(record, at, page_bytes)
            finished = kind != "none"
            if finished:
                yield entry
            else:
                held = entry
    except OSError:
        if source.failed:
            raise
        following = _next_record(raw, kind, at + 1)
        if not finished or following is None or following != _member_end(raw, kind, at, following):
            yield Entry(at, "broken_record")
        return following
    if held:
        yield held
    # fastwarc passes over a last member that is cut within its headers
    if kind in _FIRST_BYTES and (following := _next_record(raw, kind, at + 1)) is not None:
        yield Entry(following, "broken_record")
    return None


def _next_record(raw: IO[bytes], kind: str, start: int) -> int | None:
    """Where the next record begins, or its compressed member: first bytes behind which there are headers of WARC."""
    offset, tail = start, b""
    raw.seek(start)
    while piece := raw.read(_SCANNED_BYTES):
        window, first = tail + piece, offset - len(tail)
        for found in _FIRST_BYTES.get(kind, _FIRST_LINE).finditer(window):
            if kind not in _FIRST_BYTES or _is_member(raw, kind, first + found.start()):
                return first + found.start()
        offset += len(piece)
        tail = window[-_TAIL_BYTES:]
        raw.seek(offset)
    return None


def _is_member(raw: IO[bytes], kind: str, place: int) -> bool:
    """Whether a member of the archive begins here, as far as there are bytes to tell."""
    raw.seek(place)
    decoder = (
        zlib.decompressobj(31) if kind == "gz" else zstandard.ZstdDecompressor().decompressobj()
    )
    try:
        head = decoder.decompress(raw.read(4096))
    except (zlib.error, zstandard.ZstdError):
        return False
    return head[: len(_WARC_MAGIC)] == _WARC_MAGIC[: len(head)]


def _member_end(raw: IO[bytes], kind: str, place: int, default: int) -> int:
    """Where the gzip member that begins at `place` ends; `default` of other kinds."""
    if kind != "gz":
        return default
    raw.seek(place)
    decoder = zlib.decompressobj(31)
    end = place
    with suppress(zlib.error):
        while not decoder.eof and (piece := raw.read(_SCANNED_BYTES)):
            decoder.decompress(piece)
            end += len(piece)
    return end - len(decoder.unused_data)


def _entry(record: Any, at: int, page_bytes: int) -> Entry:
    """A record of fastwarc as an Entry; raises OSError where it cannot be decompressed."""
    from fastwarc.warc import WarcRecordType

    headers = record.headers
    entry = Entry(
        at,
        id=headers.get("WARC-Record-ID"),
        url=_stripped(headers.get("WARC-Target-URI")),
        date=headers.get("WARC-Date"),
        mime=_media_type(headers.get("WARC-Identified-Payload-Type")),
        language=headers.get("WARC-Identified-Content-Language"),
    )
    kind = record.record_type
    if "WARC-Type" not in headers or "Content-Length" not in headers:  # cut short
        return replace(entry, reason="broken_record")
    declared = headers.get("Content-Type") or ""
    if kind == WarcRecordType.conversion:
        return _page(record, replace(entry, mime=_media_type(declared), is_text=True), page_bytes)
    if kind == WarcRecordType.resource or (
        kind == WarcRecordType.response and not declared.lower().startswith("application/http")
    ):
        mime = entry.mime or _media_type(declared)
        return _page(record, replace(entry, mime=mime, charset=_charset(declared)), page_bytes)
    if kind == WarcRecordType.response:
        return _response(record, entry, page_bytes)
    return replace(entry, reason="not_response")


def _page(record: Any, entry: Entry, page_bytes: int) -> Entry:
    """A record whose block is a page, or a text."""
    if entry.mime and entry.mime not in (*_HTML_TYPES, *(["text/plain"] * entry.is_text)):
        return replace(entry, reason="not_html")
    if record.content_length > page_bytes:
        return replace(entry, reason="too_large")
    return _with_body(entry, *_block(record, page_bytes))


def _block(record: Any, page_bytes: int) -> tuple[bytes, bool]:
    """A record's block, and whether it is whole."""
    block = record.reader.read(min(record.content_length, page_bytes))
    return block, len(block) == min(record.content_length, page_bytes)


def _with_body(entry: Entry, body: bytes, whole: bool) -> Entry:
    if not whole:
        return replace(entry, reason="broken_record")
    if entry.mime is None and not _LOOKS_LIKE_HTML.search(body[:_SNIFFED_BYTES]):
        return replace(entry, reason="not_html")
    return replace(entry, body=body)


def _response(record: Any, entry: Entry, page_bytes: int) -> Entry:
    """A record whose block is an HTTP response."""
    size = record.content_length
    head = record.reader.read(min(size, _HEADER_BYTES))
    parsed = _http(head)
    if parsed is None:
        return replace(entry, reason="broken_record")
    status, headers, start = parsed
    if status != 200:
        return replace(entry, reason="bad_status")
    declared = headers.get("content-type", "")
    entry = replace(
        entry,
        mime=entry.mime or _media_type(declared),
        charset=_charset(declared),
        language=entry.language or headers.get("content-language"),
    )
    if entry.mime and entry.mime not in _HTML_TYPES:
        return replace(entry, reason="not_html")
    if size - start > page_bytes:
        return replace(entry, reason="too_large")
    body = head[start:] + (record.reader.read(size - len(head)) if size > len(head) else b"")
    if len(body) < size - start:
        return replace(entry, reason="broken_record")
    decoded = _decoded(body, headers, page_bytes)
    if decoded is None:
        return replace(entry, reason="too_large")
    return _with_body(entry, decoded, True)


def _http(head: bytes) -> tuple[int, dict[str, str], int] | None:
    """Status, headers by their names in lower case (the first of each), and where the body begins."""
    end = re.search(rb"\r?\n\r?\n", head)
    if not end or not (status := re.match(rb"HTTP/[\d.]+ +(\d{3})", head)):
        return None
    headers: dict[str, str] = {}
    for line in head[: end.start()].decode("latin-1").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return int(status[1]), headers, end.end()


def _decoded(body: bytes, headers: Mapping[str, str], page_bytes: int) -> bytes | None:
    """The body without transfer and content encodings; None where it grows beyond `page_bytes`.

    As warcio has it, a body that is not encoded as declared stays as it is: crawlers decode, and keep the header.
    """
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _dechunked(body)
    for name in reversed(headers.get("content-encoding", "").lower().split(",")):
        if name.strip() == "br":
            found = _unbrotlied(body, page_bytes)
        else:
            bits = _WINDOW_BITS.get(name.strip())
            found = _inflated(body, bits, page_bytes) if bits else None
        body = body if found is None else found
    return body if len(body) <= page_bytes else None


def _dechunked(body: bytes) -> bytes:
    """The chunks of a body joined; the body as it is where it has none."""
    parts: list[bytes] = []
    at = 0
    while size := _CHUNK.match(body, at):
        length = int(size[1], 16)
        at = size.end() + length
        parts.append(body[size.end() : at])
        if not length:
            break
    return b"".join(parts) if parts else body


def _inflated(body: bytes, bits: int, page_bytes: int) -> bytes | None:
    """What zlib makes of the body, one byte more than `page_bytes` at most; None where it is not compressed."""
    for window in (
        (bits, -15) if bits == 15 else (bits,)
    ):  # servers send deflate with and without its header
        with suppress(zlib.error):
            return zlib.decompressobj(window).decompress(body, page_bytes + 1)
    return None


def _unbrotlied(body: bytes, page_bytes: int) -> bytes | None:
    from fastwarc.stream_io import BrotliReader

    with suppress(OSError):
        return BrotliReader(io.BytesIO(body)).read(page_bytes + 1)
    return None


def _stripped(url: str | None) -> str | None:
    """Without the angle brackets that early versions of wget wrote."""
    return url.strip().removeprefix("<").removesuffix(">") or None if url else None


def _media_type(declared: str | None) -> str | None:
    return (declared or "").split(";")[0].strip().lower() or None


def _charset(declared: str) -> str | None:
    found = _CHARSET.search(declared)
    return found[1] if found else None
