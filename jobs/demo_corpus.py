"""The demo's corpus: text that every machine already has, in the layouts of real corpora.

A Python installation holds tens of megabytes of code, reference documentation, licences, vendored
copies, SQL and mathematics. They are real text with real duplicates, and need no download; some SQL
and mathematics of our own (`recipes/demo/`) is added, and `docs/broken.jsonl` with bad records.
Equal installations give equal bytes.

| folder | what | layout |
|---|---|---|
| `code/LANGUAGE/` | standard library, packages, their headers | The Stack v1, Parquet |
| `vendored/` | copies of packages inside packages and bundled wheels | StarCoderData, Parquet |
| `docs/` | docstrings by module, help topics, loose texts | RedPajama-V1, .jsonl.zst |
| `web/` | project descriptions, docstrings by object | Dolma, .json.gz |
| `licenses/` | licence files of all packages | The Pile, .jsonl.zst |
| `sql/` | ours; statements in the packages' string literals | named fields, .jsonl |
| `math/` | ours; docstrings with formulas | OpenWebMath, Parquet |
"""

import ast
import gc
import gzip
import hashlib
import io
import os
import re
import string
import sys
import sysconfig
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
import zstandard

import coursepack
from coursepack.pipeline import storage

Row = dict[str, Any]

# Bytes of text a source holds at most, so that the corpus has one size on every machine.
BUDGETS = {
    "python": 30_000_000,
    "language": 5_000_000,  # each other language
    "vendored": 10_000_000,
    "docs": 8_000_000,
    "loose": 2_000_000,  # texts beside the code, part of docs
    "web": 5_000_000,
    "licenses": 3_000_000,
    "sql": 2_000_000,
    "math": 4_000_000,
}
READ_BYTES = 110_000_000  # Python source looked at: bounds the time where much is installed
MAX_FILE_BYTES = 1_200_000  # pyspark's functions are the largest written by hand (1.13 MB)
DOCUMENTED_PERCENT = 30  # a module's share of docstrings from which parsing it is worth the time
PART_BYTES = 8_000_000  # text in a file

LANGUAGES = {
    **dict.fromkeys(("c", "h"), "C"),
    **dict.fromkeys(("cc", "cpp", "cxx", "hh", "hpp"), "C++"),
    **dict.fromkeys(("pyx", "pxd", "pxi"), "Cython"),
    **dict.fromkeys(("f", "f90"), "FORTRAN"),
    **dict.fromkeys(("sh", "bash"), "Shell"),
    "cmake": "CMake",
    "css": "CSS",
    "cu": "Cuda",
    "html": "HTML",
    "java": "Java",
    "js": "JavaScript",
    "r": "R",
    "scala": "Scala",
    "toml": "TOML",
}
TEXTS = ("txt", "rst", "md", "tex")
LISTS = ("top_level.txt", "entry_points.txt", "sources.txt", "requirements.txt")  # not prose
LICENSE = re.compile(r"licen[sc]e|copying|notice|copyright|authors")
NO_LICENSE = (".py", ".pyi", ".pyc", ".json", ".html", ".css", ".js", ".so")
TESTS = frozenset(("test", "tests", "idle_test"))
# our own text must not come in twice; _sysconfigdata and config-* hold this machine's folders
SKIPPED = re.compile(r"(__pycache__|site-packages|dist-packages|coursepack.*|config-\d.*)$")
VENDORS = re.compile(r"(?:.*/)?(?:_vendor|_?vendored|extern|[^/]+\.whl)/(.+)$")

DATE = "2025-01-01T00:00:00.000Z"  # files carry no dates that are equal everywhere

# (reject reason or None, line): what real dumps contain, so that the demo counts rejects.
BROKEN: tuple[tuple[str | None, bytes], ...] = (
    (
        None,
        b'{"text":"The first record of this file is in order; most others are not.","meta":{}}',
    ),
    ("broken_record", b'{"text":"A line that was cut short in the midd'),
    ("broken_record", b'["a list", "is not a record"]'),
    ("no_text", b'{"text":null,"meta":{"title":"null"}}'),
    ("no_text", b'{"meta":{"title":"no text at all"}}'),
    ("wrong_type", b'{"text":42,"meta":{"title":"a number"}}'),
    ("wrong_type", b'{"text":["one","two"],"meta":{"title":"a list"}}'),
    ("invalid_utf8", b'{"text":"Latin-1 in a UTF-8 file: caf\xe9","meta":{}}'),
    ("invalid_utf8", b'{"text":"half of a pair: \\ud83d","meta":{}}'),
    ("empty", b'{"text":"","meta":{"title":"empty"}}'),
    ("empty", b'{"text":" \\n\\t ","meta":{"title":"white space"}}'),
    (None, b'{"text":"The last record is in order again.","meta":{}}'),
)

