"""What can be said of a recipe before Spark starts: names, selectors, rules and files exist."""

import difflib

from coursepack.pipeline import storage
from coursepack.pipeline.errors import RecipeError
from coursepack.pipeline.recipe import Recipe, Selector
from coursepack.stages.domains import source_domains
from coursepack.stages.inventory import Found, source_files
from coursepack.stages.layouts import source_layout
from coursepack.stages.rules import rules_of


def check(recipe: Recipe) -> dict[str, list[Found]]:
    """The files of each source; raises RecipeError or SourceError for the first thing that is wrong."""
    for source in recipe.source:
        source_layout(source)
    domains = sorted(set().union(*map(source_domains, recipe.source)))
    known = sorted({source.name for source in recipe.source}.union(domains))
    for phase in recipe.phase:
        for text in phase.mixture:
            _check_selector(f"phase {phase.name!r}: mixture", text, known)
        if isinstance(phase.length, dict):
            for domain in phase.length:
                _check_domain(f"phase {phase.name!r}: length", domain, [*domains, "default"])
    for name, rule in recipe.rules.own.items():
        for text in rule.scopes:
            _check_selector(f"rule {name!r}: scope", text, known)
    rules_of(recipe)
    if recipe.tokenizer.train:
        for domain in recipe.tokenizer.train.weights:
            _check_domain("tokenizer.train.weights", domain, domains)
    if recipe.tokenizer.model is not None and not storage.exists(recipe.tokenizer.model):
        raise RecipeError(
            f"tokenizer.model: there is no file {recipe.tokenizer.model!r}; give a SentencePiece .model "
            'file, or train one: [tokenizer] train = { preset = "gemma" }'
        )
    return {source.name: source_files(source) for source in recipe.source}


def _check_selector(where: str, text: str, known: list[str]) -> None:
    name = Selector.parse(text).name
    if name != "*" and name not in known:
        raise RecipeError(f"{where}: no domain or source is called {name!r}; {_hint(name, known)}")


def _check_domain(where: str, name: str, domains: list[str]) -> None:
    if name not in domains:
        raise RecipeError(f"{where}: no domain is called {name!r}; {_hint(name, domains)}")


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
