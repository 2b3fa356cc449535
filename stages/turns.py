"""Turns of templates and of conversations: what shows that a text asks and answers.

Marks are those of chat templates (ChatML, Llama, Gemma, Zephyr, OpenAssistant), of Alpaca's headings (Taori et al.
2023) and of plain names of speakers, as data sets for instruction tuning write them.
"""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit, types

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.characters import BYTES, INDEX, load8, without

# Kinds of marks; the last three stand at the beginning of a line.
TOKENS, HEADINGS, SPEAKERS, QUESTIONS = range(4)
KINDS = ("token", "heading", "speaker", "question")
# The first mark of a kind begins in so many bytes from the start, white space aside: a template may have a system
# prompt or a preamble (Alpaca's has 160 bytes) before it; a text that only quotes one begins otherwise.
LEAD_BYTES = (64, 512, 16, 16)

# of each kind what asks, what answers, and what may come before
_MARKS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        (
            *("<|im_start|>user", "<|user|>", "<|User|>", "<|prompter|>", "<start_of_turn>user"),
            *("<|start_header_id|>user", "<human>:", "[INST]"),
        ),
        (
            *("<|im_start|>assistant", "<|assistant|>", "<|Assistant|>", "<start_of_turn>model"),
            *("<|start_header_id|>assistant", "<bot>:", "[/INST]"),
        ),
        ("<|im_start|>system", "<|system|>", "<|start_header_id|>system", "<<SYS>>"),
    ),
    (
        ("### Instruction", "### Human:", "### User:", "### Question:", "### Prompt:"),
        ("### Response", "### Assistant:", "### Answer:", "### Output:", "### AI:"),
        ("### System:", "### Context:"),
    ),
    (
        ("Human:", "User:", "USER:", "Customer:", "Instruction:", "Prompt:"),
        ("Assistant:", "ASSISTANT:", "AI:", "Bot:", "ChatGPT:", "Agent:", "Response:", "Output:"),
        ("System:", "SYSTEM:"),
    ),
    (("Q:", "Question:", "QUESTION:"), ("A:", "Answer:", "ANSWER:"), ()),
)
_ASK, _ANSWER = range(2)
_OPENERS = tuple(np.uint64(sign * 0x0101010101010101) for sign in b"\n<[")  # eight times each


def turn_signals(text: Text) -> pa.RecordBatch:
    """How often each kind of mark asks and then answers (int32): `token_turns`, `heading_turns`, `speaker_turns`,
    `question_turns`. A null text is like an empty one.

    A turn is a mark that asks and the next one of its kind that answers. It counts when the first mark of the kind
    (that of a system prompt too) stands at the text's start, within LEAD_BYTES.
    """
    offsets, data = text_buffers(text)
    turns = np.zeros((len(offsets) - 1, len(KINDS)), np.int32)
    _count_turns(offsets, data, *_table(), np.array(LEAD_BYTES), turns)
    columns = {f"{name}_turns": pa.array(turns[:, kind]) for kind, name in enumerate(KINDS)}
    return pa.RecordBatch.from_pydict(columns)


@cache
def _table() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bytes and bounds of all marks, the number of the first mark of each first byte, kind and role of each mark."""
    found = sorted(
        (mark.encode(), kind, role)
        for kind, roles in enumerate(_MARKS)
        for role, marks in enumerate(roles)
        for mark in marks
    )
    joined = np.frombuffer(b"".join(mark for mark, _, _ in found), np.uint8)
    bounds = np.append(0, np.cumsum([len(mark) for mark, _, _ in found]))
    firsts = np.searchsorted([mark[0] for mark, _, _ in found], np.arange(257))
    return joined, bounds, firsts, np.array([(kind, role) for _, kind, role in found])


@njit(nogil=True, cache=True)
def _is_quiet(eight: Any) -> bool:
    """Whether none of eight bytes ends a line, or begins a mark inside one."""
    newline, angle, square = _OPENERS
    return bool(without(eight, newline) and without(eight, angle) and without(eight, square))


@njit(
    types.void(
        *(INDEX, BYTES, BYTES, INDEX, INDEX),
        types.Array(types.int64, 2, "C", readonly=True),
        INDEX,
        types.int32[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def _count_turns(
    offsets: np.ndarray,
    data: np.ndarray,
    marks: np.ndarray,
    bounds: np.ndarray,
    firsts: np.ndarray,
    roles: np.ndarray,
    lead_bytes: np.ndarray,
    turns: np.ndarray,
) -> None:
    farthest = lead_bytes.max()
    for row in range(len(turns)):
        i, end = offsets[row], offsets[row + 1]
        while i < end and data[i] <= 0x20:
            i += 1
        begin = i
        # a bit for each kind: whether it was met, whether it was at the text's start, whether something is asked
        met, leads, asked = 0, 0, 0
        opens = True  # the line holds nothing yet but white space and asterisks
        while i < end:
            if i - begin > farthest and not leads:
                break
            if not opens:
                while i + 8 <= end and _is_quiet(load8(data, i)):
                    i += 8
                if i >= end:
                    break
            byte = data[i]
            if opens or byte == 0x3C or byte == 0x5B:
                found = -1
                for mark in range(firsts[byte], firsts[np.int64(byte) + 1]):
                    a, size = bounds[mark], bounds[mark + 1] - bounds[mark]
                    if (roles[mark, 0] > 0 and not opens) or i + size > end:
                        continue
                    k = 1
                    while k < size and data[i + k] == marks[a + k]:
                        k += 1
                    if k == size:
                        found = mark
                        break
                if found >= 0:
                    kind, role = roles[found, 0], roles[found, 1]
                    bit = 1 << kind
                    if not met & bit:
                        met |= bit
                        leads |= (i - begin <= lead_bytes[kind]) << kind
                    if leads & bit and role == _ASK:
                        asked |= bit
                    elif role == _ANSWER and asked & bit:
                        turns[row, kind] += 1
                        asked ^= bit
                    i += bounds[found + 1] - bounds[found]
                    opens = False
                    continue
            opens = byte == 0x0A or (opens and (byte <= 0x20 or byte == 0x2A))
            i += 1
