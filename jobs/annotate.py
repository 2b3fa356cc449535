"""Measured signals as files for other tools, from a recipe file or the recipe that a workspace keeps."""

from coursepack.jobs.whatif import find_recipe
from coursepack.stages.annotate import Exported
from coursepack.stages.annotate import annotate as write


def annotate(
    where: str,
    form: str,
    output: str,
    signals: str | None = None,
    name: str | None = None,
    allow_code: bool = False,
) -> Exported:
    """Write `signals` (names with commas between; None: all) of the documents of the recipe at `where`."""
    names = tuple(part.strip() for part in (signals or "").split(",") if part.strip())
    return write(find_recipe(where, name, allow_code), form, output, names)


def said(written: Exported) -> str:
    """What was written, in one line."""
    parts = [
        f"wrote {len(written.signals):,} signals of {written.documents:,} documents below {written.output}",
        f"files: {written.files:,}",
    ]
    if written.rejected:
        parts.append(f"records that are no documents: {written.rejected:,}")
    if written.form == "parquet" and not written.decided:
        parts.append("nothing has been decided yet")
    return "; ".join(parts)
