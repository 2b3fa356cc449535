"""What a SentencePiece model file says of itself, read from its protobuf wire format.

The file is a `ModelProto` (sentencepiece_model.proto of google/sentencepiece). The library reads it
but does not tell its settings, and protobuf is no dependency of ours; ten fields do not need it. A vocabulary has
hundreds of thousands of pieces and every worker reads it, so that kernels do.
"""

from dataclasses import dataclass, field

import numpy as np

from coursepack.pipeline.errors import TokenizerError
from coursepack.tokenizers.kernels import Int, kernel

BPE = 2  # TrainerSpec.ModelType
_PIECE, _TRAINER_SPEC, _NORMALIZER_SPEC = 1, 2, 3  # fields of ModelProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types
SPACE_MARK = "\u2581"  # what the library writes for a space
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # SentencePiece.Type

# A second `normalizer_spec { add_dummy_prefix: false }` behind the file: protobuf merges it into
# the first.
WITHOUT_DUMMY_PREFIX = b"\x1a\x02\x18\x00"
# Likewise, with an empty precompiled_charsmap, and remove_extra_whitespaces false.
WITHOUT_NORMALIZER = b"\x1a\x06\x12\x00\x18\x00\x20\x00"


@dataclass(frozen=True)
class ModelSpec:
    """The settings that decide how text becomes ids; the defaults are those of the proto file.

    `pieces` as they are written, and of each its type (uint8) and its score (float32).
    """

    pieces: list[str] = field(repr=False)
    types: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    model_type: int = 1
    byte_fallback: bool = False
    whitespace_as_suffix: bool = False
    identity: bool = True  # no character map
    dummy_prefix: bool = True
    removes_extra_whitespaces: bool = True
    escapes_whitespaces: bool = True


def read_spec(model: bytes) -> ModelSpec:
    """The spec of a model file's bytes; `TokenizerError` when they are not one."""
    data = np.frombuffer(model, np.uint8)
    try:
        numbers, kinds, starts, ends = _fields(data)
        if (kinds != _BYTES).any():
            raise ValueError("a ModelProto has messages alone")
        of_piece = numbers == _PIECE
        texts, types, scores = _pieces(data, starts[of_piece], ends[of_piece])
        bounds = zip(texts[:, 0].tolist(), texts[:, 1].tolist(), strict=True)
        pieces = [model[start:end].decode() for start, end in bounds]
        trainer, normalizer = (
            _settings(model, starts[numbers == number], ends[numbers == number])
            for number in (_TRAINER_SPEC, _NORMALIZER_SPEC)
        )
    except ValueError as error:  # of UTF-8 too
        raise TokenizerError(
            "this is not a SentencePiece model: its bytes are no ModelProto; give the .model file"
        ) from error
    if not pieces:
        raise TokenizerError(
            "this is not a SentencePiece model: it has no pieces; give the .model file"
        )
    return ModelSpec(
        pieces,
        types,
        scores,
        model_type=trainer.get(3, 1),
        byte_fallback=bool(trainer.get(35, 0)),
        whitespace_as_suffix=bool(trainer.get(24, 0)),
        identity=not normalizer.get(2, 0),
        dummy_prefix=bool(normalizer.get(3, 1)),
        removes_extra_whitespaces=bool(normalizer.get(4, 1)),
        escapes_whitespaces=bool(normalizer.get(5, 1)),
    )


