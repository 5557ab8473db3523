"""Settings: from a flag, the environment, a trusted folder's file, the user's, or the default."""

import os
from collections.abc import Callable
from functools import cached_property
from typing import Any, BinaryIO, NamedTuple

from clew.core.clock import seconds
from clew.core.errors import ConfigError, UsageError
from clew.core.home import default_home

from .trust import CONFIG, config_folder, nearest_folder, why_ignored


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("is not a text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not 0 <= float(value) < float("inf"):
        raise ValueError("is not a number")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value) or int(value) < 0:
        raise ValueError("is not a whole number")
    return int(value)


def _duration(value: Any) -> float:
    try:
        return seconds(str(value))
    except UsageError:
        raise ValueError("is not a duration, like 90s or 10m") from None


def _yes(value: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    word = str(value).lower()
    if word not in words:
        raise ValueError("is not true or false")
    return words[word]


def _color(value: Any) -> str:
    if value not in ("auto", "always", "never"):
        raise ValueError("is not auto, always or never")
    return str(value)


class Key(NamedTuple):
    """A setting: how its value is read, what it is otherwise, and whether a folder may set it."""

    read: Callable[[Any], Any]
    default: Any
    help: str
    folder: bool = True


KEYS = {
    "home": Key(_text, None, "where clew keeps its data", folder=False),
    "store": Key(_text, None, "where sessions are kept: jsonl:DIR or memory:", folder=False),
    "user": Key(_text, "default", "whose sessions are used", folder=False),
    "model": Key(_text, None, "the model, where no flag or session names one"),
    "wait": Key(_duration, 600.0, "how long to wait for a busy session"),
    "timeout": Key(_duration, None, "how long a run may take"),
    "retries": Key(_count, 2, "how often a failed request is sent again"),
    "max_cost": Key(_number, None, "what a run may cost, in US dollars"),
    "color": Key(_color, "auto", "colour: auto, always or never"),
    "usage": Key(_yes, False, "print tokens and cost after each run"),
    "warm": Key(_yes, None, "leave processes behind for the next call (default: not in CI)"),
}


class Setting(NamedTuple):
    """A value and where it comes from."""

    value: Any
    origin: str


class Settings:
    """Looks a setting up in its places, in order."""

    def __init__(
        self, flags: dict[str, str | None], *, trust_once: bool, note: Callable[[str], None]
    ) -> None:
        self._flags = flags
        self.trust_once = trust_once
        self.note = note

    def value(self, name: str, flag: Any = None) -> Any:
        """Return the value of a setting; `flag` is what the command line says, None if nothing."""
        return self.look_up(name, flag).value

    def look_up(self, name: str, flag: Any = None) -> Setting:
        """Return a setting with its origin; raise UsageError or ConfigError for a wrong value."""
        key = KEYS[name]
        flag = self._flags.get(name) if flag is None else flag
        if flag is not None:
            return Setting(_read(key, flag, f"--{name.replace('_', '-')}", UsageError), "flag")
        variable = f"CLEW_{name.upper()}"
        if os.environ.get(variable):
            return Setting(
                _read(key, os.environ[variable], f"${variable}", UsageError), f"${variable}"
            )
        for path, values in (self._folder_file, self._user_file):
            if name in values:
                return Setting(_read(key, values[name], f"{path}: {name}", ConfigError), path)
        return Setting(default_home() if name == "home" else key.default, "default")

    @cached_property
    def _user_file(self) -> tuple[str, dict[str, Any]]:
        path = os.path.join(config_folder(), CONFIG)
        return path, _load(path, set(KEYS))

    @cached_property
    def _folder_file(self) -> tuple[str, dict[str, Any]]:
        folder = nearest_folder(CONFIG)
        if folder is None:
            return "", {}
        path = os.path.join(folder, CONFIG)
        reason = why_ignored(folder, [CONFIG], trust_once=self.trust_once)
        if reason is not None:
            self.note(f"{folder} is ignored: {reason} (see `clew config trust`)")
            return "", {}
        return path, _load(path, {name for name, key in KEYS.items() if key.folder})


def _read(key: Key, value: Any, where: str, error: type[UsageError | ConfigError]) -> Any:
    try:
        return key.read(value)
    except (ValueError, TypeError, OverflowError) as reason:
        why = str(reason) if str(reason).startswith("is not") else "is not valid"
        raise error(f"{where}: {value!r} {why}") from None


def _load(path: str, allowed: set[str]) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            values = _read_toml(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    for name in values:
        if name not in allowed:
            raise _refusal(path, name, allowed)
    return values


def _read_toml(file: BinaryIO) -> dict[str, Any]:
    import tomllib

    return tomllib.load(file)


def _refusal(path: str, name: str, allowed: set[str]) -> ConfigError:
    if name in KEYS:
        own = os.path.join(config_folder(), CONFIG)
        return ConfigError(f"{path}: a folder may not set {name!r}", hint=f"set it in {own}")
    return ConfigError(f"{path}: there is no setting {name!r}", hint=_near(name, allowed))


def _near(name: str, allowed: set[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, allowed, 1)
    return f"did you mean {near[0]}?" if near else "the settings are " + ", ".join(sorted(allowed))
