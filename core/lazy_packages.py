"""Packages that do nothing but gather names from their modules, loaded name by name.

Each package of OpenAI's library loads all its modules, 1,200 in all, to offer their names in one
place. A call needs a third of them: to load the others took a fifth of its time.
Nobody can tell, but by `sys.modules`: a name is there when it is asked for, and what cannot be
answered name by name (`dir`, `vars`, a name that it does not have) loads the whole package.
"""

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, NamedTuple

_ROOTS = ("openai.types", "openai.resources")


class _Place(NamedTuple):
    """The module that a package has a name from, and its name there; none for the module."""

    module: str
    name: str | None


_DICT: Any = vars(ModuleType)["__dict__"]
_places: dict[str, dict[str, _Place]] = {}
_loading: set[str] = set()


def load_by_name() -> None:
    """Have those of the packages that are not loaded yet load what they are asked for."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(_ROOTS):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.submodule_search_locations and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        code = self.get_code(module.__name__)
        places = _gathered(code) if code else None
        if places is None:
            super().exec_module(module)
        else:
            _places[module.__name__] = places
            module.__class__ = _Package


class _Package(ModuleType):
    def __getattr__(self, name: str) -> Any:
        place = _places[self.__name__].get(name)
        if place is None:
            _load(self)
            return ModuleType.__getattribute__(self, name)
        value: Any = import_module(f".{place.module}", self.__name__)
        if place.name is not None:
            value = getattr(value, place.name)
            setattr(self, name, value)
        return value

    def __dir__(self) -> Iterable[str]:
        _load(self)
        return ModuleType.__dir__(self)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        _load(self)
        names: dict[str, Any] = _DICT.__get__(self)
        return names


def _load(package: ModuleType) -> None:
    """Load the whole package, as Python would have done at once."""
    name = package.__name__
    loader = package.__spec__ and package.__spec__.loader
    if name in _loading or not isinstance(loader, _Loader):
        return
    _loading.add(name)
    try:
        SourceFileLoader.exec_module(loader, package)
    finally:
        _loading.discard(name)
    package.__class__ = ModuleType


def _gathered(code: CodeType) -> dict[str, _Place] | None:
    """Return where a package's names come from; None where its code does anything else."""
    names: dict[str, Any] = {"__builtins__": {"__import__": _noted}}
    try:
        exec(code, names)
    except Exception:  # it needs more than names, be it a class or a function of Python's
        return None
    places = {name: value for name, value in names.items() if isinstance(value, _Place)}
    modules = {place.module for place in places.values()}
    others = names.keys() - places - {"__builtins__", "__doc__", "__all__", "annotations"}
    if others or modules & places.keys():
        return None
    return places | {module: _Place(module, None) for module in modules}


def _noted(
    name: str,
    _globals: object = None,
    _locals: object = None,
    fromlist: Sequence[str] | None = None,
    level: int = 0,
) -> Any:
    """Stand in for `import`: note what is taken from where, and load nothing."""
    if (name, level) == ("__future__", 0):
        return import_module(name)
    if level != 1 or not name or "." in name or not fromlist or "*" in fromlist:
        raise ImportError(name)
    return _Noted(name)


class _Noted:
    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> _Place:
        return _Place(self._module, name)
