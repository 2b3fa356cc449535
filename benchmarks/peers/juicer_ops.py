"""data-juicer's filters that resemble Gopher's over a corpus of measuring.py; run by a Python that has it.

    python juicer_ops.py CORPUS OUT computed

Its own executor with one process: read, compute the statistics of each filter, write them beside the text. The
bounds are out of reach, so that every filter sees every document. Words are what white space separates.
"""

import importlib.metadata
import json
import os
import sys
from pathlib import Path

NEVER = 1_000_000_000  # no length and no ratio is above; and none is below its negative
STOP_WORDS = ["the", "be", "to", "of", "and", "that", "have", "with"]  # Gopher's


def process(assets: str) -> list:
    """The filters, as data-juicer's configuration has them."""
    ratio = {"min_ratio": -NEVER, "max_ratio": NEVER}
    length = {"min_len": -NEVER, "max_len": NEVER}
    return [
        {"alphanumeric_filter": ratio},
        {"average_line_length_filter": length},
        {"maximum_line_length_filter": length},
        {"special_characters_filter": ratio},
        {"text_length_filter": length},
        {"words_num_filter": {"min_num": -NEVER, "max_num": NEVER}},
        {"stopwords_filter": {**ratio, "stopwords_dir": assets}},
        {"character_repetition_filter": {**ratio, "rep_len": 10}},
        {"word_repetition_filter": {**ratio, "rep_len": 10}},
    ]


def main() -> None:
    """Run, and leave result.json."""
    corpus, out, _ = sys.argv[1:]
    # all that it keeps goes away with `out`
    os.environ |= {"HF_HOME": out, "DATA_JUICER_CACHE_HOME": out}
    # what it lacks it would install on the way, and that would be measured
    os.environ |= {"HF_HUB_OFFLINE": "1", "UV_OFFLINE": "1", "PIP_NO_INDEX": "1"}
    from data_juicer.config import init_configs
    from data_juicer.core.executor import DefaultExecutor

    assets = Path(out, "assets")
    assets.mkdir()
    (assets / "stopwords.json").write_text(json.dumps({"en": STOP_WORDS}))
    settings = {
        "project_name": "filters",
        "dataset_path": corpus,
        "export_path": f"{out}/kept.jsonl",
        "work_dir": out,
        "np": 1,
        "auto_op_parallelism": False,
        "skip_op_error": False,
        "use_cache": False,
        "keep_stats_in_res_ds": True,
        "process": process(str(assets)),
    }
    config = Path(out, "config.yaml")
    config.write_text(json.dumps(settings))  # YAML, too
    DefaultExecutor(init_configs(["--config", str(config)])).run()
    with open(Path(out, "kept.jsonl"), "rb") as lines:
        documents = sum(1 for _ in lines)
    about = {"version": importlib.metadata.version("py-data-juicer"), "documents": documents}
    Path(out, "result.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main()
