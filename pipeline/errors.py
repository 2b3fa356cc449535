"""What a user can fix. Anything else is a bug and keeps its traceback."""


class CoursepackError(Exception):
    """Base of all errors whose text says what was found, what is allowed and what to do."""


class RecipeError(CoursepackError, ValueError):
    """The recipe asks for something that does not exist or does not add up."""


class SourceError(CoursepackError, ValueError):
    """A source's files are missing, unreadable, or worse than the recipe's limits allow."""


class WorkspaceError(CoursepackError, RuntimeError):
    """The workspace does not hold what a step needs, or holds something damaged."""


class PlanError(CoursepackError, ValueError):
    """The curriculum asks for more than the corpus can supply."""


class TokenizerError(CoursepackError, ValueError):
    """A tokenizer cannot be trained or loaded as asked."""
