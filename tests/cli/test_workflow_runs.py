"""Workflows from the command line: what is run, how it is gone on with, which options there are."""

import pytest

from tests.conftest import Clew
from tests.flows import flows


def test_a_workflow_is_run_by_the_name_of_its_python_object(clew: Clew) -> None:
    flows(clew, 'pair = Workflow(steps=[sh("tr a-z A-Z"), sh("rev")])')
    assert clew("run", "-q", "--workflow", "flows:pair", "hello").out == "OLLEH\n"


def test_the_stored_line_says_which_workflow_ran_and_each_of_its_steps(clew: Clew) -> None:
    flows(clew, 'pair = Workflow(steps=[sh("tr a-z A-Z", "loud"), sh("rev", "back")])')
    line = clew("run", "-q", "--json", "--workflow", "flows:pair", "hello").json
    assert (line["kind"], line["name"], line["model"]) == ("workflow", "pair", None)
    assert line["options"]["workflow"] == "flows:pair"
    assert [(step["name"], step["content"]) for step in line["steps"]] == [
        ("loud", "HELLO"),
        ("back", "OLLEH"),
    ]


def test_continue_runs_the_sessions_workflow_again(clew: Clew) -> None:
    flows(clew, 'loud = Workflow(steps=[sh("tr a-z A-Z")])')
    clew("run", "-q", "-s", "s", "--workflow", "flows:loud", "hello")
    assert clew("continue", "-q", "-s", "s", "again").out == "AGAIN\n"
    assert [line["name"] for line in clew.stored("s")] == ["loud", "loud"]


def test_continue_with_another_workflow_says_so_in_the_line(clew: Clew) -> None:
    flows(clew, 'loud = Workflow(steps=[sh("cat")])\nback = Workflow(steps=[sh("rev")])')
    clew("run", "-q", "-s", "s", "--workflow", "flows:loud", "hello")
    assert clew("continue", "-q", "-s", "s", "--workflow", "flows:back", "again").out == "niaga\n"


def test_an_agent_can_go_on_in_a_workflows_session_and_is_sent_its_answers(clew: Clew) -> None:
    flows(clew, "loud = Workflow(steps=[sh('tr a-z A-Z')])\ntalker = Agent()")
    clew("run", "-q", "-s", "s", "--workflow", "flows:loud", "hello")
    model = clew.recording(("and?", "Yes."))
    line = clew("continue", "-q", "-s", "s", "-a", "flows:talker", "-m", model, "--json", "and?")
    assert line.json["history"]["runs"] == 1


def test_resume_goes_on_at_the_step_that_failed(clew: Clew) -> None:
    steps = 'sh("echo x >> ran; cat"), sh("test -e ok && cat", "last")'
    flows(clew, f"two = Workflow(steps=[{steps}])")
    failed = clew("run", "-s", "s", "--workflow", "flows:two", "hello", code=1)
    assert "step 'last' failed" in failed.err
    (clew.cwd / "ok").touch()
    assert clew("continue", "-q", "-s", "s", "--resume").out == "hello\n"
    assert (clew.cwd / "ran").read_text() == "x\n"


def test_a_step_that_waits_runs_once_it_is_confirmed(clew: Clew) -> None:
    flows(clew, 'ask = Workflow(steps=[sh("rev", "out", pause=Pause(confirmation=True))])')
    clew("run", "-q", "-s", "s", "--workflow", "flows:ask", "hello", code=6)
    assert clew("continue", "-q", "-s", "s", "--confirm").out == "olleh\n"


def test_a_step_that_is_rejected_is_left_out(clew: Clew) -> None:
    flows(clew, 'ask = Workflow(steps=[sh("rev", "out", pause=Pause(confirmation=True))])')
    clew("run", "-q", "-s", "s", "--workflow", "flows:ask", "hello", code=6)
    assert clew("continue", "-q", "-s", "s", "--reject").out == "hello\n"


def test_what_a_step_came_to_is_edited_in_its_review(clew: Clew) -> None:
    steps = 'sh("cat", "draft", pause=Pause(review=True)), sh("rev")'
    flows(clew, f"look = Workflow(steps=[{steps}])")
    clew("run", "-q", "-s", "s", "--workflow", "flows:look", "hello", code=6)
    assert clew("continue", "-q", "-s", "s", "--result", "draft=Hi").out == "iH\n"


