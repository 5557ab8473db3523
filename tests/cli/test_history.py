"""`clew history`."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CLEW, Clew
from tests.defined import define
from tests.provider import Provider
from tests.stuck import stuck


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Clew:
    """A session `talk`: three turns, a failed run, a change of state. For reading only."""
    clew = Clew(tmp_path_factory.mktemp("talk"))
    words = ("one", "two", "three")
    model = clew.recording(*((word, f"answer {word}") for word in words))
    clew("run", "-s", "talk", "-m", model, "--system", "Be brief.", "one")
    clew("continue", "-s", "talk", "two")
    clew("continue", "-s", "talk", "what?", code=3)
    clew("state", "-s", "talk", "set", "city=Lyon")
    clew("continue", "-s", "talk", "three")
    return clew


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Clew:
    """A session `long` of eleven runs. For reading only."""
    clew = Clew(tmp_path_factory.mktemp("long"))
    for _ in range(11):
        clew("run", "-s", "long", "-m", clew.recording(("hi", "hello")), "hi")
    return clew


def inputs(lines: list[Any]) -> list[str]:
    return [line["input"] for line in lines]


def run_ids(clew: Clew, session: str) -> list[str]:
    return [line["run_id"] for line in clew.stored(session) if line["type"] == "run"]


def test_text_shows_questions_and_answers_oldest_first(talk: Clew) -> None:
    shown = talk("history", "-s", "talk").out
    wanted = ["> one", "answer one", "> two", "answer two", "> three", "answer three"]
    places = [shown.index(f"\n{text}\n") for text in wanted]
    assert places == sorted(places)


def test_text_marks_a_failed_run_with_its_status_and_reason(talk: Clew) -> None:
    shown = talk("history", "-s", "talk").out
    assert "ERROR: " in shown.split("> what?")[0].splitlines()[-1]


def test_without_a_count_the_ten_newest_runs_are_shown(long: Clew) -> None:
    assert long("history", "-s", "long").out.count("> hi") == 10


def test_all_shows_more_than_ten(long: Clew) -> None:
    assert long("history", "-s", "long", "-n", "all").out.count("> hi") == 11


def test_a_count_takes_the_newest_and_keeps_their_order(talk: Clew) -> None:
    assert inputs(talk("history", "-s", "talk", "--json", "-n", "2").lines) == ["what?", "three"]


def test_a_count_of_zero_prints_nothing(talk: Clew) -> None:
    assert talk("history", "-s", "talk", "-n", "0").out == ""


@pytest.mark.parametrize("count", ["-1", "x", "", "1.5", "9" * 30, "9" * 5000])
def test_a_count_that_is_none_is_a_usage_error(talk: Clew, count: str) -> None:
    assert "not a number" in talk("history", "-s", "talk", "-n", count, code=2).err


def test_json_prints_the_stored_run_lines_byte_for_byte(talk: Clew) -> None:
    stored = talk.session_file("talk").read_text().splitlines(keepends=True)
    runs = [line for line in stored if json.loads(line)["type"] == "run"]
    assert talk("history", "-s", "talk", "--json").out == "".join(runs)


def test_json_prints_all_runs_unless_a_count_is_given(long: Clew) -> None:
    assert len(long("history", "-s", "long", "--json").lines) == 11


def test_lines_prints_every_line_byte_for_byte(talk: Clew) -> None:
    assert talk("history", "-s", "talk", "--lines").out == talk.session_file("talk").read_text()


def test_lines_obeys_the_filters(talk: Clew) -> None:
    lines = talk("history", "-s", "talk", "--lines", "--status", "error").lines
    assert inputs(lines) == ["what?"]


@pytest.mark.parametrize("pair", [("--messages", "--lines"), ("--lines", "--as-sent=r")])
def test_two_forms_of_output_exclude_each_other(talk: Clew, pair: tuple[str, str]) -> None:
    assert "exclude each other" in talk("history", "-s", "talk", *pair, code=2).err


def test_messages_prints_one_message_a_line_with_its_run(talk: Clew) -> None:
    messages = talk("history", "-s", "talk", "--messages", "-n", "1").lines
    run = run_ids(talk, "talk")[-1]
    assert messages == [
        {"run_id": run, "seq": 5, "role": "system", "content": "Be brief."},
        {"run_id": run, "seq": 5, "role": "user", "content": "three"},
        {"run_id": run, "seq": 5, "role": "assistant", "content": "answer three"},
    ]


def test_status_leaves_only_runs_that_ended_so(talk: Clew) -> None:
    assert inputs(talk("history", "-s", "talk", "--json", "--status", "error").lines) == ["what?"]


def test_filters_come_before_the_count(talk: Clew) -> None:
    chosen = talk("history", "-s", "talk", "--json", "--status", "COMPLETED", "-n", "2").lines
    assert inputs(chosen) == ["two", "three"]


def test_grep_looks_at_questions_and_answers_whatever_the_case(talk: Clew) -> None:
    assert inputs(talk("history", "-s", "talk", "--json", "--grep", "ANSWER T").lines) == [
        "two",
        "three",
    ]


def test_since_takes_a_moment_and_leaves_out_what_was_before(talk: Clew) -> None:
    moment = talk.stored("talk")[2]["created_at"]
    chosen = talk("history", "-s", "talk", "--json", "--since", moment).lines
    assert inputs(chosen) == ["what?", "three"]


def test_since_takes_a_duration(talk: Clew) -> None:
    assert len(talk("history", "-s", "talk", "--json", "--since", "1h").lines) == 4


def test_since_in_the_future_leaves_nothing(talk: Clew) -> None:
    assert talk("history", "-s", "talk", "--since", "2999-01-01").out == ""


def test_a_since_that_is_no_time_is_a_usage_error_with_examples(talk: Clew) -> None:
    assert "7d" in talk("history", "-s", "talk", "--since", "yesterday", code=2).err


def test_run_gives_that_run_and_what_went_on_with_it(clew: Clew, model: str) -> None:
    clew("run", "-s", "s", "-m", model, "unknown", code=3)
    clew("run", "-s", "s", "-m", model, "hi")
    knows = clew.recording(("unknown", "known"), name="more.jsonl")
    clew("continue", "-s", "s", "-m", knows, f"--resume={run_ids(clew, 's')[0]}")
    lines = clew("history", "-s", "s", "--json", f"--run={run_ids(clew, 's')[0]}").lines
    assert [line["seq"] for line in lines] == [1, 3]


@pytest.mark.parametrize("option", ["--run", "--as-sent"])
def test_an_unknown_run_is_not_found(talk: Clew, option: str) -> None:
    assert "no run 'nope'" in talk("history", "-s", "talk", f"{option}=nope", code=3).err


def test_an_unknown_session_is_not_found(talk: Clew) -> None:
    assert "sessions list" in talk("history", "-s", "nope", code=3).err


def test_without_any_session_the_hint_says_how_to_start(clew: Clew) -> None:
    assert "clew run" in clew("history", code=3).err


def test_another_user_does_not_find_the_session(talk: Clew) -> None:
    assert talk("history", "-s", "talk", "-u", "other", code=3).out == ""


def test_which_session_was_chosen_is_said_on_stderr(talk: Clew) -> None:
    assert "session talk (last used" in talk("history").err


def test_quiet_does_not_say_which_session_was_chosen(talk: Clew) -> None:
    assert talk("history", "-q").err == ""


def test_the_variable_chooses_the_session_and_is_named(talk: Clew) -> None:
    assert "(from $CLEW_SESSION)" in talk("history", env={"CLEW_SESSION": "talk"}).err


def test_an_empty_variable_counts_as_unset(talk: Clew) -> None:
    assert "last used" in talk("history", env={"CLEW_SESSION": ""}).err


def test_a_bad_line_in_the_middle_is_named_and_skipped(clew: Clew, model: str) -> None:
    clew("run", "-s", "s", "-m", model, "one")
    clew("run", "-s", "s", "-m", model, "two")
    path = clew.session_file("s")
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(f"{first}{{broken\n{second}")
    result = clew("history", "-s", "s", "--json")
    assert inputs(result.lines) == ["one", "two"]
    assert "s.jsonl:2: skipped" in result.err


def test_as_sent_is_exactly_what_the_provider_got(clew: Clew, provider: Provider) -> None:
    first = clew.recording(("one", "answer one"), ("two", "answer two"))
    clew("run", "-s", "s", "-m", first, "--system", "Be brief.", "one")
    clew("continue", "-s", "s", "two")
    clew("continue", "-s", "s", "lost", code=3)
    clew("continue", "-s", "s", "-m", "openai/test-model", "--history-runs", "1", "three")
    sent = clew("history", "-s", "s", f"--as-sent={run_ids(clew, 's')[-1]}").lines
    assert sent == provider.requests[0].body["messages"]
    assert [m["content"] for m in sent] == ["Be brief.", "two", "answer two", "three"]


def test_as_sent_of_a_run_without_history_is_its_own_messages(talk: Clew) -> None:
    sent = talk("history", "-s", "talk", f"--as-sent={run_ids(talk, 'talk')[0]}").lines
    assert [message["content"] for message in sent] == ["Be brief.", "one"]


def test_whoever_has_a_name_is_named_beside_the_model(clew: Clew) -> None:
    model = clew.recording(("hi", "hello"))
    define(clew, f"model: {model}", "greeter")
    clew("run", "-s", "s", "-a", "greeter", "hi")
    clew("run", "-s", "s", "-m", model, "hi")
    heads = [line.split(" · ")[2] for line in clew("history", "-s", "s").out.splitlines()[::4]]
    assert heads == [f"greeter ({model})", model]


def test_a_cancelled_run_is_shown_with_what_came_and_marked(clew: Clew) -> None:
    with stuck(clew, "run", "-s", "s") as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=200)
    shown = clew("history", "-s", "s").out
    assert "\n   CANCELLED: " in shown
    assert "\nword " in shown


def test_a_run_under_way_is_shown_with_what_has_come(clew: Clew) -> None:
    with stuck(clew, "run", "-s", "s"):
        shown = clew("history", "-s", "s").out
    assert shown.startswith("── running since ")
    assert "\nword " in shown


def test_a_run_under_way_can_be_asked_for_by_its_id(clew: Clew) -> None:
    with stuck(clew, "run", "-s", "s", "--run-id", "r1"):
        assert "> flood" in clew("history", "-s", "s", "--run=r1").out
        assert clew("history", "-s", "s", "--as-sent=r1").json["content"] == "flood"


def test_a_run_under_way_is_no_line_yet(clew: Clew) -> None:
    with stuck(clew, "run", "-s", "s"):
        assert clew("history", "-s", "s", "--json").out == ""
        assert clew("history", "-s", "s", "--status", "interrupted").out == ""


@dataclass(frozen=True)
class Remains:
    """A world in which a process was killed in the middle of an answer."""

    clew: Clew

    def content(self) -> dict[Path, bytes | None]:
        paths = self.clew.home.rglob("*")
        return {path: path.read_bytes() if path.is_file() else None for path in paths}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clew = Clew(tmp_path_factory.mktemp("killed"))
    clew("run", "-s", "s", "-m", clew.recording(("hi", "hello")), "hi")
    with stuck(clew, "continue", "-s", "s", "--run-id", "dead") as process:
        process.kill()
        process.wait()
    return clew.home


@pytest.fixture
def remains(killed: Path, clew: Clew) -> Remains:
    shutil.copytree(killed, clew.home)
    return Remains(clew)


def test_a_killed_run_is_shown_as_interrupted_with_what_came(remains: Remains) -> None:
    shown = remains.clew("history", "-s", "s").out
    assert "── not stored yet · " in shown
    assert "\n   INTERRUPTED: " in shown
    assert "\nword " in shown


def test_a_killed_run_has_no_seq_until_it_is_stored(remains: Remains) -> None:
    last = remains.clew("history", "-s", "s", "--json").lines[-1]
    assert (last["status"], last["seq"], last["run_id"]) == ("INTERRUPTED", None, "dead")
    assert last["content"].startswith("word ")


def test_a_killed_run_can_be_asked_for_by_its_id(remains: Remains) -> None:
    assert remains.clew("history", "-s", "s", "--json", "--run=dead").json["seq"] is None


def test_what_a_killed_run_was_sent_is_known(remains: Remains) -> None:
    sent = remains.clew("history", "-s", "s", "--as-sent=dead").lines
    assert [message["content"] for message in sent] == ["hi", "hello", "flood"]


@pytest.mark.parametrize("form", ["--json", "--messages", "--lines", "-q"])
def test_showing_a_killed_run_writes_nothing(remains: Remains, form: str) -> None:
    before = remains.content()
    remains.clew("history", "-s", "s", form)
    assert remains.content() == before


def test_a_killed_run_is_shown_from_a_read_only_store(remains: Remains) -> None:
    command = [*_without_privilege(), str(CLEW), "history", "-s", "s", "--json"]
    for path in [remains.clew.home, *remains.clew.home.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        done = subprocess.run(
            command, env=remains.clew.env, cwd=remains.clew.cwd, capture_output=True, check=True
        )
    finally:
        for path in [remains.clew.home, *remains.clew.home.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "INTERRUPTED"


def _without_privilege() -> Iterator[str]:
    """Yield what makes permissions bind root, too."""
    if os.geteuid() != 0:
        return
    if not shutil.which("setpriv"):
        pytest.skip("permissions do not bind root, and setpriv is not there")
    yield from ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def test_the_next_write_stores_a_killed_run_once(remains: Remains) -> None:
    remains.clew("state", "-s", "s", "set", "a=1")
    remains.clew("state", "-s", "s", "set", "a=2")
    stored = [line for line in remains.clew.stored("s") if line.get("run_id") == "dead"]
    assert [(line["seq"], line["status"]) for line in stored] == [(2, "INTERRUPTED")]


def test_a_stored_killed_run_is_shown_once(remains: Remains) -> None:
    remains.clew("state", "-s", "s", "set", "a=1")
    assert remains.clew("history", "-s", "s").out.count("> flood") == 1


@pytest.mark.parametrize(
    "command", ["history --run=", "history --as-sent=", "state --at=", "state get a --at="]
)
def test_an_empty_reference_is_refused(clew: Clew, model: str, command: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    assert "is empty" in clew(*command.split(), code=2).err
