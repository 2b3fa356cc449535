"""What a SentencePiece model file says of itself, read from its protobuf wire format.

The file is a `ModelProto` (sentencepiece_model.proto of google/sentencepiece). The library reads it
but does not tell its settings, and protobuf is no dependency of ours; ten fields do not need it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from coursepack.pipeline.errors import TokenizerError

BPE = 2  # TrainerSpec.ModelType
_NORMALIZER_SPEC = 3  # of ModelProto
SPACE_MARK = "\u2581"  # what the library writes for a space
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # SentencePiece.Type

# A second `normalizer_spec { add_dummy_prefix: false }` behind the file: protobuf merges it into
# the first.
WITHOUT_DUMMY_PREFIX = b"\x1a\x02\x18\x00"
# Likewise, with an empty precompiled_charsmap, and remove_extra_whitespaces false.
WITHOUT_NORMALIZER = b"\x1a\x06\x12\x00\x18\x00\x20\x00"


@dataclass(frozen=True)
class ModelSpec:
    """The settings that decide how text becomes ids; the defaults are those of the proto file."""

    pieces: list[str] = field(repr=False)
    types: list[int] = field(repr=False)
    scores: list[float] = field(repr=False)
    model_type: int = 1
    byte_fallback: bool = False
    whitespace_as_suffix: bool = False
    identity: bool = True  # no character map
    dummy_prefix: bool = True
    removes_extra_whitespaces: bool = True
    escapes_whitespaces: bool = True


def read_spec(model: bytes) -> ModelSpec:
    """The spec of a model file's bytes; `TokenizerError` when they are not one."""
    pieces: list[str] = []
    types: list[int] = []
    scores: list[float] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    try:
        for number, value in _fields(model):
            if number == 1 and isinstance(value, bytes):
                piece = dict(_fields(value))
                pieces.append(bytes(piece[1]).decode())
                types.append(int(piece.get(3, NORMAL)))
                scores.append(struct.unpack("<f", bytes(piece.get(2, bytes(4))))[0])
            elif number == 2 and isinstance(value, bytes):
                trainer.update(_fields(value))
            elif number == 3 and isinstance(value, bytes):
                normalizer.update(_fields(value))
    except (IndexError, KeyError, UnicodeDecodeError, TypeError, struct.error) as error:
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
        model_type=int(trainer.get(3, 1)),
        byte_fallback=bool(trainer.get(35, 0)),
        whitespace_as_suffix=bool(trainer.get(24, 0)),
        identity=not normalizer.get(2, b""),
        dummy_prefix=bool(normalizer.get(3, 1)),
        removes_extra_whitespaces=bool(normalizer.get(4, 1)),
        escapes_whitespaces=bool(normalizer.get(5, 1)),
    )


def with_dummy_prefix(model: bytes) -> bytes:
    """A model file that adds a space before each text: `normalizer_spec.add_dummy_prefix` set in place."""
    at = 0
    while at < len(model):
        start = at
        tag, at = _varint(model, at)
        size, at = _varint(model, at)  # a ModelProto has messages alone
        if tag == _NORMALIZER_SPEC << 3 | 2:
            # of a field that is there twice the last one holds
            spec = model[at : at + size] + b"\x18\x01"
            return model[:start] + bytes([tag]) + _as_varint(len(spec)) + spec + model[at + size :]
        at += size
    raise TokenizerError("this is not a SentencePiece model: it has no normalizer_spec")


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: an int for varints, bytes for everything else."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}[kind]
        if at + size > end:
            raise IndexError(at)
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | data[at] << shift, at + 1