def test_values_that_a_step_needs_are_answers(clew: Clew) -> None:
    schema = '{"type": "object", "properties": {"n": {"type": "integer"}}}'
    step = f'sh("echo $CLEW_USER_INPUT", "ask", pause=Pause(user_input={schema}))'
    flows(clew, f"ask = Workflow(steps=[{step}])")
    clew("run", "-q", "-s", "s", "--workflow", "flows:ask", "hello", code=6)
    assert "not of type 'integer'" in clew("continue", "--answer", "n=x", code=2).err
    assert clew("continue", "-q", "-s", "s", "--answer", "n=3").out == '{"n": 3}\n'


def test_a_choice_that_there_is_not_is_refused_and_can_be_made_again(clew: Clew) -> None:
    flows(clew, 'way = Workflow(steps=[Router(None, [sh("rev", "x"), sh("cat", "y")])])')
    clew("run", "-q", "-s", "s", "--workflow", "flows:way", "hello", code=6)
    failed = clew("continue", "-q", "-s", "s", "--answer", "choice=z", code=2)
    assert "'z' is not one of ['x', 'y']" in failed.err
    failed = clew("continue", "-q", "-s", "s", "--answer", 'choice=["x", "z"]', code=2)
    assert "'z' is not one of ['x', 'y']" in failed.err
    assert clew("continue", "-q", "-s", "s", "--answer", "choice=x").out == "olleh\n"


@pytest.mark.parametrize(
    "option",
    [
        ["--system", "x"],
        ["--schema", "n int"],
        ["-t", "x.json"],
        ["--option", "temperature=0"],
        ["--history-messages", "3"],
        ["--history-tokens", "3"],
        ["--history-tool-calls", "3"],
        ["--max-turns", "3"],
        ["--max-tokens", "3"],
        ["--retries", "3"],
    ],
    ids=lambda option: option[0],
)
def test_what_is_for_one_agent_is_refused_in_one_line(clew: Clew, option: list[str]) -> None:
    flows(clew, 'one = Workflow(steps=[sh("touch ran")])')
    failed = clew("run", "--workflow", "flows:one", *option, "hello", code=2)
    assert "is for an agent, and a workflow may have several" in failed.err.splitlines()[0]
    assert not (clew.cwd / "ran").exists()


def test_agent_team_and_workflow_exclude_each_other(clew: Clew) -> None:
    failed = clew("run", "--workflow", "flows:one", "-a", "x", "hello", code=2)
    assert failed.err == "clew: --agent and --workflow exclude each other\n"


def test_what_is_no_workflow_is_refused_with_the_option_that_runs_it(clew: Clew) -> None:
    flows(clew, "one = Agent()\ntwo = Workflow(steps=[sh('cat')])")
    assert "--agent flows:one runs it" in clew("run", "--workflow", "flows:one", "x", code=2).err
    assert "--workflow flows:two runs it" in clew("run", "-a", "flows:two", "x", code=2).err


def test_the_embedded_model_is_named_only_where_a_step_asks_it(clew: Clew) -> None:
    flows(clew, "none = Workflow(steps=[sh('cat')])\nsome = Workflow(steps=[Agent()])")
    assert "model" not in clew("run", "--workflow", "flows:none", "hello").err
    assert (
        "(embedded; -m chooses another)"
        in clew("run", "--workflow", "flows:some", "hello", code=None).err
    )


def test_the_model_of_a_workflow_is_for_agents_that_have_none(clew: Clew) -> None:
    own, given = clew.recording(("hi", "own"), name="own"), clew.recording(("own", "given"))
    flows(clew, f"two = Workflow(steps=[Agent(model={own!r}, name='a'), Agent(name='b')])")
    line = clew("run", "-q", "--json", "--workflow", "flows:two", "-m", given, "hi").json
    assert (line["model"], line["content"]) == (given, "given")


