"""Where clew keeps its data."""

import os


def default_home() -> str:
    """Return `$CLEW_HOME`, else `$XDG_DATA_HOME/clew`, else `~/.local/share/clew`."""
    return os.environ.get("CLEW_HOME") or os.path.join(
        base_folder("XDG_DATA_HOME", "~/.local/share"), "clew"
    )


def base_folder(variable: str, otherwise: str) -> str:
    """Return a folder of the XDG Base Directory Specification: relative ones do not count."""
    folder = os.environ.get(variable, "")
    return folder if os.path.isabs(folder) else os.path.expanduser(otherwise)


def weights_path(name: str, home: str | None = None) -> str:
    """Return where the weights of the embedded model `name` are kept."""
    return os.path.join(home or default_home(), "models", f"{name}.gguf")
