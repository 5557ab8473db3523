"""What a definition may say, and how its errors are told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clew.core.agent import Agent
from clew.core.definition_kinds import definition_schema
from clew.core.definitions import examine, load_file
from clew.core.errors import NotFoundError, UsageError
from clew.core.templates import Instructions

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a definition to `agent.yaml` and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "agent.yaml"
        path.write_text(text)
        return str(path)

    return write


def said(path: str) -> list[str]:
    """Return the errors of a definition, the path of the file left out."""
    return [error.message.replace(path, "FILE") for error in examine(path)[1]]


def test_a_definition_is_called_as_its_file_unless_it_says_otherwise(write: Write) -> None:
    assert load_file(write("model: m")).name == "agent"
    assert load_file(write("name: other")).name == "other"


def test_what_a_definition_does_not_say_is_as_an_agent_has_it(write: Write) -> None:
    assert load_file(write("name: a")) == Agent(name="a", tools=[])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# a\nmdel: x", "FILE:2: mdel: there is no such key"),
        ("limits:\n  retires: 3", "FILE:2: limits.retires: there is no such key"),
        ("tools:\n- run: [wc]\n  timeuot: 3", "FILE:3: tools.0.timeuot: there is no such key"),
        ("kind: other", "FILE:1: kind: should be 'agent', 'team' or 'workflow'"),
        ("\n\nmodel: 5", "FILE:3: model: should be a valid string"),
        ("session_state: [1]", "FILE:1: session_state: should be a valid mapping"),
        ("add_history_to_context: 1", "FILE:1: add_history_to_context: should be a valid boolean"),
        (
            "limits:\n  timeout: soon",
            "FILE:2: limits.timeout: 'soon' is not a duration: use seconds, or 90s, 10m, 2h, 7d",
        ),
        ("params:\n  a: 1\n  b: [1]", "FILE:3: params.b: a default is a text, a number, true,"),
        ("params: {a-b: x}", "FILE:1: params.a-b: not a name that {…} can hold"),
        ("options:\n  top_p: 1\n  api_key: x", "FILE:3: options.api_key: 'api_key': not a model"),
        ("options: {api_base: x}", "FILE:1: options.api_base: 'api_base': not a model option"),
        ("session_state:\n  day: 2026-01-01", "FILE:1: session_state: it holds a date, which"),
        ("output_schema: {type: 5}", "FILE:1: output_schema: the schema is no JSON Schema"),
        ("output_schema: name strr", "FILE:1: output_schema: 'name strr' is not a field"),
        ("output_schema: '@none.json'", "FILE:1: output_schema: schema: cannot read"),
        ("tools:\n- none.yaml", "FILE:2: tools.0: tool "),
        ("tools:\n- nosuchmodule:f", "FILE:2: tools.0: cannot load the tool 'nosuchmodule:f'"),
        ("tools:\n- {run: [wc], python: 'a:b'}", "FILE:2: tools.0: it: a tool has one of run,"),
        ("tools:\n- run: [nosuchprogram]", "FILE:2: tools.0.run: there is no program"),
        ("tools:\n- {run: [wc]}\n- {run: [wc]}", "FILE:1: tools: two tools are called 'wc'"),
        ("a: [", "FILE:1: not YAML"),
        ("model: a\nmodel: b", "FILE:2: model: this key is given twice"),
        ("a: {b: 1, b: 2}", "FILE:1: a.b: this key is given twice"),
        ("", "FILE:1: the file is empty"),
        ("- a", "FILE:1: these are no keys with values"),
        ("1: a", "FILE:1: a key has to be a text; put it in quotes"),
        ("a: !!python/object:os.system x", "FILE:1: not YAML"),
        ("a: \x07", "FILE:1: not YAML"),
        ("a: " + "[" * 2000, "FILE: not YAML: nested too deeply"),
    ],
)
def test_an_error_says_file_line_and_key(write: Write, text: str, message: str) -> None:
    (error,) = said(write(text))
    assert error.startswith(message)


def test_a_wrong_key_gets_the_near_one_of_its_place_as_a_hint(write: Write) -> None:
    path = write("instructons: a\nlimits: {max_tuns: 1}\ntools: [{run: [wc], enw: []}]\nzzzz: 1")
    hints = [str(error.hint) for error in examine(path)[1]]
    assert hints[:3] == [
        "did you mean instructions?",
        "did you mean max_turns?",
        "did you mean env?",
    ]
    assert hints[3].startswith("the keys are: kind, name")


@pytest.mark.parametrize(
    "text", ["members: [a]", "mode: route", "kind: team\nmembers: [{name: a, mode: route}]"]
)
def test_who_gives_an_agent_what_only_a_team_has_is_told_how_a_team_begins(
    write: Write, text: str
) -> None:
    (error,) = examine(write(text))[1]
    assert error.hint == "a team has it: that says `kind: team`"


def test_every_error_is_told_in_the_order_of_the_lines(write: Write) -> None:
    path = write("num_history_runs: -1\nmodel: 1\nlimits:\n  max_turns: 0\nextra: 1")
    assert [error.split(":")[1] for error in said(path)] == ["1", "2", "4", "5"]


def test_who_loads_a_wrong_definition_is_told_the_first_error_and_where_the_rest_is(
    write: Write,
) -> None:
    path = write("model: [1]\nsystem: [1]\n")
    with pytest.raises(UsageError) as caught:
        load_file(path)
    assert caught.value.message == f"{path}:1: model: should be a valid string"
    assert caught.value.hint == f"1 more: clew agents validate {path}"


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_file(str(tmp_path / "none.yaml"))


def test_a_file_of_bytes_that_are_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_bytes(b"model: \xff")
    assert said(str(path)) == ["cannot read 'FILE': not UTF-8 text"]


def test_files_that_a_definition_names_are_beside_it(write: Write, tmp_path: Path) -> None:
    (tmp_path / "count.yaml").write_text("{run: [wc]}")
    (tmp_path / "answer.json").write_text('{"type": "object"}')
    agent = load_file(write("tools: [count.yaml]\noutput_schema: '@answer.json'"))
    assert isinstance(agent, Agent)
    assert [tool.spec.name for tool in agent.offers()] == ["wc"]
    assert agent.output_schema == {"type": "object"}


def test_every_key_of_a_definition_is_described_for_editors() -> None:
    schema = definition_schema()
    parts = schema["$defs"].values()
    described = [each.get("description") for part in parts for each in part["properties"].values()]
    assert described != []
    assert None not in described


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("in {lang}", "in fr"),
        ("{n} {on} {list}", '3 true ["a", "b"]'),
        ("{place.city} {list.1}", "Lyon b"),
        ("{unknown} {place.none} {list.7}", "{unknown} {place.none} {list.7}"),
        ('{"lang": 1} {} { lang } $lang ${lang} {0}', '{"lang": 1} {} { lang } $lang $fr {0}'),
        ("{{lang}}", "{fr}"),
        ("{both}", "param"),
        ("{trick}", "{lang}"),
    ],
)
def test_only_known_names_in_braces_are_filled_in(text: str, filled: str) -> None:
    params = {"lang": "fr", "both": "param", "trick": "{lang}"}
    state = {"n": 3, "on": True, "list": ["a", "b"], "place": {"city": "Lyon"}, "both": "state"}
    assert Instructions(params=params).fill(text, state) == filled
