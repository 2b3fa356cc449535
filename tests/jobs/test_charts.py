"""Charts are well-formed SVG whose marks are where their values say."""

import re
import xml.etree.ElementTree as ET

import pytest

from coursepack.jobs.charts import bars, lines


def marks(chart: str, tag: str) -> list[ET.Element]:
    figure = ET.fromstring(chart)
    assert figure.tag == "figure"
    return list(figure.iter(tag))


def test_bars() -> None:
    chart = bars("a <title>", ["x & y", "z"], {"web": [4.0, 2.0], '"code"' * 5: [None, 1.0]})
    widths = [float(rect.attrib["width"]) for rect in marks(chart, "rect")]
    assert widths[1] == pytest.approx(widths[0] / 2, abs=0.1)
    assert widths[2] == pytest.approx(widths[0] / 4, abs=0.1)
    assert [title.text for title in marks(chart, "title")][:2] == ["web, x & y: 4", "web, z: 2"]
    texts = [text.text for text in marks(chart, "text")]
    assert texts[:3] == ["web", "4.00", "2.00"]
    assert texts[3] == ('"code"' * 5)[:21] + "…"
    assert texts[4:] == ["-", "1.00"]
    assert len({rect.attrib["y"] for rect in marks(chart, "rect")}) == 3
    assert [span.find("i").tail for span in marks(chart, "span")] == ["x & y", "z"]
    assert bars("nothing", [], {})


def test_lines() -> None:
    chart = lines("shares", {"a": [(1, 0.0), (10, 0.5), (1000, 1.0)], "b": [(100, 0.25)]})
    at = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in marks(chart, "circle")]
    assert at[1][0] - at[0][0] == pytest.approx((at[2][0] - at[0][0]) / 3, abs=0.2)  # logarithmic
    assert at[0][1] > at[1][1] > at[2][1]  # up is more
    assert at[1][1] == pytest.approx((at[0][1] + at[2][1]) / 2, abs=0.2)
    assert at[3][0] == pytest.approx(at[0][0] + (at[2][0] - at[0][0]) * 2 / 3, abs=0.2)
    assert [c.find("title").text for c in marks(chart, "circle")][2] == "a, 1,000: 100.0%"
    texts = [text.text for text in marks(chart, "text")]
    assert texts == ["0%", "25%", "50%", "75%", "100%", "1", "10", "100", "1,000"]
    assert len(re.findall("<path d=.M[^>]*stroke=", chart)) == 2
