"""A first recipe for files nobody has described: sources found by looking, phases that fit their size."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from coursepack.jobs.look import Look, look
from coursepack.pipeline import storage
from coursepack.pipeline.errors import RecipeError, SourceError
from coursepack.pipeline.recipe import Source
from coursepack.stages.guess import Guess, guess
from coursepack.stages.inventory import source_files
from coursepack.stages.language import identify
from coursepack.stages.layouts import layout_of
from coursepack.stages.model_files import model_path

SPECIAL = ("code", "sql", "math")  # what later phases are about
_SCARCE = 8  # a domain with less than an eighth of the special tokens is repeated as often
_NEGLIGIBLE = 500  # a general domain with less than this part of all tokens is in no phase
_LOOKED_FILES = 8  # of a source
_LOOKED_RECORDS = 25  # of each of them
_GUESSED_FILES = 8  # of a folder whose files have different names
_EXPANSION = 4  # text bytes per compressed byte, as the inventory plans with
_TOKEN_BYTES = 4  # of text; about right for prose and code
_RECORDS = ("jsonl", "parquet")  # containers of many documents with metadata
_MAGIC = r"[*?\[]"  # of a glob
_PACKED = (".zst", ".gz", ".bz2", ".xz")


@dataclass(frozen=True)
class Draft:
    """A source as found: how to read it, how much there is, and what its first records are."""

    source: Source
    kind: str  # of its files: "parquet", "jsonl.zst"
    files: int
    bytes: int  # as stored
    text_bytes: int  # estimated
    looks: tuple[Look, ...]  # the largest file's first
    languages: Mapping[str, int]  # documents looked at, by language

    @property
    def texts(self) -> list[str]:
        return [text for look in self.looks for text in look.texts]

    @property
    def tokens(self) -> dict[str, int]:
        """A rough estimate of the tokens of each domain, from sizes alone."""
        seen: Counter[str] = Counter()
        for one in self.looks:
            for text, domain in zip(one.texts, one.domains, strict=True):
                seen[domain] += len(text)
        total = self.text_bytes // _TOKEN_BYTES
        return {name: total * size // seen.total() for name, size in sorted(seen.items())}

    def __str__(self) -> str:
        files = "1 file" if self.files == 1 else f"{self.files:,} files"
        return f"{files}, {self.bytes / 1e6:,.1f} MB of {self.kind}"


@dataclass(frozen=True)
class _File:
    """A file under one of the given paths; `url` is written as that path is."""

    url: str
    size: int
    root: str  # the folder that was given, or the folder of a file that was given
    given: str  # the path that led to it
    named: bool  # whether that is the file itself

    @property
    def folder(self) -> str:
        return self.url.rpartition("/")[0]

    @property
    def ending(self) -> str:
        """`.parquet`, `.jsonl.zst`: the last part of the name, with the compression's before it."""
        parts = self.url.rpartition("/")[2].split(".")
        keep = 2 if "." + parts[-1] in _PACKED else 1
        return "".join(f".{part}" for part in parts[1:][-keep:])

    @property
    def shape(self) -> str:
        """The name with * for numbers: files that were written together have one shape."""
        return re.sub(r"\d+", "*", self.url.rpartition("/")[2])

    @property
    def branch(self) -> str:
        """The folder directly below the root, with * for numbers; empty for files in the root."""
        first, slash, _ = self.url[len(self.root) :].lstrip("/").partition("/")
        return re.sub(r"\d+", "*", first) if slash else ""


def refuse_to_overwrite(path: Path) -> None:
    """Raise RecipeError where something is there already."""
    if path.exists():
        raise RecipeError(
            f"{str(path)!r} is there already; give another name with -o, or remove it"
        )


def find_sources(paths: Sequence[str]) -> tuple[list[Draft], list[str]]:
    """Sources that read the files at `paths`, and a message for each kind of file that is no source.

    Raises SourceError where a path matches nothing, or nothing can be read.
    """
    files = [file for path in dict.fromkeys(paths) for file in _files(path)]
    guesses, skipped = _guesses(files)
    skipped += _drop_leftovers(files, guesses)
    groups: dict[tuple[str, str, str], list[_File]] = {}
    for file in files:
        if found := guesses.get(file.url):
            parts_are_folders = layout_of(found.layout).subset_from_path is not None
            branch = "" if parts_are_folders else file.branch
            groups.setdefault((file.root, branch, _key(found)), []).append(file)
    names: set[str] = set()
    drafts = []
    for members in groups.values():
        try:
            drafts.append(_draft(members, files, guesses[members[0].url], names))
        except SourceError as error:
            skipped.append(str(error))
    if not drafts:
        raise SourceError("\n  ".join(["no file could be read as documents:", *skipped]))
    return drafts, skipped


