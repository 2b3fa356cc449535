"""datatrove's filters over a corpus of measuring.py; run by a Python that has `datatrove[processing]` and spaCy.

    python datatrove_filters.py CORPUS OUT computed|chained

`chained` is the pipeline of FineWeb: a drop ends a document's way, and C4 keeps lines without a full stop.
`computed` puts every threshold out of reach, so that all values are computed of every document: nothing is
dropped. C4's rules come last there, for they alter the text.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

NEVER = 1e9  # no ratio, and no count of words, is above
ALWAYS = -1  # none is below; 0 would switch a rule off


def chained() -> list:
    """As FineWeb has them, with datatrove's defaults."""
    return [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]


def computed() -> list:
    """The same without a document that is dropped."""
    return [
        GopherRepetitionFilter(
            dup_line_frac=NEVER,
            dup_para_frac=NEVER,
            dup_line_char_frac=NEVER,
            dup_para_char_frac=NEVER,
            top_n_grams=tuple((n, NEVER) for n in (2, 3, 4)),
            dup_n_grams=tuple((n, NEVER) for n in (5, 6, 7, 8, 9, 10)),
        ),
        GopherQualityFilter(
            min_doc_words=ALWAYS,
            max_doc_words=NEVER,
            min_avg_word_length=ALWAYS,
            max_avg_word_length=NEVER,
            max_symbol_word_ratio=NEVER,
            max_bullet_lines_ratio=NEVER,
            max_ellipsis_lines_ratio=NEVER,
            max_non_alpha_words_ratio=ALWAYS,
            min_stop_words=ALWAYS,
        ),
        FineWebQualityFilter(
            line_punct_thr=ALWAYS,
            short_line_thr=NEVER,
            char_duplicates_ratio=NEVER,
            new_line_ratio=NEVER,
        ),
        C4QualityFilter(filter_lorem_ipsum=False, filter_curly_bracket=False, min_num_sentences=0),
    ]


def main() -> None:
    """Run, and leave result.json."""
    corpus, out, mode = sys.argv[1:]
    filters = {"computed": computed, "chained": chained}[mode]()
    executor = LocalPipelineExecutor(
        pipeline=[
            JsonlReader(corpus, glob_pattern="*.jsonl.zst"),
            *filters,
            JsonlWriter(f"{out}/kept", output_filename="${rank}.jsonl.zst", compression="zstd"),
        ],
        logging_dir=f"{out}/log",
    )
    executor.run()
    stats = json.loads(Path(out, "log", "stats.json").read_text())
    read = next(step for step in stats if "READER" in step["name"])["stats"]["documents"]
    # a statistic whose values are all 1 is written as their number alone
    documents = read["total"] if isinstance(read, dict) else read
    about = {"version": importlib.metadata.version("datatrove"), "documents": documents}
    Path(out, "result.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main()
