"""What stdout gets, in each format, and what happens when it cannot get it."""

import os
import stat

import jsonschema
import pytest

from tests.conftest import Clew
from tests.terminal import in_terminal

EVIL = "a\x1b[2Jb\x07c\rd\x9b31me\x00f\u202eg"


@pytest.mark.parametrize("answer", ["plain", "one\n", "many\n\n\n", "two\nlines"])
def test_text_ends_with_exactly_one_newline(clew: Clew, answer: str) -> None:
    model = clew.recording(("go", answer))
    expected = answer.rstrip("\n") + "\n"
    assert clew("run", "-m", model, "go").out == expected
    assert clew("run", "-m", model, "--stream", "go").out == expected


def test_newlines_inside_a_streamed_answer_are_kept(clew: Clew) -> None:
    model = clew.recording(("go", "one\n\ntwo\n \nthree\n"))
    assert clew("run", "-m", model, "--stream", "go").out == "one\n\ntwo\n \nthree\n"


def test_an_empty_answer_is_one_newline_and_said(clew: Clew) -> None:
    result = clew("run", "-m", clew.recording(("go", "")), "go")
    assert result.out == "\n"
    assert "answered nothing" in result.err


@pytest.mark.parametrize("form", [["--json"], ["-o", "json"], ["-o", "text", "--json"]], ids=str)
def test_json_is_exactly_the_stored_line(clew: Clew, model: str, form: list[str]) -> None:
    out = clew("run", "-m", model, "-s", "s", *form, "hi").out
    assert out.encode() == clew.session_file("s").read_bytes()


def test_json_of_a_failed_run_is_exactly_the_stored_line(clew: Clew, model: str) -> None:
    out = clew("run", "-m", model, "-s", "s", "--json", "unheard of", code=3).out
    assert out.encode() == clew.session_file("s").read_bytes()


def test_the_last_format_wins(clew: Clew, model: str) -> None:
    assert clew("run", "-m", model, "--json", "-o", "text", "hi").out == "hello\n"


def test_before_a_run_exists_json_is_an_error_object(clew: Clew) -> None:
    result = clew("run", "--json", code=2)
    record = result.json
    assert list(record) == ["status", "run_id", "error"]
    assert (record["status"], record["run_id"]) == ("ERROR", None)
    assert record["error"]["exit_code"] == 2
    assert record["error"]["message"] in result.err


def test_an_option_that_does_not_exist_gives_an_error_object_too(clew: Clew) -> None:
    assert clew("run", "--json", "--nonsense", code=2).json["error"]["kind"] == "usage"


def test_a_failed_run_leaves_stdout_empty_as_text(clew: Clew, model: str) -> None:
    assert clew("run", "-m", model, "unheard of", code=3).out == ""


def test_stream_json_begins_with_its_start_and_ends_with_the_line(clew: Clew) -> None:
    model = clew.recording(("go", "one two  three\nfour"))
    events = clew("run", "-m", model, "-s", "s", "-o", "stream-json", "go").lines
    assert (events[0]["event"], events[-1]["event"]) == ("RunStarted", "RunCompleted")
    assert [n for n, event in enumerate(events) if "run" in event] == [len(events) - 1]
    assert events[-1]["run"] == clew.stored("s")[0]


def test_the_content_events_concatenate_to_the_content(clew: Clew) -> None:
    model = clew.recording(("go", "one two  three\nfour \n"))
    events = clew("run", "-m", model, "-o", "stream-json", "go").lines
    pieces = [event["content"] for event in events if event["event"] == "RunContent"]
    assert len(pieces) > 1
    assert "".join(pieces) == events[-1]["run"]["content"] == "one two  three\nfour \n"


@pytest.mark.parametrize(("prompt", "code"), [("hi", 0), ("unheard of", 3)])
def test_each_event_has_its_ids_and_fits_the_published_schema(
    clew: Clew, model: str, prompt: str, code: int
) -> None:
    schema = clew("schema", "event").json
    result = clew("run", "-m", model, "-s", "s", "-o", "stream-json", prompt, code=code)
    for event in result.lines:
        assert event["session_id"] == "s" and event["run_id"] and event["parent_run_id"] is None
        jsonschema.validate(event, schema)


