import gzip
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import measuring
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the meter reads /proc")

BURN = "import time\nwhile time.process_time() < 0.6: pass\n"
# a name with what separates fields in /proc/PID/stat
RENAME = "open('/proc/self/comm', 'w').write('a) R 1 (b')\n"
WAIT = "print('burnt', flush=True)\ninput()\n"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


@contextmanager
def child(program: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has said a line, and ends when the block does."""
    with subprocess.Popen(
        python(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        yield process
        process.stdin.write(b"\n")


def reaped() -> None:
    subprocess.run(python(RENAME + BURN), check=True)


def grandchild() -> None:
    subprocess.run(
        python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"),
        check=True,
    )


def orphan() -> None:
    """A process whose parent ends before it; it is a zombie when its pipe has no writer any more."""
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {RENAME + BURN!r}])\n"
        "print(child.pid, flush=True)\n"
    )
    done = subprocess.run(python(parent), check=True, stdout=subprocess.PIPE)
    ORPHANS.append(int(done.stdout))


ORPHANS: list[int] = []


@pytest.mark.parametrize("work", [reaped, grandchild, orphan])
def test_the_meter_counts_children_that_ended(work: Callable[[], None]) -> None:
    try:
        with measuring.Meter() as meter:
            work()
            used = meter.lap()
    finally:
        while ORPHANS:
            os.waitpid(ORPHANS.pop(), 0)
    assert (
        0.6 <= used.cpu_s + 0.03 < 2.5
    )  # ticks are cut off; a start of Python costs 0.02 and more
    assert used.wall_s >= 0.5


def test_the_meter_counts_a_child_that_lives() -> None:
    with measuring.Meter() as meter, child(RENAME + BURN + WAIT):
        assert 0.57 <= meter.lap().cpu_s < 2.5


def test_the_meter_counts_nothing_from_before_its_block() -> None:
    reaped()
    with child(BURN + WAIT), measuring.Meter() as meter:
        assert meter.lap().cpu_s < 0.3


def test_laps_add_up_and_each_has_a_peak_of_its_own() -> None:
    with measuring.Meter() as meter:
        before = meter.lap()
        with child("block = bytearray(b'x') * 200_000_000\n" + WAIT):
            during = meter.lap()
        after = meter.lap()
    assert during.peak_mb > before.peak_mb + 190
    assert after.peak_mb < during.peak_mb - 190
    assert meter.total.peak_mb == during.peak_mb
    assert meter.total.wall_s >= before.wall_s + during.wall_s + after.wall_s


def test_a_peak_between_two_laps_is_seen() -> None:
    with measuring.Meter() as meter:
        before = meter.lap()
        subprocess.run(
            python("import time; block = bytearray(b'x') * 200_000_000; time.sleep(1)"), check=True
        )
        assert meter.lap().peak_mb > before.peak_mb + 190


def test_stretches_of_work_add_up() -> None:
    assert measuring.Used(1, 2, 3) + measuring.Used(4, 5, 2) == measuring.Used(5, 7, 3)


RECORDS: list[Any] = [
    {"id": "one", "text": "plain"},
    {"text": "no id: \u00e9\u4e2d\U0001f600\n\ttwo lines"},
    {"id": 7, "text": "a number as id"},
    {"id": "empty", "text": ""},
    {"id": "blank", "text": " \n"},
    {"id": "null", "text": None},
    {"id": "none"},
    {"text": 42},
    ["a list"],
]
TEXTS = [
    ("one", "plain"),
    ("1", "no id: \u00e9\u4e2d\U0001f600\n\ttwo lines"),
    ("7", "a number as id"),
]


def lines(records: list[Any]) -> bytes:
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


def write(file: Path, records: list[Any]) -> Path:
    data = lines(records) + b'{"text": "cut sho'
    if file.name.endswith(".gz"):
        data = gzip.compress(data)
    elif file.name.endswith(".zst"):  # of two frames, the first of which ends inside a line
        data = b"".join(zstandard.ZstdCompressor().compress(d) for d in (data[:30], data[30:]))
    file.write_bytes(data)
    return file


def texts(corpus: measuring.Corpus) -> list[tuple[str, str]]:
    return [(r["id"], r["text"]) for part in corpus.parts for r in measuring.read_records(part)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json.gz", "a.jsonl.zst"])
def test_lines_become_a_corpus(tmp_path: Path, name: str) -> None:
    corpus = measuring.normalise([write(tmp_path / name, RECORDS)], tmp_path / "corpus")
    assert texts(corpus) == TEXTS
    assert (corpus.documents, corpus.skipped) == (3, 7)
    assert corpus.bytes == sum(len(text.encode()) for _, text in TEXTS)
    assert corpus.names == (name,)
    with zstandard.open(corpus.parts[0], "rb") as part:
        assert part.read() == lines([{"id": name, "text": text} for name, text in TEXTS])


@pytest.mark.parametrize("field", ["text", "content", "query_text"])
def test_parquet_becomes_a_corpus(tmp_path: Path, field: str) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"stars": [1, 2, 3], field: ["one", None, "two"]}), file)
    corpus = measuring.normalise([file], tmp_path / "corpus", ["of a name"])
    assert texts(corpus) == [("0", "one"), ("2", "two")]
    assert (corpus.skipped, corpus.names) == (1, ("of a name",))


def test_a_large_corpus_has_several_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "PART_BYTES", 100)
    wanted = [(str(n), "x" * 40) for n in range(20)]
    records = [{"id": name, "text": text} for name, text in wanted]
    files = [write(tmp_path / f"{n}.jsonl", records[n::2]) for n in range(2)]
    corpus = measuring.normalise(files, tmp_path / "corpus")
    assert len(corpus.parts) == 5
    assert sorted(texts(corpus)) == sorted(wanted)
    assert texts(corpus) == wanted[::2] + wanted[1::2]


def test_a_record_says_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = measuring.Corpus(tmp_path, ("a.jsonl", "b.jsonl"), 1, 5, 0)
    out = tmp_path / "out.jsonl"
    bench = measuring.Bench(corpus, tmp_path, out)
    bench.record("job", "peer", "1.2", 30.0, measuring.Used(4.0, 8.0, 100.04), kept=3)
    bench.record("job", "peer", "1.2", 0.0, measuring.Used(4.0, 8.0, 100.0))
    bench.record("job", "peer", "1.2", 30.0, measuring.Used(0.001, 0.0, 100.0))
    shown = capsys.readouterr().out
    assert out.read_text() == shown
    rows = [orjson.loads(line) for line in shown.splitlines()]
    first = rows[0]
    assert list(first) == ["job", "who", "version", "mb", "wall_s", "cpu_s", "mb_per_core_s",
                           "peak_mb", "kept", "date", "machine", "corpus"]  # fmt: skip
    assert (first["mb_per_core_s"], first["peak_mb"], first["kept"]) == (3.75, 100.0, 3)
    assert first["corpus"] == ["a.jsonl", "b.jsonl"]
    assert first["machine"]["cpu"]
    assert first["machine"]["cores"] >= 1
    assert len(first["date"]) == 10
    assert [row["mb_per_core_s"] for row in rows[1:]] == [None, None]
    assert str(tmp_path) not in shown


def test_a_benchmark_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with measuring.bench([write(tmp_path / "a.jsonl", RECORDS)]) as at:
        assert texts(at.corpus) == TEXTS
        assert at.corpus.names == ("a.jsonl",)
    assert not at.folder.exists()
    assert capsys.readouterr().out == ""  # messages go to stderr


def test_a_corpus_without_text_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(SystemExit, match=r"no record of a\.jsonl has a field `text` with text"),
        measuring.bench([write(tmp_path / "a.jsonl", RECORDS[3:])]),
    ):
        pass


def test_lines_are_read_as_they_are(tmp_path: Path) -> None:
    data = b"one\r\n\ntwo"
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "a.gz").write_bytes(gzip.compress(data))
    (tmp_path / "a.zst").write_bytes(zstandard.ZstdCompressor().compress(data))
    for file in tmp_path.iterdir():
        with measuring.open_lines(file) as reader:
            assert list(reader) == list(io.BytesIO(data))


def test_a_missing_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        measuring.parser("about").parse_args(["--corpus", "not-there.jsonl"])
    assert "there is no file 'not-there.jsonl'" in capsys.readouterr().err
