"""`clew sessions`, and which session is meant by a reference."""

import os
from pathlib import Path
from uuid import UUID

import pytest

from tests.conftest import Clew, jq
from tests.stuck import stuck
from tests.terminal import in_terminal

KEYS = [
    *("session_id", "user_id", "name", "kind", "status", "runs", "created_at", "updated_at"),
    *("first_input", "last_input", "model", "total_tokens", "cost", "waiting", "running", "path"),
]
ALIKE = ("3f2a0000-0000-4000-8000-000000000001", "3f2a0000-0000-4000-8000-000000000002")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Clew:
    """Sessions `a`, `b` (named Trip, failed), `c` (two runs), used in this order. For reading."""
    clew = Clew(tmp_path_factory.mktemp("three"))
    model = clew.recording(("one", "answer one"), ("two", "answer two"))
    clew("run", "-s", "a", "-m", model, "one")
    clew("run", "-s", "b", "--name", "Trip", "-m", model, "lost", code=3)
    clew("run", "-s", "c", "-m", model, "one")
    clew("continue", "-s", "c", "two")
    return clew


@pytest.fixture
def alike(clew: Clew) -> Clew:
    """A world with two sessions whose generated ids begin alike."""
    for session in ALIKE:
        clew("state", "-s", session, "set", "--create", f"id={session}")
    return clew


def listed(clew: Clew, *options: str) -> list[str]:
    return [summary["session_id"] for summary in clew("sessions", "list", "--json", *options).lines]


# list


def test_a_list_in_json_has_exactly_the_promised_keys(three: Clew) -> None:
    assert [list(summary) for summary in three("sessions", "list", "--json").lines] == [KEYS] * 3


def test_a_list_tells_of_each_session_what_its_lines_say(three: Clew) -> None:
    first, last = three.stored("c")
    assert three("sessions", "list", "--json", "-n", "1").json == {
        "session_id": "c",
        "user_id": "default",
        "name": None,
        "kind": "agent",
        "status": "COMPLETED",
        "runs": 2,
        "created_at": first["created_at"],
        "updated_at": last["created_at"],
        "first_input": "one",
        "last_input": "two",
        "model": last["model"],
        "total_tokens": last["session_metrics"]["total_tokens"],
        "cost": last["session_metrics"]["cost"],
        "waiting": False,
        "running": False,
        "path": str(three.session_file("c")),
    }


def test_a_list_is_newest_first(three: Clew) -> None:
    assert listed(three) == ["c", "b", "a"]


def test_a_session_that_is_used_again_goes_to_the_front(clew: Clew, model: str) -> None:
    for session in ("a", "b", "a"):
        clew("run", "-s", session, "-m", model, "hi")
    assert listed(clew) == ["a", "b"]


def test_a_count_takes_the_newest(three: Clew) -> None:
    assert listed(three, "-n", "2") == ["c", "b"]


def test_status_leaves_the_sessions_whose_last_run_ended_so(three: Clew) -> None:
    assert listed(three, "--status", "error") == ["b"]


def test_name_leaves_the_sessions_whose_name_contains_it(three: Clew) -> None:
    assert listed(three, "--name", "tri") == ["b"]


def test_since_leaves_the_sessions_used_since(three: Clew) -> None:
    assert listed(three, "--since", three.stored("b")[-1]["created_at"]) == ["c", "b"]


def test_since_does_not_rely_on_the_order_of_the_files_times(three: Clew) -> None:
    moment = three.stored("c")[-1]["created_at"]
    before = three.session_file("a").stat().st_mtime_ns
    os.utime(three.session_file("a"), ns=(before, 2**62))
    try:
        assert listed(three, "--since", moment) == ["c"]
    finally:
        os.utime(three.session_file("a"), ns=(before, before))


def test_a_list_for_people_has_a_row_for_each_session(three: Clew) -> None:
    rows = three("sessions", "list").out.splitlines()
    assert [row.split()[0] for row in rows] == ["c", "b", "a"]
    assert "2 runs" in rows[0]
    assert "ERROR" in rows[1]
    assert "Trip" in rows[1]


def test_a_list_of_nothing_is_empty(clew: Clew) -> None:
    assert clew("sessions", "list").out == ""


def test_a_session_with_a_run_under_way_is_running(clew: Clew, model: str) -> None:
    clew("run", "-s", "s", "-m", model, "hi")
    with stuck(clew, "continue", "-s", "s"):
        assert clew("sessions", "list", "--json").json["running"] is True
    assert clew("sessions", "list", "--json").json["running"] is False


