"""Tables for people: what the commands print, at 80 columns and more, and as plain text in a pipe."""

import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import pyarrow as pa
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from coursepack.pipeline.documents import REJECTS
from coursepack.pipeline.progress import duration

if TYPE_CHECKING:
    from coursepack.jobs.init import Draft
    from coursepack.jobs.look import Checked
    from coursepack.jobs.status import Entry
    from coursepack.pipeline.recipe import Recipe
    from coursepack.stages.catalogue import Signal
    from coursepack.stages.examples import Example
    from coursepack.stages.report import Report
    from coursepack.stages.verdict import Verdict
    from coursepack.stages.whatif import Answer, Effect, Point, Yield

_PIPE_WIDTH = 100  # where there is no terminal to ask
_REASONS = 12  # lines of reasons for dropping
_REASON_SOURCES = 3
_CURVE_DOMAINS = 4  # of a yield curve, in one table
_TEXT_CHARS = 200  # shown of a document


def show(parts: Iterable[RenderableType], stream: TextIO | None = None) -> None:
    """Print to `stream` (default: stdout), with an empty line after each part.

    A terminal gives width and colours. Elsewhere the text is plain, without blanks at the ends of lines.
    """
    stream = stream or sys.stdout
    if stream.isatty():
        console = Console(file=stream, highlight=False)
        for part in parts:
            console.print(part, "", sep="\n", markup=False)
        return
    given = os.environ.get("COLUMNS", "")
    width = int(given) if given.isdecimal() else _PIPE_WIDTH
    ascii_only = not (stream.encoding or "").lower().startswith("utf")
    for part in parts:
        lines = _plain(part, width, ascii_only).splitlines()
        stream.write("\n".join([*(line.rstrip() for line in lines), "", ""]))
    stream.flush()


def _plain(part: RenderableType, width: int, ascii_only: bool) -> str:
    text = io.StringIO()
    Console(file=text, width=width, highlight=False, safe_box=True, color_system=None).print(
        part, markup=False
    )
    shown = text.getvalue()
    return shown.replace("─", "-") if ascii_only else shown


def report_parts(report: "Report") -> list[RenderableType]:
    """A run's report: where documents went, what was packed of the plan, and how well."""
    return [
        *funnel_parts(report.funnel),
        *_edit_parts(report.edits),
        *_mixture_parts(report),
        *_packing_parts(report),
        *_warnings(report.warnings),
    ]


def _edit_parts(edits: Mapping[str, int]) -> list[RenderableType]:
    """What local edits replaced or deleted."""
    if not edits:
        return []
    table = new_table("local edits", "edit", "*of", "spans")
    for name, number in edits.items():
        edit, _, kind = name.partition("/")
        table.add_row(edit, kind, count(number))
    return [table]


def ingest_parts(counts: Mapping[str, int]) -> list[RenderableType]:
    """What became of the records of archives."""
    from coursepack.stages.warc import DROPS

    table = new_table(
        f"records: {counts['in']:,} read, {counts['out']:,} documents",
        "dropped",
        "records",
        "*because",
    )
    for reason, meaning in DROPS.items():
        if number := counts.get(f"dropped:{reason}"):
            table.add_row(reason, count(number), meaning)
    return [table]


