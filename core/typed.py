"""`TypedDict` as pydantic can read it: before Python 3.12 the standard one lacks what it needs."""

import sys

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:
    from typing_extensions import TypedDict

__all__ = ["TypedDict"]
