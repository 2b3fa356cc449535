"""Any tokenizer as a file with identity, loaded once a process, fed Arrow columns.

What a file is, its content says: a SentencePiece `.model`, a Hugging Face `tokenizer.json`, or a tiktoken ranks
file. Each kind is a module of its own, and gives the ids of its library.
"""

import copy
import functools
import hashlib
from collections.abc import Sequence
from typing import Protocol

import numba
import numpy as np
import pyarrow as pa

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.pipeline.errors import TokenizerError
from coursepack.pipeline.recipe import TokenizerSettings
from coursepack.pipeline.storage import read_bytes
from coursepack.tokenizers.cache import CACHE_BYTES


class Model(Protocol):
    """What each kind of file gives; ids that it does not name are None."""

    file_name: str  # in a workspace
    exact: bool  # our kernels encode, with the library's ids; else the library does
    vocab_size: int
    pad_id: int | None
    bos_id: int | None
    eos_id: int | None
    unk_id: int | None

    def encode(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Token offsets and ids of texts."""

    def decode(self, ids: list[int]) -> str:
        """The text of ids, without special tokens."""

    def piece(self, token: int) -> str:
        """A token as the file spells it."""

    def find(self, piece: str) -> int | None:
        """The id of a piece."""

    def special_pieces(self) -> list[str]:
        """The special tokens."""

    @property
    def loss(self) -> str:
        """Why texts need not come back from their ids; empty where `read_back` holds."""

    def read_back(self, text: str) -> str:
        """What `decode` makes of a text's ids."""

    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each id the bytes of text that it stands for (int32), and whether it is a byte of what has no piece."""


class Tokenizer:
    """A tokenizer file's bytes at work; `sha256` of those bytes is what it is."""

    def __init__(
        self, data: bytes, cache_bytes: int = CACHE_BYTES, pattern: str | None = None
    ) -> None:
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._model = _open(data, cache_bytes, pattern)
        self.vocab_size = self._model.vocab_size  # above every id
        self.pad_id = self._model.pad_id
        self.bos_id = self._model.bos_id
        self.eos_id = self._model.eos_id
        self.unk_id = self._model.unk_id

    @property
    def exact(self) -> bool:
        """Whether our kernels encode, with the library's ids; else the library does."""
        return self._model.exact

    @property
    def file_name(self) -> str:
        """What its file is called in a workspace."""
        return self._model.file_name

    def naming(
        self,
        bos: int | str | None = None,
        eos: int | str | None = None,
        pad: int | str | None = None,
    ) -> "Tokenizer":
        """The same tokenizer with other begin, end and pad tokens, by id or by piece.

        None keeps the file's own. Raises TokenizerError for a token that is not there.
        """
        named = copy.copy(self)
        for name, token in (("bos", bos), ("eos", eos), ("pad", pad)):
            if token is not None:
                setattr(named, f"{name}_id", self._named(name, token))
        return named

    def require(self, bos: bool, eos: bool) -> None:
        """Raise TokenizerError where a token that is to frame documents has no name."""
        for name, wanted, token in (("bos", bos, self.bos_id), ("eos", eos, self.eos_id)):
            if wanted and token is None:
                raise TokenizerError(
                    f"the tokenizer's file does not say which token is {name}; name it in the recipe, "
                    f'[tokenizer] {name} = "...", or go without: {name} = false; {self._specials()}'
                )

    def encode(
        self, text: Text, bos: bool = False, eos: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Offsets (int64, n + 1, in tokens, from 0) and ids (int32) of a string column.

        The ids are those of the file's library. Special tokens written out in a text are text; tokens
        that a file defines as its user's (SentencePiece) or adds as not special (`tokenizers`) are
        matched. A null row is an empty text: no ids but bos and eos.
        """
        self.require(bos, eos)
        if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
            raise TokenizerError(
                f"text is of type {text.type}; a string or large_string column is encoded"
            )
        offsets, ids = self._model.encode(*text_buffers(text))
        before = self.bos_id if bos else None
        after = self.eos_id if eos else None
        if before is None and after is None:
            return offsets, ids
        return _framed(
            offsets, ids, -1 if before is None else before, -1 if after is None else after
        )

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of one document's ids, for people and checks; special tokens vanish."""
        return self._model.decode([int(i) for i in ids])

    def piece(self, token: int) -> str:
        """A token as the file spells it: U+2581 is SentencePiece's space; byte-level files have GPT-2's alphabet."""
        return self._model.piece(int(token))

    def byte_pieces(self) -> np.ndarray:
        """Which ids (bool, vocab_size) stand for a byte of what the vocabulary has no piece for.

        Of byte-level BPE, those whose bytes are no valid UTF-8 on their own.
        """
        return self._sizes[1]

    def piece_bytes(self) -> np.ndarray:
        """Bytes of text (int32, vocab_size) that each id stands for; 0 of special and unknown ids."""
        return self._sizes[0]

    @property
    def loss(self) -> str:
        """Why texts need not come back from their ids, in words; empty where `read_back` holds."""
        return self._model.loss

    def read_back(self, text: str) -> str:
        """What decode makes of the ids of `text` where there is no `loss`: `text` itself, or nearly so.

        SentencePiece's U+2581 comes back as a space; a file may put characters together.
        """
        return self._model.read_back(text)

    @functools.cached_property
    def _sizes(self) -> tuple[np.ndarray, np.ndarray]:
        return self._model.sizes()

    def _named(self, name: str, token: int | str) -> int:
        if isinstance(token, str):
            found = self._model.find(token)
            if found is None:
                raise TokenizerError(
                    f"tokenizer.{name}: the tokenizer has no piece {token!r}; {self._specials()}"
                )
            return found
        if not 0 <= token < self.vocab_size:
            raise TokenizerError(
                f"tokenizer.{name}: the tokenizer has no token {token}; ids go from 0 to {self.vocab_size - 1}"
            )
        return token

    def _specials(self) -> str:
        pieces = self._model.special_pieces()
        more = ", ..." if len(pieces) > 10 else ""
        return f"its special tokens are {', '.join(map(repr, pieces[:10])) or 'none'}{more}"


def load(
    url: str, sha256: str | None = None, settings: TokenizerSettings | None = None
) -> Tokenizer:
    """The tokenizer in a file, loaded once a process: its cache stays warm between batches.

    `url` is a path or anything fsspec opens. With `sha256` (hex) the file must be that one. `settings`
    may name the begin, end and pad tokens, and the pattern of a ranks file. Raises TokenizerError where
    there is no such file, and where a token is asked for that neither the file nor `settings` names.
    """
    if settings is None:
        return _load(url, sha256, None)
    bos = None if isinstance(settings.bos, bool) else settings.bos
    eos = None if isinstance(settings.eos, bool) else settings.eos
    tokenizer = _load(url, sha256, settings.pattern).naming(bos, eos, settings.pad)
    tokenizer.require(settings.adds_bos, settings.adds_eos)
    return tokenizer


@functools.cache
def _load(url: str, sha256: str | None, pattern: str | None) -> Tokenizer:
    try:
        data = read_bytes(url)
    except FileNotFoundError as error:
        raise TokenizerError(
            f"no tokenizer at {url!r}; give a SentencePiece .model file, a tokenizer.json or a tiktoken "
            "ranks file, or train one"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise TokenizerError(
            f"the tokenizer at {url!r} has sha256 {found}, not {sha256}: it was replaced; "
            "restore the file or encode anew"
        )
    return Tokenizer(data, pattern=pattern)


def _open(data: bytes, cache_bytes: int, pattern: str | None) -> Model:
    """The kind of a file, by its first bytes; each kind imports its own library."""
    from coursepack.tokenizers.tiktoken_ranks import TiktokenRanks, is_ranks

    if is_ranks(data):
        return TiktokenRanks(data, pattern, cache_bytes)
    if pattern is not None:
        raise TokenizerError(
            f"tokenizer.pattern is {pattern!r}, but the tokenizer is no tiktoken ranks file and says itself "
            "how texts are cut; leave the pattern out"
        )
    if data.startswith(b"{"):
        from coursepack.tokenizers.huggingface import TokenizerJson

        return TokenizerJson(data, cache_bytes)
    from coursepack.tokenizers.sentencepiece_model import SentencePieceModel

    return SentencePieceModel(data, cache_bytes)


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
