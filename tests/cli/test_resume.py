"""`clew continue --resume`: going on with a run that did not end well."""

from typing import Any

import pytest

from clew.core.store import Waiting
from clew.stores.jsonl import JsonlStore
from tests.conftest import Clew
from tests.stuck import stuck


@pytest.fixture
def failed(clew: Clew, model: str) -> Clew:
    """A world in which session `s` has a turn and then a failed run `f`; `later` answers it."""
    clew("run", "-m", model, "-s", "s", "one")
    clew("run", "-m", model, "-s", "s", "--run-id", "f", "unheard of", code=3)
    return clew


@pytest.fixture
def later(clew: Clew) -> str:
    return clew.recording(
        ("unheard of", "now I know"), ("unheard of\n\nshort", "yes"), name="later.jsonl"
    )


def test_resume_goes_on_with_the_last_unfinished_run(failed: Clew, later: str) -> None:
    line = failed("continue", "-s", "s", "-m", later, "--resume", "--json").json
    assert (line["resumes"], line["status"], line["content"]) == ("f", "COMPLETED", "now I know")
    assert line["input"] == "unheard of"
    assert line["history"]["runs"] == 1


def test_resume_may_name_the_run(failed: Clew, model: str, later: str) -> None:
    failed("continue", "-s", "s", "two words nobody knows", code=3)
    line = failed("continue", "-s", "s", "-m", later, "--resume=f", "--json").json
    assert (line["resumes"], line["content"]) == ("f", "now I know")


def test_the_next_word_is_a_prompt_and_never_the_run(failed: Clew, later: str) -> None:
    line = failed("continue", "-s", "s", "-m", later, "--resume", "short", "--json").json
    assert (line["resumes"], line["content"]) == ("f", "yes")
    assert [m["content"] for m in line["messages"]] == ["unheard of", "short", "yes"]


def test_a_resumed_run_keeps_its_own_model(failed: Clew, model: str) -> None:
    line = failed("continue", "-s", "s", "--resume", "--json", code=3).json
    assert (line["model"], line["resumes"]) == (model, "f")


def test_resume_goes_on_at_the_end_of_the_chain(failed: Clew, later: str) -> None:
    second = failed("continue", "-s", "s", "--resume", "--json", code=3).json
    third = failed("continue", "-s", "s", "-m", later, "--resume=f", "--json").json
    assert third["resumes"] == second["run_id"]


def test_a_run_that_was_resumed_to_its_end_is_printed_again(failed: Clew, later: str) -> None:
    line = failed("continue", "-s", "s", "-m", later, "--resume=f", "--json").json
    assert failed("continue", "-s", "s", "--resume=f", "--json").json == line
    assert len(failed.stored("s")) == 3


def test_a_resumed_run_is_no_longer_unfinished(failed: Clew, later: str) -> None:
    failed("continue", "-s", "s", "-m", later, "--resume")
    failed("continue", "-s", "s", "--resume", code=3)


