"""The step measure, and the quality filters that other tools would run on the same documents.

Jobs: `session` (the start of Spark), `measure` (the whole step: reading, hashes, all default signals, language,
bands, samples, writing), `measure_profile` (what takes the time, in one process without Spark)
and, for each `--peer`, `quality_filters`.

`measure` and `quality_filters` are run on a corpus and on a quarter of it: a record each, and a third
of the difference, marked `beyond_fixed`, which is what a large corpus costs. Peers work on documents
drawn from the corpus, `--peer-mb` of them; each is a program in `peers/` for a Python of its own.
"""

import argparse
import itertools
import multiprocessing
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson
import pyarrow as pa
import xxhash
from measuring import (
    Bench,
    Corpus,
    Meter,
    Used,
    bench,
    coursepack_version,
    normalise,
    open_compressed,
    parser,
    process_tree,
    read_records,
    say,
)
from whole import compile_kernels, recipe_for, say_rates

from coursepack.pipeline.documents import doc_numbers
from coursepack.pipeline.errors import CoursepackError
from coursepack.pipeline.hashing import content_hash
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.session import local_session, release
from coursepack.pipeline.workspace import Workspace
from coursepack.stages.batch import Batch, batch_of
from coursepack.stages.check import check
from coursepack.stages.families import FAMILIES, ROW, ColumnGroup, asked, column_groups
from coursepack.stages.inventory import Inventory, take_inventory
from coursepack.stages.measure import measure
from coursepack.stages.reader import Reader
from coursepack.stages.records import read_records as read_batches

T = TypeVar("T")

OURS = "coursepack"
SMALL = 0.25  # the smaller of two sizes
PROFILE_MB = 60.0
SEED = 5  # of the hash that draws documents
FOLDER = Path(__file__).parent / "peers"
COMPUTED, CHAINED = "computed", "chained"  # all values of all documents; or as far as each gets
PEERS = {  # name -> its program, and the ways to run it
    "datatrove": ("datatrove_filters.py", (COMPUTED, CHAINED)),
    "dolma": ("dolma_taggers.py", (COMPUTED,)),
    "juicer": ("juicer_ops.py", (COMPUTED,)),
    "nemo": ("nemo_filters.py", (COMPUTED,)),
}


class Run(NamedTuple):
    """A job done on `mb` of text."""

    mb: float
    used: Used


def drawn(corpus: Corpus, mb: float, folder: Path) -> Corpus:
    """About `mb` of a corpus: documents chosen by a hash of their text, so that less is part of more."""
    limit = mb / corpus.mb * (1 << 64)
    if limit >= 1 << 64:
        return corpus
    folder.mkdir()
    file = folder / "drawn.jsonl.zst"
    with open_compressed(file) as out:
        for document in itertools.chain.from_iterable(map(read_records, corpus.parts)):
            if xxhash.xxh3_64_intdigest(document["text"].encode(), SEED) < limit:
                out.write(orjson.dumps(document) + b"\n")
    found = normalise([file], folder / "corpus", corpus.names)
    if not found.documents:
        raise SystemExit(f"no document falls into a sample of {mb:g} MB; take a larger corpus")
    return found


def beyond(small: Run, large: Run) -> Run:
    """What the larger run took over the smaller one; the peak of the larger."""
    a, b = small.used, large.used
    return Run(
        large.mb - small.mb, Used(b.wall_s - a.wall_s, max(0.0, b.cpu_s - a.cpu_s), b.peak_mb)
    )


def write_runs(
    at: Bench, job: str, who: str, version: str, small: Run, large: Run, **counts: Any
) -> float | None:
    """Records of two sizes, and of their difference; returns MB per core-second of the latter."""
    for run in (small, large):
        at.record(job, who, version, *run, beyond_fixed=False, **counts)
    row = at.record(job, who, version, *beyond(small, large), beyond_fixed=True, **counts)
    rate: float | None = row["mb_per_core_s"]
    return rate


# The step


