"""Replay: runs of sampled sequences are made again: lineage -> source text -> encoded anew."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from coursepack.pipeline.documents import MAX_PLACE, PLACE_BITS
from coursepack.pipeline.errors import WorkspaceError
from coursepack.pipeline.hashing import content_hash
from coursepack.pipeline.recipe import Recipe
from coursepack.pipeline.workspace import Workspace
from coursepack.shards.manifest import Manifest
from coursepack.stages.invariants import Lists
from coursepack.stages.lineage import Lineage
from coursepack.stages.reader import Reader, reader_of
from coursepack.stages.records import read_places
from coursepack.stages.result import read_as
from coursepack.stages.verdict import Check
from coursepack.tokenizers.model import Tokenizer, load


@dataclass(frozen=True)
class Piece:
    """A run of a sampled sequence: which tokens of which document it holds."""

    where: str  # shard and row
    at: int  # place of its first token in the row
    content: bytes
    source: str
    domain: str
    tokens: int  # of the whole document
    start: int
    ids: np.ndarray


def pieces_of(
    path: str, rows: Iterable[int], table: pa.Table, lists: Lists, docs: pa.Table
) -> Iterator[Piece]:
    """The runs of some rows of a shard; those that cannot be are left out."""
    for row in rows:
        ids, at = table["input_ids"][row].values.to_numpy(), 0
        for k in range(*np.searchsorted(lists.row, [row, row + 1])):
            doc, start, length = int(lists.doc[k]), int(lists.start[k]), int(lists.length[k])
            if 0 <= doc < docs.num_rows and start >= 0 and 0 < length <= len(ids) - at:
                about = {
                    name: docs[name][doc].as_py()
                    for name in ("content", "source", "domain", "tokens")
                }
                mine = ids[at : at + length].copy()
                yield Piece(f"{path}, row {row:,}", at, **about, start=start, ids=mine)
            at += max(length, 0)


@dataclass(frozen=True)
class Origin:
    """What a result was made from."""

    recipe: Recipe
    tokenizer: Tokenizer
    lineage: Lineage
    splits_url: str


def open_origin(workspace: Workspace, name: str, manifest: Manifest) -> Origin:
    """What the result `name` was made from; raises WorkspaceError where something is gone or other."""
    recipe_url = workspace.path("shards", name, "recipe.json")
    recipe = read_as(recipe_url, Recipe.model_validate_json)
    plan = read_as(workspace.path("shards", name, "plan.json"), orjson.loads)
    url = plan["tokenizer_url"]
    model = read_as(url, bytes)
    for at, found, should in (
        (recipe_url, recipe.fingerprint(), manifest.recipe),
        (url, hashlib.sha256(model).hexdigest(), manifest.tokenizer),
    ):
        if found != should:
            raise WorkspaceError(f"{at} was changed: its hash is {found}, not {should}; restore it")
    dataset = workspace.dataset("lineage", plan["decisions"])
    lineage = Lineage(dataset, read_as(f"{dataset.url}/manifest.json", orjson.loads)["bits"])
    splits_url = workspace.path("inventory", "splits.parquet")
    tokenizer = load(url, manifest.tokenizer, recipe.tokenizer)
    return Origin(recipe, tokenizer, lineage, splits_url)


def replay(
    origin: Origin, pieces: Sequence[Piece], check: Check, round_trip: Check
) -> tuple[int, int]:
    """Make runs again from the source files and compare them; also decode what was encoded.

    Returns how many whole sequences and how many tokens were made again. `check` learns what is gone
    or other, `round_trip` which documents do not decode to their texts; its note counts those of which a
    tokenizer that normalises, or has unknowns, loses something by its nature.
    """
    check.checked += len(pieces)
    of_source = {s.name: reader_of(s, origin.recipe) for s in origin.recipe.source}
    readers = dict(of_source.values())
    files: dict[tuple[str, str], _Places] = {}
    with check.noting("nothing can be replayed"):
        names = {source: reader for source, (reader, _) in of_source.items()}
        parted = {name for name, reader in readers.items() if reader.parts}
        files = _by_file(origin, names, parted, pieces, check)
    made: list[Piece] = []
    lost: list[str] = []
    for (url, reader), places in sorted(files.items()):
        with check.noting(f"{url}, where {len(places):,} sampled documents stand, cannot be read"):
            made.extend(_again(origin, url, readers[reader], places, check, round_trip, lost))
    if lost:
        share = f"{len(lost):,} of {round_trip.checked:,} documents ({len(lost) / round_trip.checked:.1%})"
        round_trip.note = f"{share} do not: {origin.tokenizer.loss}; the first is {lost[0]}"
    wanted, found = (Counter(piece.where for piece in one) for one in (pieces, made))
    return len(wanted.keys() - (wanted - found).keys()), sum(len(piece.ids) for piece in made)


_Places = dict[int, list[Piece]]  # the runs that hold tokens of the document at a place


def _by_file(
    origin: Origin,
    readers: Mapping[str, str],
    parted: set[str],
    pieces: Sequence[Piece],
    check: Check,
) -> dict[tuple[str, str], _Places]:
    """(URL, reader) -> what is to be read there; a piece's text is read as its source reads it."""
    docs = origin.lineage.docs([piece.content for piece in pieces])
    numbers = sorted({doc >> PLACE_BITS for found in docs.values() for doc in found})
    names = ["file_no", "url", "reader"]
    table = read_as(
        origin.splits_url, lambda data: pq.read_table(pa.BufferReader(data), columns=names)
    )
    table = table.filter(pc.is_in(table["file_no"], pa.array(numbers, pa.int32())))
    urls = {(s["file_no"], s["reader"]): s["url"] for s in table.to_pylist()}
    files: dict[tuple[str, str], _Places] = {}
    for piece in pieces:
        if piece.source not in readers:
            check.add([f"source {piece.source!r} is not in the recipe"], where=piece.where)
            continue
        reader = readers[piece.source]
        found = [d for d in docs.get(piece.content, ()) if (d >> PLACE_BITS, reader) in urls]
        if not found:
            text = f"the lineage has content {piece.content.hex()} in none of the recipe's files"
            check.add([text], where=piece.where)
        # one text in several parts of a source may be edited in some of them alone
        for doc in found if reader in parted else found[:1]:
            places = files.setdefault((urls[doc >> PLACE_BITS, reader], reader), {})
            places.setdefault(doc & MAX_PLACE, []).append(piece)
    return files


