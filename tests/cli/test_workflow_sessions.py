"""Sessions of workflows: their names, what their history shows, what they used."""

import re
import signal

from tests.conftest import Clew, eventually
from tests.flows import flows
from tests.provider import Provider

NAMED = "one = Workflow(steps=[sh('cat')], description={!r}, autogenerate_session_name=True)"


def names(clew: Clew) -> list[str]:
    return [row["name"] for row in clew("sessions", "list", "--json").lines]


def test_a_session_is_named_after_the_description_and_the_time_without_a_model(clew: Clew) -> None:
    flows(clew, NAMED.format("Finds what is new,\nchecks it, and writes a letter about it"))
    clew("run", "-q", "-s", "s", "--workflow", "flows:one", "hello")
    (name,) = names(clew)
    assert re.fullmatch(
        r"Finds what is new, checks it, and writes - \d{4}-\d\d-\d\d \d\d:\d\d", name
    )
    assert clew.stored("s")[-1]["session_metrics"]["requests"] == 0


def test_a_workflow_without_a_description_names_its_session_after_itself(clew: Clew) -> None:
    flows(clew, NAMED.format(""))
    clew("run", "-q", "--workflow", "flows:one", "hello")
    assert names(clew)[0].startswith("one - 20")


def test_a_name_that_the_session_has_stays(clew: Clew) -> None:
    flows(clew, NAMED.format("Says it"))
    clew("run", "-q", "--name", "mine", "--workflow", "flows:one", "hello")
    assert names(clew) == ["mine"]


def test_two_sessions_named_in_the_same_minute_have_names_of_their_own(clew: Clew) -> None:
    flows(clew, NAMED.format("Says it"))
    for _ in range(3):
        clew("run", "-q", "--workflow", "flows:one", "hello")
    assert len(set(names(clew))) == 3


def test_history_shows_what_went_into_the_workflow_and_what_came_out(clew: Clew) -> None:
    flows(clew, "it = Workflow(steps=[sh('tr a-z A-Z'), sh('rev')])")
    clew("run", "-q", "-s", "s", "--workflow", "flows:it", "hello")
    clew("continue", "-q", "-s", "s", "again")
    shown = re.sub(r"── .*", "──", clew("history", "-q").out)
    assert shown == "──\n> hello\nOLLEH\n\n──\n> again\nNIAGA\n\n"
    pairs = [(each["role"], each["content"]) for each in clew("history", "--messages").lines]
    assert pairs == [
        ("user", "hello"),
        ("assistant", "OLLEH"),
        ("user", "again"),
        ("assistant", "NIAGA"),
    ]


def talker(clew: Clew, asked: str, answer: str, name: str = "talker") -> str:
    model = clew.recording((asked, answer), name=f"{name}.jsonl")
    return f"Step(Agent(name={name!r}, model={model!r}), name='say-{name}')"


def test_members_shows_also_the_runs_that_steps_made(clew: Clew) -> None:
    flows(clew, f"it = Workflow(steps=[{talker(clew, 'hello', 'Hi.')}, sh('rev')])")
    clew("run", "-q", "-s", "s", "--workflow", "flows:it", "hello")
    shown = clew("history", "-q", "--members").out
    assert re.search(r"\n   talker in run \S+\n> hello\nHi\.\n", shown)
    assert "Hi." not in clew("history", "-q").out


