"""The house rules that no linter knows: how modules import each other, and how large they grow."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("cli", "core", "stores")
MODULES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
}
LITELLM_HOME = "core/litellm_model.py"
MAX_MODULE_LINES = 350
MAX_FUNCTION_LINES = 50

Function = ast.FunctionDef | ast.AsyncFunctionDef


def imported(node: ast.AST) -> Iterator[str]:
    """The absolute names that this node imports, by statement or by `import_module("...")`."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=str(module), names=names, level=0):
            yield from (f"{module}.{alias.name}" for alias in names)
        case ast.Call(
            func=ast.Name(id=called) | ast.Attribute(attr=called),
            args=[ast.Constant(value=str(name)), *_],
        ) if called in ("import_module", "__import__"):
            yield name
        case _:
            pass


def is_within(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def import_offences(path: str, source: str) -> list[str]:
    """A folder's own modules are imported relatively (`.x`), other folders' as `clew.other.x`."""
    own = f"clew.{path.split('/', maxsplit=1)[0]}"
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level > 1:
            found.append(f"{path}:{node.lineno}: leaves its package by a relative import")
        for name in imported(node):
            line = getattr(node, "lineno", 0)
            if any(is_within(name, folder) for folder in FOLDERS):
                found.append(f"{path}:{line}: {name} works from the checkout only")
            if is_within(name, own):
                found.append(f"{path}:{line}: {name} is its own package: import it relatively")
    return found


def litellm_offences(path: str, source: str) -> list[str]:
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
    lazy = {inner for function in functions for inner in ast.walk(function)}
    return [
        f"{path}:{getattr(node, 'lineno', 0)}: {name}"
        for node in ast.walk(tree)
        for name in imported(node)
        if is_within(name, "litellm") and not (path == LITELLM_HOME and node in lazy)
    ]


def size_offences(path: str, source: str) -> list[str]:
    found = []
    lines = len(source.splitlines())
    if lines > MAX_MODULE_LINES:
        found.append(f"{path}: {lines} lines")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                found.append(f"{path}:{node.lineno}: {node.name} has {length} lines")
    return found


def test_all_three_folders_are_looked_at() -> None:
    assert {path.split("/", maxsplit=1)[0] for path in MODULES} == set(FOLDERS)


def test_imports_are_relative_inside_a_folder_and_absolute_across() -> None:
    assert [line for item in MODULES.items() for line in import_offences(*item)] == []


def test_litellm_is_imported_by_one_module_inside_a_function() -> None:
    assert [line for item in MODULES.items() for line in litellm_offences(*item)] == []


def test_modules_and_functions_stay_small() -> None:
    assert [line for item in MODULES.items() for line in size_offences(*item)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import core",
        "import core.ids as ids",
        "from core import ids",
        "from stores.jsonl import open_store",
        "from ..stores import jsonl",
        "import clew.core.ids",
        "from clew.core import ids",
        "from clew.core.ids import new_id",
        "from clew import core",
        "def f():\n    from clew.core.ids import new_id",
        "import importlib\nimportlib.import_module('clew.core.ids')",
    ],
)
def test_a_wrong_import_is_found(source: str) -> None:
    assert import_offences("core/planted.py", source) != []


@pytest.mark.parametrize(
    "source",
    ["from . import ids", "from .ids import new_id", "import corelib", "from clew.stores import x"],
)
def test_a_right_import_is_let_through(source: str) -> None:
    assert import_offences("core/planted.py", source) == []


@pytest.mark.parametrize(
    ("path", "source", "allowed"),
    [
        (LITELLM_HOME, "def f():\n    import litellm.exceptions", True),
        (LITELLM_HOME, "import litellm", False),
        (LITELLM_HOME, "if TYPE_CHECKING:\n    from litellm import ModelResponse", False),
        ("core/agent.py", "def f():\n    import litellm", False),
        ("core/agent.py", "def f():\n    return import_module('litellm')", False),
        ("core/agent.py", "def f():\n    return find_spec('litellm')", True),
    ],
)
def test_a_litellm_import_in_the_wrong_place_is_found(
    path: str, source: str, allowed: bool
) -> None:
    assert (litellm_offences(path, source) == []) is allowed


def test_a_large_module_and_a_long_function_are_found() -> None:
    assert size_offences("core/planted.py", "x = 1\n" * MAX_MODULE_LINES) == []
    assert size_offences("core/planted.py", "x = 1\n" * (MAX_MODULE_LINES + 1)) != []
    body = "    x = 1\n" * (MAX_FUNCTION_LINES - 1)
    assert size_offences("core/planted.py", f"def f():\n{body}") == []
    assert size_offences("core/planted.py", f"def f():\n{body}    y = 2\n") != []