def test_the_stream_of_a_failed_run_ends_with_its_error_and_line(clew: Clew, model: str) -> None:
    *_, last = clew("run", "-m", model, "-s", "s", "-o", "stream-json", "x", code=3).lines
    assert (last["event"], last["run"]) == ("RunError", clew.stored("s")[0])


def test_before_a_run_exists_a_stream_is_one_error_event(clew: Clew) -> None:
    (event,) = clew("run", "-o", "stream-json", code=2).lines
    assert (event["event"], event["run_id"]) == ("RunError", None)
    assert "run" not in event


def test_O_writes_the_answer_to_a_file_and_stdout_stays_empty(clew: Clew, model: str) -> None:  # noqa: N802
    assert clew("run", "-m", model, "-O", "answer.txt", "hi").out == ""
    assert (clew.cwd / "answer.txt").read_text() == "hello\n"


def test_O_takes_json_and_data_as_well(clew: Clew, model: str) -> None:  # noqa: N802
    clew("run", "-m", model, "-s", "s", "--json", "-O", "line.json", "hi")
    assert (clew.cwd / "line.json").read_bytes() == clew.session_file("s").read_bytes()
    data = clew.recording(("go", '{ "n": 1 }'), name="data.jsonl")
    clew("run", "-m", data, "--schema", "n int", "-O", "data.json", "go")
    assert (clew.cwd / "data.json").read_text() == '{"n": 1}\n'


def test_O_keeps_the_mode_of_an_old_file(clew: Clew, model: str) -> None:  # noqa: N802
    path = clew.cwd / "answer.txt"
    path.write_text("old\n")
    path.chmod(0o640)
    clew("run", "-m", model, "-O", "answer.txt", "hi")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("hello\n", 0o640)


def test_an_old_file_survives_a_failure(clew: Clew, model: str) -> None:
    (clew.cwd / "answer.txt").write_text("old\n")
    clew("run", "-m", model, "-O", "answer.txt", "unheard of", code=3)
    assert [path.name for path in clew.cwd.iterdir()] == ["answer.txt"]
    assert (clew.cwd / "answer.txt").read_text() == "old\n"


@pytest.mark.parametrize("path", ["", ".", "no/such/folder/x"], ids=["empty", "folder", "nowhere"])
def test_O_that_cannot_be_written_is_exit_2_before_anything_is_sent(  # noqa: N802
    clew: Clew, model: str, path: str
) -> None:
    clew("run", "-m", model, "-O", path, "hi", code=2)
    assert not clew.home.exists()


def test_O_may_name_a_pipe_or_a_device(clew: Clew, model: str) -> None:  # noqa: N802
    script = f"mkfifo pipe; cat pipe & clew run -q -m {model} -O pipe hi; wait; test -p pipe"
    assert clew.shell(script).out == "hello\n"


def test_O_and_a_stream_of_events_exclude_each_other(clew: Clew, model: str) -> None:  # noqa: N802
    clew("run", "-m", model, "-o", "stream-json", "-O", "x", "hi", code=2)
    assert not clew.home.exists()


def test_a_reader_that_leaves_early_is_no_error_and_the_run_is_stored(clew: Clew) -> None:
    model = clew.recording(("go", "word\n" * 50_000))
    script = f"clew run -q --stream -s s -m {model} go | head -1; exit ${{PIPESTATUS[0]}}"
    result = clew.shell(script)
    assert (result.out, result.err) == ("word\n", "")
    assert clew.stored("s")[0]["status"] == "COMPLETED"


def test_a_closed_stdout_is_no_error_and_nothing_lands_in_the_session(
    clew: Clew, model: str
) -> None:
    clew.shell(f"clew run -q -s s --stream -m {model} hi >&-")
    clew.shell(f"clew run -q -s s -m {model} hi >&- 2>&- <&-")
    assert [line["content"] for line in clew.stored("s")] == ["hello", "hello"]


