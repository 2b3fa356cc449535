"""Personal data on planted texts, what reserved values and look-alikes come to, and that nothing leaks."""

import io
from pathlib import Path

import numpy as np
import orjson
import planted
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from coursepack.pipeline.errors import RecipeError
from coursepack.stages.pii import (
    FAMILIES,
    KINDS,
    PiiPolicy,
    check_policy,
    confirm,
    dropped,
    find_pii,
    pii_signals,
    wanted_bits,
)
from coursepack.stages.pii_candidates import (
    EMAIL,
    ID_BITS,
    IPV4,
    NATIONAL_IDS,
    Candidates,
    find_candidates,
)
from coursepack.stages.pii_checks import id_words
from coursepack.stages.spans import Spans, apply

DEFAULT = PiiPolicy()
REPLACE = PiiPolicy(*("replace",) * 6, regions=("US",))


def places(spans: Spans) -> list[set[tuple[int, int, str]]]:
    return [
        {
            (int(spans.starts[k]), int(spans.ends[k]), spans.names[spans.kinds[k]])
            for k in range(spans.offsets[row], spans.offsets[row + 1])
        }
        for row in range(spans.rows)
    ]


def found(text: str, policy: PiiPolicy = DEFAULT) -> list[tuple[str, str]]:
    data = text.encode()
    spans = sorted(places(find_pii(pa.array([text]), policy))[0])
    return [(kind, data[start:end].decode()) for start, end, kind in spans]


def everything(text: pa.Array, policy: PiiPolicy) -> Spans:
    """What the checks find without the kernel: the whole of each text is a candidate for all kinds."""
    sizes = np.array([len(row.as_py().encode()) for row in text], np.int64)
    rows = np.arange(len(sizes))
    bits = np.full(len(sizes), wanted_bits(policy), np.int64)
    return confirm(text, Candidates(rows, np.zeros_like(sizes), sizes, bits), policy)


@pytest.mark.parametrize("seed", [1, 2])
def test_precision_and_recall_on_planted_texts(seed: int) -> None:
    cases = planted.personal(seed, 200)
    spans = find_pii(pa.array([case.text for case in cases]), DEFAULT)
    scores = planted.scores(cases, places(spans))
    assert set(scores) == set(KINDS)
    for kind, (right, wrong, missed) in scores.items():
        assert right / (right + missed) >= 0.99, kind
        assert right / (right + wrong) >= 0.97, kind


@pytest.mark.parametrize("region", ["US", "GB", "DE", "FR"])
def test_national_phone_numbers(region: str) -> None:
    cases = planted.national_phones(3, region)
    text = pa.array([case.text for case in cases])
    scores = planted.scores(cases, places(find_pii(text, PiiPolicy(regions=(region,)))))
    right, wrong, missed = scores["phone"]
    assert right / (right + missed) >= 0.97
    assert wrong / right <= 0.03
    assert "phone" not in {kind for row in places(find_pii(text, DEFAULT)) for _, _, kind in row}


@pytest.mark.parametrize("policy", [DEFAULT, PiiPolicy(regions=("US", "DE"))])
def test_the_kernel_hides_nothing_from_the_checks(policy: PiiPolicy) -> None:
    cases = (
        planted.personal(4, 60)
        + planted.national_phones(5, "US", 15)
        + planted.national_phones(6, "DE", 15)
    )
    text = pa.array([case.text for case in cases])
    for kernel, alone in zip(
        places(find_pii(text, policy)), places(everything(text, policy)), strict=True
    ):
        assert alone <= kernel


