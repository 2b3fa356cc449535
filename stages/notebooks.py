"""Notebooks as plain text: the sources of their cells, without JSON or comment signs around them.

Known are Jupyter's format (nbformat 3 and 4) and Databricks' source files (`# MAGIC`).
"""

import json
import re
from collections.abc import Iterator

_DATABRICKS = b"# Databricks notebook source"
_CELL = "\n%%\n"  # between two cells
_LINE_MAGIC = re.compile(r"\A(\s*)%(\w*sql)[ \t]*\n")  # Databricks' magic of a whole cell


def may_be_notebook(text: bytes) -> bool:
    """Whether `cells` is worth a call."""
    return text.startswith(_DATABRICKS) or (text.lstrip()[:1] == b"{" and b'"cell_type"' in text)


def cells(text: bytes) -> str | None:
    """The cells of a notebook with a line `%%` between them; a cell whose magic is `%sql` begins with `%%sql`.
    None where the text is no notebook."""
    if text.startswith(_DATABRICKS):
        found = _databricks(text.decode(errors="replace"))
    else:
        try:
            found = list(_jupyter(json.loads(text)))
        except (ValueError, RecursionError):
            return None
    return _CELL.join(_LINE_MAGIC.sub(r"\1%%\2\n", cell, count=1) for cell in found)


def _jupyter(notebook: object) -> Iterator[str]:
    if not isinstance(notebook, dict):
        return
    sheets = notebook.get("worksheets")
    for sheet in [notebook, *(sheets if isinstance(sheets, list) else [])]:
        listed = sheet.get("cells") if isinstance(sheet, dict) else None
        for cell in listed if isinstance(listed, list) else []:
            if not isinstance(cell, dict):
                continue
            source = cell.get("source", cell.get("input", ""))
            lines = source if isinstance(source, list) else [source]
            # A lone surrogate, which JSON may spell, is no UTF-8.
            text = "".join(line for line in lines if isinstance(line, str))
            yield text.encode(errors="replace").decode()


def _databricks(text: str) -> list[str]:
    found = []
    for cell in re.split(r"(?m)^# COMMAND -+\r?$", text):
        lines = cell.strip("\r\n").split("\n")
        found.append("\n".join(line.removeprefix("# MAGIC").removeprefix(" ") for line in lines))
    return found
