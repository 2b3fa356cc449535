"""The decompressed bytes of any file, its kind told by magic bytes, in constant memory.

Members, frames and streams that follow each other are one stream (gzip RFC 1952, zstd RFC 8878,
bzip2, xz). What precedes damage is delivered first; then BrokenStream says what is wrong.
"""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple

import zstandard

from coursepack.pipeline.storage import open_input

MAGIC_BYTES = 10  # of a file's head, enough for `compression`

_PIECE = 1 << 20  # decompressed bytes a step
_BLOCK = 1 << 20  # compressed bytes a read
# zstandard has no cap on output: 4 bytes make at most a block of 128 KiB, so 4 KiB make 128 MiB
_ZST_FEED = 4096
_ZST_MAGIC = b"\x28\xb5\x2f\xfd"
_BZ2_BLOCKS = (
    b"1AY&SY",
    b"\x17rE8P\x90",
)  # after the level: a block, or the end of an empty stream
_WINDOW = 1 << 31  # the widest window of `zstd --long=31`, as some public dumps use

_DAMAGE = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, ValueError)


class BrokenStream(Exception):
    """The bytes end early or cannot be decompressed; the text says where and how."""


class Frame(NamedTuple):
    """Where a zstd frame begins: in the file, and in the decompressed stream."""

    compressed: int
    decompressed: int


def compression(head: bytes) -> str:
    """`zst`, `gz`, `bz2`, `xz` or `none`, from a file's first `MAGIC_BYTES`, never from its name."""
    if head.startswith(_ZST_MAGIC) or _is_skippable(head[:4]):
        return "zst"
    if head.startswith(b"\x1f\x8b"):
        return "gz"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith(b"BZh") and any(magic.startswith(head[4:10]) for magic in _BZ2_BLOCKS):
        return "bz2"
    return "none"


class Stream(io.RawIOBase):
    """Decompressed bytes, read once from front to back."""

    def __init__(self, raw: IO[bytes], pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._raw = raw
        self._pieces = pieces
        self._piece = b""
        self._at = 0  # of the piece, what was given

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, none only at the end; all where `size` is negative."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        if self._at == len(self._piece):
            self._piece, self._at = next(self._pieces, b""), 0
        out = self._piece[self._at : self._at + size]
        self._at += len(out)
        return out

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        out = self.read(len(view))
        view[: len(out)] = out
        return len(out)

    def skip(self, count: int) -> int:
        """Pass over `count` bytes; returns how many there were."""
        left = count
        while left and (piece := self.read(min(left, _PIECE))):
            left -= len(piece)
        return count - left

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


def open_stream(url: str, start: int = 0, frame: Frame | None = None) -> Stream:
    """The decompressed bytes of a file from byte `start` on.

    An uncompressed file seeks; zstd goes to `frame` (at or before `start`), or without one to the
    last frame that headers can place there; anything else is decompressed from its front. Reads
    raise BrokenStream after all that could be decompressed; so does this, before `start`.
    """
    raw = open_input(url)
    try:
        kind = compression(raw.read(MAGIC_BYTES))
        if kind == "none":
            raw.seek(start)
            return Stream(raw, iter(lambda: raw.read(_BLOCK), b""))
        begin = frame if frame and frame.decompressed <= start else Frame(0, 0)
        if kind == "zst" and start and begin is not frame:
            begin = _frame_before(raw, start)
        raw.seek(begin.compressed)
        stream = Stream(raw, _gathered(_DECODERS[kind](raw)))
        stream.skip(start - begin.decompressed)
        return stream
    except BaseException:
        raw.close()
        raise


def zst_frames(url: str) -> list[Frame] | None:
    """Where the frames of a zstd file begin, from headers alone (RFC 8878); no decompression.

    None where the file is not zstd, is damaged, has one frame only, or has a frame that does not
    state its content size: it can only be read from its front. Skippable frames are passed over.
    """
    with open_input(url) as raw:
        if compression(raw.read(MAGIC_BYTES)) != "zst":
            return None
        try:
            frames = list(_frames(raw))
        except BrokenStream:
            return None
        return frames[:-1] if len(frames) > 2 else None


def _frame_before(raw: IO[bytes], start: int) -> Frame:
    last = Frame(0, 0)
    try:
        for frame in _frames(raw):
            if frame.decompressed > start:
                break
            last = frame
    except BrokenStream:
        pass  # what was placed up to there is right; the decoder will say what is wrong
    return last


def _frames(raw: IO[bytes]) -> Iterator[Frame]:
    """Each frame's beginning, then the file's end; BrokenStream where that cannot be known."""
    offset = decompressed = 0
    while True:
        raw.seek(offset)
        head = raw.read(18)  # the longest frame header, with its magic
        if not head or head.startswith(_ZST_MAGIC):
            yield Frame(offset, decompressed)
            if not head:
                return
            length, content, checksum = _frame_header(head)
            offset = _skip_blocks(raw, offset + length) + checksum
            decompressed += content
        elif _is_skippable(head[:4]) and len(head) >= 8:
            offset += 8 + int.from_bytes(head[4:8], "little")
        else:
            raise BrokenStream(f"no zstd frame begins at byte {offset}")


def _frame_header(head: bytes) -> tuple[int, int, int]:
    """Bytes of the header with its magic, bytes of content, bytes of the checksum."""
    descriptor = head[4] if len(head) > 4 else 0
    single = descriptor >> 5 & 1
    at = 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3]
    width = (single, 2, 4, 8)[descriptor >> 6]
    if not width or len(head) < at + width:
        raise BrokenStream("a zstd frame that does not state its content size")
    content = int.from_bytes(head[at : at + width], "little") + (256 if width == 2 else 0)
    return at + width, content, 4 * (descriptor >> 2 & 1)


