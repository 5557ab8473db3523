"""Answers from recorded runs."""

import pytest

from clew.core.model import ModelRequest
from clew.core.replay_model import ReplayModel
from tests.conftest import Clew
from tests.toolcalls import call, calling, script


def play(model: ReplayModel, text: str) -> str:
    pieces: list[str] = []
    model.ask(ModelRequest([{"role": "user", "content": text}], text), pieces.append)
    return "".join(pieces)


def test_the_kth_use_gets_the_kth_recording_then_the_last(clew: Clew) -> None:
    name = clew.recording(("a", "1"), ("b", "x"), ("a", "2"))
    model = ReplayModel(name, None, "default")
    assert [play(model, text) for text in "aabaab"] == ["1", "2", "x", "2", "2", "x"]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ('{"input": "hi"}\n', 2),
        ('{"input": "hi", "content": 1}\n', 2),
        ('{"content": "hello"}\n', 2),
        ("[" * 100_000, 2),
        ("1\n", 3),
        ("", 3),
        ('\n\n{"input": "hi", "content": "hello"}\n\n', 0),
    ],
    ids=["no answer", "a number", "no question", "deep", "no object", "empty", "blank lines"],
)
def test_a_recording_that_is_none_is_told_and_blank_lines_do_not_matter(
    clew: Clew, raw: str, code: int
) -> None:
    (clew.cwd / "r.jsonl").write_text(raw)
    clew("run", "-m", "replay:r.jsonl", "hi", code=code)


def test_a_failed_run_of_a_session_is_no_recording(clew: Clew) -> None:
    model = clew.recording(("hi", "hello"))
    clew("run", "-m", model, "-s", "s", "unheard of", code=3)
    clew("run", "-m", "replay:s", "unheard of", code=3)


def test_a_change_of_the_state_of_a_session_is_no_recording(clew: Clew) -> None:
    clew("run", "-m", clew.recording(("hi", "hello")), "-s", "s", "hi")
    clew("state", "-s", "s", "set", "a=1")
    assert clew("run", "-m", "replay:s", "hi").out == "hello\n"


def test_a_run_with_tools_is_played_without_them_by_its_answer(clew: Clew) -> None:
    model = calling(clew, [call("t")], [call("t", "c2")])
    clew("run", "-m", model, "-s", "s", "-t", script("echo x >> made"), "go")
    line = clew("run", "-m", "replay:s", "--json", "go").json
    assert (line["content"], line["metrics"]["requests"], line["tools"]) == ("done", 1, [])
    assert (clew.cwd / "made").read_text() == "x\nx\n"


def test_a_recording_costs_nothing_whatever_it_cost_once(clew: Clew) -> None:
    path = clew.cwd / "r.jsonl"
    path.write_text('{"input": "hi", "content": "hello", "metrics": {"cost": 5.0}}\n')
    assert clew("run", "-m", f"replay:{path}", "--json", "hi").json["metrics"]["cost"] == 0
