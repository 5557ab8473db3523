"""The tool with which a model changes the session's state itself."""

import json
from typing import Any

from .errors import UsageError
from .state import clean_patch, merge, storable_value
from .tools import RunContext, ToolError, ToolSpec

_SPEC = ToolSpec(
    "update_session_state",
    "Change the session state, which is a JSON object that is kept from run to run. "
    "Objects are merged, lists are replaced, and null removes a key.",
    {
        "type": "object",
        "properties": {
            "session_state_updates": {
                "type": "object",
                "description": "The keys to change, with their new values.",
            }
        },
        "required": ["session_state_updates"],
        "additionalProperties": False,
    },
)


class UpdateSessionState:
    """Merges what the model says into the state."""

    reads_session = False
    spec = _SPEC

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Change the state, and say how it is now."""
        try:
            patch = storable_value(arguments["session_state_updates"], "the state")
        except UsageError as error:
            raise ToolError(error.message) from None
        context.session_state = merge(context.session_state, clean_patch(patch))
        return f"The session state is now {json.dumps(context.session_state, ensure_ascii=False)}"

    def stop(self) -> None:
        """Nothing runs."""
