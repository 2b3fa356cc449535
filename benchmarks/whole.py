"""A whole run of coursepack, step by step, and the encoding of its texts beside SentencePiece's own.

Jobs: `session` (the start of Spark), the steps `inventory`, `measure`, `decide`, `tokenizer`, `encode`,
`compose` and `pack`, `whole` (all steps together), and `encode_256k`: the texts that the run kept, encoded
in one process by one thread, by SentencePiece and by our encoder, without any pipeline around them.

A small run before compiles the kernels, in a Spark session of its own: compilation is cached on
disk and happens once an installation. Everything else starts cold.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import sentencepiece
from measuring import (
    Bench,
    Corpus,
    Meter,
    Used,
    bench,
    coursepack_version,
    normalise,
    open_lines,
    parser,
    say,
)

from coursepack.jobs.run import Run
from coursepack.pipeline.documents import MAX_PLACE, PLACE_BITS
from coursepack.pipeline.errors import CoursepackError
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Recipe, parse
from coursepack.pipeline.session import local_session, release
from coursepack.pipeline.workspace import Dataset
from coursepack.stages.check import check
from coursepack.stages.decide import Decided
from coursepack.stages.inventory import Inventory, file_urls
from coursepack.stages.report import Report
from coursepack.tokenizers.model import load

# Phase -> (share of the estimated supply, sequence length). Up to four epochs, so that the plan stays
# possible where most of a corpus are duplicates.
PHASES = {"general": (0.4, 2048), "mixed": (0.2, 4096), "enterprise": (0.1, 8192)}
BYTES_PER_TOKEN = 4.5  # of English with 256,000 pieces
MAX_EPOCHS = 4
SAMPLE_BYTES = 64_000_000  # the vocabulary's
BATCH_BYTES = 16_000_000  # of text between two readings of the meter
OURS, PEER = "coursepack", "sentencepiece"


@dataclass
class MeteredRun(Run):
    """A run whose steps are read off a meter; "rest" is what lies between them."""

    meter: Meter = field(default_factory=Meter)
    used: dict[str, Used] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note all that a step uses."""
        self.note("rest")
        with super().timed(step):
            yield
        self.note(step)

    def note(self, step: str) -> None:
        """What was used since the last note belongs to `step`."""
        self.used[step] = self.used.get(step, Used()) + self.meter.lap()


@dataclass(frozen=True)
class Outcome:
    """What a measured run leaves."""

    used: dict[str, Used]
    inventory: Inventory
    decided: Decided
    model: str
    report: Report

    @property
    def kept_bytes(self) -> int:
        """UTF-8 bytes of the texts kept."""
        return sum(row["bytes"] for row in self.decided.funnel() if not row["reason"])

    def kept(self) -> dict[Path, np.ndarray]:
        """The places (int64) of the kept documents in each part of the corpus."""
        urls = file_urls(self.inventory.workspace)
        slices = [
            self.decided.dataset.read(record, ["doc", "keep"])
            for record in self.decided.records.values()
        ]
        table = pa.concat_tables(slices)
        doc = table["doc"].filter(table["keep"]).to_numpy()
        numbers = np.unique(doc >> PLACE_BITS).tolist()
        return {
            Path(urls[number]): np.sort(doc[doc >> PLACE_BITS == number] & MAX_PLACE)
            for number in numbers
        }


@dataclass(frozen=True)
class Encoding:
    """Texts encoded by one process: what reading them took, and what encoding."""

    documents: int
    tokens: int
    reading: Used
    encoding: Used


def recipe_for(
    corpus: Corpus,
    workspace: Path,
    model: str | None = None,
    vocabulary: int = 256_000,
    rules: Mapping[str, Any] | None = None,
) -> Recipe:
    """A curriculum of three phases over all of `corpus`, sized by an estimate of its tokens.

    A few rules that ordinary text passes, exact and fuzzy deduplication with the defaults, and the vocabulary
    of `model`, or one trained with the preset "gemma".
    """
    supply = corpus.bytes / BYTES_PER_TOKEN
    train = {"preset": "gemma", "vocabulary": vocabulary, "sample": SAMPLE_BYTES}
    return parse(
        {
            "name": "benchmark",
            "seed": 7,
            "workspace": str(workspace),
            "source": [
                {"name": "corpus", "layout": "jsonl", "domain": "general"}
                | {"paths": [str(corpus.folder)], "fields": {"text": "text", "id": "id"}}
            ],
            "rules": RULES if rules is None else dict(rules),
            "tokenizer": {"model": model} if model else {"train": train},
            "phase": [
                {"name": name, "tokens": max(1000, int(supply * share)), "length": length}
                | {"mixture": {"general": 1.0}, "max_epochs": MAX_EPOCHS}
                for name, (share, length) in PHASES.items()
            ],
            # several shards a core even of a small corpus
            "shards": {"tokens": min(1 << 26, max(1 << 18, int(supply / 32)))},
        }
    )


