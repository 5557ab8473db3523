"""What `--tool` takes, and what it refuses."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from clew.core.errors import UsageError
from clew.core.tool_specs import tools_of
from clew.core.tools import Tool, ToolSpec
from tests.conftest import Clew
from tests.toolcalls import call, calling, results

FUNCTIONS = '''
from __future__ import annotations
import os, subprocess, sys
from clew.core.tools import RunContext

print("while it is loaded")

def plus(a: int, b: int = 2) -> int:
    """Add two numbers."""
    print("in the function")
    subprocess.run(["echo", "in a child"])
    os.write(1, b"below Python\\n")
    return a + b

class Group:
    @staticmethod
    def inner(run_context: RunContext) -> str:
        return run_context.session_id

NUMBER = 3
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def specs_of(source: str) -> list[ToolSpec]:
    return [tool.spec for tool in tools_of(source) if isinstance(tool, Tool)]


def refusal(source: str) -> str:
    with pytest.raises(UsageError) as caught:
        tools_of(source)
    return f"{caught.value.message} | {caught.value.hint}"


def test_a_definition_says_it_all() -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}}
    told = {"name": "t", "description": "Do it.", "run": ["x", "a b"], "parameters": parameters}
    (spec,) = specs_of(json.dumps(told | {"requires_confirmation": True}))
    assert (spec.name, spec.description) == ("t", "Do it.")
    assert spec.parameters == parameters
    assert spec.requires_confirmation
    assert spec.command == "x 'a b'"


def test_a_command_without_a_name_is_called_by_its_programs() -> None:
    (spec,) = specs_of('{"run": ["/usr/bin/get weather.sh", "now"]}')
    assert spec.name == "get_weather_sh"


def test_a_file_holds_one_tool_or_a_list_of_them_as_yaml_or_json(here: Path) -> None:
    Path("one.yaml").write_text("run: [one]")
    Path("two.yml").write_text("- run: [two]\n- {name: three, run: [x]}")
    Path("four.json").write_text('[{"run": ["four"]}]')
    found = [spec for name in ("one.yaml", "two.yml", "four.json") for spec in specs_of(name)]
    assert [spec.name for spec in found] == ["one", "two", "three", "four"]
    assert found[0].source == os.path.abspath("one.yaml")


def test_several_files_may_be_named_alike_to_a_function(here: Path) -> None:
    Path("a:b").write_text("run: [from_a_file]")
    assert [spec.name for spec in specs_of("a:b")] == ["from_a_file"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"run": ["x"], "descripton": "y"}, "descripton: there is no such key | did you mean desc"),
        ({"run": ["x"], "zzz": 1}, "zzz: there is no such key | the keys are: name, "),
        ({"mcp": {"comand": ["x"]}}, "mcp.comand: there is no such key | did you mean command?"),
        ({"mcp": {"tools": [{"nme": "x"}]}}, "nme: there is no such key | did you mean name?"),
        ({"run": "x"}, "run: Input should be a valid list"),
        ({"run": []}, "run: List should have at least 1 item"),
        ({"run": ["x", 1]}, "run.1: Input should be a valid string"),
        ({"run": ["x"], "timeout": 0}, "timeout: Input should be greater than 0"),
        ({"run": ["x"], "timeout": -1}, "timeout: Input should be greater than 0"),
        ({"run": ["x"], "timeout": "3"}, "timeout: Input should be a valid number"),
        ({"run": ["x"], "requires_confirmation": "yes"}, "requires_confirmation: Input should be"),
        ({"name": "t"}, "a tool has one of run, python, mcp, external: true"),
        ({"run": ["x"], "external": True}, "a tool has one of run, python, mcp, external: true"),
        ({"run": ["x"], "name": "no blanks"}, "'no blanks' is not a tool's name | a name has 1 to"),
        ({"run": ["x"], "name": "x" * 65}, "is not a tool's name"),
        ({"run": ["x"], "parameters": {"type": "array"}}, "has to be of type object"),
        ({"run": ["x"], "parameters": {"type": "objekt"}}, "no JSON Schema"),
        ({"python": "os:getcwd", "timeout": 3}, "parameters, env and timeout are for commands"),
        ({"python": "nothing.such:x"}, "cannot load the tool 'nothing.such:x': No module named"),
        ({"python": "os:nothing"}, "cannot load the tool 'os:nothing'"),
        ({"python": "os:name"}, "'os:name' is no function, so it is no tool"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_definition_that_is_wrong_is_refused_by_its_key(fields: Any, said: str) -> None:
    assert said in refusal(json.dumps(fields))


@pytest.mark.parametrize("reference", ["http://127.0.0.1:9/x.json", "#/nothing", "file:///etc/x"])
def test_a_schema_that_refers_to_what_is_not_in_it_is_refused_and_nothing_is_fetched(
    reference: str,
) -> None:
    properties = {"a": {"$ref": reference}}
    told = {"run": ["x"], "parameters": {"type": "object", "properties": properties}}
    named = reference.removeprefix("#")
    assert f"the schema refers to '{named}', which is not in it" in refusal(json.dumps(told))


def test_a_schema_without_an_end_is_told_to_the_model(clew: Clew) -> None:
    parameters = {"type": "object", "$ref": "#"}
    model = calling(clew, [call("t", a=1)])
    tool = json.dumps({"name": "t", "run": ["echo"], "parameters": parameters})
    line = clew("run", "-q", "-m", model, "-t", tool, "--json", "go").json
    assert results(line) == ["the arguments cannot be checked: their schema has no end"]


def test_what_is_wrong_in_a_file_is_told_with_its_place(here: Path) -> None:
    Path("bad.yaml").write_text("name: t\nrun: [a\nb: c\n")
    assert refusal("bad.yaml").startswith(f"{here}/bad.yaml:3: not YAML: ")
    Path("wrong.yaml").write_text("- run: [x]\n- runn: [y]\n")
    assert refusal("wrong.yaml").startswith(f"{here}/wrong.yaml: runn: there is no such key")


@pytest.mark.parametrize("source", ["nothing.yaml", ".", "a\0b", "no tool at all"])
def test_what_cannot_be_read_is_refused(here: Path, source: str) -> None:
    assert refusal(source).startswith(f"--tool {source!r}: ")


@pytest.mark.parametrize("text", ["", "3", "null", "[1]", "text", "- - x", "? {a: b}\n: c"])
def test_a_file_without_a_definition_is_refused(here: Path, text: str) -> None:
    Path("t.yaml").write_text(text)
    assert str(here) in refusal("t.yaml")


def test_a_binary_file_is_refused(here: Path) -> None:
    Path("t.yaml").write_bytes(b"\xff\xfe\x00")
    assert refusal("t.yaml").startswith("--tool 't.yaml': not UTF-8 text")


def test_an_empty_list_offers_nothing(here: Path) -> None:
    Path("t.yaml").write_text("[]")
    assert tools_of("t.yaml") == []


def test_a_function_of_the_current_folder_is_a_tool_and_stdout_stays_clean(clew: Clew) -> None:
    (clew.cwd / "mine.py").write_text(FUNCTIONS)
    model = calling(clew, [call("plus", a=1)])
    done = clew("run", "-m", model, "-s", "s", "-t", "mine:plus", "-o", "stream-json", "go")
    assert [event["event"] for event in done.lines][-1] == "RunCompleted"
    assert results(done.lines[-1]["run"]) == ["3"]
    for said in ("while it is loaded", "in the function", "in a child", "below Python"):
        assert said in done.err


def test_a_function_inside_a_class_is_found(clew: Clew) -> None:
    (clew.cwd / "mine.py").write_text(FUNCTIONS)
    model = calling(clew, [call("inner")])
    line = clew("run", "-m", model, "-s", "s", "-t", "mine:Group.inner", "--json", "go").json
    assert results(line) == ["s"]


def test_a_file_of_the_current_folder_does_not_stand_in_for_a_library(clew: Clew) -> None:
    (clew.cwd / "mine.py").write_text(FUNCTIONS)
    (clew.cwd / "json.py").write_text("raise SystemExit(9)")
    (clew.cwd / "pydantic.py").write_text("raise SystemExit(9)")
    model = calling(clew, [call("plus", a=1)])
    clew("run", "-m", model, "-s", "s", "-t", "mine:plus", "go")


@pytest.mark.parametrize(
    "source",
    ["raise RuntimeError('in the module')", "def f(:", "import sys; sys.exit('in the module')"],
)
def test_a_module_that_cannot_be_loaded_is_a_usage_error(clew: Clew, source: str) -> None:
    (clew.cwd / "broken.py").write_text(source)
    done = clew("run", "-m", "replay:x", "-t", "broken:f", "go", code=2)
    assert "cannot load the tool 'broken:f'" in done.err


def test_a_tool_of_a_wrong_definition_leaves_no_session(clew: Clew) -> None:
    model = calling(clew, [call("t")])
    done = clew("run", "-m", model, "-s", "s", "-t", '{"runn": ["x"]}', "go", code=2)
    assert "did you mean run?" in done.err
    assert not clew.session_file("s").exists()


def test_two_tools_of_one_name_are_refused(clew: Clew) -> None:
    tool = '{"run": ["echo"]}'
    done = clew("run", "-m", calling(clew, []), "-s", "s", "-t", tool, "-t", tool, "go", code=2)
    assert "two tools are called 'echo'" in done.err
    assert not clew.session_file("s").exists()