STACK = pa.schema(
    [
        ("hexsha", pa.string()),
        ("size", pa.int64()),
        ("ext", pa.string()),
        ("lang", pa.string()),
        *[
            (f"max_{event}_{name}", kind)
            for event in ("stars", "issues", "forks")
            for name, kind in (
                ("repo_path", pa.string()),
                ("repo_name", pa.string()),
                ("repo_head_hexsha", pa.string()),
                ("repo_licenses", pa.list_(pa.string())),
                ("count", pa.int64()),
                (f"repo_{event}_event_min_datetime", pa.string()),
                (f"repo_{event}_event_max_datetime", pa.string()),
            )
        ],
        ("content", pa.string()),
        ("avg_line_length", pa.float64()),
        ("max_line_length", pa.int64()),
        ("alphanum_fraction", pa.float64()),
    ]
)
STARCODER = pa.schema(
    [
        ("max_stars_repo_path", pa.string()),
        ("max_stars_repo_name", pa.string()),
        ("max_stars_count", pa.float64()),
        ("id", pa.string()),
        ("content", pa.string()),
    ]
)
OPEN_WEB_MATH = pa.schema([(name, pa.string()) for name in ("url", "text", "date", "metadata")])


@dataclass(frozen=True)
class Library:
    """Folders of one Python installation; they never appear in the output."""

    standard: Path
    packages: Path
    include: Path

    @staticmethod
    def of_this_process() -> "Library":
        """The running interpreter's own."""
        found = sysconfig.get_paths()
        return Library(Path(found["stdlib"]), Path(found["purelib"]), Path(found["include"]))


@dataclass(frozen=True)
class _Project:
    """What a distribution says of itself."""

    name: str
    version: str = ""
    licenses: tuple[str, ...] = ()
    url: str = ""
    description: str = ""

    def page(self, place: str) -> str:
        """A package URL (purl) of something in the project."""
        version = f"@{self.version}" if self.version else ""
        return f"pkg:pypi/{self.name}{version}#{place}"


@dataclass(frozen=True)
class _File:
    """A file of a project; `path` is relative to the installation."""

    project: _Project
    path: str
    size: int
    load: Callable[[], bytes]

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def extension(self) -> str:
        return self.name.lower().rpartition(".")[2]

    @property
    def order(self) -> tuple[int, str]:
        """A hash of the path inside its package: all copies of one module come together."""
        vendored = VENDORS.match(self.path)
        inner = vendored[1] if vendored else self.path
        return xxhash.xxh3_64_intdigest(inner.encode()), self.path

    def text(self) -> str | None:
        """The text; None where it is not UTF-8, or blank."""
        try:
            found = self.load().decode()
        except (UnicodeDecodeError, OSError):
            return None
        return found if found.strip() else None


@dataclass
class _Tally:
    """What was written of a source."""

    files: int = 0
    documents: int = 0
    bytes: int = 0
    broken: int = 0


@dataclass
class _Shelf:
    """Rows of one kind, up to a budget of text."""

    text: str  # the field that holds the text
    budget: int = sys.maxsize
    rows: list[Row] = field(default_factory=list)
    bytes: int = 0

    @property
    def full(self) -> bool:
        return self.bytes >= self.budget

    def add(self, row: Row) -> None:
        """Keep the row unless the budget is used up or its text is no Unicode."""
        try:
            size = len(row[self.text].encode())
        except UnicodeEncodeError:  # a lone surrogate, from an escape in a string literal
            return
        if not self.full:
            self.rows.append(row)
            self.bytes += size


