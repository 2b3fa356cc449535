"""Benchmarks are programs beside the package: their folder goes on the path, as when they are run."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
