"""A Hugging Face `tokenizer.json`: byte-level BPE by our kernels, everything else by the library.

The ids are those of `tokenizers` with `encode_special_tokens` on and no special tokens added: a special token
that stands in a text is text, as it must be in a corpus (a page that says "<|endoftext|>" ends no document);
any other added token is matched as the library matches it.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson
import tokenizers
from tokenizers import decoders

from coursepack.pipeline.errors import TokenizerError
from coursepack.tokenizers.added_tokens import TEXT, Added, Finder, Pieces, replace_rows
from coursepack.tokenizers.byte_level import ALPHABET, ByteLevelEncoder, byte_sizes, unspell
from coursepack.tokenizers.cache import CACHE_BYTES
from coursepack.tokenizers.merging import Merges
from coursepack.tokenizers.normal_forms import FORMS, rows_to_normalise
from coursepack.tokenizers.patterns import GPT2, PATTERNS, Pattern

# a task has one core; the library takes all there are, and its threads do not survive a fork
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Text given to the library in one call: what it makes of it is forty times as large.
_CALL_BYTES = 1 << 20


@dataclass(frozen=True)
class Plan:
    """What the kernels must know of a byte-level file."""

    pattern: Pattern
    digits: bool  # each digit is cut off before the pattern sees it
    form: str | None  # the normal form of texts


def plan_of(config: Mapping[str, Any]) -> Plan | None:
    """How the kernels encode for a parsed `tokenizer.json`; None where they would not do what the library does."""
    model, known = config["model"], _pattern(config.get("pre_tokenizer"))
    normalizers = _steps(config.get("normalizer"), "normalizers")
    forms = [step.get("type") for step in normalizers]
    if (
        known is None
        or model.get("type", "BPE") != "BPE"
        or "merges" not in model
        or any(model.get(name) for name in ("dropout", "byte_fallback"))
        or any(model.get(name) for name in ("continuing_subword_prefix", "end_of_word_suffix"))
        or len(forms) > 1
        or any(form not in FORMS for form in forms)
        or any(sign not in model["vocab"] for sign in ALPHABET.values())
    ):
        return None
    return Plan(*known, form=forms[0] if forms else None)


def _steps(part: Mapping[str, Any] | None, name: str) -> list[Mapping[str, Any]]:
    """The steps of a part of the pipeline, sequences in sequences opened."""
    if part is None:
        return []
    if part.get("type") != "Sequence":
        return [part]
    return list(chain.from_iterable(_steps(inner, name) for inner in part[name]))


def _pattern(part: Mapping[str, Any] | None) -> tuple[Pattern, bool] | None:
    """The pattern of a pre-tokeniser, and whether digits are cut off first."""
    steps = _steps(part, "pretokenizers")
    if not steps or steps[-1].get("type") != "ByteLevel" or steps[-1].get("add_prefix_space", True):
        return None
    if steps[-1].get("use_regex", True):
        digits = [{"type": "Digits", "individual_digits": True}]
        return (Pattern(GPT2), len(steps) == 2) if steps[:-1] in ([], digits) else None
    if len(steps) != 2 or steps[0].get("type") != "Split":
        return None
    cut = steps[0]
    keeps_matches = (cut.get("behavior"), cut.get("invert")) in (
        ("Isolated", False),
        ("Removed", True),
    )
    known = PATTERNS.get(cut["pattern"].get("Regex", "")) if keeps_matches else None
    return (known, False) if known else None


class TokenizerJson:
    """A `tokenizer.json` at work: a `Model` of `coursepack.tokenizers.model`."""

    file_name = "tokenizer.json"

    def __init__(self, data: bytes, cache_bytes: int = CACHE_BYTES) -> None:
        try:
            self._library = tokenizers.Tokenizer.from_buffer(data)
            config = orjson.loads(data)
        except Exception as error:  # the library raises no narrower one
            raise TokenizerError(
                f"this is not a tokenizer.json that `tokenizers` {tokenizers.__version__} reads: {error}; "
                "give the file that a model comes with"
            ) from error
        self._library.no_padding()
        self._library.no_truncation()
        self._library.encode_special_tokens = True
        vocabulary = self._library.get_vocab(with_added_tokens=True)
        self.vocab_size = max(vocabulary.values(), default=-1) + 1
        unknown = config["model"].get("unk_token")
        self.unk_id: int | None = vocabulary.get(unknown) if isinstance(unknown, str) else None
        # the file does not say which tokens begin, end or fill
        self.bos_id: int | None = None
        self.eos_id: int | None = None
        self.pad_id: int | None = None
        self._plan = plan_of(config)
        self.exact = self._plan is not None
        self._added = self._library.get_added_tokens_decoder()
        if self._plan:
            if self._library.decoder is None:
                self._library.decoder = decoders.ByteLevel()
            self._encoder = _encoder(config["model"], self._plan, cache_bytes)
            self._raw, self._normalised = self._finders()

    def encode(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Token offsets (int64, n + 1, from 0) and ids (int32) of n texts data[offsets[i]:offsets[i + 1]]."""
        if self._plan is None:
            return self._by_library(offsets, data, np.arange(len(offsets) - 1))
        # rows that only the library encodes as it does
        left = np.zeros(len(offsets) - 1, np.bool_)
        given = offsets, data
        if self._plan.form:
            rows = rows_to_normalise(self._plan.form, offsets, data)
            if self._raw.finds:
                left[rows] = True
            elif len(rows):
                offsets, data = replace_rows(offsets, data, rows, *self._normal(*given, rows))
        pieces = Pieces.of_rows(offsets)
        for finder in (self._raw, self._normalised):
            if finder.finds:
                matches, odd = finder.matches(pieces.offsets, data, pieces.tokens)
                left[np.searchsorted(pieces.first, np.flatnonzero(odd), "right") - 1] = True
                if len(matches):
                    pieces = pieces.cut(matches)
        found, ids = self._encoder.encode(pieces.offsets, data)
        named = np.flatnonzero(pieces.tokens != TEXT)
        if len(named):
            one_each = np.arange(len(named) + 1)
            found, ids = replace_rows(
                found, ids, named, one_each, pieces.tokens[named].astype(np.int32)
            )
        found = found[pieces.first]
        rows = np.flatnonzero(left)
        if len(rows):
            found, ids = replace_rows(found, ids, rows, *self._by_library(*given, rows))
        return found, ids

    def decode(self, ids: list[int]) -> str:
        """The text of ids; special tokens vanish."""
        return str(self._library.decode(ids, skip_special_tokens=True))

    def piece(self, token: int) -> str:
        """A token as the file spells it; byte-level ones in GPT-2's alphabet."""
        return self._library.id_to_token(token) or ""

    def find(self, piece: str) -> int | None:
        """The id of a piece, if there is such a one."""
        found: int | None = self._library.token_to_id(piece)
        return found

    def special_pieces(self) -> list[str]:
        """The special tokens, by id."""
        return [token.content for _, token in sorted(self._added.items()) if token.special]

    @property
    def loss(self) -> str:
        """Why texts need not come back from their ids, in words; empty where `read_back` holds."""
        added = [one for one in self._added.values() if not one.special]
        if self._plan is None:
            return "what it makes of texts is not known"
        if any(one.lstrip or one.rstrip for one in added):
            return "some of its tokens take the white space beside them"
        if self._plan.form is None:
            return ""
        normalise = self._library.normalizer.normalize_str
        # a token decodes as it was given, not as it was found
        whole = not self._raw.finds and all(normalise(one.content) == one.content for one in added)
        return "" if whole else "some of its tokens are found in texts that it normalises"

    def read_back(self, text: str) -> str:
        """The text, in the normal form that the file asks for."""
        if self._plan is None or self._plan.form is None:
            return text
        return str(self._library.normalizer.normalize_str(text))

    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes of text that each id stands for (int32; 0 of special ids), and which are bytes of what has no piece."""
        pieces = self._library.get_vocab(with_added_tokens=False)
        if self._plan:
            tokens = {token: unspell(piece) or b"" for piece, token in pieces.items()}
        else:  # as most files write spaces and bytes
            tokens = {token: _plain(piece) for piece, token in pieces.items()}
        for token, added in self._added.items():
            tokens[token] = b"" if added.special else added.content.encode()
        return byte_sizes(tokens, self.vocab_size)

    def _finders(self) -> tuple[Finder, Finder]:
        """Of the tokens that match a text as it is, and of those that match it normalised."""
        normalizer = self._library.normalizer
        raw: list[Added] = []
        normalised: list[Added] = []
        for token, added in self._added.items():
            content, odd = added.content, added.single_word or added.lstrip or added.rstrip
            if added.normalized and normalizer is not None:
                content = normalizer.normalize_str(content)
            kind = normalised if added.normalized else raw
            kind.append(Added(content.encode(), token, added.special, odd))
        return Finder(raw), Finder(normalised)

    def _normal(
        self, offsets: np.ndarray, data: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and bytes of some rows, normalised."""
        normalise = self._library.normalizer.normalize_str
        texts = [normalise(text).encode() for text in _texts(offsets, data, rows)]
        ends = np.cumsum([0, *map(len, texts)])
        return ends, np.frombuffer(b"".join(texts), np.uint8)

    def _by_library(
        self, offsets: np.ndarray, data: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Token offsets and ids of some rows, by the library."""
        sizes = offsets[rows + 1] - offsets[rows]
        calls = np.cumsum(sizes) // _CALL_BYTES
        counts: list[np.ndarray] = [np.zeros(1, np.int64)]
        parts: list[np.ndarray] = [np.zeros(0, np.int32)]
        for some in np.split(rows, np.flatnonzero(np.diff(calls)) + 1):
            texts = _texts(offsets, data, some)
            found = self._library.encode_batch_fast(texts, add_special_tokens=False)
            lists = [encoding.ids for encoding in found]
            counts.append(np.fromiter(map(len, lists), np.int64, len(lists)))
            parts.append(np.fromiter(chain.from_iterable(lists), np.int32))
        return np.cumsum(np.concatenate(counts)), np.concatenate(parts)


def _texts(offsets: np.ndarray, data: np.ndarray, rows: np.ndarray) -> list[str]:
    view = memoryview(data)  # type: ignore[arg-type]
    bounds = zip(offsets[rows].tolist(), offsets[rows + 1].tolist(), strict=True)
    return [str(view[a:b], "utf-8") for a, b in bounds]


def _plain(piece: str) -> bytes:
    """The bytes of a piece that spells spaces as SentencePiece does, and lone bytes as `<0x0A>`."""
    if byte := re.fullmatch(r"<0x([0-9A-F]{2})>", piece):
        return bytes([int(byte[1], 16)])
    return piece.replace("\u2581", " ").encode()


def _encoder(model: Mapping[str, Any], plan: Plan, cache_bytes: int) -> ByteLevelEncoder:
    """Pieces with other signs than the alphabet's can come of no text, and merges of theirs neither."""
    spelled = {piece: unspell(piece) for piece in model["vocab"]}
    vocabulary = {token: model["vocab"][piece] for piece, token in spelled.items() if token}
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    merges = [(a, b) for a, b in ((spelled[a], spelled[b]) for a, b in pairs) if a and b]
    whole = bool(model.get("ignore_merges"))
    return ByteLevelEncoder(
        plan.pattern, Merges.of_list(vocabulary, merges, whole), plan.digits, cache_bytes
    )
