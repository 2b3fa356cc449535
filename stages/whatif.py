"""What if a rule were another: documents, bytes and tokens that would stay, in seconds.

Decided on measurements as `decide` does it, the survivors of clusters included, by DuckDB on this machine: no Spark,
no text. Which documents fail the recipe's own rules is read from decisions, where there are any by the same rules.
Beyond `MOST_DOCUMENTS` a hash sample of whole clusters answers, with the bounds of its error.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from coursepack.pipeline import storage
from coursepack.pipeline.errors import RecipeError, WorkspaceError
from coursepack.pipeline.recipe import Recipe, RuleSettings
from coursepack.pipeline.workspace import Dataset, Workspace
from coursepack.stages.components import GROUP
from coursepack.stages.decide import Decided, Reading
from coursepack.stages.encode import Encoded
from coursepack.stages.examples import Example, examples
from coursepack.stages.inventory import Inventory, group_name
from coursepack.stages.judged import Judged, signals_read
from coursepack.stages.measure import Measured, datasets_of
from coursepack.stages.profiles import PROFILES
from coursepack.stages.published import decisions, inventory_of, measurements
from coursepack.stages.rules import (
    BYTES_PER_TOKEN,
    Rule,
    compile_predicate,
    expand,
    quotas_of,
    rules_of,
    types_of,
)
from coursepack.stages.tally import MOST_RULES, Tally

MOST_DOCUMENTS = 10_000_000
MOST_STEPS = 100
MOST_SHOWN = 4000  # documents of the sample that examples are chosen from
_ERRORS_95 = 1.96  # standard errors to either side that hold 95 % of a normal distribution
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_CURVE = re.compile(rf"\s*(\w+)\s*:\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*/\s*(\d+)\s*")


@dataclass(frozen=True)
class Changes:
    """What to try instead of a recipe's rules.

    A rule is `name: predicate`, or `name@scope: predicate` (scopes with commas between them), and drops what
    the predicate is true for. One of a known name takes that rule's place, and its scope unless it has
    its own. A curve is `signal: from..to/steps`.
    """

    rules: tuple[str, ...] = ()
    without: tuple[str, ...] = ()  # names of rules to leave out
    profiles: tuple[str, ...] = ()  # to add to the recipe's
    curve: str | None = None


@dataclass(frozen=True)
class Amount:
    """Documents, their UTF-8 bytes, and tokens estimated from those."""

    documents: int = 0
    bytes: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Yield:
    """What stays of a source's documents in one domain; `read` leaves out rejected records.

    The errors are half widths of 95 % intervals; 0 where no sample was taken.
    """

    source: str
    domain: str
    read: int
    now: Amount
    then: Amount
    then_error: Amount
    change_error: Amount  # of the difference, then less now


@dataclass(frozen=True)
class Effect:
    """A rule: documents it fires on, and those that stay without it (a cluster counts once).

    `now` is the recipe's predicate, `then` that of the changes; None where there is no such rule.
    """

    name: str
    scope: tuple[str, ...]
    now: str | None
    then: str | None
    fires_now: int = 0
    fires_then: int = 0
    alone_now: int = 0
    alone_then: int = 0


@dataclass(frozen=True)
class Point:
    """What stays of a domain when `signal < threshold` drops too."""

    threshold: float
    domain: str
    kept: Amount


@dataclass(frozen=True)
class Answer:
    """What the changes do to a recipe's documents."""

    recipe: str
    share: float  # of the documents that were looked at
    exact: bool  # whether each document was decided as a run would decide
    yields: tuple[Yield, ...]  # by source, then domain
    total: Yield
    effects: tuple[Effect, ...]  # of the rules that change; of all where none does
    curve: tuple[Point, ...]
    examples: tuple[
        Example, ...
    ]  # documents on either side of the rules that change, and of a curve's middle
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Asked:
    """The rules now and then, as sets of bits over all of them, and the curve's thresholds."""

    rules: tuple[Rule, ...]
    now: int
    then: int
    signal: str | None
    thresholds: tuple[float, ...]
    steps: tuple[str, ...]  # a predicate each threshold, as DuckDB's SQL


