"""Texts with personal data and credentials of known places, and with what only looks like them; by seed alone.

All values are made here: they are valid for the checks and belong, as far as we know, to nobody.
"""

import base64
import json
import random
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import phonenumbers
from stdnum import iban, luhn
from stdnum.es import dni
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.util import get_cc_module

Rng = random.Random
ALNUM = string.ascii_letters + string.digits
ACCOUNTS = {"DE": "0" * 18, "AT": "0" * 16, "GB": "AAAA" + "0" * 14, "NL": "AAAA" + "0" * 10}


@dataclass(frozen=True)
class Planted:
    """A text and the spans (first byte, end, kind) that stand in it."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


def pick(rng: Rng, chars: str, count: int) -> str:
    return "".join(rng.choice(chars) for _ in range(count))


def digits(rng: Rng, count: int) -> str:
    return pick(rng, string.digits, count)


def email(rng: Rng) -> str:
    name = rng.choice(["anna.lund", "j_smith", "li+news", "peter-99", "Maria.Rossi", "x", "office"])
    host = rng.choice(
        ["gmail.com", "uni-ulm.de", "mail.corp.co.uk", "a.io", "kernel.org", "cam.ac.uk"]
    )
    return f"{name}{rng.randrange(100) or ''}@{host}"


def ipv4(rng: Rng) -> str:
    return f"{rng.randrange(41, 100)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def ipv6(rng: Rng) -> str:
    groups = [f"2a0{rng.randrange(1, 9)}", *(f"{rng.randrange(1, 65536):x}" for _ in range(7))]
    return ":".join(groups) if rng.random() < 0.5 else ":".join(groups[:4]) + "::" + groups[7]


def phone(rng: Rng, region: str | None = None) -> str:
    """International, or the national form of a region."""
    form = phonenumbers.PhoneNumberFormat
    while True:
        where = region or rng.choice(["US", "GB", "DE", "FR", "IN", "BR", "JP", "AU", "PL"])
        national = str(phonenumbers.example_number(where).national_number)
        number = phonenumbers.PhoneNumber(
            country_code=phonenumbers.country_code_for_region(where),
            national_number=int(national[:-4] + digits(rng, 4)),
        )
        if not phonenumbers.is_valid_number(number) or "55501" in str(number.national_number):
            continue
        style = form.NATIONAL if region else rng.choice([form.INTERNATIONAL, form.E164])
        return str(phonenumbers.format_number(number, style))


def card(rng: Rng) -> str:
    start, length = rng.choice(
        [("4", 16), ("52", 16), ("2301", 16), ("37", 15), ("6011", 16), ("3540", 16)]
    )
    body = start + digits(rng, length - len(start) - 1)
    number = body + luhn.calc_check_digit(body)
    gap = rng.choice(["", " ", "-"])
    if length == 15:
        return gap.join([number[:4], number[4:10], number[10:]])
    return gap.join(number[k : k + 4] for k in range(0, 16, 4))


def account(rng: Rng) -> str:
    country, form = rng.choice(list(ACCOUNTS.items()))
    own = "".join(
        rng.choice(string.ascii_uppercase) if c == "A" else rng.choice("123456789") for c in form
    )
    number = country + iban.calc_check_digits(country + "00" + own) + own
    return iban.format(number) if rng.random() < 0.5 else number


def valid(name: str, make: Callable[[], str]) -> str:
    country, register = name.split(".")
    module = get_cc_module(country.rstrip("_"), register)
    while True:
        value = make()
        if module.is_valid(value.replace(".", "").replace(" ", "")):
            return value


def grouped(rng: Rng, groups: tuple[int, ...], gap: str) -> str:
    return gap.join(digits(rng, n) for n in groups)


def fiscal_code(rng: Rng) -> str:
    code = pick(rng, "BCDFGLMNPRST", 6) + f"{rng.randrange(40, 99)}{rng.choice('ABCDEHLMPRST')}"
    code += f"{rng.randrange(10, 29)}{rng.choice('ABCDEFGHL')}{digits(rng, 3)}"
    return code + codicefiscale.calc_check_digit(code)


def french(rng: Rng) -> str:
    body = f"{rng.choice('12')}{digits(rng, 2)}{rng.randrange(1, 13):02}{rng.randrange(1, 95):02}{digits(rng, 6)}"
    number = body + nir.calc_check_digits(body)
    return nir.format(number) if rng.random() < 0.5 else number


def spanish(rng: Rng) -> str:
    number = digits(rng, 8)
    return number + rng.choice(["", "-"]) + dni.calc_check_digit(number)


IDS: dict[str, tuple[str, Callable[[Rng], str]]] = {
    "us.ssn": ("SSN", lambda r: valid("us.ssn", lambda: grouped(r, (3, 2, 4), "-"))),
    "gb.nhs": ("NHS number", lambda r: valid("gb.nhs", lambda: grouped(r, (3, 3, 4), " "))),
    "de.idnr": ("Steuer-ID", lambda r: valid("de.idnr", lambda: grouped(r, (2, 3, 3, 3), " "))),
    "fr.nir": ("Numéro de sécurité sociale", french),
    "es.dni": ("DNI", spanish),
    "it.codicefiscale": ("Codice fiscale", fiscal_code),
    "nl.bsn": ("BSN", lambda r: valid("nl.bsn", lambda: digits(r, 9))),
    "br.cpf": (
        "CPF",
        lambda r: "-".join(valid("br.cpf", lambda: grouped(r, (3, 3, 3, 2), ".")).rsplit(".", 1)),
    ),
    "in_.aadhaar": ("Aadhaar", lambda r: valid("in_.aadhaar", lambda: grouped(r, (4, 4, 4), " "))),
    "pl.pesel": ("PESEL", lambda r: valid("pl.pesel", lambda: digits(r, 11))),
}
PII: dict[str, Callable[[Rng], str]] = {
    "email": email,
    "ipv4": ipv4,
    "ipv6": ipv6,
    "phone": phone,
    "card": card,
    "iban": account,
    **{name: make for name, (_, make) in IDS.items()},
}
_PLACES = (
    "Please note {label} {value}, which was given on Monday.",
    "({label}: {value}).",
    '{label} = "{value}"  # from the form',
    '{{"{label}": "{value}", "n": 1}}',
    "| {label} | {value} | open |",
    "{label},{value},3\n",
    "<td>{label} {value}</td>",
    "报告{label}：{value}。",
)
_LABELS = {
    "email": "mail",
    "ipv4": "client",
    "ipv6": "client",
    "phone": "tel",
    "card": "card",
    "iban": "account",
}
_LABELS |= {name: label for name, (label, _) in IDS.items()}


def _near_misses(rng: Rng) -> list[str]:
    three = f"{rng.randrange(1, 20)}.{rng.randrange(20)}.{rng.randrange(400)}"
    return [
        f"ISBN 978-3-{digits(rng, 2)}-{digits(rng, 6)}-{digits(rng, 1)}",
        f"order {grouped(rng, (4, 4, 4), '-')} and parcel {digits(rng, 10)}",
        f"version {three}.{rng.randrange(200)} of {three}",
        f"Mozilla/5.0 Chrome/{rng.randrange(60, 120)}.0.{rng.randrange(256)}.{rng.randrange(200)}",
        f"lib-{three}.{rng.randrange(99)}.tar.gz, section {three}.2",
        f"on 2021-0{rng.randrange(1, 9)}-1{rng.randrange(9)} 12:30:45, {rng.randrange(1900, 2025)}-2024",
        f"commit {pick(rng, '0123456789abcdef', 40)}",
        f"id {uuid.UUID(int=rng.getrandbits(128), version=4)}",
        "localhost 127.0.0.1, 10.1.2.3, 192.168.0.17, 172.20.1.1, 192.0.2.7, 255.255.255.0, ::1",
        "fe80::1ff:fe23:4567:890a and 2001:db8::8a2e:370:7334 and 00:1a:2b:3c:4d:5e",
        "user@example.com, me@localhost, name@host.example, @Override @media x@y",
        f"npm i lodash@4.17.{rng.randrange(99)} icon@2x.png this@Main git@github.com:a/b.git",
        "https://bob@files.host.org/x and ssh://git@code.host.org/y",
        f"pi 3.14159265358979{digits(rng, 3)}, {rng.random():.12f}, 1e+10, x+1, +12, 1+2+3",
        "test card 4242 4242 4242 4242 or 378282246310005, IBAN DE89 3704 0044 0532 0130 00",
        f"rows {' '.join(digits(rng, 3) for _ in range(9))}",
        f"ticket {digits(rng, 9)}, build {digits(rng, 11)}, serial AB{digits(rng, 14)}",
        f"timestamps {rng.randrange(1_500_000_000, 1_700_000_000)} and {digits(rng, 13)}",
        "call +1 202 555 0143 or +44 20 7946 0123",
        f"std::vector<a::b>, a[1:2:3], 12:30, {pick(rng, string.ascii_uppercase, 2)}{digits(rng, 16)}",
    ]


def _token(prefix: str, chars: str, count: int) -> Callable[[Rng], str]:
    return lambda rng: prefix + pick(rng, chars, count)


def _jwt(rng: Rng) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": digits(rng, 7), "name": pick(rng, ALNUM, 9)})
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    ]
    return ".".join([*encoded, pick(rng, ALNUM + "-_", 42) + "a"])


def _key_block(rng: Rng) -> str:
    kind = rng.choice(["RSA ", "EC ", "OPENSSH ", ""])
    body = "\n".join(pick(rng, ALNUM + "+/", 64) for _ in range(rng.randrange(3, 25)))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


_HEX = "0123456789abcdef"
_UPPER = string.ascii_uppercase + string.digits
CREDENTIALS: dict[str, tuple[Callable[[Rng], str], ...]] = {
    "aws": (_token("AKIA", _UPPER, 16), _token("ASIA", _UPPER, 16)),
    "github": (
        _token("ghp_", ALNUM, 36),
        _token("gho_", ALNUM, 36),
        _token("github_pat_", ALNUM, 82),
    ),
    "gitlab": (_token("glpat-", ALNUM, 20), _token("glrt-", ALNUM, 20)),
    "slack": (
        lambda r: f"xoxb-{digits(r, 11)}-{digits(r, 12)}-{pick(r, ALNUM, 24)}",
        lambda r: (
            f"https://hooks.slack.com/services/T{pick(r, _UPPER, 8)}/B{pick(r, _UPPER, 8)}/{pick(r, ALNUM, 24)}"
        ),
    ),
    "stripe": (_token("sk_live_", ALNUM, 24), _token("rk_live_", ALNUM, 99)),
    "twilio": (_token("AC", _HEX, 32), _token("SK", _HEX, 32)),
    "sendgrid": (lambda r: f"SG.{pick(r, ALNUM, 22)}.{pick(r, ALNUM, 43)}",),
    "telegram": (lambda r: f"{r.randrange(10**8, 10**10)}:{pick(r, ALNUM, 35)}",),
    "discord": (lambda r: f"M{pick(r, ALNUM, 23)}.{pick(r, ALNUM, 6)}.{pick(r, ALNUM, 27)}",),
    "openai": (
        lambda r: f"sk-{pick(r, ALNUM, 20)}T3BlbkFJ{pick(r, ALNUM, 20)}",
        _token("sk-proj-", ALNUM, 60),
    ),
    "anthropic": (_token("sk-ant-api03-", ALNUM, 80),),
    "google": (_token("AIza", ALNUM, 35),),
    "huggingface": (_token("hf_", ALNUM, 34),),
    "npm": (_token("npm_", ALNUM, 36),),
    "pypi": (_token("pypi-AgEIcHlwaS5vcmc", ALNUM, 90),),
    "mailchimp": (lambda r: f"{pick(r, _HEX, 32)}-us{r.randrange(1, 21)}",),
    "square": (_token("sq0csp-", ALNUM, 43),),
    "jwt": (_jwt,),
    "private_key": (_key_block,),
}
_TOKEN_PLACES = (
    'client = Client("{value}")\n',
    "export X={value}\n",
    "- {value}\n",
    "curl -H 'X-Auth: {value}' https://api.host.org\n",
    "<v>{value}</v>\n",
    "We left {value} in the log, which was wrong.\n",
)
_PASSWORD_PLACES = (
    'password = "{value}"\n',
    "DB_PASSWORD='{value}'\n",
    '{{"user": "bob", "passwd": "{value}"}}\n',
    'config["api_key"] = "{value}";\n',
    "client_secret: '{value}'\n",
    'if ($pwd === "{value}") {{\n',
    "  'auth_token' => '{value}',\n",
    'secretKey := "{value}"\n',
)
_USERINFO_PLACES = (
    "postgres://app:{value}@db.host.org:5432/app\n",
    'REDIS = "redis://:{value}@10.0.0.5/0"\n',
    "git clone https://bob:{value}@git.host.org/x.git\n",
)
_HARMLESS = (
    'password = os.environ["DB_PASSWORD"]\n',
    'password = "changeme"\n',
    'api_key = "YOUR_API_KEY_HERE1"\n',
    'password = "${{DB_PASS_1}}"\n',
    'secret = "<secret-1>"\n',
    "password = getpass.getpass()\n",
    'token_url = "https://host.org/oauth2/token"\n',
    'auth_type = "oauth2"\n',
    'secret_name = "prod/db-1/main"\n',
    'AWS_ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"\n',
    'aws_secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"\n',
    'password = "************"\n',
    "postgres://user:password@localhost/db\n",
    "http://host.org:8080/path@2x\n",
    'if "-----BEGIN RSA PRIVATE KEY-----" in text:\n',
    "keyboard: qwerty, monkey: 12, tokens = tokenize(x1)\n",
    "password_hash = 'b109f3bbbc244eb8'\n",
    "const key = items[i].key;\n",
    'token = "eyJhbGciOiJIUzI1NiJ9"\n',
    "passed: 12, failed: 3, passes = 100\n",
)


def _hashes(rng: Rng) -> list[str]:
    return [
        f"sha256:{pick(rng, _HEX, 64)}\n",
        f"commit {pick(rng, _HEX, 40)}\n",
        f"id = '{uuid.UUID(int=rng.getrandbits(128), version=4)}'\n",
        f"integrity: sha512-{pick(rng, ALNUM, 86)}==\n",
        f"test_{pick(rng, string.ascii_lowercase, 12)}_{pick(rng, string.ascii_lowercase, 14)}()\n",
        f"data:image/png;base64,{pick(rng, ALNUM + '+/', 200)}\n",
    ]


def _join(rng: Rng, parts: list[tuple[str, str, str]]) -> Planted:
    """Parts are a text, the value in it ("" if none) and its kind."""
    text, spans = "", []
    for part, value, kind in parts:
        if value:
            start = len((text + part[: part.index(value)]).encode())
            spans.append((start, start + len(value.encode()), kind))
        text += part + rng.choice([" ", "\n", "\n\n"])
    return Planted(text, tuple(spans))


def personal(seed: int, texts: int = 60) -> list[Planted]:
    """Texts of twelve parts each, half of them near-misses."""
    rng = Rng(seed)
    found = []
    for _ in range(texts):
        parts = []
        for kind in rng.sample(list(PII), 6):
            value = PII[kind](rng)
            place = rng.choice(_PLACES).format(label=_LABELS[kind], value=value)
            parts += [(place, value, kind), (rng.choice(_near_misses(rng)), "", "")]
        found.append(_join(rng, parts))
    return found


def national_phones(seed: int, region: str, texts: int = 40) -> list[Planted]:
    """Texts with a phone number in its region's national form, among near-misses."""
    rng = Rng(seed)
    found = []
    for _ in range(texts):
        value = phone(rng, region)
        place = rng.choice(_PLACES).format(label=rng.choice(["Tel.", "Phone", "fax"]), value=value)
        misses = [(miss, "", "") for miss in rng.sample(_near_misses(rng), 4)]
        found.append(_join(rng, [*misses[:2], (place, value, "phone"), *misses[2:]]))
    return found


