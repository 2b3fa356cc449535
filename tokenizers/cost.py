"""What a vocabulary costs a model, and what its shorter sequences save.

An embedding has a row of `hidden` numbers for each piece; a model holds one (tied, as Gemma and Fox-1) or two.
Training takes 6 FLOPs a parameter and token (Kaplan et al. 2020, arXiv:2001.08361), and attention another
12 x layers x hidden x context a token (PaLM, arXiv:2204.02311, appendix B). To look up a row multiplies nothing;
to project onto the vocabulary does, tied or not: so all parameters work but those of an untied input embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from coursepack.pipeline.errors import TokenizerError


@dataclass(frozen=True)
class Shape:
    """The model that is planned: `parameters` are all of it with the first vocabulary, tied.

    What is not the embedding stays the same with another vocabulary. Raises TokenizerError where one
    of `layers` and `context` is given alone, or without the parameters.
    """

    hidden: int
    parameters: int | None = None
    layers: int | None = None
    context: int | None = (
        None  # tokens of the first tokenizer; others have their own for the same text
    )

    def __post_init__(self) -> None:
        if (self.layers is None) != (self.context is None):
            raise TokenizerError("attention takes both layers and context; give both, or none")
        if self.layers is not None and self.parameters is None:
            raise TokenizerError("layers and context are of no use without the model's parameters")


@dataclass(frozen=True)
class Cost:
    """One vocabulary in that model. What was not given is None."""

    embedding: int  # parameters of one
    tokens: float  # per token of the first tokenizer, for the same text
    tied: int | None = None  # parameters of the model
    tied_share: float | None = None  # of them in the embedding
    untied: int | None = None
    untied_share: float | None = None  # in both embeddings
    flops: float | None = None  # of training on a byte of text, without attention
    attention_flops: float | None = None
    relative_flops: float | None = None  # both, per those of the first


def costs(
    shape: Shape, vocabularies: Sequence[int], bytes_per_token: Sequence[float]
) -> list[Cost]:
    """The cost of each vocabulary (in pieces); the first is what the others are measured by.

    Raises TokenizerError where its embedding alone has as many parameters as the model.
    """
    first = vocabularies[0] * shape.hidden
    if shape.parameters is not None and shape.parameters <= first:
        raise TokenizerError(
            f"a model of {shape.parameters:,} parameters cannot hold an embedding of {vocabularies[0]:,} "
            f"pieces x {shape.hidden:,}, which are {first:,}; give all of its parameters"
        )
    tokens = [bytes_per_token[0] / ratio for ratio in bytes_per_token]
    sizes = [pieces * shape.hidden for pieces in vocabularies]
    if shape.parameters is None:
        return [Cost(*found) for found in zip(sizes, tokens, strict=True)]
    rest = shape.parameters - first
    flops = [6 * (rest + size) / ratio for size, ratio in zip(sizes, bytes_per_token, strict=True)]
    attention: list[float | None] = [None] * len(sizes)
    if shape.layers is not None and shape.context is not None:
        unit = 12 * shape.layers * shape.hidden * shape.context
        # the same text is fewer tokens, and each looks back at fewer
        attention = [
            unit * more / ratio for more, ratio in zip(tokens, bytes_per_token, strict=True)
        ]
    whole = [one + (other or 0.0) for one, other in zip(flops, attention, strict=True)]
    return [
        Cost(
            size,
            tokens[k],
            rest + size,
            size / (rest + size),
            rest + 2 * size,
            2 * size / (rest + 2 * size),
            flops[k],
            attention[k],
            whole[k] / whole[0],
        )
        for k, size in enumerate(sizes)
    ]