def whatif(recipe: Recipe, changes: Changes) -> Answer:
    """What stays of the recipe's documents now, and with the changes.

    Raises RecipeError where the changes cannot be read, and WorkspaceError where files of the recipe
    have not been measured.
    """
    asked = _asked(recipe, changes)
    workspace = Workspace(recipe.workspace)
    inventory = inventory_of(recipe)
    curve = {asked.signal} if asked.signal else set()
    measured = measurements(recipe, inventory, signals_read(asked.rules) | curve)
    reading = Reading(recipe, inventory, measured)
    clusters = _clusters(recipe, workspace, reading)
    rows = sum(record.rows for record in measured.records["record"].values())
    share = min(1.0, MOST_DOCUMENTS / max(rows, 1))
    none = np.zeros(0, np.int64)
    judged = _judged(recipe, inventory, measured)
    tally = Tally(recipe, asked.rules, asked.steps, share, judged)
    tried = asked.now != asked.then or asked.signal is not None
    shown = _samples(recipe, inventory) if tried else None
    tally.read(inventory, measured, clusters or (none, none), curve, shown)
    tally.connection.execute(_fates(asked))
    ratios, said = _tokens_per_byte(workspace, recipe.name)
    yields = _yields(tally, ratios)
    quotas = quotas_of(recipe)
    exact = clusters is not None and share == 1 and not quotas and not recipe.dedup.url
    if exact and judged:
        _check(judged.decided, yields)
    effects, warnings = _effects(tally, asked)
    notes = [said, *_judged_notes(recipe, judged), *_sample_notes(share)]
    if tried and shown is None:
        notes.append("no documents are shown: none were sampled (`coursepack curate` does)")
    if recipe.dedup.url:
        notes.append("an estimate: copies of one URL (dedup.url) are not taken into account")
    if quotas:
        names = ", ".join(quota.name for quota in quotas)
        notes.append(f"an estimate: quotas ({names}) are not taken into account")
    if clusters is None:
        notes.append(
            "an estimate: duplicates have not been found for these files and settings, so documents are "
            "counted before deduplication (`coursepack curate` finds them)"
        )
    return Answer(
        recipe.name,
        share,
        exact,
        yields,
        _total(yields, tally, ratios),
        effects,
        _curve(tally, asked, ratios),
        _examples(tally, asked),
        tuple(notes),
        warnings,
    )