def password(rng: Rng) -> str:
    while True:
        value = pick(rng, ALNUM + "!#%^&*_+-=", rng.randrange(10, 25))
        kinds = (str.islower, str.isupper, str.isdigit)
        if (
            all(any(map(kind, value)) for kind in kinds)
            and value[0].isalpha()
            and value[-1].isalnum()
        ):
            return value


def leaked(seed: int, texts: int = 60) -> list[Planted]:
    """Texts of twelve parts each, half of them harmless."""
    rng = Rng(seed)
    found = []
    for _ in range(texts):
        parts = []
        for kind in rng.sample([*CREDENTIALS, *["keyword", "basic_auth"] * 3], 6):
            if kind == "keyword":
                value, places = password(rng), _PASSWORD_PLACES
            elif kind == "basic_auth":
                value, places = pick(rng, ALNUM, 14) + "7a", _USERINFO_PLACES
            else:
                value, places = rng.choice(CREDENTIALS[kind])(rng), _TOKEN_PLACES
            parts.append((rng.choice(places).format(value=value), value, kind))
            parts.append((rng.choice([*_HARMLESS, *_hashes(rng)]), "", ""))
        found.append(_join(rng, parts))
    return found


def scores(
    planted: list[Planted], found: list[set[tuple[int, int, str]]]
) -> dict[str, tuple[int, int, int]]:
    """Right finds, wrong finds and misses by kind; a find is right when its bytes and kind are."""
    table: dict[str, list[int]] = {}
    for case, spans in zip(planted, found, strict=True):
        wanted = set(case.spans)
        for place, group in enumerate((wanted & spans, spans - wanted, wanted - spans)):
            for _, _, kind in group:
                table.setdefault(kind, [0, 0, 0])[place] += 1
    return {kind: (right, wrong, missed) for kind, (right, wrong, missed) in sorted(table.items())}