def with_dummy_prefix(model: bytes) -> bytes:
    """A model file that adds a space before each text: `normalizer_spec.add_dummy_prefix` set in place."""
    numbers, _, starts, ends = _fields(np.frombuffer(model, np.uint8))
    # of a field that is there twice the last one holds
    for at in np.flatnonzero(numbers == _NORMALIZER_SPEC)[-1:].tolist():
        before = int(ends[at - 1]) if at else 0
        spec = model[starts[at] : ends[at]] + b"\x18\x01"
        tag = bytes([_NORMALIZER_SPEC << 3 | _BYTES])
        return model[:before] + tag + _as_varint(len(spec)) + spec + model[ends[at] :]
    raise TokenizerError("this is not a SentencePiece model: it has no normalizer_spec")


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _settings(model: bytes, starts: np.ndarray, ends: np.ndarray) -> dict[int, int]:
    """Number and value of each field of a message: of numbers themselves, of everything else the length.

    A message that is there more than once is merged into one.
    """
    data = np.frombuffer(b"".join(model[a:b] for a, b in zip(starts, ends, strict=True)), np.uint8)
    numbers, kinds, starts, ends = _fields(data)
    values = np.where(kinds == _VARINT, ends, ends - starts)
    return dict(zip(numbers.tolist(), values.tolist(), strict=True))


def _fields(data: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of each field of a message (all int64): its number, its wire type, and where its value starts and ends;
    of a varint 0 and the value. ValueError where the bytes are no message."""
    found = np.empty((len(data) // 2, 4), np.int64)  # rows that are not written take no memory
    n = _find_fields(data, 0, len(data), found)
    if n < 0:
        raise ValueError("no protobuf message")
    return tuple(found[:n].T)


def _pieces(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each piece's message: the bounds of its text (int64, n x 2), its type (uint8), its score (float32)."""
    texts = np.zeros((len(starts), 2), np.int64)
    types, scores = np.full(len(starts), NORMAL, np.uint8), np.zeros(len(starts), np.uint32)
    longest = int((ends - starts).max(initial=0))
    if not _read_pieces(data, starts, ends, np.empty((longest, 4), np.int64), texts, types, scores):
        raise ValueError("no piece of a vocabulary")
    return texts, types, scores.view(np.float32)


@kernel
def _varint(data: np.ndarray, at: Int, end: Int) -> tuple[Int, Int]:
    """A number and where it ends; -1 where it does not."""
    value, shift = np.int64(0), np.int64(0)
    while at < end and shift < 64:
        byte = np.int64(data[at])
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    return value, np.int64(-1)


@kernel
def _find_fields(data: np.ndarray, start: Int, end: Int, found: np.ndarray) -> Int:
    """Fill the rows of `_fields` for data[start:end]; how many there are, -1 where it is no message."""
    n: Int = 0
    at = np.int64(start)
    while at < end:
        tag, at = _varint(data, at, end)
        if at < 0:
            return np.int64(-1)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at, end)
            first, last = np.int64(0), value
        else:
            if wire == _BYTES:
                size, at = _varint(data, at, end)
            elif wire == _FIXED32:
                size = np.int64(4)
            elif wire == _FIXED64:
                size = np.int64(8)
            else:
                return np.int64(-1)
            if at < 0 or size < 0 or size > end - at:
                return np.int64(-1)
            first, last = at, at + size
            at = last
        if at < 0:
            return np.int64(-1)
        found[n, 0], found[n, 1], found[n, 2], found[n, 3] = tag >> 3, wire, first, last
        n += 1
    return n


@kernel
def _read_pieces(
    data: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    found: np.ndarray,
    texts: np.ndarray,
    types: np.ndarray,
    scores: np.ndarray,
) -> bool:
    """Fill in what `_pieces` returns, scores by their bits; False where a message is none of a piece."""
    for i in range(len(starts)):
        n = _find_fields(data, starts[i], ends[i], found)
        named = False
        for k in range(n):
            number, wire = found[k, 0], found[k, 1]
            first, last = found[k, 2], found[k, 3]
            if number == 1 and wire == _BYTES:
                texts[i, 0], texts[i, 1] = first, last
                named = True
            elif number == 2 and wire == _FIXED32:
                bits = np.uint32(0)
                for byte in range(4):
                    bits |= np.uint32(data[first + byte]) << np.uint32(8 * byte)
                scores[i] = bits
            elif number == 3 and wire == _VARINT and 0 < last < 256:
                types[i] = last
            elif number <= 3:
                return False
        if not named:
            return False
    return True