def write_corpus(folder: str, library: Library | None = None) -> dict[str, dict[str, int]]:
    """Write the demo's corpus below `folder`, a path or URL where nothing is yet.

    Returns, by source (the folders of the module's table), `files`, `documents`, `bytes` (UTF-8, of
    the texts) and `broken` (deliberately bad records beside the documents). Text comes from
    `library`, the running interpreter's unless told; what is not installed there is left out.
    """
    library = library or Library.of_this_process()
    everything = _collect(library)
    files = [file for file in everything if not TESTS.intersection(file.path.split("/"))]
    modules = _modules(files)
    pages = _pages(everything, modules)
    languages = _other_languages(files)
    return {
        "code": _sum(
            _write_stack(folder, "Python", _take(iter(modules), BUDGETS["python"])),
            *(_write_stack(folder, lang, languages[lang]) for lang in sorted(languages)),
        ),
        "vendored": _sum(_write_vendored(folder, files)),
        "docs": _sum(
            _write(folder, "docs/reference", "jsonl.zst", pages["docs"], _zst),
            _write(folder, "docs/common_crawl", "jsonl.zst", _loose_texts(files), _zst),
            _write_broken(folder),
        ),
        "web": _sum(_write(folder, "web/pages", "json.gz", pages["web"], _gz)),
        "licenses": _sum(_write(folder, "licenses/licenses", "jsonl.zst", _licenses(files), _zst)),
        "sql": _sum(_write(folder, "sql/queries", "jsonl", _sql(files, modules), _lines)),
        "math": _sum(
            _write(folder, "math/pages", "parquet", pages["math"], partial(_parquet, OPEN_WEB_MATH))
        ),
    }


def own_texts(kind: str) -> list[tuple[str, str]]:
    """(name, text) of our documents in `recipes/demo/KIND` (`sql` or `math`), by name."""
    folder = Path(coursepack.__file__).parent / "recipes" / "demo" / kind
    return [(path.name, path.read_text("utf-8")) for path in sorted(folder.iterdir())]


# Finding files


def _collect(library: Library) -> list[_File]:
    """All files that may be text, in a stable order."""
    python = _Project("cpython", licenses=("PSF-2.0",), url="https://www.python.org/")
    owners = _owners(library.packages)
    standard = [
        _File(python, f"Lib/{path}", size, load)
        for path, size, load in _walk(library.standard)
        if not path.startswith("_sysconfigdata")
    ]
    headers = [
        _File(python, f"Include/{path}", size, load) for path, size, load in _walk(library.include)
    ]
    packages = [
        _File(owners.get(_top(path), _Project(_top(path))), path, size, load)
        for path, size, load in _walk(library.packages)
    ]
    found = standard + headers + packages
    return found + [member for file in found if file.extension == "whl" for member in _unzip(file)]