def test_continue_inherits_model_and_params_of_the_workflow(clew: Clew) -> None:
    model = clew.recording(("in oslo", "Cold."), ("in rome", "Warm."))
    flows(
        clew,
        "asks = Workflow(steps=[Step(Agent(), input='\"in \" + .params.city')], "
        "params={'city': None})",
    )
    run = ("run", "-q", "-s", "s", "--workflow", "flows:asks", "-m", model)
    assert clew(*run, "--param", "city=oslo", "go").out == "Cold.\n"
    assert clew("continue", "-q", "-s", "s", "go").out == "Cold.\n"
    assert clew("continue", "-q", "-s", "s", "--param", "city=rome", "go").out == "Warm.\n"


def test_a_dry_run_shows_the_steps_and_what_they_begin_with_and_runs_none(clew: Clew) -> None:
    steps = "sh('touch ran', 'first'), Step(Agent(instructions='Be brief.'), name='second')"
    flows(clew, f"two = Workflow(steps=[{steps}], session_state={{'n': 1}})")
    shown = clew(
        "run", "--workflow", "flows:two", "-m", clew.recording(), "--dry-run", "--json", "hello"
    )
    assert [step["name"] for step in shown.json["steps"]] == ["first", "second"]
    assert shown.json["steps"][1]["agent"]["instructions"] == "Be brief."
    assert (shown.json["input"], shown.json["session_state"]) == ("hello", {"n": 1})
    assert "is known when those before it have run" in shown.err
    assert not (clew.cwd / "ran").exists()


def test_of_commands_at_once_that_set_the_same_key_the_later_one_wins_and_that_is_told(
    clew: Clew,
) -> None:
    late = "while ! test -e b; do sleep 0.02; done; clew state set who=a; echo a"
    steps = f'sh("{late}", "a"), sh("clew state set who=b n:=1; touch b", "b")'
    flows(clew, f"both = Workflow(steps=[Parallel([{steps}], name='p')])")
    line = clew("run", "-q", "-s", "s", "--json", "--workflow", "flows:both", "hi").json
    assert line["session_state"] == {"who": "a", "n": 1}
    assert line["state_conflicts"] == [{"path": ["who"], "steps": ["p/a", "p/b"]}]
    told = [each.get("step") for each in clew.stored("s") if each["type"] == "state"]
    assert told == ["p/b", "p/a"]


def test_an_object_that_an_agent_was_asked_for_is_all_that_the_next_step_is_given(
    clew: Clew,
) -> None:
    model = clew.recording(("go", 'Here it is:\n```json\n{"n": 3}\n```'))
    schema = '{"type": "object", "properties": {"n": {"type": "integer"}}}'
    flows(
        clew,
        f"""
        asked = Step(Agent(model={model!r}, output_schema={schema}), name="ask")
        one = Workflow(steps=[asked])
        two = Workflow(steps=[asked, Step(Command(["jq", ".n + 1"]))])
        """,
    )
    assert clew("run", "-q", "--workflow", "flows:one", "go").out == '{"n": 3}\n'
    assert clew("run", "-q", "--workflow", "flows:two", "go").out == "4\n"


def test_a_param_that_there_is_not_is_named_before_one_that_is_missing(clew: Clew) -> None:
    flows(clew, 'one = Workflow(steps=[sh("cat")], params={"city": None})')
    failed = clew("run", "--workflow", "flows:one", "--param", "cty=x", "go", code=2)
    assert failed.err == "clew: no param 'cty'\n  hint: the workflow's params are: city\n"


def test_files_that_are_sent_along_are_there_for_the_steps(clew: Clew) -> None:
    (clew.cwd / "note.txt").write_text("remember")
    flows(clew, "def seen(i): return i.files[0].record['name']\none = Workflow(steps=[seen])")
    assert clew("run", "-q", "--workflow", "flows:one", "-f", "note.txt", "go").out == "note.txt\n"


def test_a_limit_of_time_ends_a_workflow_in_its_step_and_keeps_what_came(clew: Clew) -> None:
    flows(clew, 'one = Workflow(steps=[sh("cat", "first"), sh("sleep 60", "last")])')
    run = ("run", "-q", "-s", "s", "--workflow", "flows:one", "--timeout", "2", "go")
    assert "the time limit of 2 s was reached" in clew(*run, code=5).err
    steps = [(step["name"], step["status"]) for step in clew.stored("s")[-1]["steps"]]
    assert steps == [("first", "COMPLETED"), ("last", "ERROR")]


