"""`python -m clew.cli` is `clew`."""

from .entry import entry

entry()
