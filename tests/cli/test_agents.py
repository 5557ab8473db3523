"""`clew agents`: which agents there are, what they are, whether their files are right."""

import json
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for

from tests.conftest import Clew
from tests.defined import define, write


def test_every_agent_is_listed_once_with_its_description_and_file(clew: Clew) -> None:
    first = define(clew, "description: One.", "one")
    define(clew, "description: Mine.", "two")
    second = write(clew.cwd / ".clew" / "agents" / "two.yaml", "description: The folder's.")
    clew("config", "trust")
    assert clew("agents", "list").out == f"one  One.  {first}\ntwo  The folder's.  {second}\n"
    rows = clew("agents", "list", "--json").lines
    assert rows[1] == {
        "name": "two",
        "kind": "agent",
        "description": "The folder's.",
        "file": str(second),
        "error": None,
    }


def test_agents_of_a_folder_that_is_not_trusted_are_not_listed_and_that_is_said(
    clew: Clew,
) -> None:
    write(clew.cwd / ".clew" / "agents" / "helper.yaml", "description: Planted.")
    result = clew("agents", "list")
    assert result.out == ""
    assert "is ignored: it is not trusted (see `clew config trust`)" in result.err


def test_a_wrong_definition_is_listed_and_said_to_be_wrong(clew: Clew) -> None:
    path = define(clew, "mdel: x")
    result = clew("agents", "list")
    assert result.out == f"helper  (wrong)  {path}\n"
    assert f"{path}:1: mdel: there is no such key" in result.err
    assert clew("agents", "list", "--json").json["error"]["kind"] == "usage"


def test_without_agents_nothing_is_listed(clew: Clew) -> None:
    assert clew("agents", "list").out == ""


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_an_agent_is_shown_with_its_schemas_and_tools_written_out(
    clew: Clew, flags: tuple[str, ...]
) -> None:
    path = define(
        clew,
        "instructions: [Be brief.]\noutput_schema: age int\nparams: {lang: null}\n"
        "limits: {timeout: 2m}\ntools: [{run: [wc, -w], description: Counts words.}]",
    )
    out = clew("agents", "show", "helper", *flags).out
    shown = json.loads(out) if flags else yaml.safe_load(out)
    assert (shown["name"], shown["file"], shown["kind"]) == ("helper", str(path), "agent")
    assert shown["instructions"] == ["Be brief."]
    assert shown["output_schema"]["properties"] == {"age": {"type": "integer"}}
    assert (shown["params"], shown["limits"]) == ({"lang": None}, {"timeout": 120})
    assert [(tool["name"], tool["command"]) for tool in shown["tools"]] == [("wc", "wc -w")]
    assert "system" not in shown


def test_a_team_is_shown_with_how_it_works_and_with_its_members(clew: Clew) -> None:
    members = "members: [{name: ann, model: m, instructions: Look.}]"
    define(clew, f"kind: team\nmode: tasks\nmax_iterations: 4\n{members}")
    shown = clew("agents", "show", "helper", "--json").json
    assert (shown["kind"], shown["mode"], shown["max_iterations"]) == ("team", "tasks", 4)
    (ann,) = shown["members"]
    assert (ann["kind"], ann["name"], ann["model"]) == ("agent", "ann", "m")
    assert ann["instructions"] == "Look."


def test_a_python_object_is_shown_too(clew: Clew) -> None:
    write(clew.cwd / "mine.py", "from clew.core import Agent\nhelper = Agent(system='Be brief.')")
    shown = clew("agents", "show", "mine:helper", "--json").json
    assert (shown["name"], shown["system"]) == ("helper", "Be brief.")


def test_an_unknown_agent_cannot_be_shown(clew: Clew) -> None:
    assert "there is no agent 'none'" in clew("agents", "show", "none", code=3).err


def test_validate_tells_every_error_of_every_file(clew: Clew) -> None:
    good = define(clew, "model: m", "good")
    bad = define(clew, "mdel: x\nlimits: {max_turns: 0}", "bad")
    worse = write(clew.cwd / "worse.yaml", "[")
    result = clew("agents", "validate", "good", "bad", "worse.yaml", code=2)
    assert result.out == f"ok  {good}\n"
    assert f"{bad}:1: mdel: there is no such key" in result.err
    assert "did you mean model?" in result.err
    assert f"{bad}:2: limits.max_turns: should be greater than or equal to 1" in result.err
    assert f"{worse.name}:1: not YAML" in result.err


def test_validate_looks_at_every_named_agent_where_none_is_named(clew: Clew) -> None:
    define(clew, "model: m", "good")
    clew("agents", "validate")
    define(clew, "mdel: m", "bad")
    clew("agents", "validate", code=2)


@pytest.mark.parametrize("name", ["none", "./none.yaml"])
def test_what_is_not_there_cannot_be_validated(clew: Clew, name: str) -> None:
    clew("agents", "validate", name, code=3)


def test_the_schema_for_editors_takes_what_clew_takes_and_refuses_what_it_refuses(
    clew: Clew,
) -> None:
    schema = clew("agents", "schema").json
    validator = validator_for(schema)(schema)
    good: dict[str, Any] = {
        "kind": "agent",
        "model": "m",
        "instructions": ["a"],
        "tools": ["mine:tool", {"run": ["wc"], "timeout": 3}],
        "params": {"a": None, "b": 1},
        "limits": {"timeout": "90s", "max_cost": 1},
        "output_schema": {"type": "object"},
        "input_schema": "city str",
    }
    validator.validate(good)
    define(clew, json.dumps({**good, "tools": [{"run": ["wc"], "timeout": 3}]}))
    clew("agents", "validate", "helper")
    for wrong in ({"mdel": 1}, {"tools": [1]}, {"limits": {"max_turns": 0}}, {"kind": "other"}):
        assert not validator.is_valid(wrong)
        define(clew, json.dumps(wrong))
        clew("agents", "validate", "helper", code=2)
