"""The kinds of definitions, and what is said of what is none."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Discriminator, Tag, TypeAdapter

from .definition_models import AgentDefinition, TeamDefinition
from .limit_definitions import BudgetDefinition, LimitsDefinition
from .tool_specs import near, near_key

if TYPE_CHECKING:
    from .workflow_models import WorkflowDefinition

# What a workflow's steps may say is much, and loaded only where there is a workflow.


def kind_of(data: Mapping[str, Any]) -> str:
    """Return the kind for which a definition is taken."""
    kind = data.get("kind")
    return kind if kind in ("team", "workflow") else "agent"


def definition_schema() -> dict[str, Any]:
    """Return the JSON Schema of a definition, for editors."""
    from .workflow_models import WorkflowDefinition

    either = (
        Annotated[AgentDefinition, Tag("agent")]
        | Annotated[TeamDefinition, Tag("team")]
        | Annotated[WorkflowDefinition, Tag("workflow")]
    )
    return TypeAdapter(Annotated[either, Discriminator(kind_of)]).json_schema()


def validated(data: dict[str, Any]) -> "AgentDefinition | WorkflowDefinition":
    """Return the definition that this is; raise pydantic's ValidationError if it is none."""
    kind = kind_of(data)
    if kind == "workflow":
        from .workflow_models import WorkflowDefinition

        return WorkflowDefinition.model_validate(data)
    return (TeamDefinition if kind == "team" else AgentDefinition).model_validate(data)


def _models() -> dict[str, type[BaseModel]]:
    """Return models by words that stand in the place of an error where pydantic took one."""
    from .workflow_models import (
        STEP_MODELS,
        CommandDefinition,
        FunctionDefinition,
        WorkflowDefinition,
    )

    return {
        **STEP_MODELS,
        "agent": AgentDefinition,
        "team": TeamDefinition,
        "workflow": WorkflowDefinition,
        "command": CommandDefinition,
        "function": FunctionDefinition,
        "limits": LimitsDefinition,
        "budget": BudgetDefinition,
    }


def near_of(kind: str, place: tuple[Any, ...]) -> str:
    """Return a hint for a wrong key at this place of a definition of this kind: what it may have
    been."""
    from .workflow_models import WorkflowDefinition

    if "tools" in place[:-1]:
        return near(place[place.index("tools") + 1 :])
    models, key = _models(), place[-1]
    model = models[next(part for part in (*reversed(place[:-1]), kind) if part in models)]
    if model is AgentDefinition and key in TeamDefinition.model_fields:
        return "a team has it: that says `kind: team`"
    if model is AgentDefinition and key in WorkflowDefinition.model_fields:
        return "a workflow has it: that says `kind: workflow`"
    return near_key(place, [each.alias or name for name, each in model.model_fields.items()])


def no_step(value: Any) -> tuple[str, str]:
    """Return why a value is no step, and a hint."""
    from .workflow_models import STEP_KEYS

    if not isinstance(value, Mapping):
        return "a step is a mapping", "write `agent: NAME`, or `run: [COMMAND, ARGUMENT]`"
    found = [key for key in STEP_KEYS if key in value]
    if found:
        return f"a step has one of {' and '.join(found)}", "`steps` holds several"
    return f"a step has one of {', '.join(STEP_KEYS)}", "it says what the step is"
