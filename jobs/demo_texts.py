"""Text that every Python installation holds: files by kind, docstrings, SQL in string literals; and our own.

Files come in the order of a hash of their path's end: the first of any kind are a sample of all
packages, and the copies of a module are neighbours, so that a part of the corpus has duplicates too.
"""

import inspect
import os
import re
import sys
import sysconfig
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pydoc_data.topics import topics

import xxhash

import coursepack

LANGUAGES = {"py": "Python", "c": "C", "h": "C", "cpp": "C++", "hpp": "C++", "pyx": "Cython"}
TEXTS = ("txt", "rst", "md")
MAX_FILE_CHARS = 1_200_000  # pyspark's functions are the longest written by hand (1.13 million)
# our own text must not come in twice; _sysconfigdata and config-* hold this machine's folders
SKIPPED = re.compile(
    r"__pycache__|(site|dist)-packages|coursepack.*|config-\d.*|_sysconfigdata.*|(idle_)?tests?"
)
VENDORED = re.compile(r"/(_vendor|_?vendored|extern|[^/]+\.whl)/")
LICENSE = re.compile(r"/(licenses/.+|(licen[sc]e|copying|notice|authors)[^/]*)$", re.I)
# what follows a line that ends in a colon, or opens the module; syntax trees take ten times as long
DOCSTRING = re.compile(r'(?:\A(?:#[^\n]*\n|\s)*|:[ \t]*\n\s+)[rR]?"""(.*?)"""', re.S)
NAME = re.compile(r"(?:class|def) (\w+)")
# a string literal that is a statement; f-strings are templates, not SQL
STATEMENT = re.compile(
    r'"(?<![\w"]")(?:"")?\s*((?:SELECT|WITH|CREATE|INSERT|UPDATE|DELETE|MERGE|ALTER)\s'
    r'[^"]*?\b(?:FROM|TABLE|INTO|SET|VIEW)\b[^"]*)"'
)


@dataclass(frozen=True)
class Library:
    """Folders of one Python installation; they never appear in the texts."""

    standard: Path
    packages: Path
    include: Path

    @staticmethod
    def of_this_process() -> "Library":
        """The running interpreter's own."""
        found = sysconfig.get_paths()
        return Library(Path(found["stdlib"]), Path(found["purelib"]), Path(found["include"]))


@dataclass(frozen=True)
class File:
    """A file of the installation; `path` is relative to it."""

    path: str
    load: Callable[[], bytes]

    @property
    def extension(self) -> str:
        return self.path.lower().rpartition(".")[2]

    @property
    def order(self) -> tuple[int, str]:
        """A hash of the last two parts of the path, equal for copies of a module; ties by path."""
        end = "/".join(self.path.split("/")[-2:])
        return xxhash.xxh3_64_intdigest(end.encode()), self.path


Text = tuple[File, str]


@dataclass(frozen=True)
class Page:
    """A document with a title."""

    url: str
    title: str
    text: str


def own_texts(kind: str) -> list[tuple[str, str]]:
    """(name, text) of our documents in `recipes/demo/KIND` (`sql` or `math`), by name."""
    folder = Path(coursepack.__file__).parent / "recipes" / "demo" / kind
    return [(path.name, path.read_text("utf-8")) for path in sorted(folder.iterdir())]


def files_by_kind(library: Library) -> dict[str, list[File]]:
    """Files by kind, each in hash order: a language, `vendored`, `licenses`, `metadata` or `texts`."""
    found: dict[str, list[File]] = defaultdict(list)
    folders = {"Lib": library.standard, "Include": library.include, "site": library.packages}
    for name, root in folders.items():
        for file in _walk(name, root):
            found[_kind(file)].append(file)
    for files in found.values():
        files.sort(key=lambda file: file.order)
    return found


def _kind(file: File) -> str:
    if file.extension == "py" and VENDORED.search(file.path):
        return "vendored"
    if file.extension in LANGUAGES:
        return LANGUAGES[file.extension]
    if LICENSE.search(file.path):
        return "licenses"
    if file.path.endswith(".dist-info/METADATA"):
        return "metadata"
    return "texts" if file.extension in TEXTS else "other"


def _walk(name: str, root: Path) -> Iterator[File]:
    """The files below `root`, which is called `name`, and in its wheels (ensurepip's, virtualenv's)."""
    for folder, folders, names in os.walk(root):
        folders[:] = [inner for inner in folders if not SKIPPED.fullmatch(inner)]
        for path in [Path(folder, inner) for inner in names if not SKIPPED.fullmatch(inner)]:
            shown = f"{name}/{path.relative_to(root).as_posix()}"
            yield File(shown, path.read_bytes)
            if path.suffix == ".whl":
                archive = zipfile.ZipFile(path)
                for inner in archive.namelist():
                    yield File(f"{shown}/{inner}", partial(archive.read, inner))


def texts_of(files: Iterable[File], most_chars: int = sys.maxsize) -> Iterator[Text]:
    """The files that hold UTF-8 and are no generated monsters, with their text: `most_chars` in all."""
    for file in files:
        try:
            text = file.load().decode()
        except (OSError, UnicodeDecodeError):
            continue
        if text.strip() and len(text) <= MAX_FILE_CHARS:
            most_chars -= len(text)
            if most_chars < 0:
                return
            yield file, text


def language_reference() -> list[Page]:
    """The topics of `help()`."""
    url = "https://docs.python.org/3/reference/"
    return [Page(url, title, text) for title, text in sorted(topics.items())]


def descriptions(files: Iterable[File]) -> Iterator[Page]:
    """What projects say of themselves, at length: what follows the headers of their METADATA."""
    for file, text in texts_of(files):
        name = file.path.split("/")[-2].split("-")[0]
        description = text.partition("\n\n")[2]
        if len(description) > 200:
            yield Page(f"https://pypi.org/project/{name}/", name, description)


def documentation(modules: Iterable[Text]) -> dict[str, list[Page]]:
    """Docstrings: the long ones with formulas as `math`, each a page.

    Of the others, half of the modules are `docs`, a page each; the other half `web`, a page a docstring.
    """
    pages: dict[str, list[Page]] = {"docs": [], "web": [], "math": []}
    for file, source in modules:
        module = file.path.removesuffix(".py").replace("/", ".").partition(".")[2]
        whole = file.order[0] % 2 == 0
        chapters = []
        for name, text in _docstrings(source):
            title = f"{module}.{name}".rstrip(".")
            page = Page(f"{file.path}#{name}", title, f"{title}\n{'=' * len(title)}\n\n{text}\n")
            if len(text) >= 400 and re.search(r"\.\. math::|:math:`", text):
                pages["math"].append(page)
            elif whole:
                chapters.append(page.text)
            elif len(text) >= 400:
                pages["web"].append(page)
        if sum(map(len, chapters)) >= 1000:
            pages["docs"].append(Page(file.path, module, "\n".join(chapters)))
    return pages


def _docstrings(source: str) -> Iterator[tuple[str, str]]:
    """(name, text) of the docstrings of a module, its classes and functions, as the source has them."""
    end = 0
    for found in DOCSTRING.finditer(source):
        names = NAME.findall(source, end, found.start())
        yield names[-1] if names else "", inspect.cleandoc(found[1])
        end = found.end()


def statements(modules: Iterable[Text]) -> Iterator[tuple[str, str]]:
    """(path, SQL) of the modules that hold statements in string literals, each once."""
    for file, source in modules:
        found = dict.fromkeys(query.strip() for query in STATEMENT.findall(source))
        if sum(map(len, found)) >= 150:
            yield file.path, ";\n\n".join(found) + ";\n"