@pytest.mark.parametrize("form", ["--stream", "--no-stream", "--json", "-o stream-json"])
def test_a_full_disk_behind_stdout_is_exit_74_and_the_whole_answer_is_stored(
    clew: Clew, model: str, form: str
) -> None:
    result = clew.shell(f"clew run -q -s s -m {model} {form} hi > /dev/full", code=74)
    assert "cannot write to stdout" in result.err
    line = clew.stored("s")[0]
    assert (line["status"], line["content"]) == ("COMPLETED", "hello")


def test_a_full_disk_behind_stderr_does_not_matter(clew: Clew, model: str) -> None:
    assert clew.shell(f"clew run -m {model} hi 2> /dev/full").out == "hello\n"


def test_control_characters_never_reach_a_terminal(clew: Clew) -> None:
    model = clew.recording(("go", EVIL))
    for flag in ("--stream", "--no-stream"):
        code, shown = in_terminal(clew, f"clew run -q -s s -m {model} {flag} go")
        assert (code, shown) == (0, b"a[2Jbcd31mefg\r\n")
    assert clew.stored("s")[0]["content"] == EVIL


def test_control_characters_pass_into_a_pipe_and_json_is_intact(clew: Clew) -> None:
    model = clew.recording(("go", EVIL))
    assert clew("run", "-m", model, "go").out == f"{EVIL}\n"
    assert clew("run", "-m", model, "--json", "go").json["content"] == EVIL
    code, shown = in_terminal(clew, f"clew run -q -m {model} --json go")
    assert code == 0
    assert b"\x1b" not in shown and b"\\u001b[2J" in shown


def test_control_characters_of_an_input_never_reach_a_terminal_by_an_error(clew: Clew) -> None:
    model = clew.recording(("go", "x"))
    code, shown = in_terminal(clew, f"clew run -m {model} $'a\\x1b[2Jb'")
    assert code == 3
    assert b"\x1b" not in shown


def test_text_streams_on_a_terminal_without_being_asked(clew: Clew) -> None:
    path = clew.cwd / "cut.jsonl"
    path.write_text('{"input": "go", "content": "not json"}\n')
    code, shown = in_terminal(clew, f"clew run -q -m replay:{path} go")
    assert (code, shown) == (0, b"not json\r\n")


def test_no_color_of_stderr_goes_into_a_pipe(clew: Clew, model: str) -> None:
    assert "\x1b" not in clew("run", "-m", model, "--usage", "hi").err
    assert "\x1b" in clew("run", "-m", model, "--usage", "--color", "always", "hi").err


def test_NO_COLOR_is_honoured_on_a_terminal(clew: Clew, model: str) -> None:  # noqa: N802
    for variable, colored in (("NO_COLOR=", True), ("NO_COLOR=1", False)):
        _, shown = in_terminal(clew, f"{variable} clew run --usage -m {model} hi")
        assert (b"\x1b[2m" in shown) == colored


def test_an_output_file_that_is_stdout_is_written_to_where_it_stands(
    clew: Clew, model: str
) -> None:
    clew.shell(f"(echo a; clew run -q -m {model} -O /dev/stdout hi; echo b) > log.txt")
    assert (clew.cwd / "log.txt").read_text() == "a\nhello\nb\n"


def test_a_help_text_into_a_closed_pipe_is_no_error(clew: Clew) -> None:
    result = clew.shell('clew state --help | true; echo "${PIPESTATUS[0]}"')
    assert (result.out, result.err) == ("0\n", "")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_a_help_text_or_the_version_onto_a_full_disk_is_said(clew: Clew, option: str) -> None:
    result = clew.shell(f"clew {option} > /dev/full", code=74)
    assert result.err == "clew: cannot write to stdout: No space left on device\n"


def test_json_is_never_mixed_with_the_text(clew: Clew, model: str) -> None:
    out = clew("run", "-m", model, "-s", "s", "--json", "--stream", "hi").out
    assert out.encode() == clew.session_file("s").read_bytes()


def test_O_leaves_stdout_empty_although_text_streams(clew: Clew, model: str) -> None:  # noqa: N802
    assert clew("run", "-m", model, "--stream", "-O", "answer.txt", "hi").out == ""


def test_without_a_stream_the_answer_is_one_event(clew: Clew) -> None:
    model = clew.recording(("go", "one two three"))
    events = clew("run", "-m", model, "-o", "stream-json", "--no-stream", "go").lines
    assert [event["event"] for event in events].count("RunContent") == 1


