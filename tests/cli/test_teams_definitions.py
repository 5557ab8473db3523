"""Definitions of teams that are wrong, and what stands in for what."""

import json
from pathlib import Path

import pytest

from tests.conftest import Clew
from tests.defined import define, write
from tests.paused import tool
from tests.teams import Json, defined, delegate, inline, member, run_of, team, told


def refused(clew: Clew, path: str | Path, *options: str) -> str:
    """What is said of a team that cannot be run; nothing is on disk then."""
    err = clew("run", "--team", str(path), "-s", "s", *options, "go", code=2).err
    assert not clew.session_file("s").exists()
    return err


def text(clew: Clew, yaml: str, name: str = "team") -> Path:
    return write(clew.cwd / f"{name}.yaml", yaml)


def test_a_wrong_key_of_a_member_is_told_by_file_line_and_key_with_a_suggestion(
    clew: Clew,
) -> None:
    path = text(clew, "kind: team\nmembers:\n  - name: ann\n    modl: x\n")
    err = refused(clew, path)
    assert f"{path}:4: members.0.modl: there is no such key" in err
    assert "did you mean model?" in err


def test_a_wrong_key_of_a_member_of_a_member_is_told_in_the_same_way(clew: Clew) -> None:
    yaml = (
        "kind: team\nmembers:\n  - kind: team\n    name: inner\n    members:\n"
        "      - name: ann\n        limits:\n          max_turn: 3\n"
    )
    path = text(clew, yaml)
    err = refused(clew, path)
    assert f"{path}:8: members.0.members.0.limits.max_turn" in err
    assert "did you mean max_turns?" in err


def test_a_wrong_key_of_a_team_gets_a_suggestion_from_a_teams_keys(clew: Clew) -> None:
    path = text(clew, "kind: team\nmembers: [{name: a}]\nshare_member_interaction: true\n")
    assert "did you mean share_member_interactions?" in refused(clew, path)


def test_a_teams_key_in_an_agent_is_no_key(clew: Clew) -> None:
    path = text(clew, "mode: route\n", "solo")
    err = clew("run", "-a", str(path), "go", code=2).err
    assert "mode: there is no such key" in err


@pytest.mark.parametrize(
    ("yaml", "why"),
    [
        ("kind: team\n", "members is missing"),
        ("kind: team\nmembers: []\n", "members"),
        ("kind: team\nmembers: [{model: x}]\n", "needs a name"),
        ("kind: team\nmembers: [{name: a}, {name: a}]\n", "'a'"),
        ("kind: team\nmembers: [{name: a}]\nmode: rout\n", "mode"),
        ("kind: team\nmembers: [{name: a}]\nnum_team_history_runs: -1\n", "num_team_history_runs"),
        ("kind: team\nmembers: [3]\n", "members.0"),
        ("kind: team\nmembers: {name: a}\n", "members"),
        ("kind: crew\nmembers: [{name: a}]\n", "kind"),
    ],
    ids=lambda each: each[:40] if "kind" in each else "",
)
def test_a_wrong_definition_is_refused_with_its_file_and_line(
    clew: Clew, yaml: str, why: str
) -> None:
    path = text(clew, yaml)
    err = refused(clew, path)
    assert f"{path}" in err
    assert why in err
    assert err.count("\n") <= 2


@pytest.mark.parametrize("name", ["a\\nb", "a\\u001bb", "a\\tb", " ", "a\\u2028b"])
def test_a_name_that_would_break_a_line_is_refused_where_it_is_given(clew: Clew, name: str) -> None:
    path = text(clew, f'kind: team\nmembers:\n  - name: bob\n  - name: "{name}"\n')
    err = refused(clew, path)
    assert err.startswith(f"clew: {path}:4: members.1.name: '")
    assert "is not a name for an agent" in err.splitlines()[0]
    path = text(clew, f'model: x\nname: "{name}"\n', "solo")
    assert f"{path}:2: name: '" in clew("run", "-a", str(path), "go", code=2).err


