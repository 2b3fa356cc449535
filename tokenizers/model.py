"""A SentencePiece tokenizer as a file with identity, loaded once a process, fed Arrow columns."""

import functools
import hashlib
from collections.abc import Sequence

import numba
import numpy as np
import pyarrow as pa
import sentencepiece

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.pipeline.errors import TokenizerError
from coursepack.pipeline.storage import read_bytes
from coursepack.tokenizers.segments import CACHE_BYTES, SegmentEncoder
from coursepack.tokenizers.sentencepiece_proto import BYTE, NORMAL, UNUSED, USER_DEFINED, read_spec

_SPACE_MARK = "\u2581"  # what SentencePiece writes for a space


class Tokenizer:
    """A `.model` file's bytes at work; `sha256` of those bytes is what it is."""

    def __init__(self, model: bytes, cache_bytes: int = CACHE_BYTES) -> None:
        self.sha256 = hashlib.sha256(model).hexdigest()
        self._spec = read_spec(model)
        self._encoder = SegmentEncoder(model, cache_bytes)
        self._library = sentencepiece.SentencePieceProcessor(model_proto=model)

    @property
    def vocab_size(self) -> int:
        return int(self._library.get_piece_size())

    @property
    def pad_id(self) -> int | None:
        return _id_or_none(self._library.pad_id())

    @property
    def bos_id(self) -> int | None:
        return _id_or_none(self._library.bos_id())

    @property
    def eos_id(self) -> int | None:
        return _id_or_none(self._library.eos_id())

    @property
    def unk_id(self) -> int | None:
        return _id_or_none(self._library.unk_id())

    def encode(
        self, text: Text, bos: bool = False, eos: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Offsets (int64, n + 1, in tokens, from 0) and ids (int32) of a string column.

        The ids are those of the SentencePiece library; special tokens written out in a text are
        text, except where the model defines them as user symbols. A null row is an empty text: no
        ids but bos and eos.
        """
        before = self._required("bos", self.bos_id) if bos else None
        after = self._required("eos", self.eos_id) if eos else None
        if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
            raise TokenizerError(
                f"text is of type {text.type}; a string or large_string column is encoded"
            )
        offsets, ids = self._encoder.encode(*text_buffers(text))
        if before is None and after is None:
            return offsets, ids
        return _framed(
            offsets, ids, -1 if before is None else before, -1 if after is None else after
        )

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of one document's ids, for people and checks; control tokens vanish."""
        return str(self._library.decode([int(i) for i in ids]))

    def piece(self, token: int) -> str:
        """A token as the vocabulary spells it, with U+2581 for a space."""
        return str(self._library.id_to_piece(int(token)))

    def byte_pieces(self) -> np.ndarray:
        """Which ids (bool, vocab_size) stand for a byte of what the vocabulary has no piece for.

        Of byte-level BPE, those whose bytes are no valid UTF-8 on their own.
        """
        return self._sizes[1]

    def piece_bytes(self) -> np.ndarray:
        """Bytes of text (int32, vocab_size) that each id stands for; 0 of control and unknown ids."""
        return self._sizes[0]

    @property
    def loss(self) -> str:
        """Why texts need not come back from their ids, in words; empty where `read_back` holds."""
        spec = self._spec
        if not spec.identity or spec.removes_extra_whitespaces:
            return "it normalises texts"
        return "" if spec.byte_fallback else "it has no pieces for some characters"

    def read_back(self, text: str) -> str:
        """What decode makes of the ids of `text` where there is no `loss`: `text` itself.

        But U+2581 comes back as a space, for SentencePiece writes it for one.
        """
        return text.replace(_SPACE_MARK, " ") if self._spec.escapes_whitespaces else text

    @functools.cached_property
    def _sizes(self) -> tuple[np.ndarray, np.ndarray]:
        spec = self._spec
        space = " " if spec.escapes_whitespaces else _SPACE_MARK
        texts = (piece.replace(_SPACE_MARK, space) for piece in spec.pieces)
        sizes = np.fromiter((len(text.encode()) for text in texts), np.int32, len(spec.pieces))
        types = np.array(spec.types)
        sizes[types == BYTE] = 1
        sizes[~np.isin(types, (NORMAL, USER_DEFINED, UNUSED, BYTE))] = 0
        return sizes, types == BYTE

    def _required(self, name: str, token: int | None) -> int:
        if token is None:
            raise TokenizerError(
                f"the model has no {name} token; encode without it or use a model that has one"
            )
        return token


@functools.cache
def load(url: str, sha256: str | None = None) -> Tokenizer:
    """The tokenizer in a `.model` file, loaded once a process: its cache stays warm between
    batches.

    `url` is a path or anything fsspec opens. With `sha256` (hex) the file must be that one.
    """
    try:
        model = read_bytes(url)
    except FileNotFoundError as error:
        raise TokenizerError(
            f"no tokenizer at {url!r}; give a SentencePiece .model file or train one"
        ) from error
    found = hashlib.sha256(model).hexdigest()
    if sha256 is not None and found != sha256:
        raise TokenizerError(
            f"the tokenizer at {url!r} has sha256 {found}, not {sha256}: it was replaced; "
            "restore the file or encode anew"
        )
    return Tokenizer(model)


def _id_or_none(token: int) -> int | None:
    return token if token >= 0 else None


@numba.njit(nogil=True, cache=True)
def _framed(
    offsets: np.ndarray, ids: np.ndarray, bos: int, eos: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each document between bos and eos; a negative token is left out."""
    more = (bos >= 0) + (eos >= 0)
    n = len(offsets) - 1
    framed = np.empty(n + 1, np.int64)
    out = np.empty(len(ids) + n * more, np.int32)
    for i in range(n + 1):
        framed[i] = offsets[i] + i * more
    for i in range(n):
        at = framed[i]
        if bos >= 0:
            out[at] = bos
            at += 1
        for j in range(offsets[i], offsets[i + 1]):
            out[at] = ids[j]
            at += 1
        if eos >= 0:
            out[at] = eos
    return framed, out
