"""Decompression by magic bytes, members, damage, and the frames of zstd, on bytes of real codecs."""

import bz2
import gzip
import io
import itertools
import lzma
import os
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coursepack.stages import streams
from coursepack.stages.streams import BrokenStream, Frame, compression, open_stream, zst_frames

TEXT = b"".join(b"%d bottles of beer on the wall\n" % i for i in range(20_000))


def zst(data: bytes, level: int = 3, **options: bool) -> bytes:
    return zstandard.ZstdCompressor(level=level, **options).compress(data)


CODECS = {
    "none": lambda data: data,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zst,
}
COMPRESSED = [kind for kind in CODECS if kind != "none"]


def read_all(path: Path, start: int = 0) -> bytes:
    with open_stream(str(path), start) as stream:
        return stream.read()


def read_until_broken(path: Path) -> tuple[bytes, str]:
    held = b""
    with open_stream(str(path)) as stream:
        try:
            while piece := stream.read(1000):
                held += piece
        except BrokenStream as error:
            return held, str(error)
    return held, ""


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("data", [b"", b"x", TEXT], ids=["empty", "byte", "text"])
def test_kind_is_told_by_magic_bytes_and_all_is_read(tmp_path, kind, data):
    path = tmp_path / "misleading.zst.gz.txt"
    path.write_bytes(CODECS[kind](data))
    assert compression(path.read_bytes()[: streams.MAGIC_BYTES]) == kind
    assert read_all(path) == data


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("start", [1, 31, 300_000, len(TEXT), len(TEXT) + 5])
def test_start_anywhere(tmp_path, kind, start):
    path = tmp_path / "data"
    path.write_bytes(CODECS[kind](TEXT))
    assert read_all(path, start) == TEXT[start:]


@pytest.mark.parametrize("kind", COMPRESSED)
def test_members_follow_each_other(tmp_path, kind):
    parts = [TEXT[:70_000], b"", TEXT[70_000:70_001], TEXT[70_001:]]
    path = tmp_path / "data"
    path.write_bytes(b"".join(CODECS[kind](part) for part in parts))
    assert read_all(path) == TEXT


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_padding_after_a_member(tmp_path, kind):
    path = tmp_path / "data"
    path.write_bytes(CODECS[kind](b"one") + bytes(512) + CODECS[kind](b"two") + bytes(64))
    assert read_all(path) == b"onetwo"


