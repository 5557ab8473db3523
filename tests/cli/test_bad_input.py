"""Bad input: one clear line, the right exit code, and nothing lost or half made."""

import os
import socket
from pathlib import Path

import pytest

from tests.conftest import Clew, Result

SESSIONS = {
    "up": "../x",
    "slash": "a/b",
    "empty": "",
    "long": "x" * 300,
    "capitals": "Trip",
    "newline": "a\nb",
    "dot": ".hidden",
    "blank": "a b",
    "option": "-",
}
USERS = {"empty": "", "long": "x" * 300, "newline": "a\nb", "escape": "a\x1b[2Jb", "blank": " "}


def check_one_line(result: Result) -> None:
    """One line says what is wrong; at most one more says what to do."""
    first, *rest = result.err.splitlines()
    assert first.startswith("clew: ") and len(first) < 300
    assert len(rest) <= 1 and all(line.startswith("  hint: ") for line in rest)
    assert result.out == ""


@pytest.mark.parametrize("arguments", [[], [""], ["  "], ["", ""], ["-"]], ids=str)
def test_nothing_to_send_is_exit_2(clew: Clew, model: str, arguments: list[str]) -> None:
    check_one_line(clew("run", "-m", model, *arguments, code=2))
    assert not clew.home.exists()


def test_an_empty_pipe_is_nothing_to_send(clew: Clew, model: str) -> None:
    for text in ("", " \n"):
        check_one_line(clew("run", "-m", model, stdin=text, code=2))
    assert not clew.home.exists()


@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
def test_a_bad_session_id_is_exit_2(clew: Clew, model: str, session: str) -> None:
    check_one_line(clew("run", "-m", model, f"--session={session}", "hi", code=2))
    assert not clew.home.exists()


def test_a_session_id_with_capitals_gets_its_lower_case_form_as_a_hint(
    clew: Clew, model: str
) -> None:
    assert "hint: session ids are lower-case: trip" in (
        clew("run", "-m", model, "-s", "Trip", "hi", code=2).err
    )


def test_a_name_without_its_at_sign_gets_it_as_a_hint(clew: Clew, model: str) -> None:
    assert "@'my trip'" in clew("run", "-m", model, "-s", "my trip", "hi", code=2).err


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_a_bad_user_id_is_exit_2(clew: Clew, model: str, user: str) -> None:
    check_one_line(clew("run", "-m", model, f"--user={user}", "hi", code=2))
    assert not clew.home.exists()


@pytest.mark.parametrize("user", ["../x", "a/b", "/", ".", "..", "Anna", "é", "a b", "%2e"])
def test_any_printable_user_has_one_folder_of_his_own(clew: Clew, model: str, user: str) -> None:
    line = clew("run", "-m", model, "-s", "s", "-u", user, "--json", "hi").json
    assert line["user_id"] == user
    assert clew("continue", "-u", user, "-s", "s", "one").out == "answer one\n"
    (path,) = clew.cwd.parent.rglob("s.jsonl")
    assert path.parent.parent == clew.home / "users"
    assert path.parent.name not in ("default", "anna", ".", "..")


@pytest.mark.parametrize("option", ["--run-id", "-s", "-u", "-m", "--name", "--schema"])
def test_an_empty_value_is_exit_2_and_names_the_option(clew: Clew, model: str, option: str) -> None:
    result = clew("run", "-m", model, option, "", "hi", code=2)
    check_one_line(result)
    assert option.lstrip("-")[0] in result.err.partition("is empty")[0]


def test_a_name_that_is_no_name_is_exit_2(clew: Clew, model: str) -> None:
    for name in ("a\nb", "x" * 300):
        check_one_line(clew("run", "-m", model, "--name", name, "hi", code=2))
    assert not clew.session_file("x").parent.exists()


def test_continue_without_any_session_is_exit_3(clew: Clew) -> None:
    check_one_line(clew("continue", "hi", code=3))
    assert not clew.home.exists()