def _again(
    origin: Origin,
    url: str,
    reader: Reader,
    places: _Places,
    check: Check,
    round_trip: Check,
    lost: list[str],
) -> Iterator[Piece]:
    """The runs whose documents were found in a file; each is compared with what is encoded now."""
    recipe, frame = origin.recipe, origin.recipe.tokenizer
    texts = read_places(url, reader.layout, sorted(places), recipe.limits.record_bytes)
    for place, text, subset in texts:
        where, pieces = f"{url}, place {place:,}", places[place]
        column = pa.array([text], pa.large_string())
        now, then = content_hash(column)[0].as_py(), pieces[0].content
        if text is None or now != then:
            found = "no record" if text is None else f"content {now.hex()}"
            should = f"{pieces[0].where} has content {then.hex()} from there"
            check.add([f"{where}: found {found}; {should}; one of them was changed"])
            continue
        pieces = [piece for piece in pieces if reader.may_be(piece.domain, subset)]
        given = {"text": column, "subset": pa.array([subset], pa.string())}
        edited = reader.texts(pa.RecordBatch.from_pydict(given))
        ids = origin.tokenizer.encode(edited, bos=frame.adds_bos, eos=frame.adds_eos)[1]
        for piece in pieces:
            check.add(_run_problems(piece, ids, where), where=piece.where)
        _decode(origin, ids, edited[0].as_py(), where, round_trip, lost)
        yield from pieces


def _run_problems(piece: Piece, ids: np.ndarray, where: str) -> Iterator[str]:
    """How a run differs from the ids that its document has now."""
    if len(ids) != piece.tokens:
        content = f"content {piece.content.hex()} has {piece.tokens:,} tokens"
        yield f"{content}; encoded again from {where} it has {len(ids):,}"
    again = ids[piece.start : piece.start + len(piece.ids)]
    differs = np.flatnonzero(piece.ids[: len(again)] != again)
    if len(differs):
        k = differs[0]
        yield f"token {piece.at + k:,} is {piece.ids[k]}; {where} gives {again[k]}"


def _decode(
    origin: Origin, ids: np.ndarray, text: str, where: str, check: Check, lost: list[str]
) -> None:
    """Decode a document; where it does not come back it is a problem, or `lost` to its tokenizer's nature."""
    frame, tokenizer = origin.recipe.tokenizer, origin.tokenizer
    back = tokenizer.decode(ids[int(frame.adds_bos) : len(ids) - int(frame.adds_eos)])
    check.checked += 1
    if back == tokenizer.read_back(text):
        return
    if tokenizer.loss:
        lost.append(where)
        return
    # the place alone, nothing of the text: it may be restricted
    should = tokenizer.read_back(text)
    k = next(k for k, (a, b) in enumerate(zip_longest(back, should)) if a != b)
    check.add([f"encoded and decoded, it is another text from character {k:,} on"], where=where)
