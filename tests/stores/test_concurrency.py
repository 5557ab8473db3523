"""Many processes on one session."""

import json
from collections.abc import Sequence
from subprocess import Popen
from typing import Any

import pytest

from tests.conftest import Clew

PROCESSES = 8
TURNS = 10
LOOP = """
for turn in $(seq {turns}); do
    clew {command} -q -s s -m "{model}" {prompt} >/dev/null || exit 1
done
"""


def finish(processes: Sequence["Popen[bytes]"]) -> None:
    for process in processes:
        _, err = process.communicate(timeout=500)
        assert (process.returncode, err) == (0, b"")


def loops(clew: Clew, command: str, prompt: str, turns: int) -> None:
    """Run as many shell loops as there are processes, all at once, to their ends."""
    model = clew.recording(("hi", "hello"))
    script = LOOP.format(turns=turns, command=command, model=model, prompt=prompt)
    options: dict[str, Any] = {"stdin": -3, "stderr": -1, "env": clew.env, "cwd": clew.cwd}
    finish([Popen(["bash", "-c", script], **options) for _ in range(PROCESSES)])


@pytest.mark.slow
def test_eighty_turns_by_eight_processes_are_eighty_lines_each_after_the_one_before(
    clew: Clew,
) -> None:
    clew("run", "-s", "s", "-m", clew.recording(("hi", "hello")), "hi")
    loops(clew, "continue", "hi", TURNS)
    lines = clew.stored("s")
    count = PROCESSES * TURNS + 1
    assert [line["seq"] for line in lines] == list(range(1, count + 1))
    assert len({line["run_id"] for line in lines}) == count
    assert [line["history"]["runs"] for line in lines] == list(range(count))
    assert [line["history"]["last_seq"] for line in lines] == [None, *range(1, count)]
    assert lines[-1]["session_metrics"]["turns"] == count
    assert not list(clew.home.rglob("*.part"))


def test_runs_without_history_beside_each_other_are_all_kept(clew: Clew) -> None:
    model = clew.recording(("hi", "hello"))
    arguments = ("run", "-q", "-s", "s", "-m", model, "hi", "--state")
    states = [json.dumps({f"key{number}": number}) for number in range(PROCESSES)]
    finish([clew.start(*arguments, state) for state in states])
    lines = clew.stored("s")
    assert [line["seq"] for line in lines] == list(range(1, PROCESSES + 1))
    assert lines[-1]["session_state"] == {f"key{n}": n for n in range(PROCESSES)}


def test_counting_by_many_processes_loses_nothing(clew: Clew) -> None:
    clew("state", "-s", "s", "set", "n:=0", "--create")
    update = ("state", "-q", "-s", "s", "update", ".n += 1")
    finish([clew.start(*update) for _ in range(PROCESSES)])
    assert clew.stored("s")[-1]["session_state"] == {"n": PROCESSES}


def test_one_run_id_used_by_many_processes_at_once_is_one_run(clew: Clew) -> None:
    model = clew.recording(("hi", "hello"))
    same = ("run", "-q", "--run-id", "job-1", "-m", model, "hi")
    processes = [clew.start(*same) for _ in range(PROCESSES)]
    answers = [process.communicate(timeout=200)[0] for process in processes]
    assert answers == [b"hello\n"] * PROCESSES
    assert len(clew.stored("job-1")) == 1
