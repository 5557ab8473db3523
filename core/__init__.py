"""clew's vocabulary and behaviour, without a terminal: what a program imports.

from clew.core import Agent
from clew.stores import MemoryStore

store = MemoryStore()
agent = Agent(model="local/smollm2", add_history_to_context=True)
agent.run("My name is Ada.", session_id="s", store=store)
print(agent.run("What is my name?", session_id="s", store=store).content)
"""

TYPE_CHECKING = False  # importing typing takes longer than this module
if TYPE_CHECKING:
    from .agent import Agent as Agent
    from .attachments import File as File
    from .errors import ClewError as ClewError
    from .history import HistoryPolicy as HistoryPolicy
    from .invocation import Invocation as Invocation
    from .limits import Budget as Budget
    from .limits import Limits as Limits
    from .mcp_server import McpServer as McpServer
    from .mcp_server import McpTool as McpTool
    from .result import RunOutput as RunOutput
    from .steps import Command as Command
    from .steps import Condition as Condition
    from .steps import Loop as Loop
    from .steps import Parallel as Parallel
    from .steps import Pause as Pause
    from .steps import Router as Router
    from .steps import Step as Step
    from .steps import StepInput as StepInput
    from .steps import StepOutput as StepOutput
    from .steps import Steps as Steps
    from .team import Team as Team
    from .workflow import Workflow as Workflow
else:
    _HOMES = {
        "Agent": "agent",
        "File": "attachments",
        "Invocation": "invocation",
        "ClewError": "errors",
        "Budget": "limits",
        "Limits": "limits",
        "McpServer": "mcp_server",
        "McpTool": "mcp_server",
        "HistoryPolicy": "history",
        "RunOutput": "result",
        "Command": "steps",
        "Condition": "steps",
        "Loop": "steps",
        "Parallel": "steps",
        "Pause": "steps",
        "Router": "steps",
        "Step": "steps",
        "StepInput": "steps",
        "StepOutput": "steps",
        "Steps": "steps",
        "Team": "team",
        "Workflow": "workflow",
    }

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)


__all__ = [
    "Agent",
    "Budget",
    "ClewError",
    "Command",
    "Condition",
    "File",
    "HistoryPolicy",
    "Invocation",
    "Limits",
    "Loop",
    "McpServer",
    "McpTool",
    "Parallel",
    "Pause",
    "Router",
    "RunOutput",
    "Step",
    "StepInput",
    "StepOutput",
    "Steps",
    "Team",
    "Workflow",
]
