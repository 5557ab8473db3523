"""Teams whose members answer themselves: mode `route`."""

import pytest

from tests.conftest import Clew
from tests.teams import delegate, member, run_of, team, told
from tests.torture.checker import check


def clean(clew: Clew) -> bool:
    """Whether both judges find nothing wrong with session `s`."""
    clew("sessions", "verify", "-s", "s")
    return check(clew.session_file("s")) == []


def test_in_route_a_failed_member_is_told_to_the_leader_who_picks_another(clew: Clew) -> None:
    ann = member(clew, "ann", answer="no json", output_schema="n int", limits={"repairs": 0})
    turns = [[delegate("1", "ann")], [delegate("2", "bob")]]
    path = team(clew, ann, member(clew, "bob"), mode="route", turns=turns)
    assert clew("run", "-q", "--team", path, "-s", "s", "go").out == "bob is done\n"
    assert clean(clew)


@pytest.mark.parametrize("mute", ["ann", "bob"])
def test_in_route_a_silent_member_is_told_to_the_leader_who_answers_itself(
    clew: Clew, mute: str
) -> None:
    members = [member(clew, each, answer="" if each == mute else None) for each in ("ann", "bob")]
    path = team(clew, *members, mode="route", answer="Nobody knows.")
    line = clew("run", "-q", "--team", path, "-s", "s", "--json", "go").json
    assert line["content"] == "Nobody knows."
    assert f"{mute} gave no answer" in told(line)
    assert clean(clew)


def test_in_route_a_leader_that_picks_nobody_answers_itself(clew: Clew) -> None:
    path = team(clew, member(clew, "ann"), mode="route", turns=[], answer="I know it.")
    assert clew("run", "-q", "--team", path, "go").out == "I know it.\n"


def test_in_route_the_answers_of_two_members_are_the_answer_in_the_order_of_the_calls(
    clew: Clew,
) -> None:
    path = team(clew, member(clew, "ann"), member(clew, "bob"), mode="route")
    assert clew("run", "-q", "--team", path, "-s", "s", "go").out == "ann is done\n\nbob is done\n"
    assert clean(clew)


@pytest.mark.parametrize("where", ["team", "option"])
def test_in_route_the_schema_of_the_answer_is_the_members(clew: Clew, where: str) -> None:
    keys = {"output_schema": "n int"} if where == "team" else {}
    option = [] if where == "team" else ["--schema", "n int"]
    path = team(clew, member(clew, "ann", answer='{"n": 7}'), mode="route", **keys)
    line = clew("run", "-q", "--team", path, "-s", "s", *option, "--json", "go").json
    assert (line["status"], line["data"]) == ("COMPLETED", {"n": 7})
    assert run_of(clew, "ann")["data"] == {"n": 7}


def test_in_route_an_answer_that_does_not_fit_ends_in_exit_4_with_its_text(clew: Clew) -> None:
    limits = {"repairs": 0}
    ann = member(clew, "ann", answer="words", limits=limits)
    path = team(clew, ann, mode="route", output_schema="n int", answer="words", limits=limits)
    line = clew("run", "-q", "--team", path, "-s", "s", "--json", "go", code=4).json
    assert (line["status"], line["content"]) == ("ERROR", "words")
    assert clean(clew)


def test_in_route_the_answer_that_all_had_given_before_the_end_goes_out_without_asking_again(
    clew: Clew,
) -> None:
    members = [member(clew, "ann"), member(clew, "bob")]
    path = team(clew, *members)
    clew("run", "-q", "--team", path, "-s", "s", "--max-turns", "1", "go", code=5)
    team(clew, *members, mode="route")  # as it stands where a run was killed before its line
    line = clew("continue", "-q", "-s", "s", "--resume", "--json").json
    assert line["content"] == "ann is done\n\nbob is done"
    assert line["metrics"]["requests"] == 0
    assert clean(clew)


def test_in_route_an_answer_that_did_not_fit_is_asked_for_anew_when_the_run_is_gone_on_with(
    clew: Clew,
) -> None:
    ann = member(clew, "ann", answer='{"m": 1}', output_schema="m int")
    path = team(clew, ann, mode="route", output_schema="n int", answer='{"n": 2}')
    clew("run", "-q", "--team", path, "-s", "s", "go", code=4)
    assert clew("continue", "-q", "-s", "s", "--resume", "--json").json["data"] == {"n": 2}
    assert clean(clew)