def test_a_session_whose_last_run_was_killed_is_interrupted(clew: Clew, model: str) -> None:
    clew("run", "-s", "s", "-m", model, "hi")
    with stuck(clew, "continue", "-s", "s"):
        pass
    summary = clew("sessions", "list", "--json").json
    assert (summary["status"], summary["runs"]) == ("INTERRUPTED", 2)


def test_a_session_whose_only_run_was_killed_is_known(clew: Clew) -> None:
    with stuck(clew, "run", "-s", "s"):
        pass
    summary = clew("sessions", "show", "s", "--json").json
    assert (summary["status"], summary["runs"]) == ("INTERRUPTED", 1)
    assert summary["first_input"] == summary["last_input"] == "flood"
    assert summary["created_at"] == summary["updated_at"] is not None


def test_a_session_whose_only_run_was_killed_is_found_without_its_id(clew: Clew) -> None:
    with stuck(clew, "run"):
        pass
    assert "> flood" in clew("history").out
    assert len(listed(clew)) == 1


# show, path, rename


def test_show_tells_the_same_as_the_list(three: Clew) -> None:
    shown = three("sessions", "show", "c", "--json").json
    listed = three("sessions", "list", "--json", "-n", "1").json
    assert shown == {**listed, "summary": None, "covers": None}


def test_show_for_people_names_every_fact(three: Clew) -> None:
    shown = three("sessions", "show", "@Trip").out.splitlines()
    assert [row.split()[0] for row in shown] == [*KEYS, "summary", "covers"]


def test_path_prints_where_the_lines_are(three: Clew) -> None:
    assert three("sessions", "path", "c").out == f"{three.session_file('c')}\n"


@pytest.mark.parametrize("command", ["path", "show", "rename"])
def test_an_empty_session_is_a_usage_error_and_never_the_last_one(
    three: Clew, command: str
) -> None:
    result = three("sessions", command, "", *(["name"] if command == "rename" else []), code=2)
    assert result.out == ""


def test_the_last_line_of_the_path_is_what_jq_reads(three: Clew) -> None:
    last = three.shell('tail -n 1 "$(clew sessions path c)"').out
    assert jq(".content", last, "-r") == "answer two\n"


def test_rename_lets_a_name_stand_for_the_session(clew: Clew, model: str) -> None:
    clew("run", "-s", "s", "-m", model, "hi")
    clew("sessions", "rename", "s", "my trip")
    assert clew("sessions", "show", "@my trip", "--json").json["session_id"] == "s"


def test_after_a_rename_the_old_name_is_nobodys(clew: Clew, model: str) -> None:
    clew("run", "-s", "s", "--name", "old", "-m", model, "hi")
    clew("sessions", "rename", "@old", "new")
    clew("sessions", "show", "@old", code=3)


def test_a_taken_name_is_a_conflict_and_stays(three: Clew) -> None:
    assert "taken by session b" in three("sessions", "rename", "a", "Trip", code=7).err
    assert three("sessions", "show", "@Trip", "--json").json["session_id"] == "b"


def test_renaming_an_unknown_session_is_not_found(three: Clew) -> None:
    three("sessions", "rename", "nope", "x", code=3)


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 201])
def test_what_is_no_name_is_a_usage_error(three: Clew, name: str) -> None:
    three("sessions", "rename", "a", name, code=2)


