"""What the keys of an agent's or a team's definition are, and what they mean."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, WithJsonSchema

from .definition_parts import CONFIG, Count, Text
from .limit_definitions import BudgetDefinition, LimitsDefinition
from .team_words import Mode
from .tool_specs import ToolDefinition


def either(kind: type) -> Callable[[Any], str]:
    """Return what tells a value of this kind from a text."""
    return lambda value: "other" if isinstance(value, kind) else "text"


_ToolEntry = Annotated[
    Annotated[Text, Tag("text")] | Annotated[ToolDefinition, Tag("other")],
    Discriminator(either(dict)),
]
Schema = Annotated[
    Annotated[Text, Tag("text")] | Annotated[dict[str, Any], Tag("other")],
    Discriminator(either(dict)),
]
_Texts = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[str], Tag("other")],
    Discriminator(either(list)),
]


Scalar = Annotated[Any, WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]


class AgentDefinition(BaseModel):
    """An agent: a model, what it is told, what it may use, and what its sessions start with."""

    model_config = CONFIG

    kind: Literal["agent"] = "agent"
    """What this file defines."""
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """What its runs are called; otherwise the file's name."""
    description: str = ""
    """What it is for. For people, and for the leader of a team that it is in; its own model is not
    told."""
    model: Text | None = None
    """Any litellm model name, local/NAME, gguf:PATH or replay:FILE."""
    fallback_models: list[Text] = []
    """Models to ask, one after the other, when the first is down or out of capacity."""
    system: str | None = None
    """The beginning of the system message. {key} stands for a param, or a key of the state."""
    instructions: _Texts | None = None
    """What the model is told to do, after `system`: a text, or a list of points. {key} as there."""
    tools: list[_ToolEntry] = []
    """Tools as --tool takes them (a file is looked for beside this one), or defined here."""
    tool_call_limit: Annotated[int, Field(ge=0)] | None = None
    """How many tool calls a run makes; of further ones the model is told that they are not made."""
    session_state: dict[str, Any] = {}
    """The state that a new session starts with."""
    add_session_state_to_context: bool = False
    """Whether the model is shown the state, in the system message."""
    enable_agentic_state: bool = False
    """Whether the model may change the state, by a tool update_session_state."""
    add_history_to_context: bool | None = None
    """Whether earlier turns are sent; otherwise `continue` does, and `run` does not."""
    num_history_runs: Annotated[int, Field(ge=0)] | None = None
    """At most so many earlier turns."""
    num_history_messages: Annotated[int, Field(ge=0)] | None = None
    """At most so many messages of earlier turns, whole turns only."""
    max_tool_calls_from_history: Annotated[int, Field(ge=0)] | None = None
    """At most so many tool calls of earlier turns, with their results; what was said stays."""
    read_chat_history: bool = False
    """Whether the model may look up earlier turns of the session, by a tool read_chat_history."""
    search_past_sessions: bool = False
    """Whether the model may look into the user's other sessions, by the tools
    search_past_sessions and read_past_session."""
    num_past_sessions_to_search: Count = 20
    """How many sessions a search looks into, those that were used last."""
    num_past_session_runs_in_search: Count = 3
    """How many turns of a session a search shows."""
    enable_session_summaries: bool = False
    """Whether a summary of the session is made when enough was said that is in none."""
    add_session_summary_to_context: bool | None = None
    """Whether the summary is sent; otherwise it is where turns are left out of the history."""
    summary_model: Text | None = None
    """The model that makes summaries and names; otherwise the one that answers."""
    summary_tokens: Count | None = None
    """A summary is made of so many tokens or more; otherwise 4000, fewer in a small window."""
    autogenerate_session_name: bool = False
    """Whether a session without a name gets one, of at most five words."""
    input_schema: Schema | None = None
    """What the prompt has to be: JSON Schema, @FILE, module:Class, or 'name str, age int'."""
    output_schema: Schema | None = None
    """What the answer has to be, in the same forms."""
    params: dict[str, Scalar] = {}
    """Names that --param gives values, with their defaults; null has to be given."""
    options: dict[str, Any] = {}
    """Model options, such as temperature."""
    limits: LimitsDefinition = LimitsDefinition()
    """What a run may use at most."""
    budget: BudgetDefinition = BudgetDefinition()
    """What all runs of a session together may use at most."""
    metadata: dict[str, Any] = {}
    """Metadata that is stored with each run."""


def _kind(value: Any) -> str:
    if not isinstance(value, dict):
        return "text"
    return "team" if value.get("kind") == "team" else "agent"


_Member = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[AgentDefinition, Tag("agent")]
    | Annotated["TeamDefinition", Tag("team")],
    Discriminator(_kind),
]


class TeamDefinition(AgentDefinition):
    """A team: a leader, which is all that an agent is, and members that do what it tells them."""

    kind: Literal["team"] = "team"  # type: ignore[assignment]
    """What this file defines."""
    members: Annotated[list[_Member], Field(min_length=1)]
    """Agents and teams: names, as -a and --team take them, files (looked for beside this one), or
    defined here, with a name."""
    mode: Mode = "coordinate"
    """coordinate: the leader gives tasks to members, and answers from what they say. route: the
    member that it picks answers. broadcast: all members are asked what the team is asked, at once,
    and the leader answers from what they say. tasks: the leader lists tasks, has members do them,
    and goes on until none is left."""
    add_team_history_to_members: bool = False
    """Whether members are told the session's last exchanges, before their task."""
    num_team_history_runs: Count = 3
    """How many exchanges these are at most."""
    share_member_interactions: bool = False
    """Whether members are told what others were asked and said in the same run."""
    max_iterations: Count = 10
    """In the mode tasks: how often the leader may answer, until no task is left."""