RULES = {
    "few_words": {"drop": "words < 5"},
    "hashes": {"drop": "hash_word_ratio > 0.5 or ellipsis_word_ratio > 0.5"},
    "bullets": {"drop": "bullet_line_ratio > 0.95 and ellipsis_line_ratio > 0.3"},
    "no_language": {"drop": "alpha_ratio < 0.1 and language_score < 0.1"},
}


def measured_run(recipe: Recipe) -> Outcome:
    """Run `recipe` in a Spark session of its own, with a meter at the border of each step."""
    check(recipe)
    with Meter() as meter:
        spark = local_session("coursepack benchmark")
        try:
            run = MeteredRun(recipe, spark, Progress.silent(), meter=meter)
            run.note("session")
            inventory, decided = run.curate()
            tokenizer = run.tokenizer(inventory, decided)
            report = run.pack(inventory, decided, tokenizer)
            run.note("rest")
        finally:
            release(spark)
    return Outcome(run.used, inventory, decided, tokenizer[0], report)


def compile_kernels(folder: Path) -> None:
    """A small run, so that every kernel is in numba's cache; over Python's own help topics."""
    say("compiling kernels with a small run")
    texts = [*topics.values(), *list(topics.values())[:20]]  # with duplicates
    folder.mkdir()
    source = folder / "topics.jsonl"
    source.write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts))
    corpus = normalise([source], folder / "corpus")
    measured_run(recipe_for(corpus, folder / "workspace", vocabulary=1500))


def record_run(at: Bench, outcome: Outcome, trained: bool, repeat: int) -> None:
    """Write the records of a run. `mb` is the text read, from encode on the text that was kept."""
    about = {"compiled": True, "repeat": repeat}
    kept_mb = outcome.kept_bytes / 1e6
    documents = outcome.report.documents
    used = dict(outcome.used)
    session = used.pop("session")
    counts: dict[str, dict[str, Any]] = {
        "decide": {"documents": documents["read"], "kept": documents["kept"]},
        "tokenizer": {"trained": trained, "pieces": outcome.report.vocabulary},
        "encode": {"documents": documents["kept"], "tokens": step_tokens(outcome)},
        "pack": {"tokens": packed_tokens(outcome)},
    }

    def write(job: str, mb: float, used: Used, **more: Any) -> None:
        at.record(job, OURS, coursepack_version(), mb, used, **more, **about)

    write("session", 0.0, session)
    for step, took in used.items():
        if step != "rest":
            kept = step in ("encode", "compose", "pack")
            write(step, kept_mb if kept else at.corpus.mb, took, **counts.get(step, {}))
    whole = sum(used.values(), Used())
    write("whole", at.corpus.mb, whole, documents=documents, kept_mb=round(kept_mb, 3),
          tokens=step_tokens(outcome), packed_tokens=packed_tokens(outcome), trained=trained)  # fmt: skip


def step_tokens(outcome: Outcome) -> int:
    """Tokens of all kept documents, each with its end-of-sequence token."""
    (folder,) = Path(outcome.inventory.workspace.path("tokens")).iterdir()  # of one tokenizer
    return sum(
        count
        for record in Dataset(str(folder)).published()
        for key, count in record.counts.items()
        if key.startswith("tokens:")
    )


def packed_tokens(outcome: Outcome) -> int:
    """Tokens in the shards, repeats included."""
    return sum(row["tokens"] for row in outcome.report.mixture)


