"""Charts as SVG text, to stand in a page: bars in groups, and lines over a logarithmic axis.

No library and no script; a value is in the title of its mark, and in a table beside the chart.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

# Okabe and Ito 2008: told apart by colour-blind readers too
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
_WIDTH, _LEFT, _RIGHT = 760, 150, 50  # of a chart, and of what stands beside its marks
_BAR, _GAP = 14, 10
_PLOT, _BELOW = 260, 44  # heights of a line chart and of what is written under it
_NAME_CHARS = 22


def bars(title: str, names: Sequence[str], groups: Mapping[str, Sequence[float | None]]) -> str:
    """Horizontal bars: for each group a bar for each of `names`; None has no bar."""
    most = max((v for values in groups.values() for v in values if v is not None), default=0.0)
    scale = (_WIDTH - _LEFT - _RIGHT) / (most or 1.0)
    marks: list[str] = []
    top = 0
    for group, values in groups.items():
        middle = top + len(values) * _BAR / 2
        marks.append(_text(_LEFT - 8, middle + 4, _short(group), "end"))
        for place, (name, value) in enumerate(zip(names, values, strict=True)):
            y = top + place * _BAR
            if value is None:
                marks.append(_text(_LEFT + 4, y + 11, "-"))
                continue
            width = value * scale
            told = escape(f"{group}, {name}: {value:.4g}")
            marks.append(
                f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" '
                f'fill="{_colour(place)}"><title>{told}</title></rect>'
            )
            marks.append(_text(_LEFT + width + 4, y + 11, f"{value:.2f}"))
        top += len(values) * _BAR + _GAP
    return _figure(title, names, top, marks)


def lines(title: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Lines through (x, y), x at least 1 and on a logarithmic axis, y a share."""
    last = max((x for points in series.values() for x, _ in points), default=1.0)
    decades = max(math.log10(last), 1.0)
    width = _WIDTH - _LEFT - _RIGHT

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + width * math.log10(x) / decades, 10 + _PLOT * (1 - y)

    marks: list[str] = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = place(1, share)[1]
        marks.append(f'<path d="M{_LEFT} {y:.1f}h{width}" class="grid"/>')
        marks.append(_text(_LEFT - 8, y + 4, f"{share:.0%}", "end"))
    for power in range(int(decades) + 1):
        x = place(10**power, 0)[0]
        marks.append(_text(x, 10 + _PLOT + 18, f"{10**power:,}", "middle"))
    for number, (name, points) in enumerate(series.items()):
        path = "L".join("{:.1f} {:.1f}".format(*place(*point)) for point in points)
        colour = _colour(number)
        marks.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in points:
            at, told = place(x, y), escape(f"{name}, {x:,.0f}: {y:.1%}")
            marks.append(
                f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="3" fill="{colour}"><title>{told}</title></circle>'
            )
    return _figure(title, list(series), _PLOT + _BELOW, marks)


def _figure(title: str, names: Sequence[str], height: int, marks: Sequence[str]) -> str:
    keys = "".join(
        f'<span class="key"><i style="background:{_colour(place)}"></i>{escape(name)}</span>'
        for place, name in enumerate(names)
    )
    svg = (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title, quote=True)}">'
        f"{''.join(marks)}</svg>"
    )
    return f"<figure><figcaption>{escape(title)}</figcaption><p>{keys}</p>{svg}</figure>"


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(text: str) -> str:
    return text if len(text) <= _NAME_CHARS else text[: _NAME_CHARS - 1] + "…"


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]