@dataclass(frozen=True)
class Step:
    """What measuring took: the session apart; and the memory of a task's process."""

    session: Used
    used: Used
    tasks: int  # at a time
    task_peak_mb: float


def measured_step(recipe: Recipe) -> Step:
    """Measure all that `recipe` wants in a Spark session of its own."""
    check(recipe)
    with Meter() as meter:
        spark = local_session("coursepack benchmark")
        try:
            session = meter.lap()
            tasks = spark.sparkContext.defaultParallelism
            inventory = take_inventory(recipe, Workspace(recipe.workspace), tasks)
            meter.lap()
            measure(spark, recipe, inventory, Progress.silent())
            used = meter.lap()
            peak = workers_peak_mb()  # they wait for a next task
        finally:
            release(spark)
    return Step(session, used, min(tasks, len(inventory.groups)), peak)


def workers_peak_mb() -> float:
    """The highest resident memory that one of Spark's Python workers below this process has had, 10^6 bytes."""
    peaks = [0.0]
    for pid in process_tree():
        try:
            if b"pyspark.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes():
                peaks.append(high_water_mb(pid))
        except OSError:  # it ended
            continue
    return max(peaks)


def high_water_mb(pid: int) -> float:
    """The highest resident memory that a process has had, 10^6 bytes; 0 of a zombie."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def record_step(at: Bench) -> float | None:
    """Measure a quarter of the corpus, and all of it; returns MB per core-second beyond the fixed cost."""
    runs = []
    small = drawn(at.corpus, SMALL * at.corpus.mb, at.folder / "quarter")
    for number, corpus in enumerate((small, at.corpus)):
        say(f"measuring {corpus.mb:,.1f} MB")
        step = measured_step(recipe_for(corpus, at.folder / f"run-{number}"))
        at.record("session", OURS, coursepack_version(), 0.0, step.session)
        runs.append(Run(corpus.mb, step.used))
    return write_runs(
        at, "measure", OURS, coursepack_version(), *runs,
        tasks=step.tasks, task_peak_mb=round(step.task_peak_mb, 1), compiled=True,
    )  # fmt: skip


# The profile


@dataclass(frozen=True)
class Profile:
    """What one process took to measure a corpus; CPU seconds by part, those of opt-in families apart."""

    used: Used
    seconds: dict[str, float]
    opt_in: dict[str, float]


class Clock:
    """Adds up the CPU seconds of this process by part of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What its block takes belongs to `name`."""
        start = time.process_time()
        yield
        self.seconds[name] += time.process_time() - start

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """The items; what finding each takes belongs to `name`."""
        waiting = iter(items)
        while True:
            with self.part(name):
                found = list(itertools.islice(waiting, 1))
            if not found:
                return
            yield found[0]


def profiled(recipe: Recipe) -> Profile:
    """Measure the corpus of `recipe` in a new process without Spark; the clock runs at each column group."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_profile, recipe).result()


def _profile(recipe: Recipe) -> Profile:
    workspace = Workspace(recipe.workspace)
    inventory = take_inventory(recipe, workspace)
    default = column_groups(recipe)
    opt_in = column_groups(with_all_families(recipe))
    opt_in = {name: group for name, group in opt_in.items() if name not in default}
    for batches in (1, None):  # the first batch alone loads kernels and models
        with Meter() as meter:
            seconds = seconds_by_part(recipe, inventory, default, batches)
        more = seconds_by_part(recipe, inventory, opt_in, batches)
    return Profile(meter.total, seconds, {name: more[name] for name in opt_in})


def with_all_families(recipe: Recipe) -> Recipe:
    """The same with every family measured, whether a rule names it or not."""
    signals = recipe.signals.model_copy(update={"families": tuple(FAMILIES)})
    return recipe.model_copy(update={"signals": signals})


