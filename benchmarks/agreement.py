"""Whether the profiles `datatrove_*` drop the documents that datatrove's filters drop, for the same reasons.

Each filter judges each document as it came. Job `agreement`, a record for each profile: documents, how many decisions
and how many reasons are not datatrove's, and how often each pair of reasons met. Reasons agree that meet each
other most often.
"""

import subprocess
from collections import Counter
from pathlib import Path

import orjson
import pyarrow as pa
from measure import drawn
from measuring import Bench, Corpus, Meter, bench, coursepack_version, parser, read_records, say

from coursepack.pipeline.edits import C4Lines
from coursepack.stages.c4_lines import c4_line_spans
from coursepack.stages.catalogue import SIGNALS
from coursepack.stages.datatrove import datatrove_signals
from coursepack.stages.decide import failed_rules, first_reasons
from coursepack.stages.gopher import gopher_signals
from coursepack.stages.pieces import find_pieces
from coursepack.stages.repetition import repetition_signals
from coursepack.stages.rules import expand
from coursepack.stages.spans import apply
from coursepack.stages.web import web_signals

# in the order of the peer's filters
PROFILES = tuple(f"datatrove_{name}" for name in ("repetition", "gopher", "c4", "fineweb"))
FAMILIES = (datatrove_signals, gopher_signals, repetition_signals, web_signals)
PEER = Path(__file__).parent / "peers" / "datatrove_reasons.py"

Reasons = list[str | None]  # by document


def theirs(corpus: Corpus, python: str, out: Path) -> tuple[list[Reasons], str]:
    """What each of datatrove's filters says, and datatrove's version."""
    out.mkdir()
    subprocess.run([python, str(PEER), str(corpus.folder), str(out)], check=True)
    result = orjson.loads((out / "result.json").read_bytes())
    return [list(filter_) for filter_ in zip(*result["reasons"], strict=True)], result["version"]


def signals_of(text: pa.Array) -> pa.RecordBatch:
    """All signals that the profiles look at."""
    pieces = find_pieces(text)
    families = [family(pieces) for family in FAMILIES]
    return pa.RecordBatch.from_pydict({n: f[n] for f in families for n in f.schema.names})


def ours(profile: str, signals: pa.RecordBatch) -> Reasons:
    """What decide says of English pages of the web with these signals."""
    rules = expand((profile,), {}, {name: signal.type for name, signal in SIGNALS.items()})
    table = pa.Table.from_batches([signals])
    for name, value in (("domain", "web"), ("source", "web"), ("language", "en")):
        table = table.append_column(name, pa.array([value] * len(table)))
    table = table.append_column("reject", pa.nulls(len(table), pa.string()))
    failed = failed_rules(rules, table)
    found: Reasons = first_reasons(rules, failed, table["reject"]).to_pylist()
    return found


def record_agreement(at: Bench, corpus: Corpus, python: str) -> None:
    """Judge a corpus twice, and write a record for each profile."""
    say(f"datatrove: {corpus.documents:,} documents, {corpus.mb:,.1f} MB")
    filters, version = theirs(corpus, python, at.folder / "theirs")
    documents = [document for part in corpus.parts for document in read_records(part)]
    text = pa.array([document["text"] for document in documents], pa.large_string())
    say("coursepack")
    with Meter() as meter:
        whole = signals_of(text)
        # C4's rules on documents come behind its rules on lines, in one filter there
        lines = signals_of(apply(text, c4_line_spans(text, C4Lines(terminal_punctuation=False))))
        found = [ours(p, lines if p == "datatrove_c4" else whole) for p in PROFILES]
    for profile, mine, other in zip(PROFILES, found, filters, strict=True):
        pairs = Counter(zip(mine, other, strict=True))
        rarest_first = list(reversed(pairs.most_common()))
        same = {a: b for (a, b), _ in rarest_first}.items() & {
            (a, b) for b, a in {b: a for (a, b), _ in rarest_first}.items()
        }
        at.record(
            "agreement", "coursepack", coursepack_version(), corpus.mb, meter.total,
            profile=profile,
            peer=f"datatrove {version}",
            documents=len(mine),
            other_decisions=sum(n for (a, b), n in pairs.items() if (a is None) != (b is None)),
            other_reasons=sum(n for pair, n in pairs.items() if pair not in same),
            pairs=[[a, b, n] for (a, b), n in pairs.most_common()],
        )  # fmt: skip


def main() -> None:
    """Compare as the arguments say."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--python", required=True, help="the Python that has `datatrove[processing]` and spaCy"
    )
    arguments.add_argument("--mb", type=float, default=10.0, help="text to judge; default: 10")
    given = arguments.parse_args()
    with bench(given.corpus, given.out) as at:
        record_agreement(at, drawn(at.corpus, given.mb, at.folder / "drawn"), given.python)


if __name__ == "__main__":
    main()