def test_the_kernel_keeps_most_of_a_text_from_the_checks() -> None:
    text = pa.array(
        ["On 2021-03-04 at 12:30, 1,200 of 35,000 (3.4 %) rose; see 4.2.1 and [17]. " * 50]
    )
    assert len(find_candidates(text, wanted_bits(DEFAULT)).rows) == 0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Write to Bob.Doe+x@mail.host.co.uk.", [("email", "Bob.Doe+x@mail.host.co.uk")]),
        ("x='joe@corp.com'; y", [("email", "joe@corp.com")]),
        ("Ask joe@corp.com.Then wait", [("email", "joe@corp.com")]),
        ("a@example.com b@x.example.org c@contoso.com", []),
        ("icon@2x.png lodash@4.17.21 self@data.T a@b", []),
        ("git@github.com:a/b ftp://me@host.com/ https://u:p@host.com", []),
        ("http://81.2.69.142:80/ and [81.2.69.142]", [("ipv4", "81.2.69.142")] * 2),
        ("ping 8.8.8.8; DNS server 1.0.0.1", [("ipv4", "8.8.8.8"), ("ipv4", "1.0.0.1")]),
        ("version 81.2.69.142, v91.2.69.142, lib-81.2.69.142.jar, Chrome/91.0.44.12", []),
        ("3.3.9.20 and 2.5.29.37 and 081.2.69.142 and 81.2.69.142.5 and 81.2.69.256", []),
        ("127.0.0.1 10.0.0.9 172.31.0.1 192.168.1.1 100.64.0.1 198.51.100.7 81.0.0.0", []),
        ("[2a00:1450:4001:82b::200e]:443", [("ipv6", "2a00:1450:4001:82b::200e")]),
        ("2001:db8::1 fe80::1 ::1 3fff::1 2002:7f00:1::1 std::abc::def 12:30:45", []),
        (
            "tel:+49 30 901820, +49309018200",
            [("phone", "+49 30 901820"), ("phone", "+49309018200")],
        ),
        ("+1 202 555 0143, +44 20 7946 0123, x+4930901820, 1+49309018200, +999 123 4567 89", []),
        ("Card 4556 7375 8689 9855 exp", [("card", "4556 7375 8689 9855")]),
        (
            "4556737586899855, 4556 7375 8689 9856; 0.4556737586899855",
            [("card", "4556737586899855")],
        ),
        ("17 2024 4556737586899855 2025", [("card", "4556737586899855")]),
        ("1234 4556 7375 8689 9855, 4556-7375-8689-9855-1234", []),
        ("4242 4242 4242 4242 4111111111111111 378282246310005 0000000000000000", []),
        ("IBAN DE75 5121 0800 1245 1261 99 to", [("iban", "DE75 5121 0800 1245 1261 99")]),
        ("DE75512108001245126199X DE76512108001245126199 DE89370400440532013000", []),
        ("ssn 536904399; SSN: 536-90-4399", [("us.ssn", "536904399"), ("us.ssn", "536-90-4399")]),
        ("ticket 536904399, 536-90-4399, ssn 000-12-3456", [("us.ssn", "536-90-4399")]),
        ("part 536-90-4399, 39053344705, 943 476 5919", []),
        ("codice RCCMNL83S18D969H e RCCMNL83S18D969X", [("it.codicefiscale", "RCCMNL83S18D969H")]),
        ("159100862082285 (n° de sécurité sociale)", [("fr.nir", "159100862082285")]),
        ("aadhar card 6077 2042 3814", [("in_.aadhaar", "6077 2042 3814")]),
        ("DNI: 54.362.315-K, nif 54362315K", [("es.dni", "54.362.315-K"), ("es.dni", "54362315K")]),
    ],
)
def test_finds(text: str, wanted: list[tuple[str, str]]) -> None:
    assert found(text) == wanted


def test_phone_numbers_of_a_region_need_a_form_or_a_word() -> None:
    text = "call 2127365000 or (212) 736-5000; 0.621371 x 2127365001 and 10 000 000 2024-2025"
    assert found(text, PiiPolicy(regions=("US",))) == [
        ("phone", "2127365000"),
        ("phone", "(212) 736-5000"),
    ]


def test_equal_values_get_equal_stand_ins_and_others_mostly_not() -> None:
    values = [f"u{n}@corp{n}.com" for n in range(40)]
    text = " ".join(values + values)
    edited = apply(pa.array([text]), find_pii(pa.array([text]), REPLACE))[0].as_py().split(" ")
    assert edited[:40] == edited[40:]
    assert len(set(edited)) > 10


def test_marks() -> None:
    text = "joe@corp.com 81.2.69.142 +49 30 901820, 4556737586899855 DE75512108001245126199 ssn 536-90-4399"
    spans = find_pii(pa.array([text]), PiiPolicy(*("redact",) * 6))
    marks = "<EMAIL> <IP_ADDRESS> <PHONE>, <CARD> <IBAN> ssn <ID>"
    assert apply(pa.array([text]), spans).to_pylist() == [marks]


@pytest.mark.parametrize("policy", [DEFAULT, REPLACE, PiiPolicy(*("redact",) * 6)])
def test_an_edited_text_is_clean_and_holds_no_value(policy: PiiPolicy) -> None:
    cases = planted.personal(7, 60)
    text = pa.array([case.text for case in cases])
    spans = find_pii(text, policy)
    edited = apply(text, spans)
    # A national number without a word of its own may come to stand near another's.
    assert {KINDS[kind] for kind in find_pii(edited, policy).kinds} <= set(NATIONAL_IDS)
    values = {case.text.encode()[a:b] for case in cases for a, b, _ in case.spans}
    shown = repr(spans).encode() + repr(pii_signals(text)).encode() + b"\n".join(spans.texts)
    shown += "\n".join(edited.to_pylist()).encode()
    assert not [value for value in values if value in shown]


def test_families_that_are_kept_are_not_looked_for_and_dropping_ones_drop() -> None:
    text = pa.array(["joe@corp.com", "81.2.69.142", "joe@corp.com 81.2.69.142", "", None])
    policy = PiiPolicy(emails="keep", ips="drop")
    spans = find_pii(text, policy)
    assert set(spans.kinds) == {KINDS.index("ipv4")}
    assert dropped(spans, policy).tolist() == [False, True, True, False, False]
    assert not dropped(find_pii(text, DEFAULT), DEFAULT).any()


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (PiiPolicy(regions=("US", "uk")), "no phone numbers are known of region 'uk'; .*'US'"),
        (
            PiiPolicy(national_ids=("us.sn",)),
            "no register is called 'us.sn'; the registers are us.ssn",
        ),
    ],
)
def test_a_policy_names_known_registers_and_regions(policy: PiiPolicy, text: str) -> None:
    check_policy(DEFAULT)
    with pytest.raises(RecipeError, match=text):
        check_policy(policy)


