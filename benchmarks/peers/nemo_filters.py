"""NeMo Curator's heuristic filters over a corpus of measuring.py; run by a Python that has `nemo-curator`.

    python nemo_filters.py CORPUS OUT computed

Its own pipeline on a Ray cluster of this machine: read, compute the scores of all filters of all documents,
write them. Nothing is dropped.

Ray's workers are children of a process that forgets them, so no parent learns what they took: they stay alive
until the work is done, and this program says itself what all its processes have taken by then.
"""

import importlib.metadata
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_idle_worker_killing_time_threshold_ms": "3600000",
    "CUDA_VISIBLE_DEVICES": "",
}

import ray
from nemo_curator.backends.ray_data import RayDataExecutor
from nemo_curator.pipeline import Pipeline
from nemo_curator.stages.text.filters.heuristic import string
from nemo_curator.stages.text.filters.heuristic.repetition import repetition
from nemo_curator.stages.text.filters.score_filter import Score
from nemo_curator.stages.text.io.reader import JsonlReader
from nemo_curator.stages.text.io.writer import JsonlWriter


def filters() -> list:
    """All heuristics for English, with their defaults and Gopher's n-grams."""
    return [
        string.NonAlphaNumericFilter(),
        string.SymbolsToWordsFilter(),
        string.NumbersFilter(),
        string.UrlsFilter(),
        string.PornographicUrlsFilter(),
        string.WhiteSpaceFilter(),
        string.ParenthesesFilter(),
        string.BoilerPlateStringFilter(),
        string.WordCountFilter(),
        string.MeanWordLengthFilter(),
        string.LongWordFilter(),
        string.WordsWithoutAlphabetsFilter(),
        string.CommonEnglishWordsFilter(stop_at_false=False),
        string.PunctuationFilter(),
        string.EllipsisFilter(),
        string.BulletsFilter(),
        repetition.RepeatedLinesFilter(),
        repetition.RepeatedLinesByCharFilter(),
        repetition.RepeatedParagraphsFilter(),
        repetition.RepeatedParagraphsByCharFilter(),
        *(repetition.RepeatingTopNGramsFilter(n) for n in (2, 3, 4)),
        *(repetition.RepeatingDuplicateNGramsFilter(n) for n in (5, 6, 7, 8, 9, 10)),
    ]


def main() -> None:
    """Run, and leave result.json."""
    corpus, out, _ = sys.argv[1:]
    end, cpu_seconds = ray.shutdown, []

    def shutdown(
        *given: object, **settings: object
    ) -> None:  # the executor calls it when it is done
        if ray.is_initialized():
            cpu_seconds.append(tree_cpu_seconds(os.getpid()))
        end(*given, **settings)

    ray.shutdown = shutdown
    chosen = filters()
    fields = [f"score_{number}" for number in range(len(chosen))]
    pipeline = Pipeline("filters")
    pipeline.add_stage(
        JsonlReader(corpus, files_per_partition=1, file_extensions=[".zst"], fields=["id", "text"])
    )
    pipeline.add_stage(Score(chosen, fields))
    pipeline.add_stage(JsonlWriter(f"{out}/scores", fields=["id", *fields]))
    # not in `out`: the names of Ray's sockets may not be long
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        ray.init(num_cpus=os.cpu_count(), num_gpus=0, include_dashboard=False, _temp_dir=folder)
        pipeline.run(RayDataExecutor())
    documents = 0
    for file in Path(out, "scores").iterdir():
        with open(file, "rb") as lines:
            documents += sum(1 for _ in lines)
    about = {
        "version": importlib.metadata.version("nemo-curator"),
        "documents": documents,
        "cpu_s": cpu_seconds[0],
    }
    Path(out, "result.json").write_text(json.dumps(about))


def tree_cpu_seconds(root: int) -> float:
    """User and system seconds of a process and its descendants, and of those that they waited for."""
    stats = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stats[int(folder.name)] = (folder / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:  # it ended
            continue
    tree, seen = [root], 0
    while seen < len(tree):
        tree += [pid for pid, stat in stats.items() if int(stat[1]) == tree[seen]]
        seen += 1
    ticks = sum(int(field) for pid in tree for field in stats[pid][11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