def test_the_tree_shows_every_step_and_the_runs_inside_it(clew: Clew) -> None:
    loop = "Loop([sh('rev', 'turn')], max_iterations=2, name='again')"
    inner = f"Workflow(name='inner', steps=[{talker(clew, 'hello', 'Hi.')}])"
    ways = "Router('\"y\"', [sh('cat', 'x'), sh('rev', 'y')], name='way')"
    bad = "sh('exit 3', 'bad', on_error='skip')"
    flows(clew, f"it = Workflow(steps=[{loop}, {ways}, {inner}, {bad}])")
    clew("run", "-q", "-s", "s", "--workflow", "flows:it", "hello")
    shown = clew("history", "-q", "--tree").out
    shown = re.sub(r" · \d+\.\d s( · \d+ tokens)?( · [0-9a-f-]{36})?", "", shown)
    assert shown.splitlines()[1:-1] == [
        "   │  > hello",
        "   │  Hi.",
        "   ├─ again · loop · 2 iterations · COMPLETED",
        "   │  ├─ 1 · iteration · COMPLETED",
        "   │  │  └─ turn · command · COMPLETED",
        "   │  │     olleh",
        "   │  └─ 2 · iteration · COMPLETED",
        "   │     └─ turn · command · COMPLETED",
        "   │        olleh",
        "   ├─ way · router · → y · COMPLETED",
        "   │  └─ y · command · COMPLETED",
        "   │     hello",
        "   ├─ inner · workflow · COMPLETED",
        "   │  │  Hi.",
        "   │  └─ say-talker · agent talker · COMPLETED",
        "   │     Hi.",
        "   └─ bad · command · SKIPPED: it failed with exit code 3",
    ]


def test_nothing_was_sent_in_a_workflows_own_run(clew: Clew) -> None:
    flows(clew, f"it = Workflow(steps=[{talker(clew, 'hello', 'Hi.')}])")
    line = clew("run", "-q", "-s", "s", "--json", "--workflow", "flows:it", "hello").json
    failed = clew("history", "-q", f"--as-sent={line['run_id']}", code=2)
    assert "nothing was sent in it but by the runs of its steps" in failed.err
    inside = line["steps"][0]["run_id"]
    (sent,) = clew("history", "-q", f"--as-sent={inside}").lines
    assert (sent["role"], sent["content"]) == ("user", "hello")


def test_metrics_count_what_steps_used_once_and_tell_it_by_agent(
    clew: Clew, provider: Provider
) -> None:
    provider.answer("Hi.")
    steps = "Step(Agent(name='talker'), name='say'), sh('rev')"
    flows(clew, f"it = Workflow(steps=[{steps}])")
    run = ("run", "-q", "-s", "s", "--workflow", "flows:it", "-m", "openai/test-model", "hello")
    line = clew(*run, "--json").json
    used = line["total_metrics"]["total_tokens"]
    assert used == line["steps"][0]["metrics"]["total_tokens"] > 0
    assert (line["metrics"]["total_tokens"], line["session_metrics"]["total_tokens"]) == (0, used)
    totals = clew("metrics", "-q", "--json").json
    assert (totals["runs"], totals["total_tokens"]) == (1, used)
    rows = clew("metrics", "-q", "--by", "agent", "--json").lines
    assert {row["agent"]: row["total_tokens"] for row in rows} == {"talker": used, "it": 0}


def test_a_workflow_under_way_is_shown_with_the_step_that_it_is_at_and_can_be_cancelled(
    clew: Clew,
) -> None:
    waiting = "sh('touch began; while :; do sleep 0.05; done', 'wait')"
    flows(clew, f"it = Workflow(steps=[sh('cat', 'first'), Steps([{waiting}], name='all')])")
    process = clew.start("run", "-s", "s", "--workflow", "flows:it", "hello")
    eventually((clew.cwd / "began").exists)
    assert "> hello\n   at step all/wait\n" in clew("history", "-q", "-s", "s").out
    tree = clew("history", "-q", "-s", "s", "--tree").out
    assert re.search(r"└─ wait · command · running · (?!0\.0 s)", tree)
    assert re.search(r" it · running · (?!0\.0 s)", tree)
    clew("cancel", "-s", "s")
    process.communicate()
    line = clew.stored("s")[-1]
    assert (process.returncode, line["status"]) == (-signal.SIGTERM, "CANCELLED")
    assert [(step["name"], step["status"], step["content"]) for step in line["steps"]] == [
        ("first", "COMPLETED", "hello"),
        ("all", "CANCELLED", ""),
    ]


def test_sessions_show_says_that_it_is_a_workflows(clew: Clew) -> None:
    flows(clew, "it = Workflow(steps=[sh('cat')])")
    clew("run", "-q", "-s", "s", "--workflow", "flows:it", "hello")
    assert clew("sessions", "show", "s", "--json").json["kind"] == "workflow"
