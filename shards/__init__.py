"""What a trainer sees: shards, and the curriculum that runs through them. No Spark, no Java."""

from coursepack.shards.curriculum import Batch, Curriculum

__all__ = ["Batch", "Curriculum"]