def _walk(root: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """(relative path, bytes, load) of the files below `root`, sorted; links are not followed."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not SKIPPED.match(name))
        inside = Path(folder).relative_to(root).as_posix()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                relative = name if inside == "." else f"{inside}/{name}"
                yield relative, os.path.getsize(path), partial(_bytes_of, path)


def _bytes_of(path: str) -> bytes:
    with open(path, "rb") as raw:
        return raw.read()


def _unzip(wheel: _File) -> Iterator[_File]:
    """The modules and licences of a bundled wheel (ensurepip's pip, virtualenv's seeds)."""
    name, version = wheel.name.split("-")[:2]
    project = _Project(name, version)
    with zipfile.ZipFile(io.BytesIO(wheel.load())) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            if info.filename.endswith(".py") or _is_license(info.filename):
                load = partial(bytes, archive.read(info))
                yield _File(project, f"{wheel.path}/{info.filename}", info.file_size, load)


def _owners(packages: Path) -> dict[str, _Project]:
    """Top-level name (and the `.dist-info` folder itself) -> the project that installed it."""
    owners = {}
    for info in sorted(packages.glob("*.dist-info")):
        if SKIPPED.match(info.name) or not (info / "METADATA").is_file():
            continue
        project = _project(
            HeaderParser().parsestr((info / "METADATA").read_text("utf-8", "replace"))
        )
        owners[info.name] = project
        record = info / "RECORD"
        lines = record.read_text("utf-8", "replace").splitlines() if record.is_file() else []
        for top in sorted({_top(line.split(",")[0]) for line in lines}):
            owners.setdefault(top, project)
    return owners


def _top(path: str) -> str:
    return path.split("/")[0]


def _project(metadata: Message) -> _Project:
    """A distribution's core metadata (https://packaging.python.org/specifications/core-metadata)."""
    labels = [
        value.rsplit(" :: ", 1)[-1]
        for value in metadata.get_all("Classifier", [])
        if value.startswith("License :: ")
    ]
    expression = metadata.get("License-Expression")
    links = [value.split(", ", 1)[-1] for value in metadata.get_all("Project-URL", [])]
    return _Project(
        name=str(metadata.get("Name", "")),
        version=str(metadata.get("Version", "")),
        licenses=(str(expression),) if expression else tuple(labels),
        url=str(metadata.get("Home-page") or (links[0] if links else "")),
        description=str(metadata.get("Description") or metadata.get_payload()),
    )


def _take(files: Iterable[tuple[_File, str]], budget: int) -> Iterator[tuple[_File, str]]:
    """(file, text) pairs in the given order, until the next does not fit the budget of bytes."""
    for file, text in files:
        budget -= file.size
        if budget < 0:
            return
        yield file, text


def _read(files: Iterable[_File]) -> Iterator[tuple[_File, str]]:
    """(file, text) of those that are text and not generated monsters."""
    for file in files:
        if file.size <= MAX_FILE_BYTES and (text := file.text()) is not None:
            yield file, text


def _modules(files: list[_File]) -> list[tuple[_File, str]]:
    """Python modules: the standard library, then packages that others vendor, then the rest.

    The latter two in hash order, so a bounded part of them is a sample of all packages.
    """
    found = [file for file in files if file.extension == "py" and not VENDORS.match(file.path)]
    copied = {_top(match[1]) for file in files if (match := VENDORS.match(file.path))}

    def place(file: _File) -> tuple[int, int, str]:
        group = 0 if file.path.startswith("Lib/") else 1 if _top(file.path) in copied else 2
        return group, *(file.order if group else (0, file.path))

    return list(_take(_read(sorted(found, key=place)), READ_BYTES))


# Code

NEITHER = bytes(set(range(128)) - set((string.ascii_letters + string.digits).encode()))


def _other_languages(files: list[_File]) -> dict[str, list[tuple[_File, str]]]:
    """Language -> its files, in hash order."""
    found: dict[str, list[_File]] = {}
    for file in sorted(files, key=lambda file: file.order):
        if file.extension in LANGUAGES:
            found.setdefault(LANGUAGES[file.extension], []).append(file)
    return {lang: list(_take(_read(some), BUDGETS["language"])) for lang, some in found.items()}


def _write_stack(folder: str, lang: str, files: Iterable[tuple[_File, str]]) -> _Tally:
    shelf = _Shelf("content")
    for file, text in files:
        shelf.add(_stack_row(file, lang, text))
    stem = f"code/{lang.lower().replace('+', 'p')}/data"
    return _write(folder, stem, "parquet", shelf, partial(_parquet, STACK))


def _stack_row(file: _File, lang: str, text: str) -> Row:
    """A row of The Stack v1; stars and dates are not known here."""
    data = text.encode()
    lengths = [len(line) for line in text.splitlines()] or [0]
    row: Row = {
        "hexsha": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),  # git's blob id
        "size": len(data),
        "ext": file.extension,
        "lang": lang,
        "content": text,
        "avg_line_length": sum(lengths) / len(lengths),
        "max_line_length": max(lengths),
        "alphanum_fraction": _alphanumeric(text, data) / len(text),
    }
    for event in ("stars", "issues", "forks"):
        row[f"max_{event}_repo_path"] = file.path
        row[f"max_{event}_repo_name"] = file.project.name
        row[f"max_{event}_repo_licenses"] = list(file.project.licenses)
    return row


def _alphanumeric(text: str, data: bytes) -> int:
    """Characters that are letters or digits; `data` is the text in UTF-8."""
    if text.isascii():  # ten times as fast
        return len(data.translate(None, NEITHER))
    return sum(count for character, count in Counter(text).items() if character.isalnum())


def _write_vendored(folder: str, files: list[_File]) -> _Tally:
    """Copies of packages inside others: exact duplicates, and near ones of other versions."""
    shelf = _Shelf("content")
    copies = [file for file in files if file.extension == "py" and VENDORS.match(file.path)]
    for file, text in _take(
        _read(sorted(copies, key=lambda file: file.order)), BUDGETS["vendored"]
    ):
        shelf.add(
            {
                "max_stars_repo_path": file.path,
                "max_stars_repo_name": file.project.name,
                "id": str(len(shelf.rows)),
                "content": text,
            }
        )
    return _write(folder, "vendored/train", "parquet", shelf, partial(_parquet, STARCODER))


# Documentation and mathematics

DOCSTRING = re.compile(r'"""(.*?)"""', re.S)
Function = ast.FunctionDef | ast.AsyncFunctionDef
FORMULA = re.compile(r"\.\. math::|:math:`")


