"""What is personal data and what only looks like it: slow checks of the few byte ranges that a kernel flags.

A check takes a window of bytes and yields the spans that it confirms, so the same check runs on a flagged
range or on a whole text. Values that standards reserve for examples are no personal data: RFC 2606 domains,
documentation addresses, numbers for drama, the card networks' test cards.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

import phonenumbers
from phonenumbers import Leniency, PhoneNumberMatcher
from stdnum import iban, luhn, numdb

Found = Iterator[tuple[int, int]]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Country codes and the generic top-level domains that people have mail under; another "domain" is a file name,
# a version or a decorator ("icon@2x.png", "lodash@4.17.21").
_TOP_LEVEL = _set(
    """
    ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bv bw by bz ca cc cd
    cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gb gd ge
    gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki
    km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my
    mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se
    sg sh si sj sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz
    va vc ve vg vi vn vu wf ws ye yt za zm zw academy aero agency app arpa art asia associates audio bank bar berlin
    best bible bio biz blog business cafe care careers cat center chat church city cloud club coach codes coffee com
    community company computer consulting coop cool dance design dev digital direct directory edu education email energy
    engineer engineering events exchange expert express family fan farm finance fit foundation fun fund gallery game
    games global gmbh gov group guide guru hamburg health help host hosting hotel house icu inc info institute int
    international jobs koeln land law legal life limited link live lol london love ltd management market marketing media
    mil mobi moe museum name net network news ngo ninja nyc one ong online org page paris partners photo photography
    photos post press pro property pub red rent report restaurant reviews rocks run sale school science scot services
    shop show site social software solutions space store stream studio support swiss systems tax team tech technology
    tel tips today tools top tours trade training travel university vet video vip wales web website wiki win wine work
    works world wtf xxx xyz yoga zone
    """
)
# RFC 2606; and the companies of Microsoft's documentation.
_RESERVED_DOMAIN = re.compile(
    rb"(?i)(?:^|\.)(?:example\.(?:com|org|net|edu)|(?:contoso|fabrikam)\.com)\Z"
)
_EMAIL = re.compile(
    rb"[A-Za-z0-9_](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_%+-])?"
    rb"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24})(?![A-Za-z0-9_])"
)
_URL_BEFORE = re.compile(rb"://[^\s/@]{0,100}\Z")
_NEXT_SENTENCE = re.compile(rb"\.[A-Z][a-z]*\Z")

_IPV4 = re.compile(
    rb"(?<![\w.])(?<!\w-)(?<!\w/)(?:(?:[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3})(?!\w|\.\w)"
)
# What stands before four numbers that are no address: versions, and numbers of chapters, tables and objects.
_NUMBERING = re.compile(
    rb"(?i)(?:version|\bver|\bv|\brev|\brevision|\brelease|\bbuild|firmware|software|driver|\bupdate|\bupgrade|oid"
    rb"|\bsec|\bsection|\bchapter|\bclause|\bparagraph|\bfigure|\bfig|\btable|\bstep|\barticle|\bappendix|\bannex"
    rb"|\brule|\xc2\xa7)(?:s|[ _]?(?:no|number|is))?\.?[\s:=(\"'#>]{0,4}v?\Z"
)
# Four small numbers are a version far more often than an address (one address in 1,600 is that small), unless
# they are equal, or words say so.
_SMALL = 40
_ADDRESS_WORDS = re.compile(
    rb"(?i)(?<![a-z])ips?(?:v4|_?addr\w*)?(?![a-z])|address|host|\bping\b|server|gateway|\bdns\b|//\Z"
)
# IANA's special-purpose registries (RFC 6890 and updates), multicast and the reserved rest: nobody's address.
_SPECIAL_IPV4 = tuple(
    (int(network.network_address), int(network.netmask))
    for network in map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        ),
    )
)
_SPECIAL_IPV6 = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)
_IPV6 = re.compile(rb"(?<![\w:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:.]{1,43}(?!\w)")

_CARD = re.compile(
    rb"(?<![\w.])(?:\d{14,19}|(?<!\d{4}[ -])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?"
    rb"|\d{4}([ -])\d{6}\2\d{4,5})(?![ -]\d{4}(?!\d)))(?!\w|\.\d)"
)
# Issuer identification numbers and lengths: first digits from, to, shortest and longest number.
_ISSUERS = (
    ("4", "4", 16, 19),  # Visa; 13 digits are of the past
    *(("51", "55", 16, 16), ("2221", "2720", 16, 16)),  # Mastercard
    *(("34", "34", 15, 15), ("37", "37", 15, 15)),  # American Express
    *(("6011", "6011", 16, 19), ("644", "659", 16, 19)),  # Discover
    ("3528", "3589", 16, 19),  # JCB
    *(("300", "305", 14, 19), ("36", "36", 14, 19), ("38", "39", 14, 19)),  # Diners Club
    ("62", "62", 16, 19),  # UnionPay
    *(("5018", "5018", 16, 19), ("5020", "5020", 16, 19), ("5038", "5038", 16, 19)),  # Maestro
    *(("5893", "5893", 16, 19), ("6304", "6304", 16, 19), ("6759", "6763", 16, 19)),
    ("2200", "2204", 16, 19),  # Mir
)
# From the test pages of Stripe, Adyen, Braintree and PayPal.
TEST_CARDS = _set(
    """
    4242424242424242 4111111111111111 4012888888881881 4222222222222 4000056655665556 4917610000000000 4000000000000002
    4000000000009995 4000000000000077 4000002500003155 4000002760003184 4000000000000341 4009348888881881
    4012000033330026 4500600000000061 4217651111111119 4005519200000004 4988438843884305 5555555555554444
    5105105105105100 5200828282828210 2223003122003222 5454545454545454 2223000048400011 2222400070000005
    5431111111111111 5555341244441115 378282246310005 371449635398431 378734493671000 370000000000002 6011111111111117
    6011000990139424 6011000991300009 6011981111111113 30569309025904 38520000023237 36227206271667 36006666333344
    3056930009020004 3530111333300000 3566002020360505 6200000000000005 6250941006528599 6304000000000000
    6759649826438453
    """
)

_IBAN = re.compile(rb"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
# The ones that registries, banks and encyclopedias print as examples.
EXAMPLE_IBANS = _set(
    """
    DE89370400440532013000 GB82WEST12345698765432 GB29NWBK60161331926819 GB33BUKB20201555555555
    FR1420041010050500013M02606 FR7630006000011234567890189 NL91ABNA0417164300 CH9300762011623852957
    ES9121000418450200051332 IT60X0542811101000000123456 AT611904300234573201 BE68539007547034
    PL61109010140000071219812874 SE4550000000058398257466 NO9386011117947 DK5000400440116243 FI2112345600000785
    PT50000201231234567890154 IE29AIBK93115212345678 LU280019400644750000
    """
)

# A national number has one of these forms, or stands behind one of these words.
_PHONE_FORM = re.compile(
    r"\(0?\d{2,4}\)|\d{3}([-.])\d{3}\1\d{4}|(?<!\d)0\d{1,4}[-/]\d{3,8}|(?<!\d)\d{3}-\d{4}(?!\d)"
)
_PHONE_WORDS = re.compile(
    r"(?i)tel|phone|fon\b|fax|mobil|\bcell|\bcall\b|whats ?app|\bsms\b|hotline|movil|móvil|rufnummer|anruf"
    r"|電話|电话|手机|전화|тел"
)
_PHONE_NEAR, _PHONE_TAIL = 40, 12  # bytes before a number for words, behind it for what goes on
_DECIMAL = re.compile(r"\d+\.\d+\Z")
_FICTIONAL_PHONE = re.compile(
    r"\+(?:1\d{3}55501\d\d|44(?:207946|1632960|7700900)\d*)\Z"
)  # NANPA, Ofcom


@dataclass(frozen=True)
class Words:
    """Words that tell a register's numbers, in any case; each holds one of the `stems`, if any are known."""

    pattern: re.Pattern[bytes]
    stems: tuple[bytes, ...]

    def told_by(self, text: bytes) -> bool:
        """Whether a text in small letters holds such a word; plain bytes are found fifty times as fast."""
        may_be = not self.stems or any(stem in text for stem in self.stems)
        return may_be and self.pattern.search(text) is not None


