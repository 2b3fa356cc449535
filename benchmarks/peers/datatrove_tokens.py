"""datatrove's tokenizer step over a corpus of measuring.py; run by a Python that has `datatrove[processing]`.

    python datatrove_tokens.py CORPUS OUT TOKENIZER

Reads the files, encodes with a `tokenizer.json` and writes its token files, without an end token.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer


def main() -> None:
    """Run, and leave result.json."""
    corpus, out, tokenizer = sys.argv[1:]
    executor = LocalPipelineExecutor(
        pipeline=[
            JsonlReader(corpus, glob_pattern="*.jsonl.zst"),
            DocumentTokenizer(
                f"{out}/tokens", tokenizer_name_or_path=tokenizer, shuffle_documents=False
            ),
        ],
        tasks=1,
        workers=1,
        logging_dir=f"{out}/logs",
        skip_completed=False,
    )
    stats = executor.run()
    counts = {one.name: one.stats for one in stats.stats}
    tokens = next(found["tokens"].total for name, found in counts.items() if "TOKENIZER" in name)
    documents = next(found["documents"].total for name, found in counts.items() if "READER" in name)
    result = {
        "version": importlib.metadata.version("datatrove"),
        "documents": int(documents),
        "tokens": int(tokens),
    }
    Path(out, "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
