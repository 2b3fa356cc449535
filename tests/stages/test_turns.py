"""Turns of templates and speakers: what begins with them, and what only quotes them."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.stages import turns as module
from coursepack.stages.turns import KINDS, LEAD_BYTES, turn_signals

CHATML = "<|im_start|>{}\n{}<|im_end|>\n"
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nName three fruits.\n\n### Response:\nApple, pear, plum.\n"
)


def turns(text: str | None) -> dict[str, int]:
    row = turn_signals(pa.array([text], pa.string())).to_pylist()[0]
    return {name.removesuffix("_turns"): number for name, number in row.items() if number}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CHATML.format("user", "Hi") + CHATML.format("assistant", "Hello"), {"token": 1}),
        (
            CHATML.format("system", "You are kind. " * 50)
            + (CHATML.format("user", "Hi") + CHATML.format("assistant", "Hello")) * 3,
            {"token": 3},
        ),
        ("<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhy? [/INST] So. </s>", {"token": 1}),
        ("[INST] a [/INST] b [INST] c [/INST] d", {"token": 2}),
        ("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
         "<|start_header_id|>assistant<|end_header_id|>\n\nHo", {"token": 1}),
        ("<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHo", {"token": 1}),
        (ALPACA, {"heading": 1}),
        ("### Human: Hi\n### Assistant: Ho\n### Human: And?\n### Assistant: So.", {"heading": 2}),
        ("\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant: Bye", {"speaker": 2}),
        ("**User:** Hi\n**Assistant:** Ho", {"speaker": 1}),
        ("User: Hi\nUser: still here\nAssistant: Ho\nAssistant: more", {"speaker": 1}),
        ("Q: Why?\nA: So.\n\nQ: And?\nA: No.", {"question": 2}),
        ("  Question: Why?\n  Answer: So.", {"question": 1}),
        # nobody answers, or nobody asks
        ("Human: Hi", {}),
        ("Assistant: Hello\nHuman: Hi", {}),
        ("Q: one\nQ: two", {}),
        # not at the start of the text, or of the line
        ("A page about ChatML, whose turns look so: a mark, a role and a line break, as in the example below.\n"
         + CHATML.format("user", "Hi") + CHATML.format("assistant", "Hello"), {}),
        ("An interview with the author.\nQ: Why?\nA: So.", {}),
        ("The words Human: Hi and Assistant: Hello in a line", {}),
        ("a <- b[i]; if (x<y) { [x] }", {}),
        ("", {}),
        (None, {}),
    ],
)  # fmt: skip
def test_turns(text: str | None, expected: dict[str, int]) -> None:
    assert turns(text) == expected


def test_columns_are_counts() -> None:
    found = turn_signals(pa.array(["x"]))
    assert found.schema.names == [f"{kind}_turns" for kind in KINDS]
    assert set(found.schema.types) == {pa.int32()}


def twin(text: str) -> list[int]:
    data = text.encode()
    begin = len(data) - len(data.lstrip(bytes(range(0x21))))
    found = []
    for kind, roles in enumerate(module._MARKS):
        marks = sorted((m.encode(), role) for role, held in enumerate(roles) for m in held)
        i, met, asked, count, opens = begin, False, False, 0, True
        while i < len(data):
            hit = next(
                ((m, r) for m, r in marks if data.startswith(m, i) and (opens or kind == 0)), None
            )
            if hit:
                if not met and i - begin > LEAD_BYTES[kind]:
                    break
                met = True
                count += hit[1] == 1 and asked
                asked = hit[1] == 0 or (asked and hit[1] == 2)
                i += len(hit[0])
                opens = False
            else:
                opens = data[i] == 0x0A or (opens and (data[i] <= 0x20 or data[i] == 0x2A))
                i += 1
        found.append(count)
    return found


_MARKS = [mark for roles in module._MARKS for marks in roles for mark in marks]
_piece = st.sampled_from(
    [*_MARKS, "\n", "\n", "\n", " ", "*", "x", "é", "# ", "<", "[", "word " * 60]
)


@given(
    st.lists(
        st.none() | st.lists(_piece, max_size=12).map("".join) | st.text(max_size=20), max_size=6
    ),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_as_its_twin_and_for_any_slice(texts: list[str | None], start: int, length: int) -> None:
    column = pa.array(texts, pa.string())
    found = turn_signals(column)
    rows = zip(*(c.to_pylist() for c in found.columns), strict=True)
    assert list(map(list, rows)) == [twin(text or "") for text in texts]
    assert turn_signals(column.slice(start, length)).equals(found.slice(start, length))
