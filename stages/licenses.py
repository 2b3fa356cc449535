"""Names of licences as corpora write them, to SPDX identifiers in lower case: `license_id`.

The Stack and GitHub write identifiers, others titles ("Apache License, Version 2.0") or Creative Commons URLs.
A name that is not known stays, in lower case: a rule may name it as it is.
"""

import re

import pyarrow as pa

# titles and short forms, as `_plain` writes them
_TITLES = {
    "apache 2": "apache-2.0",
    "apache 2 0": "apache-2.0",
    "apache": "apache-2.0",
    "apache license": "apache-2.0",
    "apache license 2 0": "apache-2.0",
    "apache license version 2 0": "apache-2.0",
    "apache software license": "apache-2.0",
    "artistic 2": "artistic-2.0",
    "bsd": "bsd-3-clause",
    "bsd 2 clause license": "bsd-2-clause",
    "bsd 3 clause license": "bsd-3-clause",
    "bsd license": "bsd-3-clause",
    "new bsd license": "bsd-3-clause",
    "simplified bsd license": "bsd-2-clause",
    "boost software license": "bsl-1.0",
    "cc 0": "cc0-1.0",
    "cc0": "cc0-1.0",
    "cc0 1 0 universal": "cc0-1.0",
    "cc by": "cc-by-4.0",
    "cc by sa": "cc-by-sa-4.0",
    "eclipse public license 2 0": "epl-2.0",
    "gnu affero general public license v3 0": "agpl-3.0",
    "gnu general public license v2 0": "gpl-2.0",
    "gnu general public license v3 0": "gpl-3.0",
    "gnu lesser general public license v2 1": "lgpl-2.1",
    "gnu lesser general public license v3 0": "lgpl-3.0",
    "gplv2": "gpl-2.0",
    "gplv3": "gpl-3.0",
    "isc license": "isc",
    "lgplv3": "lgpl-3.0",
    "mit license": "mit",
    "mozilla public license 2 0": "mpl-2.0",
    "the mit license": "mit",
    "the unlicense": "unlicense",
    "public domain": "public-domain",
    "zlib license": "zlib",
}
_CREATIVE = re.compile(
    r"^(?:https?://)?creativecommons\.org/(?:licenses/([a-z-]+)|publicdomain/(zero|mark))/(\d\.\d)"
)
_CC_TITLE = re.compile(
    r"^(?:creative commons |cc )(by(?: nc)?(?: sa| nd)?)(?: (\d) (\d))?(?: international| license)*$"
)
_UNKNOWN = "unknown"
_UNSAID = {"", "none", "null", "unknown", "no license", "no-license", "noassertion", "other"}


def license_ids(names: pa.Array) -> pa.Array:
    """The identifiers of each row's licences (string), sorted, with commas between; null where none is said.

    Several licences are what the corpus joins by commas, as The Stack's lists are; each must be allowed, so a part
    that says nothing, beside others, is `unknown`.
    """
    codes = names.dictionary_encode()
    known = [_joined(name.as_py()) for name in codes.dictionary]  # one call a distinct name
    return pa.array(known, pa.string()).take(codes.indices)


def _joined(names: str) -> str | None:
    whole = _id(names)
    if whole in _TITLES.values():  # "Apache License, Version 2.0" has a comma of its own
        return whole
    # what is not known stays beside what is: it is not allowed
    found = {_id(name) or _UNKNOWN for name in names.split(",") if name.strip()}
    return None if found <= {_UNKNOWN} else ",".join(sorted(found))


def _id(name: str) -> str:
    name = name.strip().lower()
    if name in _UNSAID:
        return ""
    if creative := _CREATIVE.match(name):
        kind, public, version = creative.groups()
        return (
            f"cc-{kind}-{version}" if kind else f"{'cc0' if public == 'zero' else 'pdm'}-{version}"
        )
    plain = _plain(name)
    if title := _CC_TITLE.match(plain):
        version = f"{title[2]}.{title[3]}" if title[2] else "4.0"
        return f"cc-{title[1].replace(' ', '-')}-{version}"
    return _TITLES.get(plain, name.replace(" ", "-").removesuffix("-only"))


def _plain(name: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", name))
