"""`TypedDict` as pydantic can read it: before Python 3.12 the standard one lacks what it needs.

The one of typing_extensions has that, and takes as long to load as all else that reads a session.
So there it is used only when pydantic asks, and the classes are plain dicts until then.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from typing import TypedDict
else:
    from functools import cache
    from types import new_class

    class TypedDict(dict):
        """What a class that describes a dict derives from."""

        def __init_subclass__(cls) -> None:
            cls.__orig_bases__ = cls.__bases__

        @classmethod
        def __get_pydantic_core_schema__(cls, _source: Any, handler: Any) -> Any:
            return handler.generate_schema(_readable(cls))

    @cache
    def _readable(described: type) -> type:
        """Return the same class, made with typing_extensions."""
        from typing_extensions import TypedDict as Readable

        bases = (Readable if base is TypedDict else _readable(base) for base in described.__bases__)
        return new_class(
            described.__name__, tuple(bases), {}, lambda body: body.update(_body(described))
        )

    def _body(described: type) -> dict[str, Any]:
        made_by_python = ("__dict__", "__weakref__", "__orig_bases__")
        return {key: of for key, of in vars(described).items() if key not in made_by_python}


__all__ = ["TypedDict"]
