"""What all benchmarks share: a corpus in one form, a meter of the process tree, one record a measurement.

The meter reads /proc, so benchmarks run on Linux alone. CPU time is that of this process, of all
its descendants that live, and of those that ended: a parent's `cutime` and `cstime` hold the time of the
children it waited for. Descendants whose parent dies first (Spark's Python workers, when their
daemon stops) would be lost to the tree; as a "child subreaper" (prctl(2)) this process inherits them
while it measures, and their times stay readable, as children or as zombies. Resolution: one clock
tick, 10 ms, a process.
"""

import argparse
import ctypes
import gzip
import io
import itertools
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import orjson
import pyarrow.parquet as pq
import zstandard

from coursepack.jobs.demo_corpus import write_corpus
from coursepack.pipeline.session import usable_cores

DEMO = "text of this Python installation"
SAMPLE_SECONDS = 0.2
PART_BYTES = 16_000_000  # of text: a few parts a core even of a small corpus
# `text` of any corpus; the others are the demo's, whose layouts differ
_TEXT_FIELDS = ("text", "content", "query_text")
_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


# The meter


@dataclass(frozen=True)
class Used:
    """What a stretch of work took: wall seconds, CPU seconds and peak memory of the process tree."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0

    def __add__(self, other: "Used") -> "Used":
        """Two stretches, one after the other."""
        return Used(
            self.wall_s + other.wall_s,
            self.cpu_s + other.cpu_s,
            max(self.peak_mb, other.peak_mb),
        )


class Process(NamedTuple):
    """A line of /proc/PID/stat; times in clock ticks."""

    pid: int
    parent: int
    started: int
    own: int  # user and system time of all its threads
    reaped: int  # of the descendants it has waited for
    resident: int  # bytes


class Meter:
    """Measures the process tree while its block runs; `lap()` reads it at borders inside the block.

    Memory is sampled every 0.2 s: the sum of RSS, and where that is 1 % above all before, the sum of PSS (which
    counts shared pages once, but takes a walk over page tables), whose maximum is the peak. The CPU
    time of sampling, some 3 ms a time and 20 ms for a GB of PSS, is left out.
    """

    def __init__(self) -> None:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._lock = threading.Lock()
        self._sampling_s = 0.0  # CPU time of our thread
        self._lapping_s = 0.0  # and of taking samples at laps
        self._highest_rss = 0
        self._peak = 0
        self._before = (0.0, 0.0)
        self.total = Used()

    def __enter__(self) -> "Meter":
        _inherit_orphans(True)
        self._before = self._times()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.lap()
        self._done.set()
        self._thread.join()
        _inherit_orphans(False)

    def lap(self) -> Used:
        """What was used since the block began, or since the last lap; `total` is the sum of all laps."""
        start = time.thread_time()
        self._sample()
        self._lapping_s += time.thread_time() - start
        now = self._times()
        with self._lock:
            # ticks are coarser than the sampling time that is taken off
            cpu_s = max(0.0, now[1] - self._before[1])
            used = Used(now[0] - self._before[0], cpu_s, self._peak / 1e6)
            self._highest_rss = self._peak = 0
        self._before = now
        self.total += used
        return used

    def _times(self) -> tuple[float, float]:
        return time.monotonic(), tree_cpu_seconds() - self._sampling_s - self._lapping_s

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self._sample()
            self._sampling_s = time.thread_time()

    def _sample(self) -> None:
        tree = process_tree()
        rss = sum(process.resident for process in tree.values())
        with self._lock:
            if rss > 1.01 * self._highest_rss:
                self._highest_rss = rss
                self._peak = max(self._peak, sum(map(_proportional, tree.values())))


def tree_cpu_seconds() -> float:
    """CPU seconds ever used by this process, its descendants, and those of them that ended."""
    tree = process_tree()
    for _ in range(20):
        before, tree = tree, process_tree()
        if _generations(before) == _generations(tree):
            break  # nobody was born or waited for in between: no time is missed or counted twice
    return sum(process.own + process.reaped for process in tree.values()) * _TICK


def process_tree() -> dict[int, Process]:
    """This process and its descendants, zombies too, by pid."""
    found = [_process(int(name)) for name in os.listdir("/proc") if name.isdecimal()]
    children: dict[int, list[Process]] = {}
    tree: dict[int, Process] = {}
    for process in found:
        if process:
            children.setdefault(process.parent, []).append(process)
            if process.pid == os.getpid():
                tree[process.pid] = process
    waiting = list(tree)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            tree[child.pid] = child
            waiting.append(child.pid)
    return tree


def _generations(tree: dict[int, Process]) -> dict[int, tuple[int, int]]:
    return {pid: (process.started, process.reaped) for pid, process in tree.items()}


def _process(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None  # it ended
    # the second field, the name, may hold blanks and parentheses; see proc_pid_stat(5)
    field = stat[stat.rindex(b")") + 2 :].split()
    own, reaped = int(field[11]) + int(field[12]), int(field[13]) + int(field[14])
    return Process(pid, int(field[1]), int(field[19]), own, reaped, int(field[21]) * _PAGE)


def _proportional(process: Process) -> int:
    """PSS in bytes: private pages, and a share of those that several processes map."""
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:  # a zombie, or not ours to read
        pass
    return process.resident


def _inherit_orphans(yes: bool) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


# The corpus


@dataclass(frozen=True)
class Corpus:
    """Texts as `part-NNNNN.jsonl.zst` in a folder: an object a line, with `id` and `text`."""

    folder: Path
    names: tuple[str, ...]  # of the files it came from
    documents: int
    bytes: int  # of the texts, in UTF-8
    skipped: int  # records without text

    @property
    def mb(self) -> float:
        return self.bytes / 1e6

    @property
    def parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.jsonl.zst"))


def normalise(files: Sequence[Path], folder: Path, names: Sequence[str] = ()) -> Corpus:
    """Write the texts of JSON lines (.zst, .gz, plain) or Parquet files as a Corpus into `folder`.

    The text is the field `text` (of the demo's layouts also `content` and `query_text`), the id the field
    `id`, or the record's number where there is none. Records without text are skipped, and counted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = [0, 0, 0]  # documents, their bytes, records skipped
    lines = _lines((record for file in files for record in read_records(file)), found)
    part = itertools.count()
    while (line := next(lines, None)) is not None:
        with open_compressed(folder / f"part-{next(part):05d}.jsonl.zst") as out:
            full = found[1] + PART_BYTES
            out.write(line)
            while found[1] < full and (line := next(lines, None)) is not None:
                out.write(line)
    return Corpus(folder, tuple(names or [file.name for file in files]), *found)


def _lines(records: Iterable[dict[str, Any]], found: list[int]) -> Iterator[bytes]:
    """Each text as a line of a Corpus; adds to `found` what there was."""
    for number, record in enumerate(records):
        text = next((record[f] for f in _TEXT_FIELDS if isinstance(record.get(f), str)), "")
        if not text.strip():
            found[2] += 1
            continue
        name = record.get("id")
        found[0] += 1
        found[1] += len(text.encode())
        yield orjson.dumps({"id": str(number if name is None else name), "text": text}) + b"\n"


def read_records(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines or Parquet; an empty one for each line that is no object."""
    if file.name.endswith(".parquet"):
        parquet = pq.ParquetFile(file)
        wanted = [n for n in ("id", *_TEXT_FIELDS) if n in parquet.schema_arrow.names]
        for batch in parquet.iter_batches(1024, columns=wanted):
            yield from batch.to_pylist()
        return
    with open_lines(file) as lines:
        for line in lines:
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                record = None
            yield record if isinstance(record, dict) else {}


def open_lines(file: Path) -> IO[bytes]:
    """A reader of the lines of a file, decompressed as its name says."""
    if file.name.endswith(".zst"):
        stream = zstandard.ZstdDecompressor().stream_reader(
            open(file, "rb"),  # noqa: SIM115 - closed with the reader
            read_across_frames=True,
            closefd=True,
        )
        return io.BufferedReader(stream, 1 << 20)
    if file.name.endswith(".gz"):
        return io.BufferedReader(gzip.open(file, "rb"), 1 << 20)
    return open(file, "rb")


def open_compressed(file: Path) -> IO[bytes]:
    """A writer of a new .zst file."""
    out: IO[bytes] = zstandard.open(file, "wb", cctx=zstandard.ZstdCompressor(3))
    return out


# The form


@dataclass(frozen=True)
class Bench:
    """A benchmark under way: its corpus, a folder that goes when it ends, and where records are written."""

    corpus: Corpus
    folder: Path
    out: Path | None

    def record(
        self, job: str, who: str, version: str, mb: float, used: Used, **counts: Any
    ) -> dict[str, Any]:
        """Write one measurement to stdout, and to `--out`; returns it.

        `mb` is the text that the job worked on, in 10^6 bytes of UTF-8; 0 where it works on none.
        """
        # no rate without text, or where the clock is too coarse
        rate = round(mb / used.cpu_s, 3) if mb and used.cpu_s > 0 else None
        row = {
            "job": job,
            "who": who,
            "version": version,
            "mb": round(mb, 3),
            "wall_s": round(used.wall_s, 3),
            "cpu_s": round(used.cpu_s, 3),
            "mb_per_core_s": rate,
            "peak_mb": round(used.peak_mb, 1),
            **counts,
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(),
            "corpus": list(self.corpus.names),
        }
        line = orjson.dumps(row).decode()
        print(line, flush=True)
        if self.out:
            with open(self.out, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        return row


def machine() -> dict[str, Any]:
    """The model of the CPU, and how many cores this process may use."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return {"cpu": value.strip(), "cores": usable_cores()}
    return {"cpu": platform.machine(), "cores": usable_cores()}


def coursepack_version() -> str:
    """The version of coursepack that is measured."""
    return version("coursepack")


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that all benchmarks take."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--corpus",
        nargs="+",
        type=_file,
        metavar="FILE",
        help="JSON lines (.zst, .gz, plain) or Parquet with a field `text`; default: " + DEMO,
    )
    made.add_argument("--out", type=Path, metavar="FILE.jsonl", help="append the records here too")
    return made


def _file(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {name!r}")
    return path


@contextmanager
def bench(files: Sequence[Path] | None, out: Path | None = None) -> Iterator[Bench]:
    """A benchmark over `files`, or over the demo's texts; its temporary folder goes at the end."""
    with tempfile.TemporaryDirectory(prefix="coursepack-benchmark-") as name:
        folder = Path(name)
        say("preparing the corpus")
        if files:
            corpus = normalise(files, folder / "corpus")
        else:
            write_corpus(str(folder / "demo"))
            found = sorted(path for path in (folder / "demo").rglob("*") if path.is_file())
            corpus = normalise(found, folder / "corpus", [DEMO])
        if not corpus.documents:
            raise SystemExit(f"no record of {', '.join(corpus.names)} has a field `text` with text")
        say(f"{corpus.documents:,} documents, {corpus.mb:,.1f} MB, {corpus.skipped:,} skipped")
        yield Bench(corpus, folder, out)


def say(text: str) -> None:
    """A message for people."""
    print(text, file=sys.stderr, flush=True)