def encode_alone(who: str, model: str, kept: Mapping[Path, np.ndarray]) -> Encoding:
    """Encode the kept documents with one thread of a new process, reading apart from encoding."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_encode, who, model, kept).result()


def _encode(who: str, model: str, kept: Mapping[Path, np.ndarray]) -> Encoding:
    encode = _sentencepiece(model) if who == PEER else _coursepack(model)
    reading = encoding = Used()
    documents = tokens = 0
    with Meter() as meter:
        for texts in _batches(kept):
            reading += meter.lap()
            tokens += encode(texts)
            encoding += meter.lap()
            documents += len(texts)
    return Encoding(documents, tokens, reading, encoding)


def _sentencepiece(model: str) -> Callable[[list[str]], int]:
    library = sentencepiece.SentencePieceProcessor(model_file=model)
    return lambda texts: sum(map(len, library.encode(texts, num_threads=1)))


def _coursepack(model: str) -> Callable[[list[str]], int]:
    tokenizer = load(model)
    return lambda texts: len(tokenizer.encode(pa.array(texts, pa.large_string()))[1])


def _batches(kept: Mapping[Path, np.ndarray]) -> Iterator[list[str]]:
    """The kept texts, about BATCH_BYTES at a time; a place is a line's offset in the decompressed part."""
    texts: list[str] = []
    filled = 0
    for part, places in kept.items():
        wanted = set(places.tolist())
        with open_lines(part) as lines:
            place = 0
            for line in lines:
                if place in wanted:
                    texts.append(orjson.loads(line)["text"])
                    filled += len(line)
                    if filled >= BATCH_BYTES:
                        yield texts
                        texts, filled = [], 0
                place += len(line)
    if texts:
        yield texts


def record_encoding(at: Bench, outcome: Outcome, repeat: int) -> None:
    """Encode the kept texts alone, ours and the peer's; both must give the tokens of the step."""
    mb, kept = outcome.kept_bytes / 1e6, outcome.kept()
    rates: list[tuple[str, float]] = [
        ("coursepack, the step encode", mb / outcome.used["encode"].cpu_s)
    ]
    for who, release_ in ((OURS, coursepack_version()), (PEER, sentencepiece.__version__)):
        alone = encode_alone(who, outcome.model, kept)
        both = alone.reading + alone.encoding
        with_eos = alone.tokens + alone.documents
        if with_eos != step_tokens(outcome):
            raise SystemExit(
                f"{who} alone gives {with_eos:,} tokens, the step {step_tokens(outcome):,}: a bug"
            )
        at.record(
            "encode_256k", who, release_, mb, alone.encoding,
            documents=alone.documents, tokens=alone.tokens, pieces=outcome.report.vocabulary,
            read_wall_s=round(alone.reading.wall_s, 3), read_cpu_s=round(alone.reading.cpu_s, 3),
            mb_per_core_s_with_reading=round(mb / both.cpu_s, 3), repeat=repeat,
            **({"compiled": True} if who == OURS else {}),
        )  # fmt: skip
        rates += [(f"{who}, reading and encoding", mb / both.cpu_s),
                  (f"{who}, encoding alone", mb / alone.encoding.cpu_s)]  # fmt: skip
    say_rates(rates)


def say_rates(rates: list[tuple[str, float]]) -> None:
    """A table for people; the last row is what the others are compared with."""
    _, least = rates[-1]
    say(f"{'':40}{'MB per core-s':>15}{'ratio':>9}")
    for name, rate in rates:
        say(f"{name:40}{rate:15.2f}{rate / least:9.2f}")


def main() -> None:
    """Measure as the arguments say."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--model", help="a SentencePiece .model file to apply; default: train one"
    )
    arguments.add_argument("--repeat", type=int, default=1, help="whole runs to measure")
    given = arguments.parse_args()
    model = str(Path(given.model).resolve()) if given.model else None
    with bench(given.corpus, given.out) as at:
        try:
            compile_kernels(at.folder / "small")
            for repeat in range(given.repeat):
                say(f"run {repeat + 1} of {given.repeat}")
                recipe = recipe_for(at.corpus, at.folder / f"run-{repeat}", model)
                outcome = measured_run(recipe)
                record_run(at, outcome, model is None, repeat)
                record_encoding(at, outcome, repeat)
        except CoursepackError as error:
            raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