@pytest.mark.parametrize("kind", COMPRESSED)
def test_cut_short(tmp_path, kind):
    noise = os.urandom(3_000_000)  # several blocks of every codec
    path = tmp_path / "data"
    packed = CODECS[kind](noise)
    path.write_bytes(packed[: len(packed) * 2 // 3])
    held, message = read_until_broken(path)
    assert message == f"the {kind} stream is cut short"
    assert len(held) > 500_000
    assert noise.startswith(held)


@pytest.mark.parametrize("kind", COMPRESSED)
def test_cut_in_the_second_member(tmp_path, kind):
    path = tmp_path / "data"
    path.write_bytes(CODECS[kind](TEXT) + CODECS[kind](TEXT)[:8])
    assert read_until_broken(path) == (TEXT, f"the {kind} stream is cut short")


@pytest.mark.parametrize("kind", COMPRESSED)
def test_garbage_after_a_member(tmp_path, kind):
    path = tmp_path / "data"
    path.write_bytes(CODECS[kind](TEXT) + b"this is no member of anything" * 3)
    held, message = read_until_broken(path)
    assert held == TEXT
    assert message.startswith(f"damaged {kind} stream: ")


@pytest.mark.parametrize("kind", COMPRESSED)
def test_flipped_byte(tmp_path, kind):
    packed = bytearray(zst(TEXT, write_checksum=True) if kind == "zst" else CODECS[kind](TEXT))
    packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / "data"
    path.write_bytes(packed)
    _, message = read_until_broken(path)
    assert message


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_bomb_comes_in_pieces(tmp_path, kind):
    """50 MB of zeros in a few bytes are never held at once."""
    path = tmp_path / kind
    path.write_bytes(CODECS[kind](bytes(50_000_000)))
    with open_stream(str(path)) as stream:
        sizes = [len(piece) for piece in iter(lambda: stream.read(1 << 30), b"")]
    assert sum(sizes) == 50_000_000
    assert max(sizes) < 4 << 20


def test_stream_is_a_file(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(zst(b"one\ntwo\n"))
    with io.BufferedReader(open_stream(str(path))) as lines:
        assert lines.readlines() == [b"one\n", b"two\n"]


def test_heads_of_other_things():
    assert compression(b"") == "none"
    assert compression(b"BZhello wor") == "none"
    assert compression(b'{"text": "') == "none"
    assert compression(b"PAR1\x15\x04\x15") == "none"
    assert compression(b"\x5f\x2a\x4d\x18\0\0\0\0") == "zst"
    assert compression(bz2.compress(b"x")[:8]) == "bz2"


def frames_of(path: Path) -> list[Frame]:
    found = zst_frames(str(path))
    assert found is not None
    return found


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize(
    "sizes", [[10, 20], [0, 300, 0, 5], [255, 256, 65_791, 65_792, 1], [400_000, 131_072, 7]]
)
def test_frames(tmp_path, sizes, checksum):
    parts = [os.urandom(size // 2) + bytes(size - size // 2) for size in sizes]
    packed = [zst(part, write_checksum=checksum) for part in parts]
    skippable = b"\x53\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    path = tmp_path / "data"
    path.write_bytes(skippable + (skippable + skippable).join(packed) + skippable)
    found = frames_of(path)
    whole = b"".join(parts)
    assert [frame.decompressed for frame in found] == [sum(sizes[:i]) for i in range(len(sizes))]
    for frame in found:
        with open_stream(str(path), frame.decompressed, frame) as stream:
            assert stream.read() == whole[frame.decompressed :]


def test_no_frames_to_seek_to(tmp_path):
    path = tmp_path / "data"
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
    for data in (
        zst(TEXT),
        zst(TEXT) + unsized,
        unsized + zst(TEXT),
        gzip.compress(TEXT),
        TEXT,
        b"",
        zst(TEXT) + zst(TEXT) + b"garbage after frames",
        zst(TEXT) + zst(TEXT)[:5],
    ):
        path.write_bytes(data)
        assert zst_frames(str(path)) is None


def test_frames_before_one_without_a_size_still_serve(tmp_path):
    path = tmp_path / "data"
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
    path.write_bytes(zst(TEXT) + zst(TEXT) + unsized)
    assert read_all(path, len(TEXT) + 7) == (TEXT * 3)[len(TEXT) + 7 :]
    with open(path, "rb") as raw:
        assert streams._frame_before(raw, 3 * len(TEXT)).decompressed == 2 * len(TEXT)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.lists(st.integers(0, 5000), max_size=8), start=st.integers(0, 5100))
def test_any_start_in_any_frames(tmp_path_factory, cuts, start):
    data = TEXT[:5000]
    bounds = [0, *sorted(cuts), 5000]
    path = tmp_path_factory.mktemp("zst") / "data"
    path.write_bytes(b"".join(zst(data[a:b]) for a, b in itertools.pairwise(bounds)))
    assert read_all(path, start) == data[start:]
    assert read_all(path) == data


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".bz2", ".xz"])
def test_files_of_other_tools(suffix):
    folder = Path(__file__).parents[2].parent / "shared/data/native/decon_fixtures/training"
    path = folder / f"contaminated_mixed.jsonl{suffix}"
    if not path.exists():
        pytest.skip("the native samples are not here")
    assert read_all(path) == (folder / "contaminated_mixed.jsonl").read_bytes()
