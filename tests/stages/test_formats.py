"""XML, HTML, JSON and YAML by structure, and the visible text of HTML against Python's parser."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursepack.pipeline.arrow import text_buffers
from coursepack.stages.formats import format_marks, visible_chars


def marks(text: str) -> set[str]:
    offsets, data = text_buffers(pa.array(["x", text]).slice(1))
    return {name for name, found in format_marks(offsets, data).items() if found[0]}


def visible(text: str) -> int:
    offsets, data = text_buffers(pa.array(["<b>skipped</b>", text]))
    found = visible_chars(offsets, data, np.array([False, True]))
    assert found[0] == 0
    return int(found[1])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('<?xml version="1.0"?><a/>', {"xml"}),
        ("é" * 86 + "<?xml version=", {"xml"}),
        ("é" * 87 + "<?xml version=", set()),
        ("<!DOCTYPE HTML>\n<p>a", {"html"}),
        ("  <!-- a -->\n<Html lang=en>", {"html"}),
        ("<p>a</p>", set()),
        ("see <html>", set()),
        ('{"a": [1]}\n', {"json"}),
        ("{}", {"json"}),
        ("[]", {"json"}),
        ('{"a": 1}\n{"a": 2}', {"json"}),
        ("[[1, 2], -3]", {"json"}),
        ("[link](url) [b]", set()),
        ("{ int x; }", set()),
        ("a:\n  b: 1\n  c:\n    - d\n", {"yaml"}),
        ("---\nname: x\non: push\n", {"yaml"}),
        ("# note\njobs:\n- a: b\non: c\n", {"yaml"}),
        ("---\ntitle: Page\n---\n# Heading\n\nSome prose here.\nAnd more of it.\n", set()),
        ("- one\n- two\n- three\n", set()),
        ("Flour:\n- one\n- two\n", set()),
        ("Question: why?\nAnswer: because.\n", set()),
        ("try:\n    import a\nexcept b:\n    c = 1\n    d = 2\n", set()),
        ("", set()),
        ("{", set()),
        ("<", set()),
    ],
)
def test_marks(text: str, wanted: set[str]) -> None:
    assert marks(text) == wanted


VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(st.text(max_size=5), VALUES) | st.lists(st.integers() | st.text()),
    st.booleans(),
)
@settings(deadline=None)
def test_all_json_is_json(value: object, indented: bool) -> None:
    assert "json" in marks(json.dumps(value, indent=2 if indented else None))


class Visible(HTMLParser):
    """The text outside scripts and styles; entities are one character already."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.count, self.hidden = 0, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden |= tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.hidden &= tag not in ("script", "style")

    def handle_data(self, data: str) -> None:
        self.count += 0 if self.hidden else len(data)


HTML = st.lists(
    st.sampled_from(
        [
            *(
                "<p>",
                "</p>",
                "<br/>",
                "<!DOCTYPE html>",
                "<!-- <b> -->",
                '<a href="x>y">',
                "text é",
            ),
            *("<script>if (a < b) { '<p>' }</script>", "<style>p > a {}</style>", "\n", "&amp;"),
            *("&eacute;", "&#233;", "a & b", "1 < 2", "<A CLASS='q'>", "漢字", "<td nowrap>"),
        ]
    ),
    max_size=15,
).map("".join)


@given(HTML)
@settings(max_examples=300, deadline=None)
def test_visible_text_as_a_parser_sees_it(html: str) -> None:
    parser = Visible()
    parser.feed(html)
    parser.close()
    assert visible(html) == parser.count


@given(st.text("<>!-/sctyle'\"=& ;a\n"))
@settings(deadline=None)
def test_any_markup_has_at_most_its_own_text(html: str) -> None:
    assert 0 <= visible(html) <= len(html)
    assert visible(re.sub("[<&]", "", html)) == len(re.sub("[<&]", "", html))


@pytest.mark.parametrize(
    "text", ["a: 1\nb:\n  c: 1\n", "---\na: 1\nb: 2\n", "# x\n\n  # y\n---\na: 1\nb: 2\n"]
)
def test_yaml_behind_a_comment_of_any_length(text: str) -> None:
    for before in range(0, 400, 7):
        assert marks(f"#{'-' * before}: \n{text}") == {"yaml"}
        assert marks(f"#{'-' * before}:\n{text} ") == {"yaml"}
        assert marks(f"#{'-' * before}\n{text.rstrip()}") == {"yaml"}
    assert marks(text.replace(":\n", ": x\n").replace("---", "- b")) == set()
