"""What datatrove's filters say of each document of a corpus of measuring.py, each filter on the text as it came.

    python datatrove_reasons.py CORPUS OUT

Leaves OUT/result.json: `version`, and `reasons`, by document in the corpus' order a reason or null of each filter.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.readers import JsonlReader
from datatrove_filters import chained


def reason(filter_: object, document: Document) -> str | None:
    """None where the filter keeps a copy of the document: C4's alters the text."""
    found = filter_.filter(Document(text=document.text, id=document.id))
    kept, why = found if isinstance(found, tuple) else (found, type(filter_).__name__)
    return None if kept else why


def main() -> None:
    """Judge, and leave result.json."""
    corpus, out = sys.argv[1:]
    filters = chained()
    documents = JsonlReader(corpus, glob_pattern="*.jsonl.zst")(None)
    reasons = [[reason(f, document) for f in filters] for document in documents]
    result = {"version": importlib.metadata.version("datatrove"), "reasons": reasons}
    Path(out, "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
