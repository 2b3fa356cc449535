"""Credentials in text and code: keys of services, tokens, passwords and private keys.

A kernel flags places in one pass; the expressions and filters of detect-secrets (Yelp) and a few of our own see
only those. The spans hold places and stand-ins, and no message of this module repeats what was found.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module

import numpy as np

from coursepack.pipeline.arrow import Text, text_buffers
from coursepack.stages.credential_candidates import (
    ASSIGNMENT,
    BASIC_AUTH,
    LEAST_VALUE,
    MOST_NAME,
    PRIVATE_KEY,
    TOKEN,
    Suspects,
    find_suspects,
)
from coursepack.stages.spans import Spans, collect

# Modules of detect_secrets.plugins whose expressions start with one of PREFIXES, and the kind of a find.
_PLUGINS = {
    "aws": "aws",
    "discord": "discord",
    "github_token": "github",
    "gitlab_token": "gitlab",
    "jwt": "jwt",
    "mailchimp": "mailchimp",
    "openai": "openai",
    "pypi_token": "pypi",
    "sendgrid": "sendgrid",
    "slack": "slack",
    "square_oauth": "square",
    "stripe": "stripe",
    "telegram_token": "telegram",
    "twilio": "twilio",
}
# Formats that detect-secrets 1.5 lacks, from the services' own pages.
_MORE = {
    "anthropic": rb"sk-ant-[A-Za-z0-9_-]{32,}",
    "github": rb"github_pat_[A-Za-z0-9_]{60,}",
    "google": rb"AIza[A-Za-z0-9_-]{35}",
    "huggingface": rb"hf_[A-Za-z0-9]{34}",
    "npm": rb"npm_[A-Za-z0-9]{36}",
    "openai": rb"sk-(?=[A-Za-z_-]*\d)(?=[a-z0-9_-]*[A-Z])[A-Za-z0-9_-]{40,}",
}
KINDS = (
    *sorted({*_PLUGINS.values(), *_MORE}),
    "basic_auth",
    "keyword",
    "private_key",
)
# Bytes from the first to the last line of a private key, of a token, of an assignment or a URL.
_MOST_BLOCK, _MOST_TOKEN, _MOST_LINE = 32_768, 16_384, 1024


def find_credentials(text: Text) -> Spans:
    """Where each row holds credentials. A private key's block is cut whole, of an assignment or a URL only
    the value is replaced, by <PASSWORD>, anything else by <KEY>."""
    return confirm(text, find_suspects(text))


def confirm(text: Text, suspects: Suspects) -> Spans:
    """The finds among suspects; of finds that overlap the first, then the longest stays."""
    offsets, data = text_buffers(text)
    finds: list[tuple[int, int, int, int, int]] = []
    view = data.data
    for row, start, bits in zip(
        suspects.rows.tolist(), suspects.starts.tolist(), suspects.bits.tolist(), strict=True
    ):
        first, last = int(offsets[row]), int(offsets[row + 1])
        low = max(first + start - MOST_NAME, first)
        size = _MOST_BLOCK if bits == PRIVATE_KEY else _MOST_TOKEN if bits == TOKEN else _MOST_LINE
        window = bytes(view[low : min(first + start + size, last)])
        shift = low - first
        for a, b, kind in check(window, start - shift, bits):
            finds.append((row, a + shift, b + shift, KINDS.index(kind), _REPLACEMENT.get(kind, 0)))
    rows, starts, ends, kinds, replacements = np.array(finds, np.int64).reshape(-1, 5).T
    return collect(len(offsets) - 1, rows, starts, ends, kinds, KINDS, _TEXTS, replacements)


_TEXTS = b"<KEY>", b"<PASSWORD>", b""
_REPLACEMENT = {"keyword": 1, "basic_auth": 1, "private_key": 2}


def check(window: bytes, start: int, bits: int) -> Iterator[tuple[int, int, str]]:
    """First byte, end and kind of the credentials that start at byte `start` of the window."""
    if bits & TOKEN:
        for kind, pattern in _token_patterns():
            match = pattern.match(window, start)
            if match and _is_secret(kind, match[0]):
                yield start, match.end(), kind
    if bits & ASSIGNMENT:
        match = _ASSIGNMENT.match(window, start) or _ELEMENT.match(window, start)
        if match and (value := _assigned(window, match)):
            yield *value, "keyword"
    if bits & BASIC_AUTH:
        match = _BASIC_AUTH.match(window, start)
        if match and not _is_placeholder(match[1]):
            yield *match.span(1), "basic_auth"
    if bits & PRIVATE_KEY:
        for pattern in (_PRIVATE_KEY, _CUT_KEY):
            match = pattern.match(window, start)
            if match and _is_key(match[0]):
                yield *match.span(), "private_key"
                break


@cache
def _token_patterns() -> list[tuple[str, re.Pattern[bytes]]]:
    """detect-secrets' expressions over bytes, and ours; each between borders of a token."""
    patterns = []
    for module, kind in _PLUGINS.items():
        plugin = import_module(f"detect_secrets.plugins.{module}")
        names = [name for name in vars(plugin) if name.endswith("Detector")]
        own = [
            vars(plugin)[name] for name in names if vars(plugin)[name].__module__ == plugin.__name__
        ]
        for expression in own[0].denylist:
            if expression.pattern.startswith("aws"):
                continue  # an assignment
            source = expression.pattern.encode()
            patterns.append((kind, _bordered(source, expression.flags & re.IGNORECASE)))
    patterns += [(kind, _bordered(source, 0)) for kind, source in _MORE.items()]
    return patterns


