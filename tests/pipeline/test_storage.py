"""Files in local folders and in fsspec's memory, alike: nothing half written is ever seen."""

import gc
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from coursepack.pipeline import storage

ODD = "a b/ü 数/c%20[1]*?#"  # as names may be in a local folder


@pytest.fixture(params=["local", "file", "memory"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        url = f"memory://{tmp_path.name}"
        yield url
        storage.remove(url)
    else:
        yield f"file://{tmp_path}" if request.param == "file" else str(tmp_path)


def test_write_read_and_replace(base: str) -> None:
    url = storage.join(base, "new folder", "x.bin")
    assert not storage.exists(url)
    assert storage.size(url) is None
    for data in (b"one", b"", bytes(range(256)) * 99):
        storage.write_bytes(url, data)
        assert storage.exists(url)
        assert storage.size(url) == len(data)
        assert storage.read_bytes(url) == data
        assert storage.sha256_of(url) == hashlib.sha256(data).hexdigest()
    with storage.open_input(url) as raw:
        raw.seek(256)
        assert raw.read(2) == b"\0\1"
    assert storage.listing(base) == [url]


def test_reading_what_is_not_there(base: str) -> None:
    for read in (storage.read_bytes, storage.open_input, storage.sha256_of):
        with pytest.raises(FileNotFoundError):
            read(storage.join(base, "nothing"))


def test_listing_is_of_all_below_sorted_and_readable(base: str) -> None:
    names = ["b", "a/z", "a/b/c", "B", "a.x", ".hidden"]
    urls = [storage.join(base, "deep", name) for name in names]
    for url in urls:
        storage.write_bytes(url, url.encode())
    folder = storage.join(base, "deep")
    assert storage.listing(folder) == storage.listing(folder + "/") == sorted(urls)
    assert all(storage.read_bytes(url) == url.encode() for url in storage.listing(folder))
    assert storage.listing(storage.join(base, "dee")) == []


def test_remove(base: str) -> None:
    for name in ("d/x", "d/e/y", "dd"):
        storage.write_bytes(storage.join(base, name), b"1")
    storage.remove(storage.join(base, "d"))
    storage.remove(storage.join(base, "never"))
    assert storage.listing(base) == [storage.join(base, "dd")]
    storage.remove(storage.join(base, "dd"))
    assert storage.listing(base) == []


def test_local_names_with_spaces_and_other_characters(tmp_path: Path) -> None:
    url = storage.join(str(tmp_path), ODD, "x y.bin")
    with storage.open_output(url) as out:
        out.write(b"data")
    storage.write_bytes(url + "2", b"more")
    assert storage.listing(str(tmp_path)) == [url, url + "2"]
    assert (tmp_path / ODD / "x y.bin").read_bytes() == storage.read_bytes(url) == b"data"
    assert storage.size(url) == 4
    storage.remove(url)
    assert storage.listing(str(tmp_path)) == [url + "2"]


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write_bytes("run/a", b"1")
    storage.write_bytes("b", b"2")
    assert storage.listing("run") == ["run/a"]
    assert storage.read_bytes("b") == b"2"
    assert sorted(os.listdir()) == ["b", "run"]


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("a", "a/x/y"),
        ("/a/", "/a/x/y"),
        ("/", "/x/y"),
        ("s3://bucket", "s3://bucket/x/y"),
        ("s3://bucket/", "s3://bucket/x/y"),
        ("memory://", "memory://x/y"),
        ("file:///", "file:///x/y"),
    ],
)
def test_join(base: str, url: str) -> None:
    assert storage.join(base, "x", "y") == url
    assert storage.join(base, "x/y") == url


def test_a_root_can_be_listed() -> None:
    storage.write_bytes("memory://root-of-listing", b"1")
    assert "memory://root-of-listing" in storage.listing("memory://")
    storage.remove("memory://root-of-listing")


def test_is_local() -> None:
    assert all(map(storage.is_local, ["a", "/a", "file:///a", "local:///a"]))
    assert not any(map(storage.is_local, ["s3://a/b", "memory://a", "hf://datasets/a"]))


def test_output_knows_its_bytes(base: str) -> None:
    url = storage.join(base, "f")
    pieces: list[Any] = [
        b"one",
        bytearray(b"two"),
        memoryview(b"three"),
        np.arange(3, dtype=np.int32),
        pa.py_buffer(b"four"),
        b"",
    ]
    with storage.open_output(url) as out:
        assert [out.write(piece) for piece in pieces] == [3, 3, 5, 12, 4, 0]
        assert out.tell() == out.bytes == 27
        assert out.writable()
        assert not out.closed
        assert not out.readable()
        assert not out.seekable()
        out.flush()
    assert out.closed
    data = storage.read_bytes(url)
    assert data == b"".join(bytes(piece) for piece in pieces)
    assert (out.bytes, out.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def fail(url: str, error: BaseException, data: bytes = b"half") -> None:
    with storage.open_output(url) as out:
        out.write(data)
        raise error


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, GeneratorExit])
def test_after_an_error_there_is_no_file(base: str, error: type[BaseException]) -> None:
    with pytest.raises(error, match="mine"):
        fail(storage.join(base, "f"), error("mine"))
    assert storage.listing(base) == []


def test_after_an_error_the_old_local_file_stays(tmp_path: Path) -> None:
    url = str(tmp_path / "f")
    storage.write_bytes(url, b"old")
    with pytest.raises(KeyError):
        fail(url, KeyError())
    assert storage.read_bytes(url) == b"old"
    with storage.open_output(url) as out:
        out.write(b"new")
        assert storage.read_bytes(url) == b"old"
    assert storage.read_bytes(url) == b"new"
    assert storage.listing(str(tmp_path)) == [url]


class Shelf(AbstractFileSystem):  # type: ignore[misc]
    """An object store as fsspec's are: parts of 4 bytes, and a file when the last part is there."""

    protocol = "shelf"
    blocksize = 4
    files: ClassVar[dict[str, bytes]] = {}
    events: ClassVar[list[str]] = []

    def _open(self, path: str, mode: str = "rb", **_: Any) -> "ShelfFile":
        return ShelfFile(self, path, mode, block_size=self.blocksize)


class ShelfFile(AbstractBufferedFile):  # type: ignore[misc]
    """Like s3fs's: given up, it has no buffer, and closing it fails."""

    parts = b""
    buffer: Any

    def _initiate_upload(self) -> None:
        Shelf.events.append("begun")

    def _upload_chunk(self, final: bool = False) -> bool:
        self.parts += self.buffer.getvalue()
        if final:
            Shelf.files[self.path] = self.parts
        return True

    def discard(self) -> None:
        Shelf.events.append("given up")
        self.buffer = None


@pytest.mark.parametrize("data", [b"", b"abc", b"abcdefghi"])
def test_an_upload_is_completed_or_given_up(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    noise: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", noise.append)
    fsspec.register_implementation("shelf", Shelf, clobber=True)
    Shelf.files.clear()
    Shelf.events.clear()
    with pytest.raises(KeyError, match="mine"):
        fail("shelf://a/f", KeyError("mine"), data)
    gc.collect()
    assert noise == []
    assert not Shelf.files
    assert Shelf.events[-1] == "given up"
    with storage.open_output("shelf://a/f") as out:
        out.write(data)
    assert Shelf.files == {"a/f": data}
