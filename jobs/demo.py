"""What the demo runs on: a corpus of text that every machine already has, and the recipe for it."""

from pathlib import Path

import orjson

import coursepack
from coursepack.jobs.demo_corpus import write_corpus
from coursepack.pipeline import storage
from coursepack.pipeline.progress import Progress

WORKSPACE = "demo-run"  # as the recipe has it
_COMPLETE = "_corpus.json"  # written last; sources skip names with an underscore


def prepare(workspace: str, progress: Progress) -> str:
    """Write corpus and recipe into the folder `workspace` unless they are there; returns the recipe's path."""
    make_corpus(storage.join(workspace, "corpus"), progress)
    return make_recipe(workspace)


def make_corpus(folder: str, progress: Progress) -> None:
    """Write the demo's corpus; one that was not finished is begun anew."""
    complete = storage.join(folder, _COMPLETE)
    with progress.step("corpus") as step:
        if storage.exists(complete):
            step.nothing_new()
            return
        storage.remove(folder)
        written = write_corpus(folder)
        storage.write_bytes(complete, orjson.dumps(written, option=orjson.OPT_INDENT_2))
        megabytes = sum(source["bytes"] for source in written.values()) / 1e6
        documents = sum(source["documents"] for source in written.values())
        step.done(documents, f"{megabytes:,.0f} MB of text from this Python installation")


def make_recipe(workspace: str) -> str:
    """The demo's recipe in `workspace`, its paths in place; one that is there stays as it is."""
    url = storage.join(workspace, "demo.toml")
    if not storage.exists(url):
        text = (Path(coursepack.__file__).parent / "recipes" / "demo.toml").read_text("utf-8")
        escaped = workspace.rstrip("/").replace("\\", "\\\\").replace('"', '\\"')
        storage.write_bytes(url, text.replace(f'"{WORKSPACE}', f'"{escaped}').encode())
    return url
