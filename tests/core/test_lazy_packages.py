"""OpenAI's library, loaded name by name, is the same library."""

import json
import subprocess
import sys
from typing import Any

import pytest

NAMES = """
import json, pkgutil, sys
from importlib import import_module
from types import ModuleType
from clew.core.lazy_packages import load_by_name
asked, when = sys.argv[1:]
if when == "by name":
    load_by_name()
import openai.resources, openai.types
# Whether a module shows in its package depends on what else was asked for: names do not.
names = {}
for top in (openai.types, openai.resources):
    below = pkgutil.walk_packages(top.__path__, top.__name__ + ".")
    for name in [top.__name__, *(each.name for each in below if each.ispkg)]:
        package = import_module(name)
        if asked == "dir":
            all_of = {each: getattr(package, each) for each in dir(package)}
        elif asked == "star":
            exec(f"from {name} import *", all_of := {})
        else:
            all_of = dict(vars(package))
        names[name] = {
            each: f"{getattr(value, '__module__', '')} {getattr(value, '__qualname__', value)}"
            for each, value in all_of.items()
            if not isinstance(value, ModuleType) and not each.startswith("__")
        }
print(json.dumps(names))
"""
ONE = """
import sys
from clew.core.lazy_packages import load_by_name
load_by_name()
from openai.types import Batch
before = "openai.types.upload" in sys.modules
from openai.types import upload, Upload
print(before, Batch.__module__, Upload is upload.Upload, Upload.__module__)
"""
NONE = """
from clew.core.lazy_packages import load_by_name
load_by_name()
import openai.types
print(hasattr(openai.types, "Nothing"), hasattr(openai.types, "__all__"))
from openai.types import Nothing
"""


def names(asked: str, *, at_once: bool = False) -> dict[str, Any]:
    command = [sys.executable, "-c", NAMES, asked, "at once" if at_once else "by name"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["dir", "vars", "star"])
def test_each_package_has_the_names_that_it_has_for_everybody(asked: str) -> None:
    as_ever = names(asked, at_once=True)
    assert len(as_ever) > 50
    assert names(asked) == as_ever


def test_a_name_loads_its_own_module_and_no_other() -> None:
    done = subprocess.run([sys.executable, "-c", ONE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "openai.types.batch", "True", "openai.types.upload"]


def test_a_name_that_is_not_there_is_missed_as_ever() -> None:
    done = subprocess.run([sys.executable, "-c", NONE], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "False"]
    assert "ImportError: cannot import name 'Nothing' from 'openai.types'" in done.stderr
