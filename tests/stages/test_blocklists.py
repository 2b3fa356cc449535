"""Lists of URLs: what is on which, and how they are read."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.errors import SourceError
from coursepack.stages import blocklists as tested
from coursepack.stages.blocklists import Blocklists, blocked, blocklist_signals, load_blocklists
from coursepack.stages.urls import normalise

WORDS = {
    "hard_words": ["porn", "xx2"],
    "soft_words": ["free", "sexy", "ab"],
    "subwords": ["hams", "amster", "a1b"],
}


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blocklists]:
    folder = tmp_path_factory.mktemp("lists")
    (folder / "adult").mkdir()
    (folder / "ads").mkdir()
    (folder / "words").mkdir()
    (folder / "adult/domains").write_text("bad.com\n# ok.com\n\n*.Evil.org\nwww.dots.net.\ntld\n")
    (folder / "adult/urls").write_text("ok.com/page/\nhttps://e.org/?b=1&a=2\n")
    (folder / "ads/domains").write_text("sub.bad.com\nadvert.com\nbad.com\n")
    (folder / "adult/usage").write_text("black\n")
    (folder / "words/hard_words.txt").write_text("porn\nXX-2\n")
    (folder / "words/soft_banned_words.txt").write_text("free\nsexy\nab\n")
    (folder / "words/banned_subwords.txt").write_text("\n".join(WORDS["subwords"]))
    return load_blocklists((f"{folder}/adult", str(folder)))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://bad.com", "adult/domains"),
        ("HTTPS://u@WWW.bad.COM.:443/x", "adult/domains"),
        ("http://a.b.bad.com/x?y", "adult/domains"),
        ("http://x.sub.bad.com", "ads/domains"),  # the nearest domain
        ("http://notbad.com", None),
        ("http://bad.com.org", None),
        ("http://evil.org", "adult/domains"),
        ("http://www.dots.net:8080", "adult/domains"),
        ("http://any.tld", "adult/domains"),
        ("https://www.ok.com/page?utm_source=x#y", "adult/urls"),
        ("http://ok.com/page/2", None),
        ("http://e.org/?a=2&b=1", "adult/urls"),
        ("http://x.org/Porn-2", "words/hard_words"),
        ("http://porn", "words/hard_words"),
        ("http://x.org/pornx", None),
        ("http://x.org/?xx2", "words/hard_words"),
        ("http://x.org/free/free", None),  # one word, twice
        ("http://free.org/a-SEXY", "words/soft_banned_words"),
        ("http://free.org/sexyé", "words/soft_banned_words"),  # words are of ASCII
        ("http://x-h.am/s", "words/banned_subwords"),
        ("http://x.org/XAMSTERX", "words/banned_subwords"),
        ("http://x.org/ham/ster", "words/banned_subwords"),
        ("porn:1", "words/hard_words"),
        ("mirror:1", None),
        ("", None),
        (None, None),
    ],
)
def test_what_is_on_a_list(lists: Blocklists, url: str | None, expected: str | None) -> None:
    assert blocked(pa.array([url], pa.string()), lists).to_pylist() == [expected]


SIGNS = st.sampled_from("pornfreexysab12hmte-/.é P")


@given(st.lists(st.one_of(st.none(), st.text(SIGNS, max_size=30)), max_size=9), st.integers(0, 3))
def test_words_as_a_plain_search_finds_them(
    lists: Blocklists, tails: list[str | None], skipped: int
) -> None:
    urls = [tail if tail is None else "http://e.org/" + tail for tail in tails]
    column = pa.array(urls, pa.string())
    found = blocked(column, lists)
    assert found.to_pylist() == [plain(url or "") for url in urls]
    assert blocked(column.slice(skipped), lists).equals(found.slice(skipped))


def plain(url: str) -> str | None:
    lower = "".join(c.lower() if c.isascii() else c for c in url)
    words = set(re.split("[^a-z0-9]+", lower))
    if words & set(WORDS["hard_words"]):
        return "words/hard_words"
    if len(words & set(WORDS["soft_words"])) > 1:
        return "words/soft_banned_words"
    squeezed = re.sub("[^a-z0-9]", "", lower)
    return "words/banned_subwords" if any(w in squeezed for w in WORDS["subwords"]) else None


@given(st.lists(st.text(), max_size=5))
def test_any_text_is_on_a_list_or_not(lists: Blocklists, texts: list[str]) -> None:
    found = blocked(pa.array(texts, pa.string()), lists)
    assert len(found) == len(texts)
    assert found.type == pa.string()
    assert set(found.to_pylist()) <= {*lists.names, None}


def test_no_lists_block_nothing(tmp_path: Path) -> None:
    (tmp_path / "domains").write_text("# nothing\n")
    lists = load_blocklists((f"{tmp_path}/domains",))
    assert blocked(pa.array(["http://a.org", None]), lists).to_pylist() == [None, None]
    assert lists.names == (f"{tmp_path.name}/domains",)


def test_the_hash_is_of_what_the_lists_hold(tmp_path: Path) -> None:
    def sha(folder: str, text: str) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "domains").write_text(text)
        load_blocklists.cache_clear()
        return load_blocklists((f"{tmp_path}/{folder}",)).sha256

    first = sha("x", "a.org\n")
    assert sha("x", "a.org\n") == first
    assert len({first, sha("x", "b.org\n"), sha("y", "a.org\n")}) == 3


def test_the_signal(tmp_path: Path) -> None:
    (tmp_path / "domains").write_text("a.org\r\n b.org \n")
    urls = pa.array(["http://a.org/x", "http://c.org", "https://www.b.org"])
    name = f"{tmp_path.name}/domains"
    assert blocklist_signals(urls, (str(tmp_path),)).to_pydict() == {
        "url_blocked": [name, None, name]
    }


def test_lists_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [f"site{n}.org" for n in range(500)]
    (tmp_path / "domains").write_text("\n".join(entries))
    monkeypatch.setattr(tested, "_PIECE_BYTES", 64)
    lists = load_blocklists((str(tmp_path),))
    assert (
        None not in blocked(pa.array([f"http://{entry}" for entry in entries]), lists).to_pylist()
    )


def test_a_path_without_a_list(tmp_path: Path) -> None:
    (tmp_path / "usage").write_text("black")
    for path in (str(tmp_path), f"{tmp_path}/usage", f"{tmp_path}/none"):
        with pytest.raises(
            SourceError, match=r"holds no list of URLs; a list is a file called 'domains', 'urls'"
        ):
            load_blocklists((path,))


def test_agreement_with_datatrove(lists: Blocklists) -> None:
    """Its filter on the same lists; URLs are normal already, for it compares them as they are."""
    filters = pytest.importorskip("datatrove.pipeline.filters.url_filter")
    pytest.importorskip("ahocorasick")
    pytest.importorskip("tldextract")
    pytest.importorskip("fasteners")
    made = filters.URLFilter(
        extra_domains=["bad.com", "sub.evil.org"],
        banned_words=WORDS["hard_words"],
        banned_subwords=WORDS["subwords"],
        soft_banned_words=WORDS["soft_words"],
        use_integrated_lists=False,
    )
    urls = [f"http://e{n}.org/{a}-{b}" for n, (a, b) in enumerate(
        (a, b) for a in ("porn", "free", "x", "hamster") for b in ("sexy", "free", "y", "a1b")
    )]  # fmt: skip
    assert normalise(pa.array(urls)).to_pylist() == urls
    document = pytest.importorskip("datatrove.data").Document
    theirs = [
        made.filter(document("", str(n), metadata={"url": url})) for n, url in enumerate(urls)
    ]
    names = {"hard_blacklisted": "words/hard_words", "soft_blacklisted": "words/soft_banned_words",
             "blacklisted_subword": "words/banned_subwords"}  # fmt: skip
    expected = [None if found is True else names[found[1]] for found in theirs]
    assert blocked(pa.array(urls), lists).to_pylist() == expected
