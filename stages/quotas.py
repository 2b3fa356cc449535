"""Quotas: of the kept documents of one host, repository, language, ..., at most so many, in hash order.

Where a group is over its quota, the hash of the last document that fits is found in two steps (sums by the
hash's leading bits, then within one of those buckets), so that no task ever holds a whole group: a
quota on a language may be one on half of the corpus.
"""

from typing import TYPE_CHECKING

from coursepack.pipeline.hashing import CHOICE_BITS
from coursepack.stages.rules import Quota, scope_sql

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_BUCKET_BITS = 12


def within_quota(decisions: "DataFrame", quota: Quota) -> "DataFrame":
    """`decisions` with `keep` false and the quota's name as `reason` where a group is over its quota.

    The first document in hash order that does not fit ends its group; documents of equal `lot` stay or go together.
    Columns asked for: keep, reason, bytes, domain, source, language, `lot` (bigint in [0, 2^62), a hash of the
    content) and the quota's signal.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    most = F.lit(quota.documents if quota.documents is not None else quota.bytes)
    size = F.lit(1) if quota.documents is not None else F.col("bytes")
    counted = decisions.where(
        F.expr(f"keep and ({scope_sql(quota).spark})") & F.col(quota.by).isNotNull()
    ).select(
        F.col(quota.by).alias("_group"),
        "lot",
        F.shiftright("lot", CHOICE_BITS - _BUCKET_BITS).alias("_bucket"),
        size.cast("bigint").alias("_size"),
    )
    over = counted.groupBy("_group").agg(F.sum("_size").alias("_sum")).where(F.col("_sum") > most)
    ordered = Window.partitionBy("_group").orderBy("_bucket")
    # the bucket in which the quota runs out, and what the ones before hold
    crossed = (
        counted.join(over.select("_group"), "_group", how="inner")
        .groupBy("_group", "_bucket")
        .agg(F.sum("_size").alias("_sum"))
        .select("_group", "_bucket", "_sum", F.sum("_sum").over(ordered).alias("_through"))
        .where((F.col("_through") > most) & (F.col("_through") - F.col("_sum") <= most))
        .select("_group", "_bucket", (F.col("_through") - F.col("_sum")).alias("_before"))
    )
    # a window without a frame sums rows of equal order together
    inside = Window.partitionBy("_group", "_bucket").orderBy("lot")
    first_out = (
        counted.join(crossed, ["_group", "_bucket"], how="inner")
        .select("_group", "lot", (F.sum("_size").over(inside) + F.col("_before")).alias("_through"))
        .where(F.col("_through") > most)
        .groupBy("_group")
        .agg(F.min("lot").alias("_first_out"))
    )
    out = F.expr(f"keep and ({scope_sql(quota).spark}) and coalesce(lot >= _first_out, false)")
    return (
        decisions.join(first_out, decisions[quota.by] == first_out["_group"], how="left")
        .withColumn("reason", F.when(out, F.lit(quota.name)).otherwise(F.col("reason")))
        .withColumn("keep", F.col("keep") & ~out)
        .drop("_group", "_first_out")
    )
