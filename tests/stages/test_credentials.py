"""Credentials on planted texts, beside detect-secrets' own plugins, and that nothing leaks."""

from importlib import import_module

import numpy as np
import planted
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursepack.stages.credential_candidates import Suspects, find_suspects
from coursepack.stages.credentials import KINDS, confirm, find_credentials
from coursepack.stages.spans import Spans, apply


def places(spans: Spans) -> list[set[tuple[int, int, str]]]:
    return [
        {
            (int(spans.starts[k]), int(spans.ends[k]), spans.names[spans.kinds[k]])
            for k in range(spans.offsets[row], spans.offsets[row + 1])
        }
        for row in range(spans.rows)
    ]


def found(text: str) -> list[tuple[str, str]]:
    data = text.encode()
    spans = sorted(places(find_credentials(pa.array([text])))[0])
    return [(kind, data[start:end].decode()) for start, end, kind in spans]


def everything(text: pa.Array) -> list[set[tuple[int, int, str]]]:
    """What the checks find without the kernel: all of them at each byte of each text."""
    sizes = [len(row.as_py().encode()) for row in text]
    rows = np.repeat(np.arange(len(sizes)), sizes)
    starts = np.concatenate([np.arange(size) for size in sizes] or [np.zeros(0, np.int64)])
    found = [
        confirm(text, Suspects(rows, starts, np.full(len(rows), bits, np.int64)))
        for bits in (1, 2, 4, 8)
    ]
    return [set().union(*row) for row in zip(*map(places, found), strict=True)]


@pytest.mark.parametrize("seed", [1, 2])
def test_precision_and_recall_on_planted_texts(seed: int) -> None:
    cases = planted.leaked(seed, 400)
    scores = planted.scores(
        cases, places(find_credentials(pa.array([case.text for case in cases])))
    )
    assert set(scores) == set(KINDS)
    for kind, (right, wrong, missed) in scores.items():
        assert right / (right + missed) >= 0.97, kind
        assert right / (right + wrong) >= 0.97, kind


def test_the_kernel_hides_nothing_from_the_checks() -> None:
    text = pa.array([case.text for case in planted.leaked(3, 12)])
    for kernel, alone in zip(places(find_credentials(text)), everything(text), strict=True):
        inside = [any(a <= c and d <= b for a, b, _ in kernel) for c, d, _ in alone]
        assert all(inside)


PLUGINS = (
    *("aws", "discord", "github_token", "gitlab_token", "jwt", "mailchimp", "openai", "pypi_token"),
    *("sendgrid", "slack", "square_oauth", "stripe", "telegram_token", "twilio", "basic_auth"),
)


def test_what_detect_secrets_finds_is_found() -> None:
    cases = planted.leaked(4, 100)
    spans = places(find_credentials(pa.array([case.text for case in cases])))
    count = 0
    for name in PLUGINS:
        module = import_module(f"detect_secrets.plugins.{name}")
        detectors = [
            value
            for key, value in vars(module).items()
            if key.endswith("Detector") and value.__module__ == module.__name__
        ]
        plugin = detectors[0]()
        for case, row in zip(cases, spans, strict=True):
            data = case.text.encode()
            covered = [data[start:end].decode() for start, end, _ in row]
            for line in case.text.splitlines():
                for secret in plugin.analyze_string(line):
                    known = "EXAMPLE" in secret or secret == "password"
                    partial = name in ("gitlab_token", "github_token")  # yield the prefix alone
                    assert known or partial or any(secret in value for value in covered), name
                    count += 1
    assert count > 200


UUID = "0a1b2c3d-0a1b-4c3d-8a1b-0a1b2c3d4e5f"
BODY = "MIIEowIBAAKCAQEAx4UbaDzY5xjW6hc9jwN0mX33XpTDVWqVoNnLqZQX8Yb3aZ1s"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('password = "x9K#mQ2v"', [("keyword", "x9K#mQ2v")]),
        ("DB_PASSWORD: Tr0ub4dor&3", [("keyword", "Tr0ub4dor&3")]),
        (
            "API_KEY=a8f5f167f44f4964e6c998dee827110c",
            [("keyword", "a8f5f167f44f4964e6c998dee827110c")],
        ),
        ('password: str = "x9K#mQ2v"', [("keyword", "x9K#mQ2v")]),
        ("KEY_PASS = b'x9K#mQ2v'", [("keyword", "x9K#mQ2v")]),
        ("<password>Tr0ub4dor&3</password>", [("keyword", "Tr0ub4dor&3")]),
        (
            '"A=b;AccountKey=5DDa8f5f167/44f4964e6c99==;E=c"',
            [("keyword", "5DDa8f5f167/44f4964e6c99==")],
        ),
        (f"//r.org/:_authToken={UUID}", [("keyword", UUID)]),
        (f"session_token = '{UUID}'", []),
        ("-AKIAQYLPMN5HHHFPZZZQ", [("aws", "AKIAQYLPMN5HHHFPZZZQ")]),
        ("?token=x9KmQ2vb7Lw4Zt8Q&page=2", [("keyword", "x9KmQ2vb7Lw4Zt8Q")]),
        ("postgres://app:h8sGd7xQ@db/x", [("basic_auth", "h8sGd7xQ")]),
        ("postgres://app:${PASS}@db/x http://h:80/a@b https://x.org/@me:y@z", []),
        ('password = "P@ssw0rd1" token = "oauth2" secret = "s3cr3t"', []),
        ("AKIAIOSFODNN7EXAMPLE AKIA1234 ghp_short", []),
        ("xAKIAQYLPMN5HHHFPZZZQ AKIAQYLPMN5HHHFPZZZQQ", []),
        ("passenger = 'x9K#mQ2v' compass: Tr0ub4dor&3 token_url='x9K#mQ2v'", []),
        ("the -----BEGIN PRIVATE KEY----- line and the -----END PRIVATE KEY----- line", []),
    ],
)
def test_finds(text: str, wanted: list[tuple[str, str]]) -> None:
    assert found(text) == wanted


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\\n"])
def test_a_private_key_is_cut_whole(newline: str) -> None:
    body = newline.join([BODY] * 4)
    block = f"-----BEGIN RSA PRIVATE KEY-----{newline}{body}{newline}-----END RSA PRIVATE KEY-----"
    text = pa.array([f'k = "{block}"\nrest', f"a\n{block[:200]}\n"])
    edited = apply(text, find_credentials(text)).to_pylist()
    assert edited[0] == 'k = ""\nrest'
    assert BODY[:20] not in edited[1]