@dataclass(frozen=True)
class _NationalId:
    pattern: re.Pattern[bytes]
    words: Words | None  # must stand near; None: the code's own form says enough
    telling: bool  # with separators nothing else looks like it, so the words may stand anywhere in the text


def _id(form: bytes, words: bytes | None, *stems: bytes, telling: bool = False) -> _NationalId:
    pattern = re.compile(rb"(?<![\w.])(?<!\d[-/])(?:%b)(?!\w|[-/]\w|\.\d)" % form)
    return _NationalId(
        pattern, Words(re.compile(b"(?i)" + words), stems) if words else None, telling
    )


_IDS = {
    "us.ssn": _id(
        rb"\d{3}([- ])\d\d\1\d{4}|\d{9}",
        rb"(?<![a-z])ssns?(?![a-z])|social.?security|soc\.? sec",
        *(b"ssn", b"security", b"soc sec", b"soc. sec"),
        telling=True,
    ),
    "gb.nhs": _id(rb"\d{3}([- ])\d{3}\1\d{4}|\d{10}", rb"(?<![a-z])nhs(?![a-z])", b"nhs"),
    "de.idnr": _id(
        rb"\d\d([- ])\d{3}\1\d{3}\1\d{3}|\d{11}",
        rb"steuer-?id|identifikationsnummer|(?<![a-z])idnr|steuernummer|steueridentifikation|tax.?id",
        *(b"steuer", b"identifikationsnummer", b"idnr", b"tax"),
    ),
    "fr.nir": _id(
        rb"[12]([ .])\d\d\1\d\d\1\d\d\1\d{3}\1\d{3}\1\d\d|[12]\d{12} ?\d\d",
        rb"s(?:e|\xc3\xa9)curit(?:e|\xc3\xa9) sociale|(?<![a-z])nir(?![a-z])|insee|num_?secu",
        *(b" sociale", b"nir", b"insee", b"numsecu", b"num_secu"),
        telling=True,
    ),
    "es.dni": _id(
        rb"(?:\d{8}|\d\d\.\d{3}\.\d{3})[- ]?[A-HJ-NP-TV-Za-hj-np-tv-z]",
        rb"(?<![a-z])[dn]\.?[ni]\.?[if](?![a-z])|documento nacional|identidad",
    ),
    "it.codicefiscale": _id(
        rb"[A-Za-z]{6}\d\d[A-Ea-eHhLlMmPpR-Tr-t]\d\d[A-Za-z]\d{3}[A-Za-z]", None
    ),
    "nl.bsn": _id(
        rb"\d{4}\.\d\d\.\d{3}|\d{9}",
        rb"(?<![a-z])bsn(?![a-z])|burgerservice|sofinummer",
        *(b"bsn", b"burgerservice", b"sofinummer"),
    ),
    "br.cpf": _id(
        rb"\d{3}\.\d{3}\.\d{3}[-.]\d\d|\d{11}",
        rb"(?<![a-z])cpf(?![a-z])|cadastro de pessoa",
        *(b"cpf", b"cadastro de pessoa"),
        telling=True,
    ),
    "in_.aadhaar": _id(
        rb"\d{4}([- ])\d{4}\1\d{4}|\d{12}",
        rb"aa?dhaa?r|(?<![a-z])uid(?:ai)?(?![a-z])|\xe0\xa4\x86\xe0\xa4\xa7\xe0\xa4\xbe\xe0\xa4\xb0",
        *(b"adha", b"uid", b"\xe0\xa4\x86\xe0\xa4\xa7\xe0\xa4\xbe\xe0\xa4\xb0"),
    ),
    "pl.pesel": _id(rb"\d{11}", rb"pesel", b"pesel"),
}
MARGIN, MARGIN_BEHIND = 96, 48  # bytes round a range that may hold context
_NEAR, _NEAR_AFTER = 80, 32
_AFTER_DIGITS, _FROM_DIGITS = re.compile(rb"(?s)\A.*\d"), re.compile(rb"(?s)\d.*\Z")


