"""Files anywhere fsspec reaches: local folders, s3://, hf://, memory://. Paths in, bytes out.

A plain path is a local one. Nothing here goes through Hadoop.
"""

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import fsspec
from fsspec.spec import AbstractBufferedFile


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec file system of `url`, and the path within it."""
    fs, path = fsspec.core.url_to_fs(url)
    return fs, path


def join(base: str, *parts: str) -> str:
    """`base/part/part`, for local paths and URLs alike."""
    return "/".join([_stem(base), *parts])


def _stem(folder: str) -> str:
    """`folder` without slashes at its end, so that `/name` may follow; of `memory://`, `memory:/`."""
    scheme, mark, path = folder.rpartition("://")
    return f"{scheme}{mark}{path.rstrip('/')}" if path else f"{scheme}:/"


def is_local(url: str) -> bool:
    """Whether `url` names a file of this machine."""
    return "://" not in url or url.startswith(("file://", "local://"))


def exists(url: str) -> bool:
    """Whether a file or folder is there."""
    fs, path = filesystem(url)
    fs.invalidate_cache()
    return bool(fs.exists(path))


def size(url: str) -> int | None:
    """Bytes of a file; None when there is none."""
    fs, path = filesystem(url)
    try:
        return int(fs.size(path))
    except FileNotFoundError:
        return None


def read_bytes(url: str) -> bytes:
    """The whole file."""
    fs, path = filesystem(url)
    return bytes(fs.cat_file(path))


def open_input(url: str, block_bytes: int = 8 << 20) -> IO[bytes]:
    """A seekable binary reader."""
    fs, path = filesystem(url)
    if is_local(url):
        return open(path, "rb")
    return fs.open(path, "rb", block_size=block_bytes)  # type: ignore[no-any-return]


def write_bytes(url: str, data: bytes) -> None:
    """Replace the file in one step: readers see all of the old or all of the new."""
    fs, path = filesystem(url)
    if is_local(url):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = f"{path}.{uuid.uuid4().hex}.part"
        with open(part, "wb") as out:
            out.write(data)
        os.replace(part, path)
    else:
        fs.pipe_file(path, data)


def listing(folder: str) -> list[str]:
    """URLs of all files below `folder`, sorted; empty when it does not exist."""
    fs, path = filesystem(folder)
    fs.invalidate_cache()
    if not fs.exists(path):
        return []
    root = _stem(folder)
    return sorted(root + "/" + found[len(path.rstrip("/")) + 1 :] for found in fs.find(path))


def remove(url: str) -> None:
    """Delete a file or a folder with all below it; nothing happens when it is not there."""
    fs, path = filesystem(url)
    if fs.exists(path):
        fs.rm(path, recursive=True)


class Output:
    """A binary file being written, which knows its length and its sha256 when closed."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._sha = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        self._sha.update(data)
        self._raw.write(data)
        written = memoryview(data).nbytes
        self.bytes += written
        return written

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        self._raw.flush()

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    @property
    def sha256(self) -> str:
        return self._sha.hexdigest()


@contextmanager
def open_output(url: str) -> Iterator[Output]:
    """Write a new file, which appears in one step at the end; after an error there is none."""
    with _local_file(url) if is_local(url) else _remote_file(url) as raw:
        out = Output(raw)
        yield out
        out.close()


@contextmanager
def _local_file(url: str) -> Iterator[IO[bytes]]:
    _, path = filesystem(url)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f"{path}.{uuid.uuid4().hex}.part"
    try:
        with open(part, "wb") as raw:
            yield raw
        os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.remove(part)
        raise


@contextmanager
def _remote_file(url: str) -> Iterator[IO[bytes]]:
    fs, path = filesystem(url)
    raw = fs.open(path, "wb")
    try:
        yield raw
    except BaseException:
        if isinstance(raw, AbstractBufferedFile):
            raw.closed = True  # or else its end of life would upload what it holds
            raw.discard()  # a multipart upload is given up, not completed
        else:
            raw.close()
            fs.rm(path)
        raise
    raw.close()


def sha256_of(url: str) -> str:
    """The sha256 of a file's bytes, read once in pieces."""
    digest = hashlib.sha256()
    with open_input(url) as raw:
        while piece := raw.read(8 << 20):
            digest.update(piece)
    return digest.hexdigest()