def seconds_by_part(
    recipe: Recipe,
    inventory: Inventory,
    groups: Mapping[str, ColumnGroup],
    batches: int | None = None,
) -> dict[str, float]:
    """Measure as the step does; the first `batches` alone where that is not None.

    What several column groups ask for (pieces, words) is a part of its own, as is `writing`.
    """
    clock = Clock()
    read = clock.each("read", inventory_batches(recipe, inventory))
    with ExitStack() as stack:
        out = {
            name: stack.enter_context(
                inventory.workspace.dataset("profile", name).attempt("all", group.schema)
            )
            for name, group in groups.items()
        }
        for file_no, reader, records in itertools.islice(read, batches):
            with clock.part("content hash"):
                batch = batch_of(records, content_hash(records.column("text")), reader)
            doc = pa.array(doc_numbers(file_no, records.column("place").to_numpy()))
            for name, group in groups.items():
                prepare(batch, group.asks, clock)
                with clock.part(name):
                    columns = group.measure(batch)
                with clock.part("writing"):
                    out[name].write(with_doc(columns, doc))
        with clock.part("writing"):
            stack.close()
    return dict(clock.seconds)


def inventory_batches(
    recipe: Recipe, inventory: Inventory
) -> Iterator[tuple[int, Reader, pa.RecordBatch]]:
    """(file_no, reader, records) of all groups, in order."""
    for group in inventory.groups:
        reader = inventory.reader(group)
        for file_no, split in inventory.splits(group):
            for records in read_batches(split, reader.layout, recipe.limits.record_bytes):
                yield file_no, reader, records


def prepare(batch: Batch, names: Iterable[str], clock: Clock) -> None:
    """Find what is asked of a batch, families and shared parts alike, each on its own clock."""
    for name in names:
        if name in FAMILIES and name not in batch.measured:
            prepare(batch, FAMILIES[name].asks, clock)
        with clock.part(name):
            asked(batch, name)


def with_doc(columns: pa.RecordBatch, doc: pa.Array) -> pa.Table:
    """A column group as it is written: with the number of each document."""
    table = pa.Table.from_batches([columns])
    if ROW in table.schema.names:  # of some documents alone
        return table.drop_columns([ROW]).add_column(0, "doc", doc.take(table[ROW]))
    return table.add_column(0, "doc", doc)


def record_profile(at: Bench) -> None:
    """One record: milliseconds of one core for a megabyte of text, the dearest part first."""
    corpus = drawn(at.corpus, PROFILE_MB, at.folder / "profiled")
    say(f"profiling {corpus.mb:,.1f} MB")
    profile = profiled(recipe_for(corpus, at.folder / "profile"))
    parts, opt_in = per_mb(profile.seconds, corpus.mb), per_mb(profile.opt_in, corpus.mb)
    at.record("measure_profile", OURS, coursepack_version(), corpus.mb, profile.used,
              documents=corpus.documents, ms_per_mb=parts, opt_in_ms_per_mb=opt_in,
              compiled=True)  # fmt: skip
    say(f"{'':24}{'ms per MB':>10}")
    for name, spent in parts.items():
        say(f"{name:24}{spent:10.2f}")
    say(f"{'all of these':24}{sum(parts.values()):10.2f}")
    for name, spent in opt_in.items():
        say(f"{name + ' (opt-in)':24}{spent:10.2f}")


def per_mb(seconds: Mapping[str, float], mb: float) -> dict[str, float]:
    """Milliseconds a megabyte, the largest first; without what rounds to nothing."""
    found = {name: round(1000 * spent / mb, 2) for name, spent in seconds.items()}
    return {name: ms for name, ms in sorted(found.items(), key=lambda pair: -pair[1]) if ms}


# The peers


class PeerError(Exception):
    """A peer that did not do its work."""