def emails(window: bytes, start: int) -> Found:
    """Mail addresses from `start` on; not the users of URLs and git remotes."""
    for match in _EMAIL.finditer(window, start):
        domain, end = match[1], match.end()
        while _top_level(domain) not in _TOP_LEVEL and (cut := _NEXT_SENTENCE.search(domain)):
            domain, end = domain[: cut.start()], end - len(cut[0])
        if _top_level(domain) not in _TOP_LEVEL or b"." not in domain:
            continue
        if _RESERVED_DOMAIN.search(domain) or _URL_BEFORE.search(window, 0, match.start()):
            continue
        if match[0].startswith(b"git@") and window[end : end + 1] in (b":", b"/"):
            continue
        yield match.start(), end


def _top_level(domain: bytes) -> str:
    return domain.rpartition(b".")[2].decode().lower()


def ipv4s(window: bytes, start: int) -> Found:
    """Public addresses of hosts (not networks: `8.0.0.0`), unless they number a version or a chapter."""
    for match in _IPV4.finditer(window, start):
        octets = [int(part) for part in match[0].split(b".")]
        value = int.from_bytes(bytes(octets)) if max(octets) < 256 else 0
        if any(value & mask == network for network, mask in _SPECIAL_IPV4) or value & 0xFFFF == 0:
            continue
        if octets[:2] == [1, 3] and octets[2] in (6, 14, 132):  # arcs of object identifiers
            continue
        if _NUMBERING.search(window, max(match.start() - 32, 0), match.start()):
            continue
        before = window[max(match.start() - _NEAR, 0) : match.start()]
        if max(octets) <= _SMALL and len(set(octets)) > 1 and not _ADDRESS_WORDS.search(before):
            continue
        yield match.span()