def funnel_parts(funnel: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """Documents read, kept and dropped, by source and by reason."""
    read = sum(row["documents"] for row in funnel)
    kept = sum(row["documents"] for row in funnel if not row["reason"])
    size = sum(row["bytes"] for row in funnel if not row["reason"])
    title = f"documents: {read:,} read, {kept:,} kept ({percent(kept, read)}), {bytes_text(size)} of text"
    by_source = new_table(
        title, "source", "read", "rejected", "rules", "exact", "near", "kept", "kept %"
    )
    for source in dict.fromkeys(row["source"] for row in funnel):
        rows = [row for row in funnel if row["source"] == source]
        counts = dict.fromkeys(("rejected", "rules", "exact", "near", "kept"), 0)
        for row in rows:
            counts[_fate(row["reason"])] += row["documents"]
        total = sum(counts.values())
        cells = [count(number) for number in (total, *counts.values())]
        by_source.add_row(source, *cells, percent(counts["kept"], total))
    reasons: dict[str, dict[str, int]] = {}
    for row in funnel:
        if row["reason"]:
            sources = reasons.setdefault(row["reason"], {})
            sources[row["source"]] = sources.get(row["source"], 0) + row["documents"]
    if not reasons:
        return [by_source]
    ordered = sorted(reasons.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    by_reason = new_table("dropped, by reason", "reason", "documents", "of all", "*mostly from")
    for reason, sources in ordered[:_REASONS]:
        largest = sorted(sources, key=lambda name: (-sources[name], name))[:_REASON_SOURCES]
        number = sum(sources.values())
        by_reason.add_row(reason, count(number), percent(number, read), ", ".join(largest))
    if rest := ordered[_REASONS:]:
        number = sum(sum(sources.values()) for _, sources in rest)
        by_reason.add_row(f"{len(rest)} others", count(number), percent(number, read), "")
    return [by_source, by_reason]


def _fate(reason: str) -> str:
    from coursepack.stages.decide import EXACT, NEAR, SAME_URL

    kinds = {"": "kept", EXACT: "exact", NEAR: "near", SAME_URL: "near"}
    return kinds.get(reason, "rejected" if reason in REJECTS else "rules")


def _mixture_parts(report: "Report") -> list[RenderableType]:
    from coursepack.jobs.stats import summarise
    from coursepack.stages.report import MIXTURE, PLAN

    mixture = pa.Table.from_pylist(report.mixture, MIXTURE)
    plan = pa.Table.from_pylist(report.plan, PLAN)
    total = sum(row["tokens"] for row in report.mixture)
    title = f"tokens: {count(total)} packed, vocabulary {report.vocabulary:,}"
    table = new_table(title, "phase", "*domain", "planned", "packed", "repeated", "share", "epochs")
    last = None
    for row in summarise(mixture, plan, ("phase", "domain")).to_pylist():
        phase = "" if row["phase"] == last else row["phase"]
        if phase and last:
            table.add_section()
        last = row["phase"]
        numbers = [count(row[name] or 0) for name in ("planned", "tokens", "repeated")]
        table.add_row(phase, row["domain"], *numbers, _share(row["share"]), _ratio(row["epochs"]))
    return [table]


def _packing_parts(report: "Report") -> list[RenderableType]:
    names = ("length", "shards", "sequences", "tokens", "padding", "size")
    table = new_table("shards", "phase", *names)
    for row in report.packing:
        table.add_row(
            row["phase"],
            count(row["length"]),
            count(row["shards"]),
            count(row["sequences"]),
            count(row["tokens"]),
            percent(row["padding"], row["tokens"] + row["padding"], 2),
            bytes_text(row["bytes"]),
        )
    return [table]


def _warnings(warnings: Sequence[str]) -> list[RenderableType]:
    lines = "\n".join(f"! {warning}" for warning in warnings)
    return [Text(lines, style="yellow")] if lines else []


def closing_parts(report: "Report", recipe: "Recipe", path: str) -> list[RenderableType]:
    """Where everything lies, how long it took, and what to type next; `path` is the recipe's."""
    seconds = ", ".join(f"{step} {duration(taken)}" for step, taken in report.seconds.items())
    folder = recipe.workspace.rstrip("/")
    places = Table.grid(padding=(0, 2))
    places.add_row("shards", Text(report.result, overflow="fold"))
    places.add_row("report", Text(f"{folder}/report/{report.name}", overflow="fold"))
    places.add_row("time", f"{duration(sum(report.seconds.values()))} ({seconds})")
    lines = [
        "next:",
        f"  coursepack stats {folder} --name {report.name} --by phase,domain,language",
        f"  coursepack verify {report.result}",
        *([] if recipe.sample == 1 else [f"  coursepack run {path}    # all of it"]),
        "",
        "in training:",
        "  from coursepack.shards import Curriculum",
        f"  for batch in Curriculum({report.result!r}).batches(batch_tokens=1 << 20):",
        "      step(batch.inputs(), batch.labels(), batch.cu_seqlens())",
    ]
    return [places, Text("\n".join(lines))]


def sample_parts(recipe: "Recipe") -> list[RenderableType]:
    """What a reader of a sample's report must know."""
    share = f"{recipe.sample:.6g}"
    return [
        Text(
            f"this is a sample of {recipe.sample:.4%} of the documents; its workspace is {recipe.workspace}\n"
            "a sample understates duplicates: a pair is found only when both of its documents are in the "
            f"sample, so about {share} of the pairs are, and the whole run will keep less",
            style="yellow",
        )
    ]


def source_parts(draft: "Draft") -> list[RenderableType]:
    """A source that `init` found, with the beginnings of three documents."""
    source, tokens = draft.source, draft.tokens
    about = [
        f"layout: {source.layout}",
        f"domains: {', '.join(tokens)}, roughly {count(sum(tokens.values()))} tokens",
    ]
    if source.fields:
        pairs = ", ".join(f"{ours} = {theirs}" for ours, theirs in source.fields.items())
        about.insert(1, f"fields: {pairs}")
    if draft.languages:
        about.append("languages: " + ", ".join(list(draft.languages)[:4]))
    heading = Text(f"{source.name}: {draft}", "bold")
    heading.append("\n" + "\n".join(f"  {line}" for line in about), "not bold")
    texts = Table.grid(padding=(0, 1))
    for number, text in enumerate(draft.texts[:3], 1):
        # line breaks and control characters of a document must not reach a terminal
        line = "".join(c if c.isprintable() else " " for c in text[: 2 * _TEXT_CHARS])
        texts.add_row(f"  {number}", Text(" ".join(line.split())[:_TEXT_CHARS], "dim"))
    return [heading, texts]


def check_parts(recipe: "Recipe", checked: Sequence["Checked"]) -> list[RenderableType]:
    """The sources of a recipe, and how the records looked at fit their layouts."""
    names = ("files", "size", "looked at", "rejected")
    table = new_table(f"{recipe.name}: sources", "source", "*layout", "*domains", *names)
    parts: list[RenderableType] = [table]
    for entry in checked:
        seen, bad = entry.look, sum(entry.look.rejects.values())
        table.add_row(
            entry.source.name,
            entry.source.layout,
            ", ".join(sorted(set(seen.domains))),
            count(entry.files),
            bytes_text(entry.bytes),
            count(seen.records),
            percent(bad, seen.records) if bad else "0",
        )
        if bad:
            reasons = ", ".join(f"{number} {reason}" for reason, number in seen.rejects.items())
            parts.append(Text(f"! {seen.url}: {reasons}; the first: {seen.detail}", style="yellow"))
        if not seen.records:
            parts.append(Text(f"! {seen.url} has no records", style="yellow"))
    phases = new_table("phases", "phase", "tokens", "*length", "epochs", "*mixture")
    for phase in recipe.phase:
        mixture = ", ".join(f"{name} {weight:g}" for name, weight in phase.mixture.items())
        lengths = " ".join(map(count, phase.lengths))
        phases.add_row(
            phase.name, count(phase.tokens), lengths, f"<= {phase.max_epochs:g}", mixture
        )
    return [*parts, phases]


def stats_parts(name: str, table: pa.Table, keys: Sequence[str]) -> list[RenderableType]:
    """The result of `stats.mixture_stats` or `stats.funnel_stats`."""
    columns = [name for name in table.column_names if not _empty(table[name])]
    shown = new_table(name, *(f"*{column}" if column in keys else column for column in columns))
    for row in table.to_pylist():
        shown.add_row(*(_cell(column, row[column]) for column in columns))
    return [shown]


def _empty(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count == len(column) and len(column))


def _cell(column: str, value: Any) -> str:
    if column == "share":
        return _share(value)
    if column == "epochs":
        return _ratio(value)
    if isinstance(value, float):
        return f"{value:,.1f}"
    return count(value) if isinstance(value, int) else value or "-"


def whatif_parts(answer: "Answer") -> list[RenderableType]:
    """What stays of each source now and with the changes, and what each changed rule does."""
    sampled = answer.share < 1
    table = new_table(
        f"{answer.recipe}: documents that stay", "source", "*domain", "now", "then", "change",
        "text now", "then", "tokens now", "then",
    )  # fmt: skip
    for found in answer.yields:
        table.add_row(*_yield_cells(found, sampled))
    table.add_section()
    table.add_row(*_yield_cells(answer.total, sampled))
    parts: list[RenderableType] = [table]
    if answer.effects:
        parts.append(_effects_table(answer.effects))
    parts += _curve_tables(answer.curve)
    if answer.examples:
        parts.append(_examples_table(answer.examples))
    if answer.notes:
        parts.append(Text("\n".join(answer.notes), style="dim"))
    return [*parts, *_warnings(answer.warnings)]


def _yield_cells(found: "Yield", sampled: bool) -> list[str]:
    now, then = found.now, found.then
    change = then.documents - now.documents
    return [
        found.source or "all",
        found.domain,
        count(now.documents),
        count(then.documents) + _bound(found.then_error.documents, sampled),
        ("+" if change > 0 else "") + count(change) + _bound(found.change_error.documents, sampled),
        bytes_text(now.bytes),
        bytes_text(then.bytes),
        _rounded(now.tokens),
        _rounded(then.tokens),
    ]


def _bound(error: int, sampled: bool) -> str:
    return f" ±{count(error)}" if sampled else ""


def _rounded(number: int) -> str:
    """An estimate in three or four digits."""
    for scale, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= scale:
            return f"{number / scale:,.2f}{unit}"
    return str(number)


def _examples_table(examples: "Sequence[Example]") -> Table:
    table = new_table("documents of the sample", "*rule", "*side", "*values", "*document", "*text")
    before = ("", True)
    for example in examples:
        side = (
            ("drops" if example.dropped else "keeps")
            if (example.rule, example.dropped) != before
            else ""
        )
        values = ", ".join(f"{name} {_value(value)}" for name, value in example.values.items())
        name = f"{example.source}: {example.name}" if example.name else example.source
        table.add_row(
            example.rule if example.rule != before[0] else "",
            side,
            *map(Text, (values, name, example.text)),  # brackets in them are no markup
        )
        before = (example.rule, example.dropped)
    return table


def _value(value: object) -> str:
    return "null" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _effects_table(effects: "Sequence[Effect]") -> Table:
    table = new_table("rules", "rule", "*when", "*drops", "fires on", "alone drops")
    for effect in effects:
        title = effect.name + _scope_text(effect.scope)
        now = ("now", effect.now, effect.fires_now, effect.alone_now)
        then = ("then", effect.then, effect.fires_then, effect.alone_then)
        lines = [("", *now[1:])] if now[1:] == then[1:] else [now, then]
        for when, predicate, fires, alone in lines:
            numbers = ("-", "-") if predicate is None else (count(fires), count(alone))
            table.add_row(title, when, predicate or "(no such rule)", *numbers)
            title = ""
    return table


def _scope_text(scope: Sequence[str]) -> str:
    """As one writes it after a rule's name; of many parts the first."""
    if scope in ((), ("*",)):
        return ""
    more = f",+{len(scope) - 1}" if len(scope) > 1 else ""
    return f"@{scope[0]}{more}"


def _curve_tables(curve: "Sequence[Point]") -> Iterator[Table]:
    """Documents and tokens by threshold; a few domains a table."""
    domains = sorted({point.domain for point in curve})
    kept = {(point.threshold, point.domain): point.kept for point in curve}
    for start in range(0, len(domains), _CURVE_DOMAINS):
        shown = domains[start : start + _CURVE_DOMAINS]
        table = new_table("documents / tokens that stay, by threshold", "below", *shown)
        for threshold in dict.fromkeys(point.threshold for point in curve):
            found = [kept[threshold, domain] for domain in shown]
            cells = [f"{_rounded(one.documents)} / {_rounded(one.tokens)}" for one in found]
            table.add_row(f"{threshold:g}", *cells)
        yield table


def status_parts(entries: Sequence["Entry"]) -> list[RenderableType]:
    """The datasets of a workspace."""
    columns = ("*step", "*dataset", "*state", "files", "rows", "size", "*when (UTC)", "*used by")
    table = new_table(None, *columns)
    for entry in entries:
        took = f" in {duration(entry.seconds)}" if entry.seconds is not None else ""
        table.add_row(
            entry.step,
            _short(entry.name),
            Text(entry.state + took, style="" if entry.state == "published" else "yellow"),
            "" if entry.files is None else count(entry.files),
            "" if entry.rows is None else count(entry.rows),
            "" if entry.bytes is None else bytes_text(entry.bytes),
            f"{entry.when:%m-%d %H:%M}" if entry.when else "",
            ", ".join(entry.used_by),
        )
    return [table]


def _short(name: str) -> str:
    """A dataset's path without the folder that the step says already, fingerprints cut to 8 digits."""
    parts = name.split("/")[1:] or [name]
    return "/".join(part[:8] if len(part) >= 32 else part for part in parts)


def verdict_parts(verdict: "Verdict", meanings: Mapping[str, str]) -> list[RenderableType]:
    """What was checked of a result, and what is wrong; `meanings` says what each check is."""
    table = new_table(None, "check", "looked at", "*verdict", "*meaning")
    for check in verdict.checks:
        wrong = len(check.problems)
        said = (
            Text(f"{wrong} wrong", style="red") if wrong else Text("ok" if check.checked else "-")
        )
        meaning = meanings[check.name] + (f" ({check.note})" if check.note else "")
        table.add_row(check.name, count(check.checked), said, meaning)
    return [table, *(Text(f"! {problem}", style="red") for problem in verdict.problems)]


def signal_parts(signals: Iterable["Signal"]) -> list[RenderableType]:
    """The catalogue of signals, a table a family: what is measured together."""
    families: dict[str, list[Signal]] = {}
    for signal in signals:
        families.setdefault(signal.group, []).append(signal)
    parts: list[RenderableType] = []
    for family, members in families.items():
        sources = {signal.source for signal in members}
        common = f", from {sources.pop()}" if len(sources) == 1 else ""
        table = new_table(f"{family}{common}", "signal", "*type", "*unit", "*meaning")
        if not common:
            table.add_column("from", overflow="fold")
        table.columns[0].no_wrap = True  # names are to be copied
        for signal in members:
            cells = (signal.name, str(signal.type), signal.unit, signal.meaning)
            table.add_row(*cells, *(() if common else (signal.source,)))
        parts.append(table)
    return parts


def count(number: int) -> str:
    """A whole number with thousands separators; from ten million on in M, B or T."""
    for scale, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if number >= scale and number >= 10**7:
            return f"{number / scale:,.2f}{unit}"
    return f"{number:,}"


def bytes_text(number: int) -> str:
    """Bytes in decimal units."""
    for scale, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= scale:
            return f"{number / scale:,.1f} {unit}"
    return f"{number} B"


def percent(part: int, whole: int, digits: int = 1) -> str:
    """`part` of `whole`; a dash where there is nothing."""
    if not whole:
        return "-"
    shown = f"{part / whole:.{digits}%}"
    return shown if not part or float(shown[:-1]) else f"<{10.0**-digits:.{digits}f}%"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def new_table(title: str | None, *columns: str) -> Table:
    """A table; the first column and those with a * are text, the others numbers."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style="dim",
    )
    for place, column in enumerate(columns):
        text = place == 0 or column.startswith("*")
        table.add_column(
            column.removeprefix("*"),
            justify="left" if text else "right",
            no_wrap=not text,
            overflow="fold",
        )
    return table
