"""What may be an id, and the folder name that stands for a user."""

import re
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

from .errors import UsageError
from .text import shorten

_SESSION = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-")
_LONGEST = 200
_LONGEST_FOLDER = 180


def is_session_id(text: str) -> bool:
    """Tell whether `text` may be a session id."""
    return _SESSION.fullmatch(text) is not None


def is_generated(session_id: str) -> bool:
    """Tell whether this id looks as if clew had made it: only such ids may be named by a prefix."""
    return re.fullmatch(_UUID, session_id) is not None


def is_made_here(run_id: str) -> bool:
    """Tell whether clew made up this run id: callers' own UUIDs have other versions than 8."""
    return is_generated(run_id) and run_id[14] == "8"


def session_id(text: str) -> str:
    """Return `text` if it may be a session id; raise UsageError otherwise."""
    if is_session_id(text):
        return text
    lower = text.lower()
    hint = "ids are made of a-z 0-9 . _ - and start with a letter or digit, at most 100 characters"
    if lower != text and is_session_id(lower):
        hint = f"session ids are lower-case: {lower}"
    raise UsageError(f"{shorten(text)!r} is not a session id", hint=hint)


def run_id(text: str) -> str:
    """Return `text` if it may be a run id; raise UsageError otherwise."""
    return _printable(text, "run id")


def user_id(text: str) -> str:
    """Return `text` if it may be a user id; raise UsageError otherwise."""
    return _printable(text, "user id")


def session_name(text: str) -> str:
    """Return `text` if it may be a session's name; raise UsageError otherwise."""
    return _printable(text, "session name")


def agent_name(text: str) -> str:
    """Return `text` if it may be an agent's name; raise UsageError otherwise."""
    return _printable(text, "name for an agent")


def _printable(text: str, what: str) -> str:
    if 0 < len(text) <= _LONGEST and text.isprintable() and not text.isspace():
        return text
    raise UsageError(
        f"{shorten(text)!r} is not a {what}",
        hint=f"any printable text of 1 to {_LONGEST} characters will do",
    )


def session_for(run: str) -> str:
    """Return the session id that belongs to a caller's run id: itself where that is valid."""
    return run if is_session_id(run) else f"run-{digest(run)}"


def user_folder(user: str) -> str:
    """Return the folder name of a user: no two users share one, on any file system."""
    encoded = "".join(chr(b) if b in _PLAIN else f"%{b:02x}" for b in user.encode())
    if encoded.startswith("."):
        encoded = f"%2e{encoded[1:]}"
    if len(encoded) > _LONGEST_FOLDER:
        encoded = f"{encoded[:100]}~{digest(user)}"
    return encoded


def digest(text: str) -> str:
    """Return a file name that stands for any text."""
    whole: str = _sha256()(text.encode("utf-8", "surrogatepass")).hexdigest()
    return whole[:40]


@cache
def _sha256() -> Any:
    """Return the hash function that Python has of its own: `hashlib` loads OpenSSL for it."""
    for module in ("_sha2", "_sha256"):  # from Python 3.12 on, and before
        with suppress(ImportError):
            return import_module(module).sha256
    from hashlib import sha256

    return sha256