def test_a_key_after_the_mention_of_one_is_cut_alone() -> None:
    block = f"-----BEGIN PRIVATE KEY-----\n{BODY}\n{BODY}\n-----END PRIVATE KEY-----"
    text = f'if "-----BEGIN PRIVATE KEY-----" in x:\n    pass\n{block}\n'
    assert found(text) == [("private_key", block)]


SLACK = "https://hooks.slack.com/services/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"


@pytest.mark.parametrize(
    "text",
    [
        "(AKIAQYLPMN5HHHFPZZZQ)",
        "postgres://app:h8sGd7xQ@db/x",
        '(password: str = "x9K#mQ2v"',
        f"""(secret_{"b" * 57}"]{" " * 8}:{" " * 8}{"T" * 64}{" " * 8}== 'x9K#mQ2v'""",
        "<password>Tr0ub4dor&3</password>",
        SLACK,
        f"-----BEGIN PRIVATE KEY-----\n{BODY}\n{BODY}\n-----END PRIVATE KEY-----",
        f"PuTTY-User-Key-File-2: {BODY}\n{BODY}\nPrivate-MAC: 0a1b",
    ],
)
def test_the_kernel_sees_what_crosses_its_blocks(text: str) -> None:
    column = pa.array([" " * n + text for n in range(70)] + [text])
    *shifted, alone = places(find_credentials(column))
    assert alone
    assert shifted == [{(a + n, b + n, kind) for a, b, kind in alone} for n in range(70)]


def test_an_edited_text_is_clean_and_holds_no_value() -> None:
    cases = planted.leaked(5, 60)
    text = pa.array([case.text for case in cases])
    spans = find_credentials(text)
    edited = apply(text, spans)
    assert len(find_credentials(edited).starts) == 0
    values = {case.text.encode()[a:b] for case in cases for a, b, _ in case.spans}
    shown = repr(spans).encode() + repr(find_suspects(text)).encode()
    assert not [value for value in values if value in shown]


PIECE = st.sampled_from(
    [
        *(
            "password",
            " = ",
            ":",
            "=>",
            '"',
            "'",
            "x9K#mQ2v",
            "é漢Ab1#",
            "AKIAQYLPMN5HHHFPZZZQ",
            "@",
        ),
        *("ghp_" + "a1B2c3D4e5F6g7H8i9" * 2, "://u:", "h8sGd7xQ", "\n", " ", "secret", "eyJ", "."),
        *(
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
            BODY,
            "SG.",
            "-",
            "_",
            "a" * 16,
        ),
    ]
)
TEXT = st.lists(PIECE | st.text(max_size=3), max_size=12).map("".join)


@given(st.lists(st.none() | TEXT, max_size=5), st.integers(0, 5))
def test_any_text_in_any_slice(texts: list[str | None], cut: int) -> None:
    column = pa.array(texts, pa.string())
    whole = places(find_credentials(column))
    for kind in (pa.large_string(), pa.binary()):
        assert places(find_credentials(column.cast(kind).slice(cut))) == whole[cut:]
    chunks = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    assert places(find_credentials(chunks)) == whole
    assert apply(column, find_credentials(column)).null_count == column.null_count


@given(st.lists(TEXT, max_size=3))
def test_the_kernel_on_any_text(texts: list[str]) -> None:
    text = pa.array(texts, pa.string())
    for kernel, alone in zip(places(find_credentials(text)), everything(text), strict=True):
        assert all(any(a <= c and d <= b for a, b, _ in kernel) for c, d, _ in alone)


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_bytes(rows: list[bytes]) -> None:
    text = pa.array([row + b"\xff password = 'x9K#mQ2v\xc3'" for row in rows], pa.binary())
    assert find_credentials(text).rows == len(rows)
