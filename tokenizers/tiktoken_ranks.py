"""A tiktoken ranks file: a token in base64 and its rank a line, without a pattern and without special tokens.

OpenAI's own files are known by their sha256, with the pattern and the special tokens that tiktoken 0.14 gives
them; for another one the recipe names the pattern. The ids are those of `Encoding.encode_ordinary`: special
tokens that stand in a text are text.
"""

import base64
import hashlib
import re

import numpy as np

from coursepack.pipeline.errors import TokenizerError
from coursepack.tokenizers.byte_level import ByteLevelEncoder, byte_sizes, spell, unspell
from coursepack.tokenizers.cache import CACHE_BYTES
from coursepack.tokenizers.merging import Merges
from coursepack.tokenizers.patterns import CL100K, GPT2, O200K, Pattern

# by the names a recipe may give, as tiktoken 0.14 spells them; Llama 3 and Qwen spell cl100k otherwise (`patterns`)
NAMED = {
    "gpt2": Pattern(GPT2),
    "cl100k": Pattern(CL100K, any_case=True, digits=3, end_first=True),
    "o200k": Pattern(O200K, any_case=True, digits=3, slash=True),
}
_END = "<|endoftext|>"
_FIM = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
# sha256 -> pattern and special tokens (tiktoken_ext/openai_public.py)
KNOWN: dict[str, tuple[str, dict[str, int]]] = {
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930": ("gpt2", {_END: 50256}),
    "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069": ("gpt2", {_END: 50256}),
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": (
        "cl100k",
        {_END: 100257, **dict(zip(_FIM, range(100258, 100261), strict=True))}
        | {"<|endofprompt|>": 100276},
    ),
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": (
        "o200k",
        {_END: 199999, "<|endofprompt|>": 200018},
    ),
}
_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} [0-9]+\r?\n")


def is_ranks(data: bytes) -> bool:
    """Whether a file begins as one of ranks does."""
    return _LINE.match(data) is not None


class TiktokenRanks:
    """A ranks file at work: a `Model` of `coursepack.tokenizers.model`."""

    file_name = "tokenizer.tiktoken"

    def __init__(
        self, data: bytes, pattern: str | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        known, special = KNOWN.get(hashlib.sha256(data).hexdigest(), (None, dict[str, int]()))
        if known and pattern not in (None, known):
            raise TokenizerError(
                f"tokenizer.pattern is {pattern!r}, but this ranks file is one of OpenAI's, which is cut by "
                f"{known!r}; leave the pattern out"
            )
        name = known or pattern
        if name not in NAMED:
            raise TokenizerError(
                "this tiktoken ranks file does not say how texts are cut, and is none of OpenAI's; name the "
                f"pattern in the recipe, tokenizer.pattern = {' or '.join(map(repr, NAMED))}, or give the "
                "model's tokenizer.json"
            )
        ranks = _read(data)
        self.exact = True
        self._special = special
        self._tokens = {rank: token for token, rank in ranks.items()}
        self._ids = ranks
        self.vocab_size = max([*self._tokens, *self._special.values()]) + 1
        self.bos_id: int | None = None
        self.pad_id: int | None = None
        self.unk_id: int | None = None
        self.eos_id = special.get(_END)
        self._names = {token: piece for piece, token in self._special.items()}
        self._encoder = ByteLevelEncoder(
            NAMED[name], Merges.of_ranks(ranks), cache_bytes=cache_bytes
        )

    def encode(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Token offsets (int64, n + 1, from 0) and ids (int32) of n texts data[offsets[i]:offsets[i + 1]]."""
        return self._encoder.encode(offsets, data)

    def decode(self, ids: list[int]) -> str:
        """The text of ids; special tokens vanish."""
        return b"".join(self._tokens.get(token, b"") for token in ids).decode("utf-8", "replace")

    def piece(self, token: int) -> str:
        """A token in GPT-2's alphabet of bytes; a special one as it is written."""
        return self._names.get(token) or spell(self._tokens.get(token, b""))

    def find(self, piece: str) -> int | None:
        """The id of a special token, or of a piece in GPT-2's alphabet of bytes."""
        found = self._special.get(piece)
        return found if found is not None else self._ids.get(unspell(piece) or b"")

    def special_pieces(self) -> list[str]:
        """The special tokens, by id."""
        return list(self._special)

    loss = ""

    def read_back(self, text: str) -> str:
        """The text."""
        return text

    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes of text that each id stands for (int32), and which are no valid UTF-8 alone."""
        return byte_sizes(self._tokens, self.vocab_size)


def _read(data: bytes) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.splitlines(), 1):
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except ValueError as error:
            raise TokenizerError(
                f"line {number:,} of the tiktoken ranks file is no token in base64 and its rank"
            ) from error
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing or len(set(ranks.values())) < len(ranks):
        found = f"no token for byte 0x{missing[0]:02X}" if missing else "two tokens of one rank"
        raise TokenizerError(
            f"the tiktoken ranks file has {found}; it is damaged: get it again from where it came"
        )
    return ranks