def _skip_blocks(raw: IO[bytes], offset: int) -> int:
    """The end of the blocks that begin at `offset`."""
    while True:
        raw.seek(offset)
        head = int.from_bytes(raw.read(3).ljust(3, b"\xff"), "little")
        last, kind, size = head & 1, head >> 1 & 3, head >> 3
        if kind == 3:  # reserved; also what a missing header reads as
            raise BrokenStream(f"no zstd block begins at byte {offset}")
        offset += 3 + (1 if kind == 1 else size)  # kind 1: one byte, repeated `size` times
        if last:
            return offset


def _is_skippable(magic: bytes) -> bool:
    return len(magic) == 4 and 0x50 <= magic[0] <= 0x5F and magic[1:] == b"\x2a\x4d\x18"


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of about `_PIECE`; what came before damage is delivered first."""
    held: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= _PIECE:
                yield b"".join(held)
                held, size = [], 0
    except BrokenStream:
        if size:
            yield b"".join(held)
        raise
    if size:
        yield b"".join(held)


def _members(
    raw: IO[bytes],
    kind: str,
    new: Callable[[], Any],
    step: Callable[[Any, bytes], Iterator[bytes]],
    block: int = _BLOCK,
) -> Iterator[bytes]:
    """The bytes of member after member. `step(decoder, data)` yields what `data` decompresses to.

    NUL bytes after a member are padding (gzip to a tape's blocks, xz to multiples of four).
    """
    decoder = None
    while data := raw.read(block):
        while data:
            if decoder is None:
                data = data.lstrip(b"\0")
                if not data:
                    break
                decoder = new()
            try:
                yield from step(decoder, data)
            except _DAMAGE as error:
                raise BrokenStream(f"damaged {kind} stream: {error}") from error
            if not decoder.eof:
                break
            data, decoder = decoder.unused_data, None
    if decoder is not None:
        raise BrokenStream(f"the {kind} stream is cut short")


def _gz(raw: IO[bytes]) -> Iterator[bytes]:
    return _members(raw, "gz", lambda: zlib.decompressobj(wbits=31), _gz_step)


def _bz2(raw: IO[bytes]) -> Iterator[bytes]:
    return _members(raw, "bz2", bz2.BZ2Decompressor, _capped_step)


def _xz(raw: IO[bytes]) -> Iterator[bytes]:
    return _members(raw, "xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), _capped_step)


def _zst(raw: IO[bytes]) -> Iterator[bytes]:
    context = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    return _members(raw, "zst", context.decompressobj, _zst_step, _ZST_FEED)


def _gz_step(decoder: Any, data: bytes) -> Iterator[bytes]:
    yield decoder.decompress(data, _PIECE)
    while decoder.unconsumed_tail and not decoder.eof:
        yield decoder.decompress(decoder.unconsumed_tail, _PIECE)


def _capped_step(decoder: Any, data: bytes) -> Iterator[bytes]:
    yield decoder.decompress(data, _PIECE)
    while not (decoder.needs_input or decoder.eof):
        yield decoder.decompress(b"", _PIECE)


def _zst_step(decoder: Any, data: bytes) -> Iterator[bytes]:
    yield decoder.decompress(data)


_DECODERS: dict[str, Callable[[IO[bytes]], Iterator[bytes]]] = {
    "gz": _gz,
    "bz2": _bz2,
    "xz": _xz,
    "zst": _zst,
}
