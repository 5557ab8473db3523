"""Which session is meant by an id, a @NAME, or a prefix."""

from . import ids
from .clock import new_id
from .errors import NotFoundError, UsageError
from .store import SessionLog, Store
from .text import shorten

_SHORTEST_PREFIX = 4


def find(store: Store, ref: str, user_id: str) -> SessionLog:
    """Return the existing session that `ref` names.

    A ref is an exact id, @NAME, or a unique prefix of a generated id. Raises NotFoundError if
    there is no such session, and UsageError, with the candidates, if there are several.
    """
    if ref.startswith("@"):
        return _by_name(store, ref, user_id)
    log = store.session(_id(ref), user_id)
    if log.exists():
        return log
    candidates = store.with_prefix(ref, user_id) if len(ref) >= _SHORTEST_PREFIX else []
    if len(candidates) == 1:
        return store.session(candidates[0], user_id)
    if candidates:
        shown = ", ".join(candidates[:5]) + (", …" if len(candidates) > 5 else "")
        raise UsageError(f"{ref!r} is the beginning of {len(candidates)} session ids", hint=shown)
    raise _unknown(ref, user_id)


def find_or_new(store: Store, ref: str | None, user_id: str) -> tuple[SessionLog, str | None]:
    """Return the session to run in, and the name to give to a new one asked for by @NAME.

    No `ref` means a new session; an id that does not exist yet becomes a new session of that id.
    """
    if ref is None:
        return store.session(new_id(), user_id), None
    if ref.startswith("@"):
        name = ids.session_name(ref[1:])
        known = store.named(name, user_id)
        return store.session(known or new_id(), user_id), None if known else name
    return store.session(_id(ref), user_id), None


def _by_name(store: Store, ref: str, user_id: str) -> SessionLog:
    found = store.named(ids.session_name(ref[1:]), user_id)
    if found is None:
        raise _unknown(ref, user_id)
    return store.session(found, user_id)


def _id(ref: str) -> str:
    if ids.is_session_id(ref):
        return ref
    if ref.isprintable() and " " in ref:
        raise UsageError(
            f"{shorten(ref)!r} is not a session id",
            hint=f"is it a name? write @{shorten(ref)!r}",
        )
    return ids.session_id(ref)


def _unknown(ref: str, user_id: str) -> NotFoundError:
    whose = "" if user_id == "default" else f" of user {user_id!r}"
    return NotFoundError(
        f"no session {ref!r}{whose}", hint="`clew sessions list` shows what there is"
    )