def test_a_variable_that_names_no_session_is_exit_3(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    check_one_line(clew("continue", "two", env={"CLEW_SESSION": "t"}, code=3))


NOBODY = ("replay:nowhere", "replay:no/where", "local/nothing", "gguf:nothing", "gguf:.", " ")
UNREADABLE = "replay:/proc/self/mem"  # it opens, and every read of it fails


@pytest.mark.parametrize("name", [*NOBODY, UNREADABLE])
def test_an_unknown_model_without_litellm_says_so(clew: Clew, name: str) -> None:
    result = clew("run", "-q", "-m", name, "-s", "s", "hi", code=None)
    check_one_line(result)
    assert result.code == (2 if name == " " else 3)
    assert not clew.session_file("s").exists()


@pytest.mark.slow
def test_a_name_without_a_provider_is_exit_3_and_nothing_is_stored(clew: Clew) -> None:
    result = clew("run", "-m", "no-such-model", "-s", "s", "hi", code=3)
    check_one_line(result)
    assert "no-such-model" in result.err
    assert not clew.session_file("s").exists()


@pytest.mark.slow
def test_a_missing_key_is_exit_77_with_a_hint(clew: Clew) -> None:
    result = clew("run", "-q", "-m", "openai/gpt-4o-mini", "-s", "s", "hi", code=77)
    check_one_line(result)
    assert "OPENAI_API_KEY" in result.err
    line = clew.stored("s")[0]
    assert (line["status"], line["exit_code"]) == ("ERROR", 77)


@pytest.mark.slow
def test_a_cost_limit_with_an_unknown_price_is_exit_78_before_the_call(clew: Clew) -> None:
    call = ["-m", "openai/unheard-of", "-s", "s", "--name", "n", "--max-cost", "1"]
    check_one_line(clew("run", *call, "hi", code=78))
    assert not clew.session_file("s").exists()


def unreadable(folder: Path) -> dict[str, str]:
    (folder / "data.bin").write_bytes(b"\x7fELF\0\xff")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    return {"missing": "nothing.txt", "folder": ".", "binary": "data.bin", "latin": "latin.txt"}


@pytest.mark.parametrize("kind", ["missing", "folder", "binary", "latin"])
@pytest.mark.parametrize("option", ["-f", "--system", "--schema", "--state"])
def test_a_file_that_cannot_be_read_is_exit_2_and_named(
    clew: Clew, model: str, option: str, kind: str
) -> None:
    path = unreadable(clew.cwd)[kind]
    value = path if option == "-f" else f"@{path}"
    result = clew("run", "-m", model, option, value, "hi", code=2)
    check_one_line(result)
    assert path in result.err
    assert not clew.home.exists()


@pytest.mark.parametrize(
    "schema",
    [
        "{",
        "[]",
        "{}}",
        '{"type": "nothing"}',
        '{"properties": 1}',
        "no:such",
        "json:loads",
        "name text",
        "1st str",
        ",",
        '{"pattern": "("}',
        '{"$ref": "#/nowhere"}',
    ],
)
def test_a_schema_that_is_no_schema_is_exit_2(clew: Clew, schema: str) -> None:
    model = clew.recording(("hi", '"hello"'))
    check_one_line(clew("run", "-m", model, "--schema", schema, "hi", code=2))
    assert not clew.home.exists()


def test_a_schema_is_never_fetched(clew: Clew) -> None:
    model = clew.recording(("hi", '"hello"'))
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema"
        server.settimeout(0)
        clew("run", "-m", model, "--schema", f'{{"$ref": "{url}"}}', "hi", code=2)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("option", ["--state", "--state-replace"])
@pytest.mark.parametrize("value", ["", "[]", "1", "null", "{", '{"a": NaN}', '{"a": 1}x'])
def test_a_state_that_is_no_object_is_exit_2(
    clew: Clew, model: str, option: str, value: str
) -> None:
    check_one_line(clew("run", "-m", model, option, value, "hi", code=2))
    assert not clew.home.exists()


@pytest.mark.parametrize("path", ["a..b=1", "=1", "a.x=1", "a", ".=1", "/a/x=1"])
def test_setting_a_broken_path_is_exit_2_and_changes_nothing(
    clew: Clew, model: str, path: str
) -> None:
    clew("run", "-m", model, "-s", "s", "--state", '{"a": 1}', "hi")
    check_one_line(clew("state", "set", "-s", "s", path, code=2))
    assert len(clew.stored("s")) == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--timeout", "soon"],
        ["--wait", "-1"],
        ["--max-tokens", "0"],
        ["--max-cost", "-1"],
        ["--max-cost", "nan"],
        ["--retries", "x"],
        ["--history-runs", "-1"],
        ["--meta", "novalue"],
        ["--option", "=1"],
        ["-o", "yaml"],
        ["--nonsense"],
        ["--state", "{}", "--state-replace", "{}"],
    ],
    ids=" ".join,
)
def test_an_option_with_a_wrong_value_is_exit_2(clew: Clew, model: str, options: list[str]) -> None:
    check_one_line(clew("run", "-m", model, *options, "hi", code=2))
    assert not clew.home.exists()


def test_a_home_that_is_a_file_is_exit_74(clew: Clew, model: str) -> None:
    clew.home.parent.mkdir(parents=True)
    clew.home.write_text("mine")
    check_one_line(clew("run", "-q", "-m", model, "hi", code=74))
    assert clew.home.read_text() == "mine"


@pytest.mark.parametrize(
    "command",
    [
        ("history",),
        ("history", "-s", "s"),
        ("state",),
        ("state", "-s", "s"),
        ("continue", "hi"),
        ("sessions", "list"),
        ("sessions", "show", "s"),
        ("sessions", "path"),
        ("sessions", "verify", "--all"),
        ("metrics",),
        ("metrics", "--all"),
    ],
    ids=" ".join,
)
def test_reading_from_a_home_that_is_a_file_is_exit_74(
    clew: Clew, command: tuple[str, ...]
) -> None:
    clew.home.parent.mkdir(parents=True)
    clew.home.write_text("mine")
    check_one_line(clew(*command, code=74))