def _files(path: str) -> Iterator[_File]:
    """The files at a path, which is a file, a folder or a glob."""
    found = source_files(Source(name="files", layout="jsonl", paths=(path,)))
    magic = re.search(_MAGIC, path)
    root = path[: magic.start()].rpartition("/")[0] if magic else path.rstrip("/")
    named = not magic and [file.url for file in found] == [_absolute(root)]
    if named:
        root = root.rpartition("/")[0]
    absolute = _absolute(root)
    for file in found:
        inside = file.url[len(absolute) :].lstrip("/")
        yield _File(storage.join(root, inside) if root else inside, file.size, root, path, named)


def _absolute(folder: str) -> str:
    scheme = folder.split("://")[0] + "://" if "://" in folder else ""
    return scheme + str(storage.filesystem(folder or ".")[1]).rstrip("/")


def _is_plain(found: Guess) -> bool:
    """Whether the layout is a mere container, which says nothing of what the text is about."""
    return found.layout == found.container


def _guesses(files: Sequence[_File]) -> tuple[dict[str, Guess], list[str]]:
    """What each file is, from one file of each shape in each folder."""
    alike: dict[tuple[str, str], dict[str, list[_File]]] = {}
    for file in files:
        alike.setdefault((file.folder, file.ending), {}).setdefault(file.shape, []).append(file)
    guesses: dict[str, Guess] = {}
    skipped = []
    for shapes in alike.values():
        kinds = list(shapes.values())
        if len(kinds) > _GUESSED_FILES:  # names that say nothing: one kind
            kinds = [[file for kind in kinds for file in kind]]
        for kind in kinds:
            largest = max(kind, key=lambda file: (file.size, file.url))
            try:
                found = guess(largest.url)
            except (SourceError, OSError) as error:
                skipped.append(f"{largest.url}: {error}")
                continue
            guesses.update({file.url: found for file in kind})
    return guesses, skipped


def _key(found: Guess) -> str:
    about = found.domain if _is_plain(found) else None
    return json.dumps([found.layout, sorted(found.fields.items()), about])


def _drop_leftovers(files: Sequence[_File], guesses: dict[str, Guess]) -> Iterator[str]:
    """Forget single texts beside records, a README say, and yield a message for each."""
    size = {root: sum(f.size for f in files if f.root == root) for root in {f.root for f in files}}
    records = {f.root for f in files if f.url in guesses and guesses[f.url].container in _RECORDS}
    for file in files:
        found = guesses.get(file.url)
        few = file.size * 100 < size[file.root] and file.root in records
        if found and few and not file.named and found.container not in _RECORDS:
            del guesses[file.url]
            yield f"{file.url}: a small text beside records; name it as a path of its own if it is wanted"


