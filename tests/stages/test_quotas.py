"""Quotas: as many of a group, in hash order, as the maximum allows; the same for any partitioning."""

from collections import defaultdict

import pytest
from hand_made import recipe

from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.recipe import RuleSettings
from coursepack.stages.quotas import within_quota
from coursepack.stages.rules import BYTES_PER_TOKEN, Quota, quotas_of

COLUMNS = (
    "doc bigint, keep boolean, reason string, bytes bigint, domain string, source string, "
    "language string, host string, lot bigint"
)


def rows(count):
    """Documents of four hosts (one of them none), a few dropped before, with lots all over the range."""
    made = []
    for n in range(count):
        host = (None, "a", "b", "c")[n * n % 4 if n % 3 else n % 4]
        keep = n % 7 != 0
        lot = (n * 0x9E3779B97F4A7C15) % (1 << 62)
        lot = lot % (1 << 40) if host == "a" else lot  # many in one bucket
        domain = "code" if n % 11 == 0 else "web"
        made.append((n, keep, None if keep else "short", n % 90, domain, "s", None, host, lot))
    return made


def expected(made, quota, domains):
    """What a plain pass in order of lot keeps."""
    seen, through = set(), defaultdict(int)
    full = set()
    for doc, keep, _, size, domain, _, _, host, _ in sorted(made, key=lambda row: row[-1]):
        if not keep or host is None or domain not in domains:
            continue
        through[host] += 1 if quota.documents is not None else size
        most = quota.documents if quota.documents is not None else quota.bytes
        if through[host] > most or host in full:
            full.add(host)
            seen.add(doc)
    return seen


@pytest.mark.parametrize(
    ("quota", "domains"),
    [
        (Quota("cap", ("*",), "host", 20, None), {"web", "code"}),
        (Quota("cap", ("web",), "host", None, 1000), {"web"}),
        (Quota("cap", ("*",), "host", None, 10**9), {"web", "code"}),
        (Quota("cap", ("code",), "host", 1, None), {"code"}),
    ],
)
def test_as_many_as_the_quota_allows(spark, quota, domains):
    made = rows(400)
    dropped = expected(made, quota, domains)
    for partitions in (1, 3):
        frame = spark.createDataFrame(made[::-1], COLUMNS).repartition(partitions)
        found = {row.doc: row for row in within_quota(frame, quota).collect()}
        assert {doc for doc, row in found.items() if row.reason == "cap"} == dropped
        for doc, keep, reason, *_ in made:
            assert found[doc].keep == (keep and doc not in dropped)
            assert found[doc].reason == ("cap" if doc in dropped else reason)
    assert bool(dropped) == (quota.bytes != 10**9)


def test_quotas_of_a_recipe(tmp_path):
    rules = {
        "short": {"drop": "words < 3"},
        "cap": {"by": "host", "max_tokens": "1K", "scope": "web"},
        "few": {"by": "repository", "max_documents": 7},
    }
    assert quotas_of(recipe(tmp_path, rules=rules)) == (
        Quota("cap", ("web",), "host", None, int(1000 * BYTES_PER_TOKEN)),
        Quota("few", ("*",), "repository", 7, None),
    )


@pytest.mark.parametrize("by", ["words", "hots"])
def test_a_quota_counts_by_a_text_signal(tmp_path, by):
    made = recipe(tmp_path, rules={"cap": {"by": by, "max_documents": 1}})
    with pytest.raises(RecipeError, match=f"rule 'cap': there is no text signal '{by}' to count"):
        quotas_of(made)


@pytest.mark.parametrize(
    "settings",
    [
        {"by": "host"},
        {"max_tokens": 5},
        {"by": "host", "max_tokens": 5, "max_bytes": 5},
        {"by": "host", "max_tokens": 5, "drop": "words < 3"},
        {"drop": "true", "keep": "true"},
        {},
    ],
)
def test_a_rule_is_of_one_kind(settings):
    with pytest.raises(ValueError, match="a rule has either 'drop' or 'keep', or is a quota"):
        RuleSettings.model_validate(settings)