def test_nothing_to_resume_is_exit_3(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    clew("continue", "-s", "s", "--resume", code=3)
    clew("continue", "-s", "s", "--resume=nobody", code=3)


def test_resuming_a_completed_run_is_exit_2(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "--run-id", "r", "one")
    assert "COMPLETED" in clew("continue", "-s", "s", "--resume=r", code=2).err


def test_a_resumed_run_leaves_standard_input_alone_unless_told(failed: Clew, later: str) -> None:
    call = ["continue", "-s", "s", "-m", later, "--resume", "--json"]
    assert failed(*call, "--dry-run", "-", stdin="short").json["messages"][-1]["content"] == "short"
    assert failed(*call, stdin="short").json["content"] == "now I know"


def dead_run(clew: Clew) -> dict[str, Any]:
    """Leave a run as one whose process died after two pieces of its answer."""
    store = JsonlStore(str(clew.home))
    log = store.session("s", "default")
    line: Any = clew("continue", "-s", "s", "--no-store", "--run-id", "d", "--json", "two").json
    with store.claim("d", "s", "default", Waiting(0)):
        flight = log.begin(line | {"status": "INTERRUPTED", "exit_code": 1, "content": ""})
    flight.note({"text": "as far as "})
    flight.note({"text": "it came"})
    flight.stranded()
    return dict(line)


def test_a_run_found_dead_is_stored_as_interrupted_and_gone_on_with(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    dead_run(clew)
    line = clew("continue", "-s", "s", "--resume", "--json").json
    _, interrupted, resumed = clew.stored("s")
    assert (interrupted["status"], interrupted["run_id"]) == ("INTERRUPTED", "d")
    assert interrupted["content"] == "as far as it came"
    assert resumed == line
    assert (line["resumes"], line["content"], line["input"]) == ("d", "answer two", "two")


@pytest.mark.parametrize("option", ["--dry-run", "--no-store"])
@pytest.mark.parametrize("resume", ["--resume", "--resume=d"])
def test_a_run_found_dead_can_be_tried_without_a_trace(
    clew: Clew, model: str, option: str, resume: str
) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    dead_run(clew)
    before = {path: path.read_bytes() for path in clew.home.rglob("*") if path.is_file()}
    shown = clew("continue", "-s", "s", resume, option, "--json").json
    asked = [m["content"] for m in shown["messages"] if m["role"] == "user"]
    assert asked[-1] == "two"
    assert {path: path.read_bytes() for path in clew.home.rglob("*") if path.is_file()} == before
    if option == "--no-store":
        assert (shown["resumes"], shown["content"], shown["seq"]) == ("d", "answer two", None)


def test_a_run_id_found_dead_goes_on_with_the_same_command(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    dead_run(clew)
    line = clew("run", "-m", model, "-s", "s", "--run-id", "d", "--json", "two").json
    assert (line["resumes"], line["content"]) == ("d", "answer two")


def roles(line: Any) -> list[str]:
    return [message["role"] for message in line["messages"]]


def test_a_dry_run_shows_what_a_resumed_run_would_be_sent(failed: Clew) -> None:
    shown = failed("continue", "-s", "s", "--resume", "--dry-run", "--json").json
    texts = [message["content"] for message in shown["messages"]]
    assert texts == ["one", "answer one", "unheard of"]


def test_a_dry_run_shows_what_a_run_found_dead_would_be_sent(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    dead_run(clew)
    shown = clew("continue", "-s", "s", "--resume", "--dry-run", "--json").json
    assert shown["messages"][-1]["content"] == "two"
    assert len(clew.stored("s")) == 1


def test_a_run_found_dead_may_be_named(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    dead_run(clew)
    assert clew("continue", "-s", "s", "--resume=d", "--json").json["resumes"] == "d"


def test_what_came_of_a_dead_run_is_not_sent_again(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    dead_run(clew)
    assert roles(clew("continue", "-s", "s", "--resume", "--json").json) == ["user", "assistant"]


def test_a_resumed_run_keeps_its_one_system_prompt_and_its_files(
    clew: Clew, model: str, later: str
) -> None:
    (clew.cwd / "notes.txt").write_text("x")
    more = ["--system", "Be brief.", "-f", "notes.txt"]
    clew("run", "-m", model, "-s", "s", *more, "unheard of", code=3)
    line = clew("continue", "-s", "s", "-m", later, "--resume", "--json").json
    assert roles(line) == ["system", "user", "assistant"]
    assert [record["name"] for record in line["files"]] == ["notes.txt"]


def test_a_chain_goes_on_with_the_model_of_its_end(failed: Clew) -> None:
    other = failed.recording(("hi", "hello"), name="other.jsonl")
    failed("continue", "-s", "s", "-m", other, "--resume=f", code=3)
    assert failed("continue", "-s", "s", "--resume=f", "--json", code=3).json["model"] == other


def test_after_two_dashes_resume_is_a_prompt(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    shown = clew("continue", "-s", "s", "--dry-run", "--json", "--", "--resume").json
    assert shown["messages"][-1]["content"] == "--resume"


def test_a_run_found_dead_is_told(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    dead_run(clew)
    assert "run d had died" in clew("continue", "-q", "-s", "s", "two").err


def test_what_a_run_found_dead_used_is_counted_by_estimate(clew: Clew, model: str) -> None:
    with stuck(clew, "run", "-s", "s") as process:
        process.kill()
        process.wait()
    clew("run", "-m", model, "-s", "s", "one")
    metrics = clew.stored("s")[0]["metrics"]
    assert (metrics["requests"], metrics["estimated"]) == (1, True)
    assert metrics["input_tokens"] > 0 and metrics["output_tokens"] > 0
