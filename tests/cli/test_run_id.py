"""`--run-id`: calls that can be repeated."""

import pytest

from tests.conftest import Clew
from tests.provider import Provider


def test_the_first_call_has_the_id(clew: Clew, model: str) -> None:
    line = clew("run", "-m", model, "-s", "s", "--run-id", "Job 7!", "--json", "hi").json
    assert (line["session_id"], line["run_id"]) == ("s", "Job 7!")


def test_the_same_call_again_prints_the_stored_line_and_calls_nothing(
    clew: Clew, model: str
) -> None:
    first = clew("run", "-m", model, "-s", "s", "--run-id", "r", "--json", "hi")
    again = clew("run", "-m", "replay:s", "-s", "s", "--run-id", "r", "--json", "hi")
    assert again.out == first.out
    assert len(clew.stored("s")) == 1
    assert "nothing was sent" in again.err


def test_a_call_is_repeated_without_its_model(clew: Clew, model: str) -> None:
    call = ("run", "-m", model, "--run-id", "r", "--json", "hi")
    first = clew(*call).json
    (clew.cwd.parent / "recording.jsonl").unlink()
    assert clew(*call).json == first


def test_a_repeated_call_prints_the_answer_as_text(clew: Clew, model: str) -> None:
    for _ in range(2):
        assert clew("run", "-m", model, "--run-id", "r", "hi").out == "hello\n"


def test_a_repeated_call_has_the_exit_code_of_the_first(clew: Clew) -> None:
    path = clew.cwd / "cut.jsonl"
    path.write_text('{"input": "go", "content": "half a", "finish_reason": "length"}\n')
    for _ in range(2):
        assert clew("run", "-m", f"replay:{path}", "--run-id", "r", "go", code=5).out == "half a\n"
    assert len(clew.stored("r")) == 1


def test_a_repeated_call_ends_its_stream_with_the_line(clew: Clew, model: str) -> None:
    first = clew("run", "-m", model, "--run-id", "r", "--json", "hi").json
    *_, last = clew("run", "-m", model, "--run-id", "r", "-o", "stream-json", "hi").lines
    assert (last["event"], last["run_id"], last["run"]) == ("RunCompleted", "r", first)


def test_a_repeated_continue_calls_nothing(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    first = clew("continue", "-s", "s", "--run-id", "r", "--json", "two").out
    assert clew("continue", "-s", "s", "--run-id", "r", "--json", "two").out == first
    assert len(clew.stored("s")) == 2


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [(["two"], None), (["one"], "piped"), (["one", "-f", "notes.txt"], None)],
    ids=["prompt", "pipe", "file"],
)
def test_the_same_id_with_another_input_is_exit_7(
    clew: Clew, model: str, arguments: list[str], stdin: str | None
) -> None:
    (clew.cwd / "notes.txt").write_text("x")
    clew("run", "-m", model, "--run-id", "r", "one")
    clew("run", "-m", model, "--run-id", "r", *arguments, stdin=stdin, code=7)
    assert len(clew.stored("r")) == 1


def test_the_same_id_in_another_session_is_exit_7(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "--run-id", "r", "one")
    assert "session s" in clew("run", "-m", model, "-s", "t", "--run-id", "r", "one", code=7).err
    assert not clew.session_file("t").exists()


def test_two_users_may_have_the_same_id(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "--run-id", "r", "one")
    clew("run", "-m", model, "-u", "anna", "--run-id", "r", "two")
    assert clew.stored("r", "anna")[0]["input"] == "two"


def test_without_s_the_session_is_the_id_where_that_is_valid(clew: Clew, model: str) -> None:
    assert clew("run", "-m", model, "--run-id", "job-7", "--json", "hi").json["session_id"] == (
        "job-7"
    )


def test_without_s_any_other_id_gives_the_same_session_each_time(clew: Clew, model: str) -> None:
    first = clew("run", "-m", model, "--run-id", "Job/7", "--json", "hi").json
    again = clew("run", "-m", model, "--run-id", "Job/7", "--json", "hi").json
    assert first == again
    assert first["session_id"] != "Job/7"


def test_a_failed_call_goes_on_with_the_same_command(clew: Clew, model: str) -> None:
    (clew.cwd / "later.jsonl").write_text("")
    call = ["run", "-m", "replay:later.jsonl", "--run-id", "r", "--json", "one"]
    clew(*call, code=3)
    (clew.cwd / "later.jsonl").write_text('{"input": "one", "content": "at last"}\n')
    line = clew(*call).json
    assert (line["resumes"], line["content"], line["input"]) == ("r", "at last", "one")
    assert line["run_id"] != "r"
    assert clew(*call).json == line
    assert len(clew.stored("r")) == 2


