"""Which session, user, store and setting is meant, where several things say it."""

from typing import Any

import pytest

from tests.conftest import Clew

PLACES = ("flag", "environment", "folder", "user")
"""Where a setting may come from, what goes first first."""


@pytest.fixture
def two(clew: Clew, model: str) -> Clew:
    """A world in which `default` and `anna` each have a session `s`, and `default` also `t`."""
    clew("run", "-m", model, "-s", "s", "--state", '{"of": "s"}', "one")
    clew("run", "-m", model, "-s", "s", "-u", "anna", "--state", '{"of": "anna"}', "one")
    clew("run", "-m", model, "-s", "t", "--state", '{"of": "t"}', "one")
    return clew


def test_state_reads_the_session_of_the_environment_and_says_so(two: Clew) -> None:
    result = two("state", "get", "of", env={"CLEW_SESSION": "s"})
    assert (result.out, result.err) == ('"s"\n', "clew: session s (from $CLEW_SESSION)\n")


def test_state_changes_the_session_of_the_environment(two: Clew) -> None:
    two("state", "set", "of=new", env={"CLEW_SESSION": "s"})
    assert two.stored("s")[-1]["session_state"] == {"of": "new"}
    assert len(two.stored("t")) == 1


def test_the_flag_goes_before_the_session_of_the_environment(two: Clew) -> None:
    result = two("state", "-s", "t", "get", "of", env={"CLEW_SESSION": "s"})
    assert (result.out, result.err) == ('"t"\n', "")


@pytest.mark.parametrize("command", [("state",), ("state", "set", "a=1"), ("history",)])
def test_a_session_of_the_environment_that_is_not_there_is_exit_3(
    two: Clew, command: tuple[str, ...]
) -> None:
    result = two(*command, env={"CLEW_SESSION": "nope"}, code=3)
    assert result.out == ""
    assert not two.session_file("nope").exists()


@pytest.mark.parametrize("command", ["run", "continue", "history", "state"])
def test_the_user_of_the_flag_goes_before_that_of_the_environment(
    two: Clew, model: str, command: str
) -> None:
    words = ["-m", model, "one"] if command in ("run", "continue") else []
    two(command, "-s", "s", "-u", "anna", *words, env={"CLEW_USER": "nobody"})
    assert not two.session_file("s", "nobody").parent.exists()
    assert len(two.stored("s", "anna")) == (2 if words else 1)


def test_the_user_of_the_environment_goes_before_the_default(two: Clew) -> None:
    assert two("state", "-s", "s", "get", "of", env={"CLEW_USER": "anna"}).out == '"anna"\n'
    two("state", "-s", "t", "get", "of", env={"CLEW_USER": "anna"}, code=3)


def test_a_store_in_memory_answers_and_keeps_nothing(clew: Clew, model: str) -> None:
    line = clew("--store", "memory:", "run", "-m", model, "-s", "s", "--json", "hi").json
    assert (line["content"], line["seq"], line["session_id"]) == ("hello", 1, "s")
    assert not clew.home.exists()
    clew("--store", "memory:", "history", "-s", "s", code=3)
    clew("continue", "hi", env={"CLEW_STORE": "memory:"}, code=3)


def test_a_store_in_memory_does_not_see_what_is_on_disk(two: Clew) -> None:
    assert two("sessions", "list", "--json", env={"CLEW_STORE": "memory:"}).out == ""
    two("--store", "memory:", "state", "-s", "s", code=3)


def set_in(clew: Clew, places: tuple[str, ...], name: str, values: dict[str, Any]) -> list[str]:
    """Set a setting in these places, and return the flags that do so."""
    if "user" in places:
        clew.config.mkdir(parents=True)
        (clew.config / "config.toml").write_text(f"{name} = {values['user']!r}\n")
    if "folder" in places:
        (clew.cwd / ".clew").mkdir(mode=0o700)
        (clew.cwd / ".clew" / "config.toml").write_text(f"{name} = {values['folder']!r}\n")
        (clew.cwd / ".clew" / "config.toml").chmod(0o600)
        clew("config", "trust")
    if "environment" in places:
        clew.env[f"CLEW_{name.upper()}"] = str(values["environment"])
    return [f"--{name}={values['flag']}"] if "flag" in places else []


@pytest.mark.parametrize("first", PLACES)
@pytest.mark.parametrize("name", ["timeout", "retries"])
def test_a_limit_comes_from_the_first_place_that_sets_it(
    clew: Clew, model: str, name: str, first: str
) -> None:
    values = {"flag": 61, "environment": 62, "folder": 63, "user": 64}
    flags = set_in(clew, PLACES[PLACES.index(first) :], name, values)
    line = clew("run", "-m", model, *flags, "--json", "hi").json
    assert line["options"][name] == values[first]


@pytest.mark.parametrize("first", PLACES)
def test_the_colour_comes_from_the_first_place_that_sets_it(
    clew: Clew, model: str, first: str
) -> None:
    values = {place: "always" if place == first else "never" for place in PLACES}
    flags = set_in(clew, PLACES[PLACES.index(first) :], "color", values)
    result = clew("run", "-q", "-m", model, *flags, "--usage", "hi")
    assert "\x1b[2m" in result.err


@pytest.mark.parametrize("first", PLACES)
def test_usage_is_told_where_the_first_place_says_so(clew: Clew, model: str, first: str) -> None:
    words = {place: "yes" if place == first else "no" for place in PLACES}
    flags = set_in(clew, PLACES[PLACES.index(first) :], "usage", words)
    result = clew("run", "-q", "-m", model, *("--usage" for _ in flags), "hi")
    assert "tokens in" in result.err


@pytest.mark.parametrize("first", PLACES[1:])
def test_usage_is_not_told_where_the_first_place_says_no(
    clew: Clew, model: str, first: str
) -> None:
    words = {place: "no" if place == first else "yes" for place in PLACES}
    set_in(clew, PLACES[PLACES.index(first) :], "usage", words)
    assert clew("run", "-q", "-m", model, "hi").err == ""
