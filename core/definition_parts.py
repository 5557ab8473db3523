"""What all parts of a definition share."""

from typing import Annotated

from pydantic import ConfigDict, Field

CONFIG = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)
"""No key and no type but those that are meant; what stands below a field describes it."""
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