def _bordered(source: bytes, flags: int) -> re.Pattern[bytes]:
    # A token goes on to its end: formats have grown since their expressions were written.
    before = rb"(?<![A-Za-z0-9])(?<![A-Za-z0-9_-][_-])"
    return re.compile(rb"%b(?:%b)[A-Za-z0-9_-]*" % (before, source), flags)


# Fixed-length formats: more characters make another thing of them.
_LENGTHS = {"aws": (20, 20), "twilio": (34, 34), "mailchimp": (36, 37), "huggingface": (37, 37)}


def _is_secret(kind: str, value: bytes) -> bool:
    least, most = _LENGTHS.get(kind, (0, len(value)))
    if not least <= len(value) <= most or _FILLER.search(value):
        return False
    if kind == "jwt":
        return _jwt_is_valid(value.rstrip(b".-_"))
    return kind == "slack" or _entropy(value) >= 3


def _jwt_is_valid(value: bytes) -> bool:
    from detect_secrets.plugins.jwt import JwtTokenDetector

    # The payload of jwt.io's example: {"sub":"1234567890...
    return (
        value.count(b".") == 2
        and b".eyJzdWIiOiIxMjM0NTY3ODkwI" not in value
        and bool(JwtTokenDetector.is_formally_valid(value.decode()))
    )


_ASSIGNMENT = re.compile(
    rb"(?<![\w.-])([\w.-]{3,64})[\"'\]]{0,2}[ \t]{0,8}(?::[ \t]{0,8}[A-Za-z_][\w.]{0,63}[ \t]{1,8}(?==))?"
    rb"(?:=>|[:=!]?={1,2}|:)[ \t]{0,8}(?:[A-Za-z@]{1,2}(?=[\"'`]))?([\"'`]?)([^\s\"'`]{6,256})"
)
_ELEMENT = re.compile(rb"(?<=<)([\w.:-]{3,64})>()([^\s<>\"'`]{6,256})(?=</)")
_SECRET_NAME = re.compile(
    rb"(?i)(?<!com)(?<!by)(?<!sur)(?<!tres)pass(?:word|wd|phrase|code)?s?(?![a-z])|pwd|secret|token(?!i[sz])|credential|auth(?![a-z])"
    rb"|(?:api|auth|access|service|account|db|database|priv|private|client|encryption|signing|master|shared)"
    rb"[_.-]?key|contrase(?:n|\xc3\xb1)a"
)
# Names of things about a secret that are none themselves.
_OTHER_NAME = re.compile(
    rb"(?i)(?:name|file|path|dir|ur[il]|type|headers?|field|prefix|suffix|endpoint|length|len|size|_?id|ids|regex|pattern"
    rb"|version|hosts?|port|provider|params?|label|text|class|hint|expir\w*|count|hash|digest|salt|checksum|policy|format"
    rb"|algorithm|encoding|index|limit|max|min|scope|title|message|error|public_?key(?:_?token)?|ttl|lifetime|at|date|time)\Z"
)
# Identifiers, paths, numbers and dates; "prod/db-1/main".
_PLAIN = re.compile(
    rb"[A-Za-z_./:,;@-]*\Z|[\d.,:_-]*\Z|(?:[A-Z]?[a-z]+\d{0,2}[_./-])*[A-Z]?[a-z]+\d{0,2}\Z"
    rb"|(?:[A-Z]+\d{0,2}[_./-])*[A-Z]+\d{0,2}\Z|(?:[a-z]+[_./-])+\d+(?:[_./-][a-z]+)*\Z|eyJ[A-Za-z0-9_=-]+\Z"
)
_CODE = re.compile(rb"[()\[\]{}<>$\\|]|://|%\(|\A[./#&*%-]|::|->|\A0x[0-9a-fA-F]{1,8}\Z")
_FILLER = re.compile(
    rb"(?i)example|sample|dummy|placeholder|change_?me|your|xxxx|\*{3}|\.{3}|fake|insert|redacted|replace|foobar"
    rb"|0{8}|1{6}|123456|abcdef|lorem"
)
_BASIC_AUTH = re.compile(rb"://[^\s:/?#@\"'<>()]{0,64}:([^\s/?#@\"'<>()]{3,128})@(?=[A-Za-z0-9\[])")


