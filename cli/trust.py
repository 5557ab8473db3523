"""Which folder's `.clew` counts: the nearest, if its user trusts it and nobody else writes it."""

import os
import stat
from collections.abc import Iterable, Iterator

from clew.core.home import base_folder, users_folder

CONFIG = "config.toml"
AGENTS = "agents"
_FOLDER = ".clew"


def config_folder() -> str:
    """Return the folder of the user's own configuration."""
    return os.path.join(base_folder("XDG_CONFIG_HOME", ".config"), "clew")


def nearest_folder(*parts: str) -> str | None:
    """Return the nearest `.clew` with one of these parts, from here upwards to the user's home."""
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:
        return None
    last = os.path.realpath(users_folder())
    while True:
        folder = os.path.join(here, _FOLDER)
        if any(os.path.exists(os.path.join(folder, part)) for part in parts):
            return folder
        parent = os.path.dirname(here)
        if here in (last, parent):
            return None
        here = parent


def parts_of(folder: str) -> Iterator[str]:
    """Yield what counts in a folder's `.clew`: its configuration, and its definitions."""
    from glob import glob

    if os.path.lexists(os.path.join(folder, CONFIG)):
        yield CONFIG
    if os.path.lexists(os.path.join(folder, AGENTS)):
        yield AGENTS
    yield from sorted(glob(f"{AGENTS}/*.yaml", root_dir=folder))


def why_ignored(folder: str, parts: Iterable[str], *, trust_once: bool) -> str | None:
    """Return why these parts of a folder do not count; None if they do."""
    reason = why_unsafe(folder, parts)
    if reason is None and not trust_once and folder not in trusted_folders():
        return "it is not trusted"
    return reason


def why_unsafe(folder: str, parts: Iterable[str]) -> str | None:
    """Return why these parts of a folder are unsafe, whoever trusts it; None if they are not."""
    for path in (folder, *(os.path.join(folder, part) for part in parts)):
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError as error:
            return f"{path}: {error.strerror}"
        if stat.S_ISLNK(status.st_mode):
            return f"{path} is a symbolic link"
        if status.st_uid != os.geteuid():
            return f"{path} belongs to another user"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"others may write to {path}"
    return None


def trust_file() -> str:
    """Return where it is remembered which folders are trusted."""
    return os.path.join(config_folder(), "trusted")


def trusted_folders() -> set[str]:
    """Return the trusted folders."""
    try:
        with open(trust_file(), encoding="utf-8", errors="surrogateescape") as file:
            return {entry.rstrip("\n") for entry in file}
    except OSError:
        return set()
