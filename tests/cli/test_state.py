"""`clew state`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Clew, eventually
from tests.stuck import stuck


@pytest.fixture
def session(clew: Clew) -> Clew:
    """A world with a session `s` whose state is {"city": "Lyon", "tags": ["a", "b"], "n": 1}."""
    clew("state", "-s", "s", "set", "--create", "city=Lyon", 'tags:=["a", "b"]', "n:=1")
    return clew


def state(clew: Clew, session: str = "s") -> Any:
    """Return the state as the file has it."""
    return clew.stored(session)[-1]["session_state"]


def test_the_state_is_printed_as_json(session: Clew) -> None:
    assert session("state", "-s", "s").json == {"city": "Lyon", "tags": ["a", "b"], "n": 1}


def test_json_adds_session_and_seq(session: Clew) -> None:
    printed = session("state", "-s", "s", "--json").json
    assert printed == {"session_id": "s", "seq": 1, "session_state": state(session)}


def test_a_session_without_state_has_an_empty_one(clew: Clew, model: str) -> None:
    clew("run", "-s", "s", "-m", model, "hi")
    assert clew("state", "-s", "s").json == {}


def test_the_last_session_is_meant_and_named_on_stderr(session: Clew) -> None:
    result = session("state", "set", "a=1")
    assert "session s (last used" in result.err
    assert state(session)["a"] == "1"


@pytest.mark.parametrize("place", ["before", "behind"])
def test_the_session_may_stand_before_or_behind_the_subcommand(session: Clew, place: str) -> None:
    words = ("-s", "s", "get", "n") if place == "before" else ("get", "n", "-s", "s")
    assert session("state", *words).out == "1\n"


def test_an_unknown_session_is_not_found_and_not_made(clew: Clew) -> None:
    clew("state", "-s", "nope", "set", "a=1", code=3)
    assert not clew.session_file("nope").exists()


def test_another_user_neither_reads_nor_changes_the_state(session: Clew) -> None:
    assert session("state", "-s", "s", "-u", "other", code=3).out == ""
    session("state", "-s", "s", "-u", "other", "set", "a=1", code=3)
    assert "a" not in state(session)


# get


@pytest.mark.parametrize(
    ("path", "value"),
    [("city", '"Lyon"'), ("tags.1", '"b"'), ("/tags/0", '"a"'), ("tags", '["a", "b"]')],
)
def test_get_prints_the_value_as_json(session: Clew, path: str, value: str) -> None:
    assert session("state", "-s", "s", "get", path).out == f"{value}\n"


def test_get_raw_prints_a_text_without_quotes(session: Clew) -> None:
    assert session("state", "-s", "s", "get", "city", "-r").out == "Lyon\n"


def test_get_raw_leaves_other_values_as_json(session: Clew) -> None:
    assert session("state", "-s", "s", "get", "n", "-r").out == "1\n"


@pytest.mark.parametrize("path", ["nope", "city.x", "tags.2", "tags.x", "tags.-1", "/", "n.0"])
def test_what_is_missing_is_not_found(session: Clew, path: str) -> None:
    assert session("state", "-s", "s", "get", path, code=3).out == ""


def test_a_default_is_printed_for_what_is_missing(session: Clew) -> None:
    assert session("state", "-s", "s", "get", "nope", "--default", "none").out == "none\n"


def test_a_default_does_not_hide_what_is_there(session: Clew) -> None:
    assert session("state", "-s", "s", "get", "city", "-r", "--default", "none").out == "Lyon\n"


@pytest.mark.parametrize("path", ["", ".", "a..b", ".a", "a."])
def test_a_broken_path_is_a_usage_error_even_with_a_default(session: Clew, path: str) -> None:
    session("state", "-s", "s", "get", path, "--default", "x", code=2)


# set and unset


def test_set_takes_text_after_an_equals_sign_and_json_after_a_colon_too(session: Clew) -> None:
    session("state", "-s", "s", "set", "t=1", 'j:={"k": [true]}', "e=a=b")
    after = state(session)
    assert (after["t"], after["j"], after["e"]) == ("1", {"k": [True]}, "a=b")


def test_set_makes_the_objects_on_the_way(session: Clew) -> None:
    session("state", "-s", "s", "set", "plan.steps.first=go")
    assert state(session)["plan"] == {"steps": {"first": "go"}}


def test_a_pointer_reaches_keys_with_dots_and_slashes(session: Clew) -> None:
    session("state", "-s", "s", "set", "/a.b/c~1d=x")
    assert state(session)["a.b"] == {"c/d": "x"}


def test_set_changes_one_position_of_a_list(session: Clew) -> None:
    session("state", "-s", "s", "set", "tags.0=z")
    assert state(session)["tags"] == ["z", "b"]


@pytest.mark.parametrize("path", ["tags.-", "tags.2", "/tags/-"])
def test_set_appends_to_a_list(session: Clew, path: str) -> None:
    session("state", "-s", "s", "set", f"{path}=c")
    assert state(session)["tags"] == ["a", "b", "c"]


@pytest.mark.parametrize(("old", "new"), [("1", "true"), ("1", "1.0"), ("[0]", "[false]")])
def test_values_that_only_python_takes_for_the_same_are_a_change(
    session: Clew, old: str, new: str
) -> None:
    session("state", "-s", "s", "set", f"a:={old}")
    session("state", "-s", "s", "set", f"a:={new}")
    assert json.dumps(state(session)["a"]) == new
    assert len(session.stored("s")) == 3


@pytest.mark.parametrize("join", [".".join, lambda parts: "/" + "/".join(parts)])
@pytest.mark.parametrize("command", ["get", "set", "unset"])
@pytest.mark.parametrize("parts", [101, 20_000])
def test_a_path_of_more_than_a_hundred_parts_is_a_usage_error(
    session: Clew, join: Callable[[list[str]], str], command: str, parts: int
) -> None:
    path = join(["a"] * parts)
    result = session("state", "-s", "s", command, path + ("=1" if command == "set" else ""), code=2)
    assert f"the path has {parts} parts; 100 is the most" in result.err
    assert len(session.stored("s")) == 1


def test_a_path_of_a_hundred_parts_is_set_and_read_again(session: Clew) -> None:
    path = ".".join(["a"] * 100)
    session("state", "-s", "s", "set", f"{path}=deep")
    assert session("state", "-s", "s", "get", "-r", path).out == "deep\n"


def test_set_to_null_removes(session: Clew) -> None:
    session("state", "-s", "s", "set", "city:=null")
    assert "city" not in state(session)


@pytest.mark.parametrize(
    "assignment",
    ["a", "=x", ":=1", "a..b=1", "city.x=1", "tags.9=1", "tags.x=1", "a:=", "a:={", "a:=1 2"],
)
def test_a_broken_assignment_is_a_usage_error_and_changes_nothing(
    session: Clew, assignment: str
) -> None:
    session("state", "-s", "s", "set", "ok=1", assignment, code=2)
    assert len(session.stored("s")) == 1


@pytest.mark.parametrize(
    "value",
    ["1e999", "-1e999", "NaN", "Infinity", "9" * 5000, "[" * 200 + "]" * 200, "[" * 90_000],
    ids=["1e999", "-1e999", "NaN", "Infinity", "5000 digits", "200 levels", "90000 levels"],
)
@pytest.mark.parametrize("how", ["set", "patch", "replace"])
def test_a_value_that_not_every_reader_takes_back_is_refused(
    session: Clew, value: str, how: str
) -> None:
    argument = f"a:={value}" if how == "set" else f'{{"a": {value}}}'
    session("state", "-s", "s", how, argument, code=2)
    assert len(session.stored("s")) == 1


def test_bytes_that_are_no_text_are_stored_as_replacement_characters(session: Clew) -> None:
    session("state", "-s", "s", "set", b"a=x\xffy", b"k\xff=1")
    assert state(session)["a"] == "x\N{REPLACEMENT CHARACTER}y"
    assert state(session)["k\N{REPLACEMENT CHARACTER}"] == "1"


def test_half_a_surrogate_pair_in_json_is_stored_as_a_replacement_character(session: Clew) -> None:
    session("state", "-s", "s", "set", r'a:="\ud800"')
    assert state(session)["a"] == "\N{REPLACEMENT CHARACTER}"


def test_unset_removes_members_and_positions(session: Clew) -> None:
    session("state", "-s", "s", "unset", "city", "tags.0")
    assert state(session) == {"tags": ["b"], "n": 1}


def test_unset_of_what_is_missing_is_not_found_and_changes_nothing(session: Clew) -> None:
    session("state", "-s", "s", "unset", "city", "nope", code=3)
    assert len(session.stored("s")) == 1


def test_a_change_that_changes_nothing_writes_nothing(session: Clew) -> None:
    session("state", "-s", "s", "set", "city=Lyon")
    assert len(session.stored("s")) == 1


def test_a_change_is_quiet_on_stdout(session: Clew) -> None:
    assert session("state", "-s", "s", "set", "a=1").out == ""


def test_a_change_with_json_prints_the_new_state(session: Clew) -> None:
    printed = session("state", "-s", "s", "set", "n:=2", "--json").json
    assert printed == {"session_id": "s", "seq": 2, "session_state": state(session)}


# update, patch, replace


def test_update_puts_what_jq_makes_in_place_of_the_state(session: Clew) -> None:
    session("state", "-s", "s", "update", '.n += 1 | del(.city) | .tags += ["c"]')
    assert state(session) == {"tags": ["a", "b", "c"], "n": 2}


def test_update_leaves_numbers_alone_that_jq_cannot_hold(session: Clew) -> None:
    session("state", "-s", "s", "set", "id:=12345678901234567890", "f:=1.0")
    session("state", "-s", "s", "update", ".n += 1")
    assert session.stored("s")[-1]["state_patch"] == {"n": 2}


@pytest.mark.parametrize("program", [".all = env", ".all = $ENV", ".all = [env[]]"])
def test_a_program_sees_the_environment_without_its_keys(session: Clew, program: str) -> None:
    environment = {"OPENAI_API_KEY": "sk-CANARY-0123456789", "PLAIN": "plain to see"}
    session("state", "-s", "s", "update", program, env=environment)
    raw = session.session_file("s").read_text()
    assert ("plain to see" in raw, "CANARY" in raw) == (True, False)


@pytest.mark.parametrize(
    "program", [".[", "nope", ".n", ".,.", "empty", "null", "[.]", ".n[0]", 'error("x")', "input"]
)
def test_a_program_that_gives_no_single_object_is_a_usage_error(
    session: Clew, program: str
) -> None:
    result = session("state", "-s", "s", "update", program, code=2)
    assert "jq program" in result.err
    assert len(session.stored("s")) == 1


def test_update_refuses_a_state_nested_too_deeply(session: Clew) -> None:
    session("state", "-s", "s", "update", "reduce range(200) as $i (.; {a: .})", code=2)
    assert len(session.stored("s")) == 1


def test_patch_merges_objects_replaces_lists_and_removes_nulls(session: Clew) -> None:
    session("state", "-s", "s", "patch", '{"city": null, "tags": ["z"], "o": {"a": 1, "b": null}}')
    assert state(session) == {"tags": ["z"], "n": 1, "o": {"a": 1}}


def test_patch_reads_standard_input(session: Clew) -> None:
    session("state", "-s", "s", "patch", stdin='{"n": 9}')
    assert state(session)["n"] == 9


def test_replace_puts_an_object_in_place_of_the_state(session: Clew) -> None:
    session("state", "-s", "s", "replace", stdin='{"only": {"x": null, "y": 1}}')
    last = session.stored("s")[-1]
    assert last["session_state"] == {"only": {"y": 1}}
    assert last["state_replaced"] is True


@pytest.mark.parametrize("how", ["patch", "replace"])
@pytest.mark.parametrize("text", ["[]", "1", '"x"', "null", "", "{"])
def test_what_is_no_object_is_refused(session: Clew, how: str, text: str) -> None:
    session("state", "-s", "s", how, stdin=text, code=2)
    assert len(session.stored("s")) == 1


def test_the_state_holds_no_null_members_however_they_come(session: Clew) -> None:
    session("state", "-s", "s", "set", 'a:={"x": null, "l": [{"y": null}]}')
    assert state(session)["a"] == {"l": [{}]}


# what was, and who changed it


def test_at_a_seq_gives_the_state_after_that_line(session: Clew) -> None:
    session("state", "-s", "s", "set", "n:=2")
    assert session("state", "-s", "s", "get", "n", "--at", "1").out == "1\n"


def test_at_a_run_gives_the_state_after_that_run(session: Clew, model: str) -> None:
    session("run", "-s", "s", "-m", model, "--run-id", "r1", "--state", '{"n": 5}', "hi")
    session("state", "-s", "s", "set", "n:=6")
    assert session("state", "-s", "s", "--json", "--at=r1").json["session_state"]["n"] == 5


@pytest.mark.parametrize("at", ["7", "nope", "9" * 5000])
def test_at_what_is_not_there_is_not_found(session: Clew, at: str) -> None:
    session("state", "-s", "s", "--at", at, code=3)


def test_the_log_tells_every_change_with_its_seq_and_run(session: Clew, model: str) -> None:
    session("run", "-s", "s", "-m", model, "--run-id", "r1", "--state", '{"n": 5}', "hi")
    session("run", "-s", "s", "-m", model, "hi")
    session("state", "-s", "s", "unset", "n", env={"CLEW_RUN": "r9"})
    changes = session("state", "-s", "s", "log", "--json").lines[1:]
    assert [(change["seq"], change["by"], change["state_patch"]) for change in changes] == [
        (2, "r1", {"n": 5}),
        (4, "r9", {"n": None}),
    ]


def test_the_log_for_people_shows_each_patch(session: Clew) -> None:
    session("state", "-s", "s", "set", "n:=2")
    assert '{"n": 2}' in session("state", "-s", "s", "log").out


def test_a_change_made_by_a_run_names_it(session: Clew) -> None:
    session("state", "-s", "s", "set", "a=1", env={"CLEW_RUN": "r9"})
    assert session.stored("s")[-1]["by"] == "r9"


def test_a_change_made_by_a_person_names_no_run(session: Clew) -> None:
    assert session.stored("s")[-1]["by"] is None


# compare and set, create


def test_a_change_at_the_expected_seq_is_made(session: Clew) -> None:
    session("state", "-s", "s", "set", "n:=2", "--if-seq", "1")
    assert state(session)["n"] == 2


@pytest.mark.parametrize("change", [("set", "n:=2"), ("set", "n:=1"), ("update", ".n = 3")])
def test_a_change_at_another_seq_is_a_conflict(session: Clew, change: tuple[str, str]) -> None:
    result = session("state", "-s", "s", *change, "--if-seq", "7", code=7)
    assert "at seq 1, not 7" in result.err
    assert len(session.stored("s")) == 1


def test_create_makes_the_session_with_one_line(clew: Clew) -> None:
    clew("state", "-s", "new", "set", "--create", "a=1")
    assert [line["type"] for line in clew.stored("new")] == ["state"]


def test_create_makes_a_session_even_of_an_empty_state(clew: Clew) -> None:
    clew("state", "-s", "new", "patch", "--create", "{}")
    assert state(clew, "new") == {}


def test_create_at_another_seq_leaves_no_file(clew: Clew) -> None:
    refused = clew("state", "-s", "new", "set", "--create", "a=1", "--if-seq", "5", code=7)
    assert "at seq 0, not 5" in refused.err
    assert not clew.session_file("new").exists()


def test_create_leaves_what_is_there(session: Clew) -> None:
    session("state", "-s", "s", "set", "--create", "a=1")
    assert state(session) == {"city": "Lyon", "tags": ["a", "b"], "n": 1, "a": "1"}


def test_create_by_name_names_the_new_session(clew: Clew) -> None:
    clew("state", "-s", "@trip", "set", "--create", "a=1", "--if-seq", "0")
    assert clew("state", "-s", "@trip").json == {"a": "1"}


def test_create_by_name_prints_the_seq_of_the_last_line_it_wrote(clew: Clew) -> None:
    printed = clew("state", "set", "--create", "-s", "@new", "--json", "a=1").json
    last = clew.stored(printed["session_id"])[-1]
    assert printed == {"session_id": last["session_id"], "seq": 2, "session_state": {"a": "1"}}
    assert last["seq"] == 2


def test_a_change_that_fails_creates_no_session(clew: Clew) -> None:
    clew("state", "-s", "@trip", "unset", "--create", "a", code=3)
    assert clew("sessions", "list").out == ""


def test_create_needs_a_session(clew: Clew) -> None:
    assert "-s" in clew("state", "set", "--create", "a=1", code=2).err


def test_create_refuses_what_is_no_session_id(clew: Clew) -> None:
    assert "lower-case: abc" in clew("state", "-s", "ABC", "set", "--create", "a=1", code=2).err


def test_an_unknown_subcommand_is_told_how_to_read_a_value(session: Clew) -> None:
    assert "clew state get city" in session("state", "city", code=2).err


def test_no_subcommand_takes_the_printing_options_of_the_group(session: Clew) -> None:
    session("state", "--json", "set", "a=1", code=2)
    assert len(session.stored("s")) == 1


# beside others


def test_the_state_is_read_and_changed_while_a_model_answers(session: Clew) -> None:
    with stuck(session, "continue", "-s", "s") as process:
        session("state", "-s", "s", "set", "n:=2")
        assert session("state", "-s", "s", "get", "n").out == "2\n"
        assert process.poll() is None


def test_a_run_and_a_change_beside_it_both_count(session: Clew) -> None:
    with stuck(session, "continue", "-s", "s", "--state", '{"city": "Paris"}') as process:
        session("state", "-s", "s", "set", "n:=2")
        process.communicate(timeout=200)
    assert state(session) == {"city": "Paris", "tags": ["a", "b"], "n": 2}


def test_of_a_run_and_a_change_beside_it_the_later_line_wins_the_same_key(session: Clew) -> None:
    with stuck(session, "continue", "-s", "s", "--state", '{"city": "Paris"}') as process:
        session("state", "-s", "s", "set", "city=Rome")
        process.communicate(timeout=200)
    assert state(session)["city"] == "Paris"


@pytest.mark.slow
def test_no_update_is_lost_between_eight_processes(session: Clew) -> None:
    session("state", "-s", "s", "set", "n:=0")
    session.shell(
        "for i in {1..8}; do (for j in {1..10}; do clew state -s s update '.n += 1'; done) & done;"
        " wait"
    )
    assert state(session)["n"] == 80
    assert [line["seq"] for line in session.stored("s")] == list(range(1, 83))


def test_what_is_stored_is_ascii_whatever_the_state_holds(session: Clew) -> None:
    session("state", "-s", "s", "set", "a=é\N{GRINNING FACE}")
    raw = session.session_file("s").read_bytes()
    assert raw.isascii()
    assert json.loads(raw.splitlines()[-1])["session_state"]["a"] == "é\N{GRINNING FACE}"


def test_a_jq_program_without_end_dies_of_a_signal_and_frees_the_session(clew: Clew) -> None:
    clew("state", "-s", "s", "set", "--create", "n:=1")
    with clew.start("state", "-s", "s", "update", "while(true; .)") as endless:
        lock = clew.session_file("s").with_name("s.append.lock")
        eventually(lambda: f'"pid": {endless.pid},' in lock.read_text())
        endless.terminate()
    assert endless.returncode == -15
    clew("state", "-s", "s", "set", "n:=2")
    assert clew("state", "-s", "s", "get", "n").out == "2\n"
