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
    rest = f"; {written.rejected:,} records are no documents" if written.rejected else ""
    fate = "" if written.decided or written.form != "parquet" else "; nothing has been decided yet"
    return (
        f"wrote {len(written.signals):,} signals of {written.documents:,} documents to {written.files:,} files "
        f"below {written.output}{rest}{fate}"
    )
