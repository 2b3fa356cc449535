"""Licences: identifiers of the names that corpora write."""

import pyarrow as pa
import pytest

from coursepack.stages.licenses import license_ids


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MIT", "mit"),
        ("MIT License", "mit"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("mit,Apache-2.0", "apache-2.0,mit"),
        ("BSD-3-Clause,BSD-3-Clause", "bsd-3-clause"),
        ("GPL-3.0-only", "gpl-3.0"),
        ("GPL-3.0-or-later", "gpl-3.0-or-later"),
        ("https://creativecommons.org/licenses/by-nc-sa/3.0/deed.de", "cc-by-nc-sa-3.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("CC BY-SA 4.0", "cc-by-sa-4.0"),
        ("Creative Commons BY-NC 4.0 International", "cc-by-nc-4.0"),
        ("Our Own Licence", "our-own-licence"),
        ("", None),
        ("NOASSERTION", None),
        ("unknown,mit", "mit,unknown"),
        ("MIT,NOASSERTION", "mit,unknown"),
        ("unknown, none", None),
        ("MIT,", "mit"),
        (None, None),
    ],
)
def test_an_identifier(name, expected):
    assert license_ids(pa.array([name], pa.string())).to_pylist() == [expected]


def test_slices_and_no_rows():
    names = pa.array(["MIT", None, "isc"], pa.string())
    assert license_ids(names.slice(1)).to_pylist() == [None, "isc"]
    assert license_ids(names.slice(3)).type == pa.string()