def test_the_same_run_id_runs_a_workflow_once(clew: Clew) -> None:
    flows(clew, 'one = Workflow(steps=[sh("echo x >> ran; cat")])')
    run = ("run", "-q", "--run-id", "r1", "--workflow", "flows:one", "go")
    assert clew(*run).out == clew(*run).out == "go\n"
    assert (clew.cwd / "ran").read_text() == "x\n"


def test_an_output_file_gets_what_the_last_step_came_to(clew: Clew) -> None:
    flows(clew, 'one = Workflow(steps=[sh("rev")])')
    clew("run", "-q", "-O", "out.txt", "--workflow", "flows:one", "hello")
    assert (clew.cwd / "out.txt").read_text() == "olleh\n"


def test_without_a_store_all_steps_run_and_nothing_is_kept(clew: Clew) -> None:
    flows(clew, 'one = Workflow(steps=[sh("rev"), sh("tr a-z A-Z")])')
    assert clew("run", "-q", "--no-store", "--workflow", "flows:one", "hello").out == "OLLEH\n"
    assert not (clew.home / "users").exists()


def test_a_limit_of_cost_needs_no_price_where_no_model_is_asked(clew: Clew) -> None:
    flows(clew, 'one = Workflow(steps=[sh("rev")])')
    assert clew("run", "-q", "--workflow", "flows:one", "--max-cost", "1", "hi").out == "ih\n"


def test_an_image_can_be_sent_along_though_no_model_is_asked(clew: Clew) -> None:
    (clew.cwd / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(200)))
    flows(clew, "def seen(i): return str(len(i.files))\none = Workflow(steps=[seen])")
    assert clew("run", "-q", "--workflow", "flows:one", "-f", "dot.png", "hi").out == "1\n"


def test_a_dry_run_of_a_resume_says_which_steps_are_not_run_again(clew: Clew) -> None:
    flows(clew, "two = Workflow(steps=[sh('cat', 'one'), sh('false', 'two')])")
    clew("run", "-q", "-s", "s", "--workflow", "flows:two", "hello", code=1)
    before = clew.stored("s")
    shown = clew("continue", "-q", "--resume", "--dry-run", "--json").json
    assert (shown["input"], shown["finished"]) == ("hello", ["one"])
    assert clew.stored("s") == before


def test_what_a_function_prints_is_not_in_the_answer(clew: Clew) -> None:
    flows(
        clew,
        """
        def loud(i):
            print("PRINTED")
            return "said"
        one = Workflow(steps=[loud])
        """,
    )
    ran = clew("run", "--workflow", "flows:one", "hi")
    assert (ran.out, "PRINTED\n" in ran.err) == ("said\n", True)


def test_continue_says_that_a_workflow_is_not_run_again_that_never_ended_well(clew: Clew) -> None:
    flows(clew, "one = Workflow(steps=[sh('false')])")
    clew("run", "-q", "-s", "s", "--workflow", "flows:one", "go", code=1)
    told = clew("continue", "-s", "s", "-m", clew.recording(("on", "On.")), "on")
    assert told.out == "On.\n"
    assert "clew: no run of the workflow 'one' ended well here: it is not run again\n" in told.err
    assert "hint: --workflow flows:one runs it, --resume goes on with it\n" in told.err


@pytest.mark.parametrize("content", [b"caf\xc3\xa9\r\n", b"\xef\xbb\xbfmarked\n", b""])
def test_text_files_that_a_step_leaves_outlive_its_process(clew: Clew, content: bytes) -> None:
    (clew.cwd / "source").write_bytes(content)
    flows(
        clew,
        """
from clew.core import Pause
def reads(given):
    return " ".join(f"{each.record['name']} {each.raw!r}" for each in given.files)
left = Step(Command(["sh", "-c", "cat source > left.txt"], files=["left.txt"]))
w = Workflow(steps=[left, Step(reads, pause=Pause(confirmation=True))])
""",
    )
    clew("run", "-q", "-s", "s", "--workflow", "flows:w", "go", code=6)
    (clew.cwd / "left.txt").unlink()
    assert clew("sessions", "verify", "s").code == 0
    assert clew("continue", "-q", "-s", "s", "--confirm").out == f"left.txt {content!r}\n"