def test_names_outlive_their_index(clew: Clew, model: str) -> None:
    clew("run", "-s", "s", "--name", "trip", "-m", model, "hi")
    for path in sorted(clew.home.rglob(".cache/**/*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert clew("sessions", "show", "@trip", "--json").json["session_id"] == "s"


# references


def test_a_generated_id_is_a_uuid(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "hi")
    (session,) = listed(clew)
    assert str(UUID(session)) == session


def test_a_unique_prefix_of_a_generated_id_will_do(alike: Clew) -> None:
    assert alike("state", "-s", ALIKE[1], "get", "id", "-r").out == f"{ALIKE[1]}\n"
    alike("state", "-s", "aaaa0000-0000-4000-8000-000000000003", "set", "--create", "id=third")
    assert alike("state", "-s", "aaaa", "get", "id", "-r").out == "third\n"


def test_an_ambiguous_prefix_is_a_usage_error_with_the_candidates(alike: Clew) -> None:
    err = alike("history", "-s", "3f2a", code=2).err
    assert all(session in err for session in ALIKE)


def test_a_prefix_of_three_characters_is_not_found(alike: Clew) -> None:
    alike("history", "-s", "3f2", code=3)


def test_a_prefix_of_an_id_that_was_given_is_not_found(clew: Clew, model: str) -> None:
    clew("run", "-s", "holiday", "-m", model, "hi")
    clew("history", "-s", "holi", code=3)


@pytest.mark.parametrize("ref", ["../x", "a/b", "", "x" * 300, "Trip", "a\nb", ".hidden", "-x"])
def test_what_is_no_session_id_is_a_usage_error(clew: Clew, ref: str) -> None:
    clew("history", f"--session={ref}", code=2)
    assert not clew.home.exists()


def test_the_hint_for_capitals_shows_the_lower_case_form(clew: Clew) -> None:
    assert "lower-case: trip" in clew("history", "-s", "Trip", code=2).err


@pytest.mark.parametrize("user", ["a/b", "../x", "Zoë", "a b", "x" * 200, ".", "A", "%41"])
def test_any_printable_user_has_sessions_of_its_own(clew: Clew, model: str, user: str) -> None:
    clew("run", "-u", user, "-s", "s", "-m", model, "hi")
    (path,) = (clew.home / "users").rglob("*.jsonl")
    assert path.parent.parent == clew.home / "users"
    assert clew("sessions", "show", "s", "-u", user, "--json").json["user_id"] == user


@pytest.mark.parametrize("user", ["", "x" * 201, "a\nb", "\x1b[31m"])
def test_what_is_no_user_id_is_a_usage_error(clew: Clew, user: str) -> None:
    clew("sessions", "list", f"--user={user}", code=2)


@pytest.mark.parametrize(
    "command",
    [
        ("history", "-s", "{}"),
        ("state", "-s", "{}"),
        ("state", "-s", "{}", "log"),
        ("state", "-s", "{}", "set", "a=1"),
        ("sessions", "show", "{}"),
        ("sessions", "path", "{}"),
        ("sessions", "rename", "{}", "mine"),
        ("metrics", "-s", "{}"),
        ("continue", "-m", "replay:none", "-s", "{}", "hi"),
        ("run", "-m", "replay:{}", "hi"),
    ],
    ids=" ".join,
)
def test_no_user_reaches_anothers_session_by_id_name_or_prefix(
    alike: Clew, command: tuple[str, ...]
) -> None:
    alike("sessions", "rename", ALIKE[0], "secret")
    for ref in (ALIKE[0], "@secret", ALIKE[0][:-1]):
        words = (word.format(ref) for word in command)
        result = alike(*words, env={"CLEW_USER": "other"}, code=3)
        assert ALIKE[0] not in result.out
    assert not list((alike.home / "users" / "other").glob("*.jsonl"))


def test_no_user_reaches_anothers_session_by_last_use(three: Clew) -> None:
    three("history", "-u", "other", code=3)


def test_no_user_sees_anothers_sessions_in_a_list_or_a_sum(three: Clew) -> None:
    assert listed(three, "-u", "other") == []
    assert three("metrics", "--all", "-u", "other", "--json").json["runs"] == 0


def test_two_users_may_use_one_name(clew: Clew, model: str) -> None:
    for user in ("ann", "bob"):
        clew("run", "-u", user, "-s", user, "--name", "trip", "-m", model, "hi")
    assert clew("sessions", "show", "@trip", "-u", "bob", "--json").json["session_id"] == "bob"


def test_the_session_used_last_in_this_terminal_goes_before_the_last_one_anywhere(
    clew: Clew, model: str, tmp_path: Path
) -> None:
    script = f"""
        clew run -q -s here -m {model} hi
        setsid clew run -q -s elsewhere -m {model} hi
        clew state > {tmp_path}/state 2> {tmp_path}/why
    """
    in_terminal(clew, script)
    assert (tmp_path / "why").read_text() == "clew: session here (last used in this terminal)\n"
    assert "session elsewhere (last used)" in clew("state").err


@pytest.mark.parametrize("name", ["show", "path", "verify", "repair"])
def test_two_sessions_where_one_is_meant_are_refused(three: Clew, name: str) -> None:
    done = three("sessions", name, "a", "-s", "b", code=2)
    assert done.out == ""
    assert done.err.startswith("clew: two sessions: a and --session b\n")
