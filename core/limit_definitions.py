"""What a definition says of limits."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from .clock import seconds
from .definition_parts import CONFIG, Count
from .errors import UsageError
from .limits import Budget, Limits


def _duration(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    try:
        return seconds(str(value))
    except UsageError as error:
        raise ValueError(f"{error.message}: {error.hint}") from None


_Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]}),
]
Time = Annotated[_Duration, Field(gt=0)]
"""Seconds, or 90s, 10m, 2h; some."""


class LimitsDefinition(BaseModel):
    """What a run may use at most; an option of the call goes before."""

    model_config = CONFIG

    timeout: _Duration | None = None
    """How long a run may take: seconds, or 90s, 10m, 2h."""
    max_turns: Count | None = None
    """Requests to the model in a run."""
    max_cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """US dollars a run."""
    max_tokens: Count | None = None
    """Tokens of an answer."""
    max_total_tokens: Count | None = None
    """Tokens of a run."""
    retries: Annotated[int, Field(ge=0)] | None = None
    """How often a failed request is sent again."""
    repairs: Annotated[int, Field(ge=0)] | None = None
    """How often the model is asked to mend an answer that does not fit output_schema."""

    def limits(self) -> Limits:
        """Return them as a run takes them."""
        return Limits(
            seconds=self.timeout,
            turns=self.max_turns,
            cost=self.max_cost,
            answer_tokens=self.max_tokens,
            tokens=self.max_total_tokens,
            retries=self.retries,
            repairs=self.repairs,
        )


class BudgetDefinition(BaseModel):
    """What a session may use at most, over all its runs."""

    model_config = CONFIG

    tokens: Count | None = None
    """Tokens of all its runs."""
    cost: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """US dollars for all its runs."""
    turns: Count | None = None
    """Requests to models in all its runs."""
    timeout: Time | None = None
    """How long all its runs may take together: seconds, or 90s, 10m, 2h."""

    def budget(self) -> Budget:
        """Return it as a run takes it."""
        return Budget(self.tokens, self.cost, self.turns, self.timeout)