def run_peer(name: str, python: str, corpus: Corpus, mode: str, out: Path) -> tuple[Run, str]:
    """Run a peer's program over a corpus; also returns its version.

    The program writes that, and the number of documents, into `out`/result.json; and `cpu_s` where it knows of
    more CPU seconds than its parent can. Raises PeerError where it fails, or did not read every document.
    """
    out.mkdir(parents=True)
    program = FOLDER / PEERS[name][0]
    with open(out / "output.txt", "wb") as log, Meter() as meter:
        code = subprocess.run(
            [python, str(program), str(corpus.folder), str(out), mode], stdout=log, stderr=log
        ).returncode
    result = out / "result.json"
    if code or not result.is_file():
        lines = (out / "output.txt").read_text(errors="replace").strip().splitlines()
        missing = "" if code else " and no result.json"
        raise PeerError(f"{name} ended with code {code}{missing}: " + " | ".join(lines[-3:]))
    about: dict[str, Any] = orjson.loads(result.read_bytes())
    if about["documents"] != corpus.documents:
        raise PeerError(
            f"{name} read {about['documents']:,} documents of {corpus.documents:,}; "
            "a rate of part of the text would mean nothing"
        )
    used = replace(meter.total, cpu_s=max(meter.total.cpu_s, about.get("cpu_s", 0.0)))
    return Run(corpus.mb, used), about["version"]


def record_peers(
    at: Bench, pythons: Mapping[str, str], mb: float
) -> tuple[dict[str, float], list[str]]:
    """Run the peers that there are, on the same documents; returns rates beyond the fixed cost, and errors."""
    corpora = [
        drawn(at.corpus, size, at.folder / f"peers-{number}")
        for number, size in enumerate((SMALL * mb, mb))
    ]
    rates: dict[str, float] = {}
    errors: list[str] = []
    for name, mode in ((peer, mode) for peer in pythons for mode in PEERS[peer][1]):
        runs, version = [], ""
        try:
            for number, corpus in enumerate(corpora):
                say(f"{name}, {mode}: {corpus.mb:,.1f} MB")
                out = at.folder / "peers" / f"{name}-{mode}-{number}"
                run, version = run_peer(name, pythons[name], corpus, mode, out)
                runs.append(run)
        except PeerError as error:
            errors.append(str(error))
            say(f"error: {error}")
            continue
        rate = write_runs(at, "quality_filters", name, version, *runs, mode=mode)
        if rate:
            rates[f"{name}, {mode}"] = rate
    return rates, errors


def record_ratios(at: Bench, ours: float, rates: Mapping[str, float]) -> None:
    """How many times a peer's rate ours is, both beyond the fixed costs; and a table for people."""
    row = {who: round(ours / rate, 1) for who, rate in rates.items()}
    at.record(
        "measure_ratio", OURS, coursepack_version(), 0.0, Used(), beyond_fixed=True, times=row
    )
    slowest_last = sorted(rates.items(), key=lambda pair: -pair[1])
    say_rates([("coursepack, the step measure", ours), *slowest_last])


def peer(argument: str) -> tuple[str, str]:
    """NAME=PYTHON of the command line."""
    name, _, python = argument.partition("=")
    if name not in PEERS or not python:
        raise argparse.ArgumentTypeError(
            f"{argument!r} is not NAME=PYTHON; the names are {', '.join(PEERS)}"
        )
    if not Path(python).is_file():
        raise argparse.ArgumentTypeError(f"{name}: there is no file {python!r}")
    return name, python


def main() -> None:
    """Measure as the arguments say."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--peer", action="append", default=[], type=peer, metavar="NAME=PYTHON",
        help=f"the Python that has a peer installed; NAME is one of {', '.join(PEERS)}",
    )  # fmt: skip
    arguments.add_argument(
        "--peer-mb", type=float, default=20.0, help="text that peers work on; default: 20"
    )
    given = arguments.parse_args()
    pythons = dict(given.peer)
    for name in (name for name in PEERS if name not in pythons):
        say(f"without {name}: no --peer {name}=PYTHON")
    with bench(given.corpus, given.out) as at:
        try:
            compile_kernels(at.folder / "small")
            ours = record_step(at)
            record_profile(at)
        except CoursepackError as error:
            raise SystemExit(f"error: {error}") from error
        rates, errors = record_peers(at, pythons, given.peer_mb) if pythons else ({}, [])
        if ours and rates:
            record_ratios(at, ours, rates)
    if errors:
        raise SystemExit("error: " + "; ".join(errors))


if __name__ == "__main__":
    main()
