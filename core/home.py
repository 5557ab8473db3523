"""Where clew keeps its data."""

import os


def default_home() -> str:
    """Return `$CLEW_HOME`, else `$XDG_DATA_HOME/clew`, else `~/.local/share/clew`."""
    return os.environ.get("CLEW_HOME") or os.path.join(
        os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"), "clew"
    )


def weights_path(name: str, home: str | None = None) -> str:
    """Return where the weights of the embedded model `name` are kept."""
    return os.path.join(home or default_home(), "models", f"{name}.gguf")