@pytest.mark.parametrize("asked", ["-o stream-json go", r"--dry-run $'a\u009b31mb\u202ec'"])
def test_control_characters_reach_no_terminal_by_events_or_a_dry_run(
    clew: Clew, asked: str
) -> None:
    model = clew.recording(("go", EVIL))
    code, shown = in_terminal(clew, f"clew run -q -m {model} {asked}")
    assert code == 0
    assert not any(character.encode() in shown for character in "\x1b\x9b\u202e")


def test_O_makes_a_new_file_by_the_umask(clew: Clew, model: str) -> None:  # noqa: N802
    clew.shell(f"umask 026; clew run -m {model} -O answer.txt hi")
    assert stat.S_IMODE((clew.cwd / "answer.txt").stat().st_mode) == 0o640


def test_O_writes_to_what_a_link_points_to(clew: Clew, model: str) -> None:  # noqa: N802
    (clew.cwd / "link").symlink_to("answer.txt")
    clew("run", "-m", model, "-O", "link", "hi")
    assert (clew.cwd / "link").is_symlink()
    assert (clew.cwd / "answer.txt").read_text() == "hello\n"


def test_O_below_a_file_is_exit_2_before_anything_is_sent(clew: Clew, model: str) -> None:  # noqa: N802
    (clew.cwd / "file").write_text("x")
    clew("run", "-m", model, "-O", "file/x", "hi", code=2)
    assert not clew.home.exists()


def test_an_output_file_that_takes_nothing_is_exit_74_and_the_answer_is_printed(
    clew: Clew, model: str
) -> None:
    result = clew("run", "-m", model, "-s", "s", "-O", "/dev/full", "hi", code=74)
    assert (result.out, "cannot write /dev/full" in result.err) == ("hello\n", True)
    assert clew.stored("s")[0]["status"] == "COMPLETED"


@pytest.mark.parametrize("form", ["--stream", "--no-stream", "--json"])
def test_an_answer_that_cannot_be_stored_is_exit_74_and_printed(clew: Clew, form: str) -> None:
    answer = "word " * 5_000 + "end"
    model = clew.recording(("go", answer))
    result = clew.shell(f"ulimit -f 8; clew run -q -m {model} -s s {form} go", code=74)
    assert (result.json["content"] if form == "--json" else result.out.rstrip("\n")) == answer
    if form == "--json":
        assert (result.json["seq"], result.json["exit_code"]) == (None, 74)
    assert "clew: " in result.err
    assert not clew.session_file("s").exists() or not clew.session_file("s").read_bytes()


def test_a_pipe_that_does_not_block_gets_the_whole_answer(clew: Clew) -> None:
    answer = "word " * 100_000
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    model = clew.recording(("go", answer))
    process = clew.start("run", "-q", "-m", model, "go", stdout=writing)
    os.close(writing)
    with open(reading) as pipe:
        assert pipe.read() == answer + "\n"
    assert process.communicate(timeout=200)[1] == b""
    assert process.returncode == 0


def test_the_answer_is_utf_8_whatever_python_is_told(clew: Clew) -> None:
    model = clew.recording(("go", "é"))
    assert clew("run", "-m", model, "go", env={"PYTHONIOENCODING": "ascii"}).out == "é\n"


@pytest.mark.parametrize("form", ["-ojson", "--output-format=json", "-qo json", "-vqojson"])
def test_each_spelling_of_json_gives_an_error_object(clew: Clew, form: str) -> None:
    assert clew("run", *form.split(), code=2).json["status"] == "ERROR"


def test_text_that_wins_over_json_gets_no_error_object(clew: Clew) -> None:
    assert clew("run", "--json", "-o", "text", code=2).out == ""


def test_a_session_that_is_not_kept_is_not_named(clew: Clew, model: str) -> None:
    assert "session" not in clew("run", "-m", model, "--no-store", "hi").err


def test_the_embedded_default_is_named(clew: Clew) -> None:
    assert "model local/smollm2 (embedded; -m chooses another)" in clew("run", "hi", code=3).err