def test_a_member_that_nobody_knows_is_told_with_where_it_is_named(clew: Clew) -> None:
    define(clew, "model: x\n", "helper")
    path = text(clew, "kind: team\nmembers:\n  - helpr\n")
    err = clew("run", "--team", str(path), "go", code=None)
    assert err.code in (2, 3)
    assert f"{path}:3" in err.err
    assert "helper" in err.err


def test_a_member_whose_file_is_wrong_is_told_by_that_file(clew: Clew) -> None:
    inner = text(clew, "modl: x\n", "ann")
    path = text(clew, "kind: team\nmembers: [./ann.yaml]\n")
    err = refused(clew, path)
    assert f"{inner}:1" in err or "ann.yaml:1" in err


@pytest.mark.parametrize("own", ["./team.yaml", "./other.yaml"])
def test_a_team_in_itself_is_refused_with_the_files_on_the_way(clew: Clew, own: str) -> None:
    path = text(clew, f"kind: team\nmembers: [{own}]\n")
    text(clew, "kind: team\nmembers: [team]\n", "other")
    err = refused(clew, path)
    assert "a team cannot be in itself" in err
    assert "team.yaml → " in err


def test_validate_tells_every_error_of_a_team(clew: Clew) -> None:
    path = text(
        clew, "kind: team\nmood: x\nmembers:\n  - {name: a, modl: x}\n  - {name: b, tols: []}\n"
    )
    result = clew("agents", "validate", str(path), code=None)
    assert result.code == 2
    said = result.out + result.err
    assert all(key in said for key in ("mood", "modl", "tols"))


def test_an_option_for_the_other_kind_is_refused_with_the_right_one(clew: Clew) -> None:
    crew = team(clew, member(clew, "ann"))
    solo = str(defined(clew, "solo", **member(clew, "solo")))
    assert f"--team {crew} runs it" in clew("run", "-a", crew, "go", code=2).err
    assert f"--agent {solo} runs it" in clew("run", "--team", solo, "go", code=2).err
    assert "exclude each other" in clew("run", "--team", crew, "-a", solo, "go", code=2).err


def test_an_unknown_team_is_exit_3(clew: Clew) -> None:
    assert "nobody" in clew("run", "--team", "nobody", "go", code=3).err
    clew("run", "--team", "./nobody.yaml", "go", code=3)


def test_a_tool_that_is_given_on_the_command_line_is_the_leaders(clew: Clew) -> None:
    given = tool(clew)
    path = team(clew, member(clew, "ann"), turns=[[delegate("1", "ann")]])
    line: Json = clew("run", "-q", "--team", path, "-t", given, "-s", "s", "--json", "go").json
    assert line["options"]["tool"] == [given]
    assert "tool" not in run_of(clew, "ann")["options"]


def test_members_are_found_beside_the_teams_file_first(clew: Clew) -> None:
    define(clew, json.dumps(member(clew, "ann", answer="the user's own")), "ann")
    folder = clew.cwd / "crew"
    write(folder / "ann.yaml", json.dumps(member(clew, "ann", answer="the one beside it")))
    path = write(folder / "team.yaml", json.dumps(inline(clew, "ann")))
    line = clew("run", "-q", "--team", str(path), "-s", "s", "--json", "go").json
    assert told(line) == ["the one beside it"]


def test_a_folder_that_is_not_trusted_lends_no_members(clew: Clew) -> None:
    write(clew.cwd / ".clew" / "agents" / "ann.yaml", json.dumps(member(clew, "ann")))
    define(clew, json.dumps(inline(clew, "ann")), "crew")
    result = clew("run", "--team", "crew", "-s", "s", "go", code=None)
    assert result.code in (2, 3)
    assert "ignored" in result.err
    clew("config", "trust")
    assert clew("run", "-q", "--team", "crew", "-s", "s", "go").out == "All done.\n"
