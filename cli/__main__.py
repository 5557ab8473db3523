"""`python -m clew.cli` is `clew`."""

from .main import entry

entry()