def _draft(members: list[_File], files: Sequence[_File], found: Guess, names: set[str]) -> Draft:
    source = Source(
        name=_name(members, names),
        layout=found.layout,
        paths=tuple(_patterns(members, files)),
        domain=found.domain if _is_plain(found) else None,
        fields=found.fields,
    )
    chosen = members[:: -(-len(members) // _LOOKED_FILES)]
    chosen = sorted(chosen, key=lambda file: (-file.size, file.url))
    looks = tuple(look(source, file.url, _LOOKED_RECORDS) for file in chosen)
    texts = [text for one in looks for text in one.texts]
    if not texts:
        names.remove(source.name)
        raise SourceError(f"{source.paths[0]}: none of the records looked at is a document")
    packed = found.compression != "none" or found.container == "parquet"
    size = sum(file.size for file in members)
    return Draft(
        source,
        found.container + (f".{found.compression}" if found.compression != "none" else ""),
        len(members),
        size,
        size * (_EXPANSION if packed else 1),
        looks,
        _languages(texts),
    )


def _name(members: Sequence[_File], names: set[str]) -> str:
    """A name from the folder that holds all members, or from a single file."""
    folder = _above(members)
    text = _absolute(folder).rpartition("/")[2]
    if len(members) == 1 and members[0].named:
        text = members[0].url.rpartition("/")[2].partition(".")[0]
    base = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._").lower() or "source"
    name = next(n for n in (base, *(f"{base}-{i}" for i in range(2, 10**6))) if n not in names)
    names.add(name)
    return name


def _above(members: Sequence[_File]) -> str:
    """The deepest folder that holds all members."""
    parts = [file.folder.split("/") for file in members]
    common = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        common.append(level[0])
    return "/".join(common)


def _patterns(members: Sequence[_File], files: Sequence[_File]) -> Iterator[str]:
    """Globs that match the members and no other file; as few as that allows."""
    own = {file.url for file in members}
    given = members[0].given
    if re.search(_MAGIC, given):  # a glob of ours could match more than the one given
        alone = own == {file.url for file in files if file.given == given}
        yield from [given] if alone else sorted(own)
        return
    for ending in dict.fromkeys(file.ending for file in members):
        some = [file for file in members if file.ending == ending]
        yield from _globs(some, own, [file for file in files if file.ending == ending])


def _globs(some: Sequence[_File], own: set[str], files: Sequence[_File]) -> Iterator[str]:
    if len(some) == 1 and some[0].named:
        yield some[0].url
        return
    folder, ending = _above(some), some[0].ending
    below = [file for file in files if file.url.startswith(folder + "/" if folder else "")]
    if all(file.url in own for file in below):
        deep = any(file.folder != folder for file in some)
        yield (
            storage.join(folder, *(["**"] if deep else []), f"*{ending}")
            if folder
            else (f"**/*{ending}" if deep else f"*{ending}")
        )
        return
    by_folder: dict[str, list[_File]] = {}
    for file in some:
        inside = file.url[len(folder) :].lstrip("/").split("/")
        key = storage.join(folder, inside[0]) if len(inside) > 1 else f"{folder}/{file.shape}"
        by_folder.setdefault(key, []).append(file)
    for key, inner in by_folder.items():
        if key.rpartition("/")[2] == inner[0].shape and inner[0].folder == folder:
            yield from [key] if len(inner) > 1 else [inner[0].url]
        else:
            yield from _globs(inner, own, files)


def _languages(texts: Sequence[str]) -> dict[str, int]:
    """Documents by language; empty where no language model is installed."""
    try:
        found, _ = identify(pa.array(texts, pa.large_string()), model_path())
    except SourceError:
        return {}
    return dict(Counter(found.drop_null().to_pylist()).most_common())


def write_recipe(drafts: Sequence[Draft], path: Path, name: str | None = None) -> None:
    """Write a commented recipe that reads `drafts`; raises RecipeError where the file is there."""
    refuse_to_overwrite(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(recipe_text(drafts, name or _slug(path.stem)), "utf-8")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._") or "recipe"


def recipe_text(drafts: Sequence[Draft], name: str) -> str:
    """The recipe as TOML. Budgets are fractions of what the files' sizes suggest."""
    tokens: Counter[str] = Counter()
    for draft in drafts:
        tokens.update({domain: max(n, 1) for domain, n in draft.tokens.items()})
    total = tokens.total()
    for domain in [d for d, n in tokens.items() if d not in SPECIAL and n * _NEGLIGIBLE < total]:
        del tokens[domain]  # a mixture with it could hardly be supplied
    total_bytes = total * _TOKEN_BYTES
    profiles = ["gopher", *(["code"] if "code" in tokens else [])]
    supply = ", ".join(f"{domain} {_amount(n)}" for domain, n in tokens.most_common())
    parts = [
        f"""\
# Written by `coursepack init`: sources as found, phases to begin with. `coursepack check` says whether it
# is in order, `coursepack schema` prints all there is, `coursepack signals` what a rule may name.

name = {_text(name)}
seed = 0
workspace = {_text(f"{name}-workspace")}    # measurements, decisions and tokens; recipes may share it
""",
        *(_source_text(draft) for draft in drafts),
        f"""\
[rules]
profiles = {json.dumps(profiles)}
# short = {{ scope = "web", drop = "words < 100" }}    # a rule of your own

# exact and near duplicates go; these are the defaults
[dedup]
exact = true
fuzzy = {{ ngram = 5, bands = 14, rows = 8 }}

# train a vocabulary, or give one: model = "path/to/tokenizer.model", or a tokenizer.json with eos = "<|endoftext|>"
[tokenizer]
train = {{ preset = "gemma", vocabulary = {_vocabulary(total_bytes)}, sample = {_text(_sample(total_bytes))} }}

# of each domain, for validation
[holdout]
tokens = {max(min(tokens.values()) // 50, 1)}

# A rough estimate of the tokens there are, before anything is dropped: {supply}.
# The phases below ask for less; a plan that the corpus cannot supply is refused.
""",
        *_phase_texts(tokens),
    ]
    return "\n".join(parts)


def _source_text(draft: Draft) -> str:
    source = draft.source
    known = ", ".join(f"{lang} {n}" for lang, n in list(draft.languages.items())[:4])
    looked = f"{len(draft.texts)} documents looked at" + (
        f", by language: {known}" if known else ""
    )
    lines = [
        f"# {draft}",
        f"# {looked}",
        "[[source]]",
        f"name = {_text(source.name)}",
        f"layout = {_text(source.layout)}",
    ]
    if len(source.paths) == 1:
        lines.append(f"paths = [{_text(source.paths[0])}]")
    else:
        lines += ["paths = [", *(f"    {_text(path)}," for path in source.paths), "]"]
    if source.fields:
        pairs = ", ".join(f"{ours} = {_text(theirs)}" for ours, theirs in source.fields.items())
        lines.append(f"fields = {{ {pairs} }}")
    domains = ", ".join(sorted(draft.tokens))
    if isinstance(source.domain, str):
        lines.append(f"domain = {_text(source.domain)}")
    else:
        lines.append(f'# domain = "..."    # the layout says: {domains}')
    return "\n".join(lines) + "\n"


def _phase_texts(tokens: Mapping[str, int]) -> Iterator[str]:
    """One phase of everything; then, where there is code, SQL or mathematics, one of mostly that."""
    special = {name: n for name, n in tokens.items() if name in SPECIAL}
    general = {name: n for name, n in tokens.items() if name not in SPECIAL}
    if not special or not general:
        yield _phase_text("main", tokens, _weights(tokens, 1.0), 0.5, 2048, 1)
        return
    # scarce ones may be seen often, else they are lost beside the others
    scarce = [name for name, n in special.items() if n * _SCARCE < sum(special.values())]
    repeated = {name: n * _SCARCE if name in scarce else n for name, n in tokens.items()}
    first = {**_weights(general, 0.9), **_weights(special, 0.1)}
    second = {**_weights({name: repeated[name] for name in special}, 0.7), **_weights(general, 0.3)}
    yield _phase_text("general", tokens, first, 0.3, 2048, 1)
    yield _phase_text("-".join(special), repeated, second, 0.3, 8192, 4 if scarce else 2)


def _weights(tokens: Mapping[str, int], share: float) -> dict[str, float]:
    """`share` split in proportion to `tokens`."""
    total = sum(tokens.values())
    return {name: share * n / total for name, n in tokens.items()}


def _phase_text(
    name: str,
    tokens: Mapping[str, int],
    weights: Mapping[str, float],
    part: float,
    length: int,
    max_epochs: int,
) -> str:
    """A phase that takes at most `part` of any domain's tokens."""
    thousandths = {domain: max(1, round(1000 * weight)) for domain, weight in weights.items()}
    largest = max(thousandths, key=lambda domain: (thousandths[domain], domain))
    thousandths[largest] += 1000 - sum(thousandths.values())
    budget = min(part * tokens[domain] * 1000 / n for domain, n in thousandths.items())
    mixture = ", ".join(f"{_text(domain)} = {n / 1000:g}" for domain, n in thousandths.items())
    return f"""\
[[phase]]
name = {_text(name)}
tokens = {_text(_amount(max(int(budget), 1)))}
length = {length}
mixture = {{ {mixture} }}
max_epochs = {max_epochs}
"""


def _vocabulary(text_bytes: int) -> str:
    """A vocabulary that the text can fill."""
    return "256_000" if text_bytes > 50e6 else "32_000" if text_bytes > 5e6 else "2_000"


def _sample(text_bytes: int) -> str:
    return f"{_amount(min(max(text_bytes, 10**6), 10**9))}B"


def _amount(number: int) -> str:
    """Two leading digits and a unit, rounded down, as recipes write quantities."""
    for scale, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= scale:
            tenths = number * 10 // scale
            return f"{tenths / 10:g}{unit}" if tenths < 100 else f"{tenths // 10}{unit}"
    return str(number)


def _text(text: str) -> str:
    """A TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
