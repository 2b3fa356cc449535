"""Step 7, report: the funnel, the mixture that came of it, and how well the shards are packed.

Everything comes from commit records and the composition; no data is read again. `report/NAME/` holds `report.json` and
three narrow tables: `funnel.parquet`, `mixture.parquet` and `plan.parquet`.
"""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from coursepack.pipeline import storage
from coursepack.pipeline.documents import CHOSEN, REJECTS
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.workspace import Record
from coursepack.stages.compose import Composition
from coursepack.stages.decide import EXACT, NEAR, SAME_URL, Decided
from coursepack.stages.encode import Encoded
from coursepack.stages.measure import Failures
from coursepack.stages.pack import shards_of
from coursepack.stages.rules import rules_of

FUNNEL = pa.schema(
    [
        ("source", pa.string()),
        ("domain", pa.string()),
        ("reason", pa.string()),  # empty where kept
        ("documents", pa.int64()),
        ("bytes", pa.int64()),
    ]
)
MIXTURE = pa.schema(
    [
        ("phase", pa.string()),
        ("length", pa.int32()),
        ("domain", pa.string()),
        ("source", pa.string()),
        ("language", pa.string()),
        ("documents", pa.int64()),
        ("tokens", pa.int64()),
        (
            "repeated",
            pa.int64(),
        ),  # tokens of documents packed before, in this phase or an earlier one
        ("supply", pa.int64()),  # tokens there are of this domain, source and language
    ]
)
PLAN = pa.schema(
    [
        ("phase", pa.string()),
        ("length", pa.int32()),
        ("domain", pa.string()),
        ("tokens", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Report:
    """What a run did, for people and programs."""

    name: str
    result: str
    vocabulary: int
    documents: dict[str, int]  # read, kept, and dropped by reason
    funnel: list[dict[str, Any]]
    mixture: list[dict[str, Any]]
    plan: list[dict[str, Any]]
    packing: list[dict[str, Any]]
    warnings: list[str]
    seconds: dict[str, float]
    edits: dict[str, int] = field(default_factory=dict)  # spans, by edit and kind


def make_report(
    recipe: Recipe,
    decided: Decided,
    encoded: Encoded,
    composition: Composition,
    records: Mapping[str, Record],
    vocabulary: int,
    result: str,
    seconds: Mapping[str, float],
    edits: Mapping[str, int],
    failures: Mapping[str, Failures],
) -> Report:
    """Gather the report of a finished run."""
    funnel = decided.funnel()
    reasons: dict[str, int] = {}
    for row in funnel:
        reasons[row["reason"] or "kept"] = (
            reasons.get(row["reason"] or "kept", 0) + row["documents"]
        )
    kept = reasons.pop("kept", 0)
    documents = {"read": kept + sum(reasons.values()), "kept": kept}
    documents |= dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return Report(
        recipe.name,
        result,
        vocabulary,
        documents,
        funnel,
        _mixture(composition, encoded, records),
        _plan(composition),
        _packing(composition, records),
        [
            *(f"the code of {name!r} {failed}" for name, failed in failures.items()),
            *_warnings(recipe, funnel, decided.fires()),
        ],
        dict(seconds),
        dict(edits),
    )


def write_report(report: Report, folder: str) -> None:
    """Write the report's files; `report.json` comes last."""
    for name, schema in (("funnel", FUNNEL), ("mixture", MIXTURE), ("plan", PLAN)):
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(getattr(report, name), schema), out)
        storage.write_bytes(storage.join(folder, f"{name}.parquet"), out.getvalue())
    storage.write_bytes(
        storage.join(folder, "report.json"),
        orjson.dumps(asdict(report), option=orjson.OPT_INDENT_2),
    )


def read_report(folder: str) -> Report | None:
    """A written report; None where there is none."""
    url = storage.join(folder, "report.json")
    return Report(**orjson.loads(storage.read_bytes(url))) if storage.exists(url) else None


def _mixture(
    composition: Composition, encoded: Encoded, records: Mapping[str, Record]
) -> list[dict[str, Any]]:
    supply = encoded.classes()
    rows: dict[tuple[str, int, str, str, str], dict[str, int]] = {}
    for path, shard in shards_of(composition).items():
        stream = composition.streams[shard.stream]
        for key, count in records[path].counts.items():
            kind, _, rest = key.partition(":")
            if not rest:
                continue
            domain, source, language, pass_ = rest.split("/")
            row = rows.setdefault(
                (stream.phase, stream.length, domain, source, language),
                {"documents": 0, "tokens": 0, "repeated": 0},
            )
            row[kind] += count
            if kind == "tokens" and pass_ == "repeated":
                row["repeated"] += count
    order = {stream.phase: number for number, stream in enumerate(composition.streams)}
    return [
        dict(zip(("phase", "length", "domain", "source", "language"), key, strict=True))
        | row
        | {"supply": supply[key[2:]][1]}
        for key, row in sorted(rows.items(), key=lambda item: (order[item[0][0]], item[0]))
    ]


def _plan(composition: Composition) -> list[dict[str, Any]]:
    """Planned tokens by phase, length and domain."""
    stretches = {(arc.stream, arc.atom, arc.start): arc.tokens for arc in composition.arcs}
    rows: dict[tuple[int, str], int] = {}
    for (stream, atom, _), tokens in stretches.items():
        key = (stream, composition.atoms[atom].domain)
        rows[key] = rows.get(key, 0) + tokens
    return [
        {
            "phase": composition.streams[stream].phase,
            "length": composition.streams[stream].length,
            "domain": domain,
            "tokens": tokens,
        }
        for (stream, domain), tokens in sorted(rows.items())
    ]


def _packing(composition: Composition, records: Mapping[str, Record]) -> list[dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    for path, shard in shards_of(composition).items():
        stream = composition.streams[shard.stream]
        row = rows.setdefault(
            shard.stream,
            {"phase": stream.phase, "length": stream.length, "planned": stream.tokens}
            | {"shards": 0, "sequences": 0, "tokens": 0, "padding": 0, "documents": 0, "bytes": 0},
        )
        record = records[path]
        row["shards"] += 1
        row["sequences"] += record.rows
        row["bytes"] += record.size
        for name in ("tokens", "padding", "documents"):
            row[name] += record.counts[name]
    return [rows[stream] for stream in sorted(rows)]


def _warnings(
    recipe: Recipe, funnel: list[dict[str, Any]], fires: Mapping[str, Mapping[int, int]]
) -> list[str]:
    """What a person should look at: sources that lose too much, rules that do nothing or too much."""
    found = []
    for source in recipe.source:
        rows = [row for row in funnel if row["source"] == source.name]
        total = sum(row["documents"] for row in rows)
        lost = sum(row["documents"] for row in rows if row["reason"] in (EXACT, NEAR, SAME_URL))
        if total and lost / total > recipe.dedup.alarm:
            found.append(
                f"source {source.name!r} lost {lost / total:.0%} of its documents to duplicates "
                f"(dedup.alarm is {recipe.dedup.alarm:.0%})"
            )
        bad = sum(row["documents"] for row in rows if row["reason"] in REJECTS.keys() - CHOSEN)
        if bad:
            found.append(f"source {source.name!r}: {bad:,} of {total:,} records were rejected")
    return found + _rule_warnings(recipe, fires)


def _rule_warnings(recipe: Recipe, fires: Mapping[str, Mapping[int, int]]) -> list[str]:
    """Rules that never fire, or fire on more than half of a source: a name misspelt, a scope too wide.

    Dolma's published configurations hold three rules that never fire.
    """
    found = []
    for number, rule in enumerate(rules_of(recipe)):
        hits = {source: counts.get(number, 0) for source, counts in fires.items()}
        if any(counts.get(-1) for counts in fires.values()) and not any(hits.values()):
            found.append(f"rule {rule.name!r} never fires")
        found += [
            f"rule {rule.name!r} fires on {hit / fires[source][-1]:.0%} of source {source!r}"
            for source, hit in sorted(hits.items())
            if 2 * hit > fires[source][-1]
        ]
    return found
