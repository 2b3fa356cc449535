"""Dolma's taggers gopher_v1 and c4_v2 over a corpus of measuring.py; run by a Python that has `dolma`.

    python dolma_taggers.py CORPUS OUT computed

Taggers compute all attributes of all documents, and write them; nothing is dropped. Importing dolma looks for
a sentence model of NLTK that neither tagger uses, and would fetch it: that is switched off.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import nltk
import zstandard


def main() -> None:
    """Run, and leave result.json."""
    corpus, out, _ = sys.argv[1:]
    nltk.download = lambda *names, **settings: False
    from dolma.core.runtime import create_and_run_tagger

    # attributes go to where `documents` is in the path of the texts
    documents = Path(out, "documents")
    documents.symlink_to(corpus, target_is_directory=True)
    create_and_run_tagger(
        documents=[f"{documents}/*.jsonl.zst"],
        taggers=["gopher_v1", "c4_v2"],
        experiment="filters",
        metadata=f"{out}/metadata",
        num_processes=1,
    )
    tagged = 0
    for file in Path(out, "attributes", "filters").iterdir():
        with zstandard.open(file, "rt", encoding="utf-8") as lines:
            tagged += sum(1 for _ in lines)
    about = {"version": importlib.metadata.version("dolma"), "documents": tagged}
    Path(out, "result.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main()