def _samples(recipe: Recipe, inventory: Inventory) -> Callable[[int], pa.Table] | None:
    """What measure kept of the texts of an input group, the first by hash; None where it kept nothing."""
    dataset = datasets_of(recipe, inventory.workspace)["samples"]
    records = {record.group: record for record in dataset.published()}
    names = {group: group_name(group) for group in inventory.groups}
    if not records.keys() >= set(names.values()):
        return None
    most = max(8, MOST_SHOWN // max(1, len(names)))

    def read(group: int) -> pa.Table:
        table = dataset.read(records[names[group]])
        first = pc.sort_indices(table, [("lot", "ascending"), ("doc", "ascending")])[:most]
        return table.take(pa.array(np.sort(first.to_numpy())))

    return read


def _examples(tally: Tally, asked: _Asked) -> tuple[Example, ...]:
    changed = asked.now ^ asked.then
    rules = [rule for n, rule in enumerate(asked.rules) if changed & asked.then & 1 << n]
    if asked.signal:
        middle = asked.thresholds[len(asked.thresholds) // 2]
        tried = {f"{asked.signal}_below": RuleSettings(drop=f"{asked.signal} < {middle!r}")}
        rules += expand((), tried, types_of(tally.recipe))
    documents = [table for table in tally.samples if table.num_rows]
    if not rules or not documents:
        return ()
    return examples(rules, pa.concat_tables(documents, promote_options="permissive"))


def _judged_notes(recipe: Recipe, judged: Judged | None) -> list[str]:
    if not rules_of(recipe):
        return []
    if judged:
        return [
            "which documents fail the recipe's own rules is read from its decisions; part of it was judged again "
            "and is the same"
        ]
    return [
        "the recipe's own rules were judged again: there are no decisions by these rules on these files and "
        "measurements (`coursepack curate` makes them)"
    ]


def _sample_notes(share: float) -> list[str]:
    if share == 1:
        return []
    return [
        f"counts are estimated from a hash sample of {share:.3%} of the documents, clusters whole; "
        "± is half of a 95 % interval"
    ]


# What is asked


def _asked(recipe: Recipe, changes: Changes) -> _Asked:
    now, then = rules_of(recipe), _changed(recipe, changes)
    rules = list(dict.fromkeys([*now, *then]))
    if len(rules) > MOST_RULES:
        raise RecipeError(
            f"{len(rules)} rules, old and new together; at most {MOST_RULES} are compared: "
            "try fewer changes at a time"
        )
    signal, thresholds = _read_curve(changes.curve) if changes.curve is not None else (None, ())
    types = types_of(recipe)
    steps = tuple(compile_predicate(f"{signal} < {t!r}", types).duckdb for t in thresholds)
    bits = {rule: 1 << number for number, rule in enumerate(rules)}
    return _Asked(
        tuple(rules),
        sum(bits[rule] for rule in now),
        sum(bits[rule] for rule in then),
        signal,
        thresholds,
        steps,
    )


def _changed(recipe: Recipe, changes: Changes) -> tuple[Rule, ...]:
    """The recipe's rules with the changes, in order; raises RecipeError."""
    profiles = (*recipe.rules.profiles, *changes.profiles)
    types = types_of(recipe)
    expand(profiles, recipe.rules.own, types)  # no two of a name, no unknown profile
    settings = {name: rule for profile in profiles for name, rule in PROFILES[profile].items()}
    settings |= recipe.rules.own
    tried = [_read_rule(text) for text in changes.rules]
    for name in changes.without:
        if name not in settings:
            raise RecipeError(f"there is no rule {name!r} to leave out; {_known(name, settings)}")
    kept = {name: rule for name, rule in settings.items() if name not in changes.without}
    names = [name for name, _ in tried]
    for name, given in tried:
        if names.count(name) > 1 or name in changes.without:
            raise RecipeError(f"{name!r} is named twice; try one change to a rule at a time")
        old = kept.get(name)
        if old is not None and given.scope == ():
            given = given.model_copy(update={"scope": old.scope})
        if old is not None:
            given = given.model_copy(update={"unknown": old.unknown})
        kept[name] = given
    return expand((), kept, types)


def _read_rule(text: str) -> tuple[str, RuleSettings]:
    """The name and settings of `name[@scope,...]: predicate`; without a scope, that is ()."""
    named, colon, predicate = text.partition(":")
    if not colon or not predicate.strip():
        raise RecipeError(
            f"{text!r} is no rule; write 'name: predicate', such as 'short: words < 50', "
            "or 'name@web: predicate' for a domain or source alone"
        )
    name, at, scope = named.partition("@")
    scopes = tuple(part.strip() for part in scope.split(",")) if at else ()
    return name.strip(), RuleSettings(scope=scopes, drop=predicate.strip())


def _known(name: str, settings: Mapping[str, RuleSettings]) -> str:
    near = difflib.get_close_matches(name, list(settings), 3)
    if near:
        return f"did you mean {' or '.join(repr(found) for found in near)}?"
    return f"the rules are {', '.join(settings)}" if settings else "the recipe has no rules"


def _read_curve(text: str) -> tuple[str, tuple[float, ...]]:
    """The signal and the ascending thresholds of `signal: from..to/steps`."""
    found = _CURVE.fullmatch(text)
    if not found or not 2 <= int(found[4]) <= MOST_STEPS or float(found[2]) >= float(found[3]):
        raise RecipeError(
            f"{text!r} is no curve; write 'signal: from..to/steps', such as 'words: 10..200/20', "
            f"upwards, in 2 to {MOST_STEPS} steps"
        )
    points = np.linspace(float(found[2]), float(found[3]), int(found[4]))
    return found[1], tuple(float(f"{point:.12g}") for point in points)


# What there is


def _clusters(
    recipe: Recipe, workspace: Workspace, reading: Reading
) -> tuple[np.ndarray, np.ndarray] | None:
    """(doc, component) of all members of clusters; None where they have not been found."""
    if not recipe.dedup.exact and not recipe.dedup.fuzzy:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    dataset = workspace.dataset("components", reading.duplicates_fingerprint())
    record = next((r for r in dataset.published() if r.group == GROUP), None)
    if record is None:
        return None
    table = dataset.read(record)
    return table["doc"].to_numpy(), table["component"].to_numpy()


def _judged(recipe: Recipe, inventory: Inventory, measured: Measured) -> Judged | None:
    """What decide found of the recipe's rules, if it decided by these very rules, measurements, sources and files."""
    decided = decisions(recipe, inventory, measured)
    return Judged(decided, rules_of(recipe), inventory.groups) if decided else None


def _tokens_per_byte(workspace: Workspace, name: str) -> tuple[dict[tuple[str, str], float], str]:
    """Tokens per byte of each (source, domain), ("", "") for others; and where that is from."""
    guess = (
        {("", ""): 1 / BYTES_PER_TOKEN},
        f"tokens are bytes / {BYTES_PER_TOKEN}: no text of recipe {name!r} has been encoded yet",
    )
    url = workspace.path("shards", name, "plan.json")
    if not storage.exists(url):
        return guess
    plan = orjson.loads(storage.read_bytes(url))
    decided = _published(workspace.dataset("decisions", plan["decisions"]))
    keys = {f"{g}-{r.counts['kept_digest']:016x}" for g, r in decided.records.items()}
    tokens = workspace.dataset("tokens", plan["tokens"])
    encoded = Encoded(tokens, {r.group: r for r in tokens.published() if r.group in keys})
    if not keys or len(encoded.records) < len(keys):
        return guess
    sums: dict[tuple[str, str], list[int]] = {}
    for row in decided.funnel():
        if not row["reason"]:
            for key in ((row["source"], row["domain"]), ("", "")):
                sums.setdefault(key, [0, 0])[1] += row["bytes"]
    for (domain, source, _), (_, count) in encoded.classes().items():
        for key in ((source, domain), ("", "")):
            sums.setdefault(key, [0, 0])[0] += count
    ratios = {key: made / size for key, (made, size) in sums.items() if made and size}
    if ("", "") not in ratios:
        return guess
    return ratios, f"tokens are bytes times tokens per byte of each class, as encoded for {name!r}"


def _published(dataset: Dataset) -> Decided:
    return Decided(dataset, {record.group: record for record in dataset.published()})


# What comes of it


def _fates(asked: _Asked) -> str:
    """SQL of the table `fates`: documents that stay now, or then, by class.

    Of a cluster, the best eligible member stays: the order is that of `decide.keep_one`.
    """
    best = "arg_min({class: class, bytes: bytes, doc: doc}, place)"
    eligible = f"failed & {asked.now} = 0 or failed & {asked.then} = 0"
    return f"""
    create table ranked as
        select class, failed, step, bytes, component, doc, row_number() over (
            partition by component order by priority desc, content, metadata, source, doc
        ) as place from members where {eligible};
    create table best as
        select {best} filter (failed & {asked.now} = 0) as old,
               {best} filter (failed & {asked.then} = 0) as new
        from ranked group by component;
    create table fates as
        select class, failed & {asked.now} = 0 as now, failed & {asked.then} = 0 as then_,
               documents, bytes, squares from cube
        union all
        select old.class, true, coalesce(old.doc = new.doc, false), 1, old.bytes,
               old.bytes::double * old.bytes from best where old is not null
        union all
        select new.class, false, true, 1, new.bytes, new.bytes::double * new.bytes
        from best where new is not null and (old is null or old.doc <> new.doc);
    """


def _yields(tally: Tally, ratios: Mapping[tuple[str, str], float]) -> tuple[Yield, ...]:
    wheres = {"now": "now", "then": "then_", "moved": "now <> then_"}
    kinds = {"documents": "bigint", "bytes": "bigint", "squares": "double"}
    names = {f"{name}_{what}": kind for name in wheres for what, kind in kinds.items()}
    sums = ", ".join(
        f"sum({what}) filter ({where}) as {name}_{what}"
        for name, where in wheres.items()
        for what in kinds
    )
    rows = tally.rows(
        f"""with counted as (
            select class, sum(documents) as read
            from (select class, documents from cube
                  union all select class, count(*) from members group by class)
            group by class
        ), stays as (select class, {sums} from fates group by class)
        select source, domain, coalesce(sum(read), 0)::bigint as read,
               {", ".join(f"coalesce(sum({name}), 0)::{kind} as {name}" for name, kind in names.items())}
        from classes left join counted using (class) left join stays using (class)
        group by all order by source, domain"""
    )
    return tuple(_yield(row, tally.share, _ratio(ratios, row)) for row in rows)


def _ratio(ratios: Mapping[tuple[str, str], float], row: Mapping[str, Any]) -> float:
    return ratios.get((row["source"], row["domain"]), ratios["", ""])


def _yield(row: Mapping[str, Any], share: float, ratio: float) -> Yield:
    def amount(name: str) -> Amount:
        size = row[f"{name}_bytes"] / share
        return Amount(round(row[f"{name}_documents"] / share), round(size), round(size * ratio))

    def error(name: str) -> Amount:
        """Of a Poisson sample: variance (1 - p) / p^2 times the sum of squares in it.

        A cluster has one survivor in and one out at most, so its square is not above its members' squares.
        """
        scale = _ERRORS_95 * math.sqrt(1 - share) / share
        size = scale * math.sqrt(row[f"{name}_squares"])
        documents = scale * math.sqrt(row[f"{name}_documents"])
        return Amount(math.ceil(documents), math.ceil(size), math.ceil(size * ratio))

    return Yield(
        row["source"], row["domain"], round(row["read"] / share),
        amount("now"), amount("then"), error("then"), error("moved"),
    )  # fmt: skip


def _total(
    yields: tuple[Yield, ...], tally: Tally, ratios: Mapping[tuple[str, str], float]
) -> Yield:
    """All sources together; their errors are of disjoint documents, so variances add up."""

    def added(name: str) -> Amount:
        amounts = [getattr(found, name) for found in yields]
        return Amount(*(sum(getattr(a, what) for a in amounts) for what in _PARTS))

    def joined(name: str) -> Amount:
        amounts = [getattr(found, name) for found in yields]
        return Amount(*(math.ceil(math.hypot(*(getattr(a, what) for a in amounts))) for what in _PARTS))  # fmt: skip

    return Yield(
        "", "", sum(found.read for found in yields),
        added("now"), added("then"), joined("then_error"), joined("change_error"),
    )  # fmt: skip


_PARTS = ("documents", "bytes", "tokens")


def _check(decided: Decided, yields: tuple[Yield, ...]) -> None:
    """What stays now is what decide said."""
    kept = {
        (row["source"], row["domain"]): (row["documents"], row["bytes"])
        for row in decided.funnel()
        if not row["reason"]
    }
    found = {
        (y.source, y.domain): (y.now.documents, y.now.bytes) for y in yields if y.now.documents
    }
    if found != kept:
        raise WorkspaceError(
            f"{decided.dataset.url!r} keeps other documents than its measurements say; delete it and run "
            "`coursepack curate` again"
        )


def _effects(tally: Tally, asked: _Asked) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    """The rules that change (all where none does), and warnings of them."""
    changed = asked.now ^ asked.then
    effects: dict[str, Effect] = {}
    warnings: list[str] = []
    for number, rule in enumerate(asked.rules):
        bit = 1 << number
        if changed and not changed & bit:
            continue
        effect = effects.get(rule.name, Effect(rule.name, rule.scope, None, None))
        fires = _fires(tally, bit)
        count = round(sum(fired for fired, _ in fires.values()) / tally.share)
        if asked.now & bit:
            alone = _alone(tally, asked.now, bit)
            effect = replace(effect, now=rule.fires.text, fires_now=count, alone_now=alone)
        if asked.then & bit:
            alone = _alone(tally, asked.then, bit)
            effect = replace(
                effect,
                scope=rule.scope,
                then=rule.fires.text,
                fires_then=count,
                alone_then=alone,
            )
            warnings += _warned(rule, fires)
        effects[rule.name] = effect
    return tuple(effects.values()), tuple(warnings)


def _fires(tally: Tally, bit: int) -> dict[str, tuple[int, int]]:
    """(documents it fires on, documents) by source, as counted."""
    rows = tally.rows(
        f"""select source, sum(if(failed & {bit} <> 0, documents, 0))::bigint as fired,
        sum(documents)::bigint as documents
        from (select class, failed, documents from cube
              union all select class, failed, 1 from members)
        join classes using (class) group by source order by source"""
    )
    return {row["source"]: (row["fired"], row["documents"]) for row in rows}


def _warned(rule: Rule, fires: Mapping[str, tuple[int, int]]) -> list[str]:
    if not any(fired for fired, _ in fires.values()):
        return [f"rule {rule.name!r} never fires"]
    return [
        f"rule {rule.name!r} fires on {fired / documents:.0%} of source {source!r}"
        for source, (fired, documents) in fires.items()
        if 2 * fired > documents
    ]


def _alone(tally: Tally, rules: int, bit: int) -> int:
    """Documents that would stay if the rule were left out of `rules`, and do not."""
    [row] = tally.rows(
        f"""select coalesce((select sum(documents) from cube where failed & {rules} = {bit}), 0)::bigint
        + (select count(*) from (select component from members group by component
           having not bool_or(failed & {rules} = 0) and bool_or(failed & {rules} = {bit}))) as alone"""
    )
    return round(int(row["alone"]) / tally.share)


def _curve(
    tally: Tally, asked: _Asked, ratios: Mapping[tuple[str, str], float]
) -> tuple[Point, ...]:
    """What stays of each domain at each threshold.

    A member of a cluster stays from the threshold that drops all better ones up to its own.
    """
    rows = list(
        tally.rows(
            f"""
            with stays as (
                select class, 0 as first, step as last, documents, bytes from cube
                where failed & {asked.then} = 0
                union all
                select class, coalesce(max(step) over (
                    partition by component order by place
                    rows between unbounded preceding and 1 preceding), 0), step, 1, bytes
                from ranked where failed & {asked.then} = 0
            )
            select number, source, domain,
                   coalesce(sum(documents) filter (first <= number and number < last), 0)::bigint as documents,
                   coalesce(sum(bytes) filter (first <= number and number < last), 0)::bigint as bytes
            from stays join classes using (class), range({len(asked.steps)}) as _(number)
            group by all order by number, domain, source
            """
        )
        if asked.steps
        else ()
    )
    points: dict[tuple[int, str], Amount] = {}
    for row in rows:
        key = row["number"], row["domain"]
        old, size = points.get(key, Amount()), row["bytes"] / tally.share
        points[key] = Amount(
            old.documents + round(row["documents"] / tally.share),
            old.bytes + round(size),
            old.tokens + round(size * _ratio(ratios, row)),
        )
    return tuple(Point(asked.thresholds[n], domain, kept) for (n, domain), kept in points.items())
