"""Lines of a batch against `str.splitlines` and `str.split`."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.arrow import text_buffers
from coursepack.stages.characters import CODE_POINTS
from coursepack.stages.line_edits import (
    Cuts,
    break_bytes,
    count_line_words,
    find_row_lines,
    line_spans,
    python_spaces,
    room_for_lines,
    skip_spaces,
    skip_spaces_back,
)
from coursepack.stages.spans import apply

TEXT = st.text(
    st.sampled_from("ab\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029 \t\xa0\u3000é漢…")
    | st.characters(codec="utf-8")
)


def test_white_space_is_pythons() -> None:
    young = {c for c in range(CODE_POINTS) if chr(c).isspace() != bool(python_spaces()[c])}
    assert young == set()


@given(
    st.lists(TEXT | st.text("x", min_size=30, max_size=70).map(lambda t: t + "\u2028y"), max_size=4)
)
def test_lines_end_where_python_ends_them(texts: list[str]) -> None:
    offsets, data = text_buffers(pa.array(["no", *texts], pa.string()).slice(1))
    for every, wanted in (
        (True, [text.splitlines() for text in texts]),
        (
            False,
            [text.split("\n")[: None if text[-1:] not in ("", "\n") else -1] for text in texts],
        ),
    ):
        lines = room_for_lines(offsets, data, every)
        count, found = 0, []
        for row in range(len(texts)):
            first = count
            count = find_row_lines(
                data,
                offsets[row],
                offsets[row + 1],
                break_bytes(every),
                count,
                lines.starts,
                lines.ends,
                lines.nexts,
            )
            places = zip(lines.starts[first:count], lines.ends[first:count], strict=True)
            found.append([data[a:b].tobytes().decode() for a, b in places])
            lines.offsets[row + 1] = count
        assert found == wanted

        # With all lines kept, the spans make every break a line feed and take the last one.
        lines.lefts[:count], lines.rights[:count] = lines.starts[:count], lines.ends[:count]
        none = np.zeros(0, np.int64)
        cuts = Cuts(np.zeros(count + 1, np.int64), none, none, none.astype(np.int16))
        spans = line_spans(offsets, data, lines, cuts, ("line:space",))
        assert apply(pa.array(texts, pa.string()), spans).to_pylist() == list(
            map("\n".join, wanted)
        )


@given(TEXT, st.integers(0, 5))
def test_words_and_white_space_at_the_ends(text: str, most: int) -> None:
    data = np.frombuffer(text.encode(), np.uint8)
    words = count_line_words(data, 0, len(data), python_spaces(), most)
    assert words == min(len(text.split()), most)
    left = skip_spaces(data, 0, len(data), python_spaces())
    assert data[left:].tobytes().decode() == text.lstrip()
    right = skip_spaces_back(data, 0, len(data), python_spaces())
    assert data[:right].tobytes().decode() == text.rstrip()
