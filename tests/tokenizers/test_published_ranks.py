"""OpenAI's own ranks files, where TIKTOKEN_CACHE_DIR has them: hashes of ids that tiktoken 0.14.0 gave.

The texts are in this repository, so the same everywhere. tiktoken names a file by the sha1 of its URL.
"""

import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from byte_level_files import FOREIGN

import coursepack
from coursepack.tokenizers.model import Tokenizer

ODD = (
    "",
    " ",
    "\n \n",
    "a\n  ",
    "x" * 3000,
    "I'LL they'Re 'ſ",
    "(/usr/bin)\n\n/",
    "12345 ٣٤٥٦",
    "日本ABC",
)
GOLDEN = {
    "ec7223a39ce59f226a68acc30dc1af2788490e15": ("p50k_base", 46_606, "d48ce5b95302658a"),
    "9b5ad71b2ce5302211f9c61530b329a4922fc6a4": ("cl100k_base", 40_750, "02e8cd883d2f6331"),
    "fb374d419588a4632f3f557e76b4b70aebbca790": ("o200k_base", 40_916, "0c0545dc4f021196"),
}


def texts() -> list[str]:
    folder = Path(coursepack.__file__).parent / "recipes" / "demo"
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [*(file.read_text("utf-8") for file in files), *FOREIGN, *ODD]


@pytest.mark.parametrize("file", GOLDEN)
def test_ids_are_those_of_tiktoken(file: str) -> None:
    path = Path(os.environ.get("TIKTOKEN_CACHE_DIR", "")) / file
    if not path.is_file():
        pytest.skip("no such file in TIKTOKEN_CACHE_DIR")
    _, tokens, digest = GOLDEN[file]
    _, ids = Tokenizer(path.read_bytes()).encode(pa.array(texts()))
    found = hashlib.sha256(np.ascontiguousarray(ids, "<i4").tobytes()).hexdigest()[:16]
    assert (len(ids), found) == (tokens, digest)