def test_a_home_in_which_nothing_can_be_made_is_exit_74(clew: Clew, model: str) -> None:
    check_one_line(clew("--home", "/dev/null/clew", "run", "-q", "-m", model, "hi", code=74))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_home_is_exit_74(clew: Clew, model: str) -> None:
    clew.home.mkdir(parents=True, mode=0o500)
    check_one_line(clew("run", "-q", "-m", model, "hi", code=74))
    assert list(clew.home.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_home_of_somebody_else_is_exit_74(clew: Clew, model: str) -> None:
    folder = clew.session_file("s").parent
    folder.mkdir(parents=True)
    os.chown(folder, 65534, 65534)
    check_one_line(clew("run", "-q", "-m", model, "hi", code=74))
    assert list(folder.iterdir()) == []


def test_a_folder_of_a_clone_sets_nothing_until_it_is_trusted(clew: Clew, model: str) -> None:
    (clew.cwd / ".clew").mkdir()
    (clew.cwd / ".clew" / "config.toml").write_text('model = "replay:evil"\n')
    result = clew("run", "hi", env={"CLEW_MODEL": model})
    assert result.out == "hello\n"
    ignored = clew("run", "hi", code=3)
    assert ".clew is ignored" in ignored.err and "evil" not in ignored.err


def test_an_unknown_command_gets_the_nearest_as_a_hint(clew: Clew) -> None:
    result = clew("contnue", "hi", code=2)
    check_one_line(result)
    assert "continue" in result.err


def test_a_broken_recording_is_one_line(clew: Clew) -> None:
    (clew.cwd / "broken.jsonl").write_text("{\n")
    result = clew("run", "-q", "-m", "replay:broken.jsonl", "hi", code=2)
    check_one_line(result)


@pytest.mark.parametrize(
    "record",
    [
        '{"input": 1, "content": "x"}',
        '{"input": null, "content": "x"}',
        '{"input": [], "content": "x"}',
        '{"content": "x"}',
        '{"input": "hi", "content": 1}',
        '{"input": "hi", "content": null}',
        '{"input": "hi", "content": {"text": "x"}}',
        '{"input": "hi"}',
    ],
)
def test_a_recording_whose_input_or_content_is_no_text_is_one_line(clew: Clew, record: str) -> None:
    (clew.cwd / "broken.jsonl").write_text('{"input": "a", "content": "b"}\n' + record + "\n")
    result = clew("run", "-q", "-m", "replay:broken.jsonl", "-s", "s", "hi", code=2)
    check_one_line(result)
    assert "broken.jsonl:2 has no " in result.err
    assert not clew.home.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ("--option", "temperature=1e999"),
        ("--option", 'extra_body={"api_key": "sk-1"}'),
        ("--timeout", "99999999999"),
        ("-f", "/dev/zero"),
        ("-m", "replay:"),
    ],
)
def test_what_no_run_can_be_made_with_is_refused_before_anything_is_kept(
    clew: Clew, model: str, wrong: tuple[str, str]
) -> None:
    result = clew("run", "-m", model, *wrong, "hi", code=2)
    assert result.err.startswith("clew: ")
    assert not clew.home.exists()


@pytest.mark.parametrize(
    "option",
    ["base_url=http://x", 'a=[{"b": {"token": 1}}]', "\x1b[2Japi_key=x", "a\napi_key=x"],
)
def test_an_option_that_is_none_of_the_models_is_one_line(
    clew: Clew, model: str, option: str
) -> None:
    result = clew("run", "-m", model, "--option", option, "hi", code=2)
    check_one_line(result)
    assert "\x1b" not in result.err
    assert not clew.home.exists()


@pytest.mark.parametrize(
    "wrong", [["--option", "a=1e999"], ["--timeout", "soon"], ["--meta", "=1"]], ids=" ".join
)
def test_a_wrong_value_is_told_with_its_option(clew: Clew, model: str, wrong: list[str]) -> None:
    assert f"{wrong[0]}" in clew("run", "-m", model, *wrong, "hi", code=2).err.splitlines()[0]


@pytest.mark.parametrize("value", ["NaN", "[" * 100_000, "{"], ids=["NaN", "deep", "open"])
def test_an_option_that_is_no_json_is_text(clew: Clew, model: str, value: str) -> None:
    line = clew("run", "-m", model, "--option", f"a={value}", "--json", "hi").json
    assert line["options"]["option"] == {"a": value}


def test_two_names_for_one_session_are_exit_2(clew: Clew, model: str) -> None:
    check_one_line(clew("run", "-m", model, "-s", "@a", "--name", "b", "hi", code=2))
    assert not clew.home.exists()


def test_a_new_name_of_bytes_that_are_no_text_is_kept_with_u_fffd(clew: Clew, model: str) -> None:
    session = clew("run", "-m", model, "-s", b"@a\xff", "--json", "hi").json["session_id"]
    assert clew.stored(session)[0]["name"] == "a\ufffd"