def _pages(files: list[_File], modules: list[tuple[_File, str]]) -> dict[str, _Shelf]:
    """Docstrings: those with formulas to math, else half of the modules to docs, half to web."""
    shelves = {name: _Shelf("text", BUDGETS[name]) for name in ("docs", "web", "math")}
    for name, text in own_texts("math"):
        shelves["math"].add(_math_row(f"coursepack:demo/math/{name}", name, text))
    for title, text in _topics():
        shelves["docs"].add(_reference_row("https://docs.python.org/3/reference/", title, text))
    for project in sorted(
        {file.project for file in files}, key=lambda one: (one.name, one.version)
    ):
        if len(project.description) > 200:
            shelves["web"].add(_web_row(project.url, project.name, project.description))
    gc.disable()  # syntax trees are many small objects: parsing takes half the time
    try:
        for file, source in modules:
            quoted = sum(map(len, DOCSTRING.findall(source)))
            if quoted >= 1000 and quoted * 100 >= DOCUMENTED_PERCENT * len(source):
                _shelve_module(shelves, file, source)
    finally:
        gc.enable()
    return shelves


def _shelve_module(shelves: dict[str, _Shelf], file: _File, source: str) -> None:
    formulas = FORMULA.search(source)
    whole = file.order[0] % 2 == 0
    if shelves["docs" if whole else "web"].full and (shelves["math"].full or not formulas):
        return
    module = file.path.removeprefix("Lib/").removesuffix(".py").replace("/", ".")
    module = module.removesuffix(".__init__")
    rest = []
    for name, text in _docstrings(source, module):
        if len(text) >= 400 and FORMULA.search(text):
            shelves["math"].add(_math_row(file.project.page(name), name, text))
        elif whole:
            rest.append(f"{name}\n{'=' * len(name)}\n\n{text}\n")
        elif len(text) >= 400:
            shelves["web"].add(_web_row(file.project.page(name), name, f"{name}\n\n{text}"))
    if sum(map(len, rest)) >= 1000:
        shelves["docs"].add(_reference_row(file.project.page(module), module, "\n".join(rest)))


