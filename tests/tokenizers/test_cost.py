"""The arithmetic of vocabularies, checked with what is published of Fox-1 (arXiv:2411.05281)."""

import pytest

from coursepack.pipeline.errors import TokenizerError
from coursepack.tokenizers.cost import Cost, Shape, costs

FOX_1 = Shape(2048, 1_600_000_000, 32, 8192)  # 256,000 pieces, tied


def test_fox_1() -> None:
    gemma, llama = costs(FOX_1, [256_000, 32_000], [4.5, 3.75])
    assert gemma.embedding == 524_288_000
    assert gemma.tied == 1_600_000_000
    assert gemma.tied_share == pytest.approx(0.328, abs=5e-4)  # a third of the model
    assert gemma.untied == 1_600_000_000 + 524_288_000
    assert gemma.untied is not None
    assert gemma.untied_share == pytest.approx(1_048_576_000 / gemma.untied)  # 1.05 B in two
    assert (gemma.tokens, gemma.relative_flops) == (1, 1)
    assert llama.embedding == 65_536_000
    assert llama.tied == 1_600_000_000 - 524_288_000 + 65_536_000
    assert llama.tokens == pytest.approx(1.2)


def test_flops() -> None:
    gemma, llama = costs(FOX_1, [256_000, 32_000], [4.5, 3.75])
    assert gemma.flops == pytest.approx(6 * 1.6e9 / 4.5)
    assert llama.tied is not None
    assert llama.flops == pytest.approx(6 * llama.tied / 3.75)
    # the smaller vocabulary has 29 % fewer parameters at work, and 20 % more tokens to take through them
    assert llama.flops / gemma.flops == pytest.approx(0.713 * 1.2, abs=1e-3)
    unit = 12 * 32 * 2048 * 8192
    assert gemma.attention_flops == pytest.approx(unit / 4.5)
    assert llama.attention_flops == pytest.approx(1.2 * unit / 3.75)  # 8,192 tokens are now 9,830
    assert gemma.attention_flops
    assert llama.attention_flops
    assert llama.attention_flops / gemma.attention_flops == pytest.approx(1.2**2)
    whole = [cost.flops + cost.attention_flops for cost in (gemma, llama)]
    assert llama.relative_flops == pytest.approx(whole[1] / whole[0])


def test_what_was_not_given_is_none() -> None:
    assert costs(Shape(4), [10, 5], [4.0, 2.0]) == [Cost(40, 1.0), Cost(20, 2.0)]
    (cost,) = costs(Shape(4, 100), [10], [4.0])
    assert cost.attention_flops is None
    assert (cost.tied, cost.untied, cost.tied_share, cost.relative_flops) == (100, 140, 0.4, 1.0)


def test_shapes_that_make_no_sense() -> None:
    with pytest.raises(TokenizerError, match="both layers and context"):
        Shape(4, 100, layers=2)
    with pytest.raises(TokenizerError, match="without the model's parameters"):
        Shape(4, None, 2, 8)
    with pytest.raises(
        TokenizerError, match=r"of 40 parameters cannot hold .* 10 pieces x 4, which are 40"
    ):
        costs(Shape(4, 40), [10], [1.0])
