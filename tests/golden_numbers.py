"""Stored values of other tools, and the texts that they were measured on."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from short_texts import TEXTS

ROOT = Path(__file__).parents[1]


def golden(tool: str) -> dict[str, Any]:
    """`note` (how the numbers were made), `columns`, `texts`, `sha256` and `values`: text -> numbers."""
    path = Path(__file__).parent / "stages" / "golden" / f"{tool}.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def golden_text(of: dict[str, Any], key: str) -> str:
    """A text of TEXTS, one stored beside the numbers, or a file of this repository that is still the same."""
    if key.startswith("short:"):
        return TEXTS[key.removeprefix("short:")]
    if key.startswith("extra:"):
        text: str = of["texts"][key.removeprefix("extra:")]
        return text
    text = (ROOT / key).read_text("utf-8")
    changed = f"{key} is not what was measured: make the golden numbers again, as their note says"
    assert sha256(text.encode()).hexdigest()[:16] == of["sha256"][key], changed
    return text
