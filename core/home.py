"""Where clew keeps its data."""

import os

from .errors import ConfigError


def default_home() -> str:
    """Return `$CLEW_HOME`, else `$XDG_DATA_HOME/clew`, else `~/.local/share/clew`."""
    return os.environ.get("CLEW_HOME") or os.path.join(
        base_folder("XDG_DATA_HOME", ".local/share"), "clew"
    )


def base_folder(variable: str, otherwise: str) -> str:
    """Return a folder of the XDG Base Directory Specification: relative ones do not count.

    `otherwise` is where it is in the user's own folder.
    """
    folder = os.environ.get(variable, "")
    return folder if os.path.isabs(folder) else os.path.join(users_folder(), otherwise)


def users_folder() -> str:
    """Return the user's own folder; a HOME that is empty or relative does not count either."""
    named = os.environ.get("HOME", "")
    if os.path.isabs(named):
        return named
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise ConfigError("this user has no home folder", hint="set HOME, or CLEW_HOME") from None


def weights_path(name: str, home: str | None = None) -> str:
    """Return where the weights of the embedded model `name` are kept."""
    return os.path.join(home or default_home(), "models", f"{name}.gguf")