def ipv6s(window: bytes, start: int) -> Found:
    """Addresses of 2000::/3 that are not set aside for documentation, tunnels or protocols."""
    for match in _IPV6.finditer(window, start):
        token = match[0].rstrip(b".:")
        try:
            address = ipaddress.IPv6Address(token.decode())
        except ValueError:
            continue
        if not any(address in network for network in _SPECIAL_IPV6):
            yield match.start(), match.start() + len(token)


def cards(window: bytes, start: int) -> Found:
    """Numbers with an issuer's first digits and length that pass Luhn's check; no test cards."""
    for match in _CARD.finditer(window, start):
        digits = _digits(match[0])
        issued = any(
            low <= digits[: len(low)] <= high and least <= len(digits) <= most
            for low, high, least, most in _ISSUERS
        )
        if issued and luhn.is_valid(digits) and digits not in TEST_CARDS and len(set(digits)) > 2:
            yield match.span()


def ibans(window: bytes, start: int) -> Found:
    """Account numbers with their country's length and form that pass the check of ISO 7064; no examples."""
    for match in _IBAN.finditer(window, start):
        length = _iban_length(match[0][:2].decode())
        place, count = match.start(), 0
        while place < match.end() and count < length:
            count += window[place] != 0x20
            place += 1
        number = window[match.start() : place].replace(b" ", b"").decode()
        if count < length or not length or window[place : place + 1].isalnum():
            continue
        if number not in EXAMPLE_IBANS and iban.is_valid(number):
            yield match.start(), place


@cache
def _iban_length(country: str) -> int:
    """Letters and digits of a country's account numbers, from SWIFT's registry; 0 if it has none."""
    form = numdb.get("iban").info(country)[0][1].get("bban", "")
    return 4 + sum(map(int, re.findall(r"(\d+)!", form))) if form else 0


def phones(window: bytes, start: int, end: int, region: str | None) -> Found:
    """Numbers that their country's plan knows, none of those reserved for drama: those written with `+` if
    `region` is None, else those of the region in a form, or behind a word, that only phone numbers have."""
    # The library takes 0.1 ms a number, so it sees no other number than the flagged one.
    low = max(start - 2, 0)
    text = _text(window[low : end + _PHONE_TAIL])
    leniency = Leniency.STRICT_GROUPING if region else Leniency.VALID
    for match in PhoneNumberMatcher(text, region, leniency):
        raw = match.raw_string
        first = low + len(text[: match.start].encode("utf-8", "surrogateescape"))
        before = window[first - 1 : first]
        if raw.startswith(("+", "(+")) != (region is None) or before.isalnum() or before == b"_":
            continue
        if region:
            near = _text(window[max(first - _PHONE_NEAR, 0) : first])
            if before in (b".", b"=") or _DECIMAL.match(raw):
                continue
            if not _PHONE_FORM.search(raw) and not _PHONE_WORDS.search(near):
                continue
        number = phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.E164)
        if first >= start and not _FICTIONAL_PHONE.match(number):
            yield first, first + len(raw.encode("utf-8", "surrogateescape"))


def tells_phone(window: bytes, start: int, end: int) -> bool:
    """Whether a word before a number in national form, or its form, may be a phone number's."""
    text = _text(window[max(start - 2, 0) : end + _PHONE_TAIL])
    near = _text(window[max(start - _PHONE_NEAR, 0) : end])
    return bool(_PHONE_FORM.search(text) or _PHONE_WORDS.search(near))


def _text(window: bytes) -> str:
    return window.decode("utf-8", "surrogateescape")


def national_ids(window: bytes, start: int, name: str, anywhere: Callable[[Words], bool]) -> Found:
    """Valid numbers of one register, with its words near, or `anywhere` in the text if their form tells."""
    wanted = _IDS[name]
    for match in wanted.pattern.finditer(window, start):
        if wanted.words is not None:
            first, last = max(match.start() - _NEAR, 0), match.end() + _NEAR_AFTER
            grouped = not match[0].isalnum()
            if not grouped:  # no other number may stand between
                before, behind = window[first : match.start()], window[match.end() : last]
                near = _AFTER_DIGITS.sub(b"", before) + b"#" + _FROM_DIGITS.sub(b"", behind)
            else:
                near = window[first:last]
            if not wanted.words.pattern.search(near) and not (
                grouped and wanted.telling and anywhere(wanted.words)
            ):
                continue
        # last, for this is the dearest
        value = re.sub(rb"[^0-9A-Za-z]", b"", match[0]).decode()
        if len(set(_digits(match[0]))) >= 2 and _register(name).is_valid(value):
            yield match.span()


def id_words(name: str) -> Words | None:
    """What has to be near a number of a register; None where its form says enough."""
    return _IDS[name].words


def _digits(value: bytes) -> str:
    return re.sub(rb"\D", b"", value).decode()


@cache
def _register(name: str) -> ModuleType:
    return import_module(f"stdnum.{name}")