def _docstrings(source: str, module: str) -> list[tuple[str, str]]:
    """(qualified name, docstring) of a module, its classes and functions, in their order."""
    found: list[tuple[str, str]] = []

    def visit(node: ast.Module | ast.ClassDef | Function, name: str) -> None:
        if text := ast.get_docstring(node):
            found.append((name, text))
        for child in () if isinstance(node, Function) else node.body:
            if isinstance(child, ast.ClassDef | Function):
                visit(child, f"{name}.{child.name}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's invalid escapes
        try:
            visit(ast.parse(source), module)
        except (SyntaxError, ValueError, RecursionError):  # templates, Python 2
            return []
    return found


def _topics() -> list[tuple[str, str]]:
    """The language reference as `help()` shows it; empty where it is not installed."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return []
    return sorted(topics.items())


def _reference_row(url: str, title: str, text: str) -> Row:
    """RedPajama-V1 with `meta`, as its Wikipedia part."""
    meta = {"title": title, "url": url, "language": "en", "timestamp": DATE}
    return {"text": text, "meta": meta}


def _web_row(url: str, title: str, text: str) -> Row:
    """Dolma."""
    return {
        "id": hashlib.sha1(f"{url} {title}".encode()).hexdigest(),
        "text": text,
        "source": "python-packages",
        "added": DATE,
        "created": DATE,
        "metadata": {"url": url, "title": title},
    }


def _math_row(url: str, title: str, text: str) -> Row:
    """OpenWebMath: `metadata` is a string of JSON."""
    metadata = orjson.dumps({"title": title, "extraction_info": {"found_math": True}}).decode()
    return {"url": url, "text": text, "date": DATE, "metadata": metadata}


def _loose_texts(files: list[_File]) -> _Shelf:
    """Texts beside the code as RedPajama's Common Crawl part: flat, no `meta`.

    The scores are stand-ins drawn from a hash of the text; they say nothing of its quality.
    """
    shelf = _Shelf("text")
    texts = [
        file
        for file in sorted(files, key=lambda file: file.order)
        if file.extension in TEXTS and file.name.lower() not in LISTS and not _is_license(file.path)
    ]
    for file, text in _take(_read(texts), BUDGETS["loose"]):
        score = xxhash.xxh3_64_intdigest(text.encode()) % 10_000 / 10_000
        shelf.add(
            {
                "text": text,
                "pred_label": "__label__wiki" if score >= 0.5 else "__label__cc",
                "pred_label_prob": max(score, round(1 - score, 4)),
                "wiki_prob": score,
                "source": f"cc/demo/{file.path}",
            }
        )
    return shelf


def _write_broken(folder: str) -> _Tally:
    """`docs/broken.jsonl`: a few records that no reader should take for documents."""
    storage.write_bytes(
        storage.join(folder, "docs", "broken.jsonl"), b"".join(line + b"\n" for _, line in BROKEN)
    )
    good = [orjson.loads(line)["text"] for reason, line in BROKEN if reason is None]
    return _Tally(1, len(good), sum(len(text.encode()) for text in good), len(BROKEN) - len(good))


# Licences


def _is_license(path: str) -> bool:
    """By its name, or its folder's; never a module."""
    *folders, name = path.lower().split("/")
    inside = bool({"licenses", "licences", "legal"}.intersection(folders))
    return not name.endswith(NO_LICENSE) and (inside or bool(LICENSE.match(name)))


def _licenses(files: list[_File]) -> _Shelf:
    """Every package's own copy of the same few licences: the duplicates that all corpora have."""
    shelf = _Shelf("text")
    some = sorted((file for file in files if _is_license(file.path)), key=lambda file: file.order)
    for file, text in _take(_read(some), BUDGETS["licenses"]):
        shelf.add({"text": text, "meta": {"pile_set_name": "Licenses", "path": file.path}})
    return shelf


# SQL

# a string literal that opens with a statement; f-strings are templates, not SQL
LITERAL = re.compile(
    r"""(?<![fFrRbB\w"'])(\"\"\"|"|')(\s*"""
    r"""(?:SELECT|WITH|CREATE|INSERT|UPDATE|DELETE|MERGE|ALTER|EXPLAIN)\s.*?)(?<!\\)\1""",
    re.S,
)
CLAUSE = re.compile(r"\b(?:FROM|TABLE|INTO|SET|VIEW|VALUES|JOIN)\b")


def _sql(files: list[_File], modules: list[tuple[_File, str]]) -> _Shelf:
    """Our documents, .sql files, and the statements that modules hold in string literals."""
    shelf = _Shelf("query_text", BUDGETS["sql"])
    for name, text in own_texts("sql"):
        shelf.add({"query_text": text, "name": name})
    for file, text in _read(file for file in files if file.extension == "sql"):
        shelf.add({"query_text": text, "name": file.path})
    for file, source in modules:
        # plain searches spare the pattern: few modules hold any
        likely = "SELECT " in source or "CREATE TABLE" in source or "INSERT INTO" in source
        statements = _statements(source) if likely else []
        if sum(map(len, statements)) >= 150:
            shelf.add({"query_text": ";\n\n".join(statements) + ";\n", "name": file.path})
    return shelf


def _statements(source: str) -> list[str]:
    """The SQL statements among a module's string literals, each once, in their order."""
    found = []
    for quote, text in LITERAL.findall(source):
        query = re.sub(r"\n\s*\.\.\. ?", "\n", text).strip().rstrip(";")  # of a doctest
        whole = query.count("(") == query.count(")") and (len(quote) == 3 or "\n" not in query)
        if whole and len(query) <= 4000 and CLAUSE.search(query):
            found.append(query)
    return list(dict.fromkeys(found))


# Writing


def _write(
    folder: str, stem: str, suffix: str, shelf: _Shelf, encode: Callable[[list[Row]], bytes]
) -> _Tally:
    """The shelf's rows as `STEM-00000.SUFFIX`, ..., each of about PART_BYTES of text."""
    tally = _Tally(documents=len(shelf.rows), bytes=shelf.bytes)
    part: list[Row] = []
    size = 0
    for row in shelf.rows:
        part.append(row)
        size += len(row[shelf.text])
        if size >= PART_BYTES or row is shelf.rows[-1]:
            url = storage.join(folder, f"{stem}-{tally.files:05d}.{suffix}")
            storage.write_bytes(url, encode(part))
            tally.files += 1
            part, size = [], 0
    return tally


def _sum(*tallies: _Tally) -> dict[str, int]:
    return {
        name: sum(getattr(tally, name) for tally in tallies)
        for name in ("files", "documents", "bytes", "broken")
    }


def _lines(rows: list[Row]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def _zst(rows: list[Row]) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(_lines(rows))


def _gz(rows: list[Row]) -> bytes:
    return gzip.compress(_lines(rows), compresslevel=6, mtime=0)


def _parquet(schema: pa.Schema, rows: list[Row]) -> bytes:
    out = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows, schema)
    pq.write_table(table, out, compression="zstd", compression_level=3, row_group_size=2000)
    return bytes(out.getvalue())
