"""Speed of encoding with given tokenizer files, beside the library of each: the same ids, one thread, one run.

Job `tokenize`: passes over the corpus in a new process, texts read beforehand. Ours is measured twice, `cold`
(an empty cache; numba's kernels were compiled before) and `warm`; `load_cpu_s` is reading the file and building
tables. Peers: `sentencepiece` for a .model, `tokenizers` (`encode_batch_fast`) for a tokenizer.json, `tiktoken`
(`encode_ordinary`) for a ranks file, where this Python has it. The program stops where ids differ.

Job `tokenize_files`, with `--datatrove PYTHON` and for each tokenizer.json: from the corpus' files to files of
tokens, by datatrove's DocumentTokenizer and by our reader and encoder, a process each, starts and loading included.
The step `encode` of a run is measured by whole.py.

    python benchmarks/tokenize_text.py --tokenizer gpt2.json o200k_base.tiktoken --corpus a.jsonl.zst
"""

import hashlib
import importlib.metadata
import importlib.util
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
from measuring import (
    Bench,
    Meter,
    Used,
    bench,
    coursepack_version,
    open_lines,
    parser,
    say,
)

from coursepack.pipeline.arrow import binary_array
from coursepack.stages.layouts import layout_of
from coursepack.stages.records import Split, read_records
from coursepack.tokenizers.model import Tokenizer
from coursepack.tokenizers.patterns import PATTERNS
from coursepack.tokenizers.tiktoken_ranks import NAMED

OURS = "coursepack"
PEERS = {
    "tokenizer.model": "sentencepiece",
    "tokenizer.json": "tokenizers",
    "tokenizer.tiktoken": "tiktoken",
}
DATATROVE = Path(__file__).parent / "peers" / "datatrove_tokens.py"
BATCH_BYTES = 8_000_000
Encode = Callable[[list[str]], list[list[int]] | np.ndarray]  # texts -> ids of each, or of all


@dataclass(frozen=True)
class Passes:
    """What loading and each pass over the corpus took, and what came out."""

    loading: Used
    used: list[Used]
    tokens: int
    ids: str  # hash of all ids in order


def main() -> None:
    """Measure as the arguments say."""
    arguments = parser(__doc__)
    arguments.add_argument("--tokenizer", nargs="+", type=Path, required=True, metavar="FILE")
    arguments.add_argument(
        "--pattern",
        choices=sorted(NAMED),
        help="of tiktoken ranks files; OpenAI's own are known",
    )
    arguments.add_argument("--datatrove", metavar="PYTHON", help="one that has datatrove")
    given = arguments.parse_args()
    with bench(given.corpus, given.out) as at:
        for file in given.tokenizer:
            compare(at, file, given.pattern)
            if given.datatrove and file.suffix == ".json":
                compare_files(at, file.resolve(), given.datatrove)


def compare_files(at: Bench, file: Path, python: str) -> None:
    """From files of texts to files of tokens, by us and by datatrove."""
    rates = []
    for who, command in (
        ("datatrove", [python, str(DATATROVE)]),
        (OURS, [sys.executable, __file__, "--write-tokens"]),
    ):
        out = at.folder / f"tokens-{who}-{file.name}"
        out.mkdir()
        with Meter() as meter, open(out / "output.txt", "wb") as log:
            code = subprocess.run(
                [*command, str(at.corpus.folder), str(out), str(file)], stdout=log, stderr=log
            ).returncode
        if code:
            said = (out / "output.txt").read_text(errors="replace").strip().splitlines()
            raise SystemExit(f"{who} ended with code {code}: {' | '.join(said[-3:])}")
        about = orjson.loads((out / "result.json").read_bytes())
        rates.append((who, per_core_s(at, meter.total)))
        at.record(
            "tokenize_files", who, about["version"], at.corpus.mb, meter.total,
            documents=about["documents"], tokens=about["tokens"], tokenizer=file.name,
            **({"compiled": True} if who == OURS else {}),
        )  # fmt: skip
    for name, rate in rates:
        ratio = rate / rates[0][1]
        say(f"{file.name:30}{name + ', files':25}{rate:10.2f} MB per core-s{ratio:9.2f}")


def write_tokens(corpus: str, out: str, file: str) -> None:
    """Encode the files of a corpus into Arrow files of tokens, and leave result.json."""
    tokenizer = Tokenizer(Path(file).read_bytes())
    documents = tokens = 0
    schema = pa.schema([("ids", pa.large_binary())])
    for part in sorted(Path(corpus).glob("part-*.jsonl.zst")):
        with pa.ipc.new_file(f"{out}/{part.name}.arrow", schema) as writer:
            for batch in read_records(Split(str(part)), layout_of("jsonl")):
                offsets, ids = tokenizer.encode(batch.column("text"))
                writer.write(pa.record_batch([binary_array(offsets * 4, ids)], schema=schema))
                documents += batch.num_rows
                tokens += len(ids)
    about = {"version": coursepack_version(), "documents": documents, "tokens": tokens}
    Path(out, "result.json").write_bytes(orjson.dumps(about))


