"""A comparison of tokenizers for people: tables in the terminal, and a page of charts and tables."""

from collections.abc import Iterator, Sequence
from html import escape

from rich.console import RenderableType
from rich.text import Text

from coursepack.jobs.charts import bars, lines
from coursepack.jobs.tables import bytes_text, count, new_table, percent
from coursepack.stages.token_counts import CLASSES
from coursepack.stages.tokenizer_compare import ALL, Candidate, Comparison, Figures

_SHOWN = 12  # values of a class in the terminal, and bars in a chart; all are in the page's tables
_TOP, _TOP_NAME = 1000, "top 1K"
_UNKNOWN = "(unknown)"
_MEANING = (
    "B/tok, ch/tok: bytes and characters a token; tok/word: tokens a word; split: words of more than one token; "
    "byte: tokens that are a byte of what has no piece; unk: tokens for what is lost; dead: pieces that no token "
    f"uses; {_TOP_NAME}: tokens that are one of the {_TOP:,} most frequent pieces. A word is what stands between "
    "white space; in scripts without spaces, a character."
)
_NAMES = {"programming_language": "programming language"}
_COLUMNS = ("B/tok", "ch/tok", "tok/word", "split", "byte", "unk", "dead")
_COST = (
    "embed", "tied", "of it", "untied", "of it", "tokens", "FLOPs/B", "attn", "all",
)  # fmt: skip
_COST_MEANING = (
    "embed: parameters of one embedding; tied, untied: of the model with one, or with two; of it: the share of "
    "embeddings; tokens: for the same text, per token of the first; FLOPs/B: of training on a byte of text, 6 a "
    "parameter and token; attn: those of attention over the same text; all: both, per those of the first."
)

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --faint: #8885; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #161616; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
th, td { padding: .15rem .7rem .15rem 0; text-align: right; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1px solid var(--faint); }
th.text, td.text { text-align: left; }
tr.first td { border-top: 1px solid var(--faint); }
figure { margin: 1.2rem 0; } figcaption { font-weight: 600; } figure p { margin: .3rem 0; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .grid { stroke: var(--faint); }
.key { margin-right: 1.2rem; } .key i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
.note { opacity: .8; max-width: 46rem; } code { overflow-wrap: anywhere; }
"""


def comparison_parts(found: Comparison) -> list[RenderableType]:
    """The tables that the terminal shows: all documents, then by each class, then the cost."""
    table = new_table(f"tokenizers on {found.on}", "tokenizer", "pieces", *_COLUMNS, _TOP_NAME)
    whole = _rows(found, ALL)
    for one, row in zip(found.tokenizers, whole, strict=True):
        table.add_row(one.name, count(one.pieces), *_cells(row), _share(row.top.get(_TOP)))
    parts: list[RenderableType] = [table, Text("\n".join([*found.notes, _MEANING]), style="dim")]
    for by in CLASSES:
        values = _values(found, by)
        if len(values) < (1 if by == "programming_language" else 2):
            continue
        # without characters a token: 80 columns hold no more
        table = new_table(f"by {_NAMES.get(by, by)}", "", "*tokenizer", "text", *_narrow(_COLUMNS))
        for value in values[:_SHOWN]:
            rows = [row for row in _rows(found, by) if row.value == value]
            for place, row in enumerate(rows):
                first = (_label(found, row), bytes_text(row.bytes)) if not place else ("", "")
                table.add_row(first[0], row.tokenizer, first[1], *_narrow(_cells(row)))
            table.add_section()
        parts.append(table)
        if rest := values[_SHOWN:]:
            parts.append(Text(f"and {len(rest)} more, with --json or --html", style="dim"))
    if found.cost:
        table = new_table("in the model", "tokenizer", *_COST)
        for cells in _cost_rows(found):
            table.add_row(*cells)
        parts += [table, Text(_COST_MEANING, style="dim")]
    return parts


def comparison_page(found: Comparison) -> str:
    """A page of its own: HTML without scripts or anything from elsewhere."""
    names = [one.name for one in found.tokenizers]
    title = f"Tokenizers on {found.on}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f'<p class="note">{escape(note)}</p>' for note in found.notes),
        _tokenizers_table(found),
        "<h2>All documents</h2>",
        _table(
            ("tokenizer", *_COLUMNS, _TOP_NAME),
            [(r.tokenizer, *_cells(r), _share(r.top.get(_TOP))) for r in _rows(found, ALL)],
        ),
        f'<p class="note">{escape(_MEANING)}</p>',
        lines(
            "Share of the tokens that are the n most frequent pieces",
            {row.tokenizer: sorted(row.top.items()) for row in _rows(found, ALL)},
        ),
        *(part for by in CLASSES for part in _class_parts(found, by, names)),
        *_cost_parts(found, names),
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _class_parts(found: Comparison, by: str, names: Sequence[str]) -> Iterator[str]:
    values = _values(found, by)
    if not values:
        return
    rows = _rows(found, by)
    yield f"<h2>By {_NAMES.get(by, by)}</h2>"
    groups = {
        _label(found, some[0]): [row.bytes_per_token for row in some]
        for some in ([row for row in rows if row.value == value] for value in values[:_SHOWN])
    }
    more = f", the {_SHOWN} with most text" if len(values) > _SHOWN else ""
    yield bars(f"Bytes per token{more}", names, groups)
    cells = []
    for place, row in enumerate(rows):
        first = not place % len(names)
        about = (_label(found, row), f"{row.documents:,}", bytes_text(row.bytes))
        cells.append((*(about if first else ("", "", "")), row.tokenizer, *_cells(row)))
    yield _table(("", "documents", "text", "tokenizer", *_COLUMNS), cells, text=(0, 3))


def _cost_parts(found: Comparison, names: Sequence[str]) -> Iterator[str]:
    if not found.cost:
        return
    yield "<h2>In the model</h2>"
    yield _table(("tokenizer", *_COST), _cost_rows(found))
    yield f'<p class="note">{escape(_COST_MEANING)}</p>'
    groups = {"tokens": [cost.tokens for cost in found.cost]}
    if found.cost[0].relative_flops is not None:
        groups["FLOPs"] = [cost.relative_flops or 0.0 for cost in found.cost]
    yield bars("For the same text, as a multiple of the first tokenizer", names, groups)


def _tokenizers_table(found: Comparison) -> str:
    rows = [
        (one.name, f"{one.pieces:,}", _where(one), one.url, one.sha256[:16])
        for one in found.tokenizers
    ]
    return _table(("tokenizer", "pieces", "trained", "file", "sha256"), rows, text=(0, 2, 3, 4))


def _where(one: Candidate) -> str:
    return "here" if one.trained_here else "elsewhere"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = (0,)) -> str:
    """An HTML table; the columns `text` are not numbers."""

    def cells(tag: str, values: Sequence[str]) -> str:
        kinds = (' class="text"' if place in text else "" for place in range(len(values)))
        return "".join(
            f"<{tag}{kind}>{escape(value)}</{tag}>"
            for kind, value in zip(kinds, values, strict=True)
        )

    body = "\n".join(
        f"<tr{' class=first' if row[0] else ''}>{cells('td', row)}</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table>\n<thead><tr>{cells("th", names)}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _rows(found: Comparison, by: str) -> list[Figures]:
    return [row for row in found.figures if row.by == by]


def _values(found: Comparison, by: str) -> list[str]:
    return list(dict.fromkeys(row.value for row in _rows(found, by)))


def _label(found: Comparison, row: Figures) -> str:
    return (row.value or _UNKNOWN) + " *" * (row.by == "domain" and row.value in found.seen)


def _cells(row: Figures) -> tuple[str, ...]:
    return (
        _number(row.bytes_per_token),
        _number(row.characters_per_token),
        _number(row.tokens_per_word),
        *map(_share, (row.split_words, row.byte_tokens, row.unknown_tokens, row.dead_pieces)),
    )


def _narrow(cells: tuple[str, ...]) -> tuple[str, ...]:
    return (cells[0], *cells[2:])


def _cost_rows(found: Comparison) -> list[tuple[str, ...]]:
    return [
        (
            one.name,
            _large(cost.embedding),
            _large(cost.tied),
            _share(cost.tied_share),
            _large(cost.untied),
            _share(cost.untied_share),
            _number(cost.tokens),
            _large(cost.flops),
            _large(cost.attention_flops),
            _number(cost.relative_flops),
        )
        for one, cost in zip(found.tokenizers, found.cost, strict=True)
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _large(value: float | None) -> str:
    return "-" if value is None else count(round(value))


def _share(value: float | None) -> str:
    """A share in percent, with what is too small to show as such."""
    return "-" if value is None else percent(round(value * 10**9), 10**9)