_SEPARATOR = re.compile(rb"[;,&](?=[A-Za-z_][\w.]*=)")  # of connection strings and queries
_UUID = re.compile(rb"(?i)[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}")
_MOST_VALUE = 256


def _assigned(window: bytes, match: re.Match[bytes]) -> tuple[int, int] | None:
    """First byte and end of the value of an assignment, if it is a secret's."""
    name, quote, value = match.groups()
    start, end = match.span(3)
    if quote:
        if window[end : end + 1] != quote:
            return None
    elif len(value) == _MOST_VALUE:
        return None
    else:
        value = _SEPARATOR.split(value)[0].rstrip(b",;.")
        end = start + len(value)
    if not _SECRET_NAME.search(name) or _OTHER_NAME.search(name) or _CODE.search(value):
        return None
    if _is_placeholder(value) or _PLAIN.match(value) or len(value) < LEAST_VALUE:
        return None
    if _UUID.search(value) and not name.endswith(b"_authToken"):  # npm's
        return None
    classes = _classes(value)
    if quote:
        fine = classes >= 2 and _entropy(value) >= (3 if len(value) >= 12 else 2.25)
    else:
        long = len(value) >= 16 and classes >= 2 and any(48 <= c <= 57 for c in value)
        fine = (long or classes >= 3) and len(value) >= 8 and _entropy(value) >= 2.75
    return (start, end) if fine else None


def _classes(value: bytes) -> int:
    return sum(
        re.search(kind, value) is not None
        for kind in (b"[a-z]", b"[A-Z]", b"[0-9]", b"[^A-Za-z0-9_]")
    )


def _is_placeholder(value: bytes) -> bool:
    text = value.decode("latin-1")
    return (
        text.lower().translate(_LEET).strip("0123456789!_-") in _ORDINARY
        or _FILLER.search(value) is not None
        or any(test(text) for test in _heuristics())
    )


# Not worth protecting: what stands in a manual for a password.
_ORDINARY_WORDS = """
    password passwd pass pw pwd secret secrets token key apikey api_key admin root user guest test none null true
    false undefined string postgres mysql hunter qwerty letmein abc mypassword mysecret mysecretpassword some
"""
_LEET = str.maketrans("@03$", "aoes")
_ORDINARY = frozenset(_ORDINARY_WORDS.split())


@cache
def _heuristics() -> tuple[Callable[[str], bool], ...]:
    from detect_secrets.filters import heuristic

    return (
        heuristic.is_sequential_string,
        heuristic.is_templated_secret,
        heuristic.is_prefixed_with_dollar_sign,
        heuristic.is_not_alphanumeric_string,
    )


def _entropy(value: bytes) -> float:
    """Shannon's, in bits a byte."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())


_PRIVATE_KEY = re.compile(
    rb"-----BEGIN ((?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?)-----(?:(?!-----BEGIN )[\s\S]){0,32000}?-----END \1-----"
    rb"|PuTTY-User-Key-File-\d: [\s\S]{0,16000}?Private-MAC: [0-9a-f]+"
)
# A block that the text's end or another text cuts off: its header and the lines that can only be a key's.
_CUT_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\s{0,4}[A-Z][A-Za-z-]{2,20}: [^\n]{0,100}){0,4}"
    rb"(?:(?:\s|\\{1,4}[nr]|[\"'])*[A-Za-z0-9+/=]{16,76}(?![^\s\\\"'])){1,400}"
)
_KEY_RUN = re.compile(rb"[A-Za-z0-9+/=]{16,}")
_LEAST_KEY_BYTES = 64


def _is_key(block: bytes) -> bool:
    """Whether a block is half base64 or more; manuals and programs name both borders with text between."""
    held = sum(map(len, _KEY_RUN.findall(block)))
    return held >= max(_LEAST_KEY_BYTES, len(block) // 2)
