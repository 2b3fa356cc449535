"""Small web archives, made with warcio, and by hand where they must be broken."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

PARAGRAPH = (
    "The archive keeps what was written, and the reader finds it again after many years; "
    "each page is a record, and each record has its place. "
)


def html(title: str, sentences: int = 6, more: str = "") -> bytes:
    """A page with navigation around its main text."""
    text = "".join(f"<p>{title}, part {n}. {PARAGRAPH}</p>" for n in range(sentences))
    menu = "<nav><ul><li><a href=/>Home</a></li><li><a href=/a>About us</a></li></ul></nav>"
    return (
        f'<!doctype html><html lang="en"><head><title>{title}</title></head>'
        f"<body>{menu}<main><article><h1>{title}</h1>{text}{more}</article></main>"
        "<footer>Copyright and cookies</footer></body></html>"
    ).encode()


def record(
    url: str | None,
    body: bytes,
    kind: str = "response",
    status: str = "200 OK",
    http: Sequence[tuple[str, str]] = (("Content-Type", "text/html; charset=utf-8"),),
    warc: Mapping[str, str] | None = None,
    content_type: str | None = None,
) -> dict[str, Any]:
    """What `archive` writes as one record."""
    return {"url": url, "body": body, "kind": kind, "status": status, "http": http,
            "warc": warc or {}, "content_type": content_type}  # fmt: skip


def archive(records: Sequence[dict[str, Any]], gzip: bool = True) -> tuple[bytes, list[int]]:
    """A WARC file, and where its records begin, and it ends."""
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=gzip)
    places = []
    for number, made in enumerate(records):
        places.append(out.tell())
        http = made["kind"] == "response" and made["content_type"] is None
        headers = {
            "WARC-Record-ID": f"<urn:uuid:{number:032x}>",
            "WARC-Date": f"2024-01-01T00:00:{number:02d}Z",
            **made["warc"],
        }
        writer.write_record(
            writer.create_warc_record(
                made["url"],
                made["kind"],
                payload=io.BytesIO(made["body"]),
                warc_content_type=made["content_type"] or "",
                warc_headers_dict=headers,
                http_headers=StatusAndHeaders(made["status"], list(made["http"]), "HTTP/1.1")
                if http
                else None,
            )
        )
    return out.getvalue(), [*places, out.tell()]
