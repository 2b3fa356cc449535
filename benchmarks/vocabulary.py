"""A vocabulary from all of a corpus: what drawing and counting its words takes, and what training takes.

Jobs: `session`, `count_words` (draw the sample, count its words in Spark's tasks, add them up),
`train_vocabulary` (the trainer, from the counts) and, with `--agree MB`, `vocabulary_agreement`: so much of the
corpus' text is trained on twice by the library, from its sentences and from its counted words.

The corpus is measured and decided first, off the meter; no rule is applied and no near duplicate looked for, so that
the sample is as large as the corpus.
"""

from collections.abc import Iterator

import orjson
import pyarrow as pa
import sentencepiece
from measuring import (
    Bench,
    Meter,
    bench,
    coursepack_version,
    open_lines,
    parser,
    say,
)
from whole import compile_kernels, recipe_for

from coursepack.jobs.run import Run
from coursepack.pipeline.errors import CoursepackError
from coursepack.pipeline.progress import Progress
from coursepack.pipeline.recipe import Dedup, Recipe
from coursepack.pipeline.session import local_session, release
from coursepack.stages.check import check
from coursepack.stages.sampling import Windows, plan_sample, supply
from coursepack.stages.vocabulary import CountTask, count_words, wanted_vocabulary
from coursepack.tokenizers.memory import estimate
from coursepack.tokenizers.train import Vocabulary, options_of, train_words
from coursepack.tokenizers.trainer import run_trainer

_LONGEST_LINE = 1 << 15  # in characters; longer words end the trainer


def measure_vocabulary(at: Bench, recipe: Recipe) -> None:
    """Count the words of all kept text, and train on them."""
    settings = recipe.tokenizer.train
    assert settings
    wanted = wanted_vocabulary(settings)
    check(recipe)
    with Meter() as meter:
        spark = local_session("coursepack benchmark")
        try:
            session = meter.lap()
            work = Run(recipe, spark, Progress.silent())
            inventory, decided = work.curate()
            meter.lap()
            readers = {group: inventory.reader(group) for group in inventory.groups}
            rates, [share] = plan_sample(settings, supply(spark, decided, readers))
            sample = Windows(inventory.workspace, decided, readers, recipe, rates)
            words = inventory.workspace.dataset("words")
            task = CountTask(sample, inventory.workspace.dataset("parts"), wanted)
            counted = count_words(spark, task, words)
            counting = meter.lap()
        finally:
            release(spark)
        meter.lap()
        trained = train_words(counted.table(1), wanted)
        training = meter.lap()
    size, mb = counted.size(), counted.text_bytes / 1e6
    about = {"pieces": wanted.pieces, "algorithm": wanted.algorithm, "compiled": True}
    about |= {"words": size.words, "characters": size.characters, "supply_mb": share.there / 1e6}
    at.record("session", "coursepack", coursepack_version(), 0, session)
    at.record("count_words", "coursepack", coursepack_version(), mb, counting, **about)
    at.record(
        *("train_vocabulary", "coursepack", coursepack_version(), mb, training),
        trainer_mb=round(trained.peak_bytes / 1e6, 1),
        estimated_mb=round(estimate(size, wanted) / 1e6, 1),
        **about,
    )


def measure_agreement(at: Bench, wanted: Vocabulary, mb: float) -> None:
    """Train on sentences and on words of the same text, and compare the pieces and what they compress."""
    texts, held_out = _split(at, int(mb * 1e6))
    text_mb = sum(len(text.encode()) for text in texts) / 1e6
    counter = wanted.counter()
    with Meter() as meter:
        counter.add(pa.array(texts, pa.large_string()))
        from_words = train_words(counter.table(), wanted)
        with_words = meter.lap()
        options = options_of(wanted, wanted.settings(), accept_fewer=False)
        answer = run_trainer(options | {"input_format": ""}, _lines(texts), lambda line: None)
        with_sentences = meter.lap()
    if answer.error is not None:
        raise SystemExit(f"the library could not train on sentences: {answer.error}")
    ours, theirs = (
        sentencepiece.SentencePieceProcessor(model_proto=model)
        for model in (from_words.model, answer.model)
    )
    pieces = [[each.id_to_piece(i) for i in range(len(each))] for each in (ours, theirs)]
    held_bytes = sum(len(text.encode()) for text in held_out)
    tokens = [sum(map(len, each.encode(held_out))) for each in (ours, theirs)]
    at.record(
        *("vocabulary_agreement", "coursepack", coursepack_version(), text_mb, with_words),
        algorithm=wanted.algorithm,
        pieces=wanted.pieces,
        peer=f"sentencepiece {sentencepiece.__version__}, sentences",
        equal_ids=round(sum(a == b for a, b in zip(*pieces, strict=True)) / wanted.pieces, 6),
        shared_pieces=round(len({*pieces[0]} & {*pieces[1]}) / wanted.pieces, 6),
        bytes_per_token=[round(held_bytes / count, 5) for count in tokens],
        trainer_mb=[round(size / 1e6, 1) for size in (from_words.peak_bytes, answer.peak_bytes)],
        peer_wall_s=round(with_sentences.wall_s, 3),
        peer_cpu_s=round(with_sentences.cpu_s, 3),
    )


def _split(at: Bench, size: int) -> tuple[list[str], list[str]]:
    """Every k-th document, for `size` bytes in all; and a twentieth as much of those between."""
    step = max(int(at.corpus.bytes / size), 1)
    taken: tuple[list[str], list[str]] = ([], [])
    for number, text in enumerate(_texts(at)):
        if number % step == 0 and number // step % 20:
            taken[0].append(text)
        elif number % step == 0:
            taken[1].append(text)
    return taken


def _texts(at: Bench) -> Iterator[str]:
    for part in at.corpus.parts:
        with open_lines(part) as lines:
            for line in lines:
                yield orjson.loads(line)["text"]


def _lines(texts: list[str]) -> Iterator[bytes]:
    """Lines for the trainer, none empty or too long; U+2585 cuts our words, and so it does here."""
    for text in texts:
        for line in text.replace("\u2585", "<unk>").split("\n"):
            for start in range(0, len(line.rstrip("\r")), _LONGEST_LINE):
                yield line[start : start + _LONGEST_LINE].encode() + b"\n"


def main() -> None:
    """Measure as the arguments say."""
    arguments = parser(__doc__)
    arguments.add_argument("--pieces", type=int, default=256_000, help="of the vocabulary")
    arguments.add_argument("--algorithm", choices=("bpe", "unigram"), default="bpe")
    arguments.add_argument(
        "--agree", type=float, metavar="MB", help="compare with sentences on so much"
    )
    arguments.add_argument("--only-agree", action="store_true", help="measure nothing else")
    given = arguments.parse_args()
    with bench(given.corpus, given.out) as at:
        try:
            if not given.only_agree:
                compile_kernels(at.folder / "small")
                say("measuring")
                made = recipe_for(at.corpus, at.folder / "ws", vocabulary=given.pieces, rules={})
                assert made.tokenizer.train
                train = made.tokenizer.train.model_copy(
                    update={"sample": max(at.corpus.bytes, 1), "algorithm": given.algorithm}
                )
                tokenizer = made.tokenizer.model_copy(update={"train": train})
                update = {"tokenizer": tokenizer, "dedup": Dedup(fuzzy=False)}
                measure_vocabulary(at, made.model_copy(update=update))
            if given.agree:
                say("comparing with sentences")
                measure_agreement(
                    at, Vocabulary(given.pieces, algorithm=given.algorithm), given.agree
                )
        except CoursepackError as error:
            raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
