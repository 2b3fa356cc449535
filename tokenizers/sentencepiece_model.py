"""A SentencePiece `.model` file: its pieces and its ids, encoded by `segments`."""

import numpy as np
import sentencepiece

from coursepack.tokenizers.cache import CACHE_BYTES
from coursepack.tokenizers.segments import SegmentEncoder
from coursepack.tokenizers.sentencepiece_proto import (
    BYTE,
    CONTROL,
    NORMAL,
    SPACE_MARK,
    UNUSED,
    USER_DEFINED,
)


class SentencePieceModel:
    """A `.model` file at work: a `Model` of `coursepack.tokenizers.model`."""

    file_name = "tokenizer.model"

    def __init__(self, data: bytes, cache_bytes: int = CACHE_BYTES) -> None:
        self._encoder = SegmentEncoder(data, cache_bytes)
        self._spec = self._encoder.spec
        self._library = sentencepiece.SentencePieceProcessor(model_proto=data)
        self.exact = self._encoder.exact
        self.vocab_size = int(self._library.get_piece_size())
        self.pad_id = _id_or_none(self._library.pad_id())
        self.bos_id = _id_or_none(self._library.bos_id())
        self.eos_id = _id_or_none(self._library.eos_id())
        self.unk_id = _id_or_none(self._library.unk_id())

    def encode(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Token offsets (int64, n + 1, from 0) and ids (int32) of n texts data[offsets[i]:offsets[i + 1]]."""
        return self._encoder.encode(offsets, data)

    def decode(self, ids: list[int]) -> str:
        """The text of ids; control tokens vanish."""
        return str(self._library.decode(ids))

    def piece(self, token: int) -> str:
        """A token as the vocabulary spells it, with U+2581 for a space."""
        return str(self._library.id_to_piece(token))

    def find(self, piece: str) -> int | None:
        """The id of a piece, if there is such a one."""
        token = int(self._library.piece_to_id(piece))
        return token if self.piece(token) == piece else None

    def special_pieces(self) -> list[str]:
        """The control tokens, by id."""
        pairs = zip(self._spec.pieces, self._spec.types, strict=True)
        return [piece for piece, kind in pairs if kind == CONTROL]

    @property
    def loss(self) -> str:
        """Why texts need not come back from their ids, in words; empty where `read_back` holds."""
        spec = self._spec
        if not spec.identity or spec.removes_extra_whitespaces:
            return "it normalises texts"
        return "" if spec.byte_fallback else "it has no pieces for some characters"

    def read_back(self, text: str) -> str:
        """The text; but U+2581 comes back as a space, for SentencePiece writes it for one."""
        return text.replace(SPACE_MARK, " ") if self._spec.escapes_whitespaces else text

    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes of text that each id stands for (int32; 0 of control and unknown ids), and which are byte pieces."""
        spec = self._spec
        space = " " if spec.escapes_whitespaces else SPACE_MARK
        texts = (piece.replace(SPACE_MARK, space) for piece in spec.pieces)
        sizes = np.fromiter((len(text.encode()) for text in texts), np.int32, len(spec.pieces))
        types = spec.types
        sizes[types == BYTE] = 1
        sizes[~np.isin(types, (NORMAL, USER_DEFINED, UNUSED, BYTE))] = 0
        return sizes, types == BYTE


def _id_or_none(token: int) -> int | None:
    return token if token >= 0 else None
