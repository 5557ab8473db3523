"""A clew command that a run started, by a tool or a step: which run, and what it may not do."""

import os

from clew.core.errors import UsageError

_ABOVE = "CLEW_CALLERS"


def caller() -> str | None:
    """Return the id of the run that started this command."""
    return os.environ.get("CLEW_RUN") or None


def step() -> str | None:
    """Return the id of the workflow's step that started this command, if it was one."""
    return (os.environ.get("CLEW_STEP") or None) if caller() else None


def waiting_sessions() -> list[str]:
    """Return the sessions whose runs wait for this command, the outermost first."""
    if caller() is None:
        return []
    own = os.environ.get("CLEW_SESSION")
    return [*os.environ.get(_ABOVE, "").split(), *([own] if own else [])]


def environment() -> dict[str, str]:
    """Return what a command that a run of this one starts has to know of the runs above."""
    return {_ABOVE: " ".join(waiting_sessions())} if caller() else {}


def refuse_other_user(user: str) -> None:
    """Raise UsageError if the run that started this command is another user's."""
    own = os.environ.get("CLEW_USER")
    if caller() and own and user != own:
        raise UsageError(
            f"this command was started by a run of user {own!r}: it may not be {user!r}"
        )


def refuse_to_wait(session_id: str | None) -> None:
    """Raise UsageError if this command would wait for a run that waits for it."""
    if session_id in waiting_sessions():
        raise UsageError(
            f"this command was started by a run of session {session_id}, which waits for it",
            hint="change the session's state, or run in another session",
        )