def compare(at: Bench, file: Path, pattern: str | None) -> None:
    """Encode the corpus by ours and by the file's own library."""
    tokenizer = Tokenizer(file.read_bytes(), pattern=pattern)
    tokenizer.encode(pa.array(["compiles the kernels: 123 'words'\n", "größer"]))
    peer = PEERS[tokenizer.file_name]
    ours = alone(OURS, file, pattern, at.corpus.parts, passes=2)
    rates = []
    for state, used in zip(("cold", "warm"), ours.used, strict=True):
        record(at, OURS, coursepack_version(), file, ours, used, state=state, compiled=True)
        rates.append((f"{OURS}, {state}", per_core_s(at, used)))
    if importlib.util.find_spec(peer) is None:
        say(f"{peer} is not installed: {file.name} is not compared")
        return
    theirs = alone(peer, file, pattern, at.corpus.parts, passes=1)
    if theirs.ids != ours.ids:
        raise SystemExit(f"{file.name}: {OURS} and {peer} give other ids: a bug")
    record(at, peer, importlib.metadata.version(peer), file, theirs, theirs.used[0])
    least = per_core_s(at, theirs.used[0])
    for name, rate in [*rates, (peer, least)]:
        say(f"{file.name:30}{name:25}{rate:10.2f} MB per core-s{rate / least:9.2f}")


def per_core_s(at: Bench, used: Used) -> float:
    """MB a core-second; infinite below the clock's tick."""
    return at.corpus.mb / used.cpu_s if used.cpu_s else float("inf")


def record(
    at: Bench, who: str, release: str, file: Path, made: Passes, used: Used, **more: str | bool
) -> None:
    """One pass as a line."""
    at.record(
        "tokenize", who, release, at.corpus.mb, used, documents=at.corpus.documents,
        tokens=made.tokens, tokenizer=file.name, ids=made.ids[:20],
        load_cpu_s=round(made.loading.cpu_s, 3), **more,
    )  # fmt: skip


def alone(who: str, file: Path, pattern: str | None, parts: list[Path], passes: int) -> Passes:
    """Encode in a new process, with one thread."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_encode, who, file, pattern, parts, passes).result()


def _encode(who: str, file: Path, pattern: str | None, parts: list[Path], passes: int) -> Passes:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    batches = list(_batches(parts))
    used = []
    with Meter() as meter:
        encode = ENCODERS[who](file, pattern)
        loading = meter.lap()
        for _ in range(passes):
            digest, tokens, spent = hashlib.sha256(), 0, Used()
            for texts in batches:
                found = encode(texts)
                spent += meter.lap()
                if isinstance(found, list):
                    found = np.fromiter(chain.from_iterable(found), np.int32)
                digest.update(found.tobytes())
                tokens += len(found)
                meter.lap()
            used.append(spent)
    return Passes(loading, used, tokens, digest.hexdigest())


def _batches(parts: list[Path]) -> Iterator[list[str]]:
    texts: list[str] = []
    filled = 0
    for part in parts:
        with open_lines(part) as lines:
            for line in lines:
                texts.append(orjson.loads(line)["text"])
                filled += len(line)
                if filled >= BATCH_BYTES:
                    yield texts
                    texts, filled = [], 0
    if texts:
        yield texts


def _ours(file: Path, pattern: str | None) -> Encode:
    tokenizer = Tokenizer(file.read_bytes(), pattern=pattern)
    return lambda texts: tokenizer.encode(pa.array(texts, pa.large_string()))[1]


def _sentencepiece(file: Path, _: str | None) -> Encode:
    import sentencepiece

    library = sentencepiece.SentencePieceProcessor(model_file=str(file))
    return lambda texts: list(library.encode(texts, num_threads=1))


def _tokenizers(file: Path, _: str | None) -> Encode:
    import tokenizers

    library = tokenizers.Tokenizer.from_file(str(file))
    library.encode_special_tokens = True
    library.no_truncation()
    library.no_padding()
    return lambda texts: [
        one.ids for one in library.encode_batch_fast(texts, add_special_tokens=False)
    ]


def _tiktoken(file: Path, pattern: str | None) -> Encode:
    import tiktoken
    from tiktoken.load import load_tiktoken_bpe

    from coursepack.tokenizers.tiktoken_ranks import KNOWN

    known = KNOWN.get(hashlib.sha256(file.read_bytes()).hexdigest())
    wanted = NAMED[known[0] if known else str(pattern)]
    library = tiktoken.Encoding(
        file.name,
        # the last spelling is tiktoken's own
        pat_str=[regex for regex, found in PATTERNS.items() if found == wanted][-1],
        mergeable_ranks=load_tiktoken_bpe(str(file)),
        special_tokens={},
    )
    return lambda texts: [library.encode_ordinary(text) for text in texts]


ENCODERS: dict[str, Callable[[Path, str | None], Encode]] = {
    OURS: _ours,
    "sentencepiece": _sentencepiece,
    "tokenizers": _tokenizers,
    "tiktoken": _tiktoken,
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write-tokens"]:
        write_tokens(*sys.argv[2:])
    else:
        main()
