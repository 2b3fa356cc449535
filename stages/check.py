"""What can be said of a recipe before Spark starts: names, selectors, rules and files exist."""

import difflib
import re

from coursepack.pipeline import storage
from coursepack.pipeline.edits import PAGES, Pii
from coursepack.pipeline.errors import RecipeError, TokenizerError
from coursepack.pipeline.recipe import Recipe, Selector
from coursepack.stages.catalogue import SIGNALS
from coursepack.stages.domains import source_domains
from coursepack.stages.families import FAMILIES
from coursepack.stages.inventory import Found, source_files
from coursepack.stages.layouts import source_layout
from coursepack.stages.model_files import model_path
from coursepack.stages.rules import quotas_of, rules_of


def check(recipe: Recipe) -> dict[str, list[Found]]:
    """The files of each source; raises RecipeError, SourceError or TokenizerError for the first
    thing that is wrong."""
    for source in recipe.source:
        source_layout(source)
    labels = _tagger_labels(recipe)
    domains = sorted(set().union(*(source_domains(source, labels) for source in recipe.source)))
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
    _check_edits(recipe, known)
    rules_of(recipe)
    quotas_of(recipe)
    _check_models(recipe)
    _check_families(recipe)
    if recipe.tokenizer.train:
        for text in recipe.tokenizer.train.weights:
            _check_selector("tokenizer.train.weights", text, known)
        from coursepack.stages.vocabulary import wanted_vocabulary

        try:
            wanted_vocabulary(recipe.tokenizer.train).settings()
        except TokenizerError as error:
            raise RecipeError(f"tokenizer.train: {error}") from None
    _check_tokenizer(recipe)
    return {source.name: source_files(source) for source in recipe.source}


def _check_tokenizer(recipe: Recipe) -> None:
    """A given file is a tokenizer, and has the tokens that are to frame documents."""
    settings = recipe.tokenizer
    if settings.model is None:
        return
    if not storage.exists(settings.model):
        raise RecipeError(
            f"tokenizer.model: there is no file {settings.model!r}; give a SentencePiece .model file, a "
            'tokenizer.json or a tiktoken ranks file, or train one: [tokenizer] train = { preset = "gemma" }'
        )
    from coursepack.tokenizers.model import load

    load(settings.model, settings.sha256, settings)


def _tagger_labels(recipe: Recipe) -> tuple[str, ...]:
    """The domains that the recipe's classifier knows; its other models are opened too, and must know their labels."""
    settings = recipe.signals
    if settings.tagger is None and not settings.classifiers:
        return ()
    from coursepack.stages.linear import load_classifier

    for one in settings.classifiers:
        known = load_classifier(model_path(one.model, one.sha256)).labels
        if one.label.removeprefix("__label__") not in known:
            raise RecipeError(
                f"signals.classifiers: {one.name!r}: the model has no label {one.label!r}; "
                f"its labels are {', '.join(sorted(known)[:20])}"
            )
    if settings.tagger is None:
        return ()
    labels = load_classifier(model_path(settings.tagger.model, settings.tagger.sha256)).labels
    for label in labels:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", label):
            raise RecipeError(
                f"signals.tagger: the model has a label {label!r}, which cannot be a domain; domains hold "
                "letters, digits, '_', '.' and '-'"
            )
    return tuple(labels)


def _check_families(recipe: Recipe) -> None:
    for name in recipe.signals.families:
        if name not in FAMILIES:
            raise RecipeError(
                f"signals.families: there is no family {name!r}; {_hint(name, list(FAMILIES))}"
            )


_GIVEN = {
    "perplexity": "signals.perplexity",
    "bad_words": "signals.bad_words",
    "blocklists": "urls.block",
}


def _check_models(recipe: Recipe) -> None:
    """The models and lists can be opened, and rules name their signals only where they are given."""
    settings = recipe.signals
    model_path(recipe.language.model, recipe.language.sha256)
    if settings.programming:
        from coursepack.stages.linear import load_classifier

        load_classifier(model_path(settings.programming.model, settings.programming.sha256))
    if settings.perplexity:
        from coursepack.stages.perplexity import load_language_model

        load_language_model(settings.perplexity.model, settings.perplexity.sentencepiece)
    if settings.bad_words:
        from coursepack.stages.bad_words import load_terms

        load_terms(settings.bad_words)
    if recipe.urls.block:
        from coursepack.stages.blocklists import load_blocklists

        load_blocklists(recipe.urls.block)
    given = {
        "perplexity": settings.perplexity,
        "bad_words": settings.bad_words,
        "blocklists": recipe.urls.block,
    }
    for rule in rules_of(recipe):
        for name in rule.fires.signals:
            group = SIGNALS[name].group if name in SIGNALS else ""
            if group in given and not given[group]:
                raise RecipeError(
                    f"rule {rule.name!r}: {name!r} is measured only where the recipe gives {_GIVEN[group]}"
                )


def _check_edits(recipe: Recipe, known: list[str]) -> None:
    for each in recipe.edits.chain:
        for text in each.scopes:
            if Selector.parse(text).lang:
                raise RecipeError(
                    f"edits.{each.edit}: scope: {text!r} names a language, which is not known when texts are "
                    "edited; name domains or sources"
                )
            _check_selector(f"edits.{each.edit}: scope", text, [*known, *PAGES, "encyclopedia"])
        if isinstance(each, Pii):
            from coursepack.stages.edits import policy_of
            from coursepack.stages.pii import check_policy

            check_policy(policy_of(each))


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
