"""Agents in files."""

from pathlib import Path

from tests.conftest import Clew


def define(clew: Clew, text: str, name: str = "helper") -> Path:
    """Write an agent of the user's own, and return its file."""
    return write(clew.config / "agents" / f"{name}.yaml", text)


def plant(clew: Clew, text: str, name: str = "helper") -> Path:
    """Write an agent of the folder."""
    return write(clew.cwd / ".clew" / "agents" / f"{name}.yaml", text)


def write(path: Path, text: str) -> Path:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