def test_signals_count_families() -> None:
    texts = [
        "joe@corp.com ann@corp.com 81.2.69.142 2a00:1450:4001:82b::200e",
        None,
        "db_pwd = 'x9K#mQ2v'",
    ]
    rows = pii_signals(pa.array(texts)).to_pylist()
    assert [rows[0][f"pii_{name}"] for name in FAMILIES] == [2, 2, 0, 0, 0, 0]
    assert set(rows[1].values()) == {0}
    assert [row["secrets"] for row in rows] == [0, 0, 1]
    assert pii_signals(pa.array([], pa.string())).num_rows == 0


PIECE = st.sampled_from(
    [
        *("joe@corp.com", "@", "81.2.69.142", "2a00:1450::1", "+49 30 901820", "4556737586899855"),
        *("DE75 5121 0800 1245 1261 99", "ssn", "536-90-4399", "RCCMNL83S18D969H", "1.2.3.4", "é"),
        *("漢", " ", "\n", "-", ".", "+", "(", "0", "12", "345", "6789", "A", "\u00a0", "٣", "://"),
    ]
)
TEXT = st.lists(PIECE | st.text(max_size=3), max_size=12).map("".join)


@given(st.lists(st.none() | TEXT, max_size=5), st.integers(0, 5))
def test_any_text_in_any_slice(texts: list[str | None], cut: int) -> None:
    column = pa.array(texts, pa.string())
    whole = places(find_pii(column, REPLACE))
    for kind in (pa.large_string(), pa.binary()):
        assert places(find_pii(column.cast(kind).slice(cut), REPLACE)) == whole[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert places(find_pii(chunks, REPLACE)) == whole
    assert apply(column, find_pii(column, REPLACE)).null_count == column.null_count
    assert pii_signals(column).slice(cut).to_pylist() == pii_signals(column.slice(cut)).to_pylist()


@given(st.lists(st.none() | TEXT, max_size=4))
def test_the_kernel_on_any_text(texts: list[str | None]) -> None:
    text = pa.array([one or "" for one in texts], pa.string())
    policy = PiiPolicy(phones="keep")  # whose library reads on beyond a range
    for kernel, alone in zip(
        places(find_pii(text, policy)), places(everything(text, policy)), strict=True
    ):
        assert all(any(a < d and c < b for a, b, _ in kernel) for c, d, _ in alone)


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_bytes(rows: list[bytes]) -> None:
    text = pa.array([row + b"\xff joe@corp.com \xc3" for row in rows], pa.binary())
    assert find_pii(text, REPLACE).rows == len(rows)


def test_a_long_table_of_numbers_ends_soon() -> None:
    table = "\n".join(f"{n * 7919 % 10**12:012d} {n % 97} aadhaar" for n in range(3000))
    spans = find_pii(pa.array([table + " 1" * 200_000]), PiiPolicy(regions=("US",)))
    assert set(spans.kinds) <= {KINDS.index("in_.aadhaar"), KINDS.index("phone")}


def test_every_register_has_a_bit_and_a_kind() -> None:
    assert set(ID_BITS) == set(NATIONAL_IDS) == set(KINDS[6:])


@pytest.mark.parametrize("name", ["web_en-peps", "web_en-powershell-5-versions", "web_en-novels"])
def test_manuals_hold_no_numbers_of_people(shared: Path, name: str) -> None:
    with (shared / "data" / f"{name}.jsonl.zst").open("rb") as file:
        lines = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file))
        texts = pa.array(
            [orjson.loads(line)["text"] for line, _ in zip(lines, range(300), strict=False)]
        )
    names = {KINDS[kind] for kind in find_pii(texts, DEFAULT).kinds}
    assert names <= {"email", "ipv4", "ipv6"}


def test_the_kernel_stops_at_digits_and_at_signs_alone_wherever_they_stand() -> None:
    signs = [chr(code) for code in range(256) if chr(code) not in "0123456789@"]
    policy = PiiPolicy(phones="keep")
    text = "joe@corp.com, 81.2.69.142"
    column = pa.array([f"{sign * n} {text} {sign * n}" for n in range(12) for sign in signs])
    wanted = wanted_bits(policy)
    assert len(find_candidates(pa.array(["".join(signs) * n for n in range(3)]), wanted).rows) == 0
    assert find_candidates(column, wanted).bits.tolist() == [EMAIL, IPV4] * len(column)


@pytest.mark.parametrize("name", [name for name in NATIONAL_IDS if id_words(name)])
@given(data=st.data())
def test_stems_of_words(name: str, data: st.DataObject) -> None:
    """A text that holds a word of a register holds one of its stems."""
    words = id_words(name)
    assert words is not None
    found = data.draw(st.from_regex(words.pattern))
    assert words.told_by(found.lower())
    assert not words.told_by(b"12 34")