@pytest.mark.parametrize("ref", ["--resume", "--resume=r"])
def test_going_on_with_more_to_say_is_done_once(clew: Clew, ref: str) -> None:
    model = clew.recording(("one\n\nmore", "done"))
    run = ("run", "-q", "-s", "s", "-m", model, "--run-id")
    clew(*run, "r", "one", code=3)
    go_on = ("continue", "-q", "-s", "s", ref, "--run-id", "x", "--json")
    line = clew(*go_on, "more").json
    assert (line["resumes"], line["input"]) == ("r", "one\n\nmore")
    assert clew(*go_on, "more").json == line
    clew(*go_on, "less", code=7)
    clew(*run, "other", "one", code=3)
    clew("continue", "-q", "-s", "s", "--resume=other", "--run-id", "x", "more", code=7)
    assert len(clew.stored("s")) == 3


def test_going_on_with_the_run_that_went_on_with_another_is_done_once(clew: Clew) -> None:
    model = clew.recording(("one\n\nmore", "done"))
    clew("run", "-q", "-s", "s", "-m", model, "--run-id", "r", "one", code=3)
    clew("continue", "-q", "-s", "s", "--resume", "--run-id", "again", code=3)
    go_on = ("continue", "-q", "-s", "s", "--resume=r", "--run-id", "x", "--json", "more")
    line = clew(*go_on).json
    assert line["resumes"] == "again"
    assert clew(*go_on).json == line


def test_a_state_given_with_the_first_call_is_not_merged_again(clew: Clew, model: str) -> None:
    call = ["run", "-m", model, "--run-id", "r", "--state", '{"n": 1}', "hi"]
    clew(*call)
    clew("state", "set", "-s", "r", "n:=2")
    clew(*call)
    assert clew.stored("r")[-1]["session_state"] == {"n": 2}


def test_the_input_is_the_same_although_bytes_are_no_text(clew: Clew) -> None:
    model = clew.recording(("a\ufffdb", "yes"))
    for _ in range(2):
        assert clew("run", "-m", model, "--run-id", "r", b"a\xffb").out == "yes\n"
    assert len(clew.stored("r")) == 1


@pytest.mark.parametrize("run_id", ["", " ", "x" * 201, "a\nb"], ids=["", "blank", "long", "nl"])
def test_a_bad_run_id_is_exit_2(clew: Clew, model: str, run_id: str) -> None:
    clew("run", "-m", model, "--run-id", run_id, "hi", code=2)
    assert not clew.home.exists()


@pytest.mark.slow
@pytest.mark.parametrize("claim", ["", "{", "[]", '{"run_id": "other", "session_id": "s"}'])
def test_a_claim_that_cannot_be_read_is_exit_65_and_nothing_is_asked(
    clew: Clew, model: str, claim: str
) -> None:
    clew("run", "-m", model, "--run-id", "r", "one")
    before = clew.session_file("r").read_bytes()
    [path] = (p for p in clew.home.rglob(".runs/*") if p.suffix != ".lock")
    path.write_text(claim)
    result = clew("run", "-m", model, "--run-id", "r", "one", code=65)
    assert result.out == ""
    assert str(path) in result.err
    assert clew.session_file("r").read_bytes() == before
    assert path.read_text() == claim


def test_while_it_runs_the_same_call_waits_and_gets_the_same_line(
    clew: Clew, provider: Provider
) -> None:
    from threading import Event

    gate = Event()
    provider.answer("the one answer", gate=gate)
    call = ["run", "-m", "openai/test-model", "--run-id", "r", "--json", "hi"]
    first = clew.start(*call)
    provider.wait_for_requests(1)
    busy = clew(*call, "--no-wait", code=75)
    second = clew.start(*call)
    assert second.stderr is not None
    assert b"waiting: " in second.stderr.readline()
    gate.set()
    assert first.communicate(timeout=200)[0] == second.communicate(timeout=200)[0] != b""
    assert len(provider.requests) == 1
    assert "r" in busy.json["error"]["message"]


def test_an_id_that_clew_made_is_known_too(clew: Clew, model: str) -> None:
    first = clew("run", "-m", model, "-s", "s", "--json", "hi")
    call = ["run", "-m", model, "-s", "s", "--run-id", first.json["run_id"], "--json", "hi"]
    assert clew(*call).out == first.out
    assert len(clew.stored("s")) == 1
