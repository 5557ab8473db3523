"""What a provider can do wrong, streamed and not."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.conftest import Clew
from tests.provider import Answer, Fault, Json, Provider

TEXT = "one two three four five six"
CANARY = "sk-CANARY-0123456789"
FLAGS = ("--stream", "--no-stream")
WHOLE = ("no_done", "drip", "hang", "redirect")
CUT = tuple(fault for fault in get_args(Fault) if fault not in WHOLE)
STATUS = {401: 77, 403: 77, 404: 3, 400: 1, 422: 1, 408: 69, 429: 75, 500: 69, 503: 69}
PARTIAL = ("reset_mid", "eof_mid", "eof_in_line", "cut_chunked", "bad_json", "error_event")
DRIVER = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from clew.cli.main import main
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


@dataclass(frozen=True)
class Sweep:
    """How each call ended, by model and flag: exit code, stdout, stderr."""

    clew: Clew
    ends: dict[tuple[str, str], tuple[int, str, str]]

    def line(self, model: str, flag: str) -> Any:
        return self.clew.stored(session(model, flag))[0]


def session(model: str, flag: str) -> str:
    return f"{model}{flag}"


def answer(body: Json) -> Answer:
    """The model's name says what is wrong with it."""
    name: Any = body["model"]
    if name.isdecimal():
        return Answer(status=int(name), echo_key=True)
    return Answer(TEXT, fault=name)


def call(model: str, flag: str) -> list[str]:
    where = ["-m", f"openai/{model}", "-s", session(model, flag)]
    seconds = 1 if model == "hang" else 100
    return ["run", *where, flag, "--retries=0", f"--timeout={seconds}", "go"]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    clew = Clew(tmp_path_factory.mktemp("faults"))
    cases = list(product([*CUT, "no_done", "hang", *map(str, STATUS)], FLAGS))
    calls = [call(model, flag) for model, flag in cases]
    with Provider() as provider:
        provider.default = answer
        env = clew.env | {"OPENAI_API_BASE": provider.url, "OPENAI_API_KEY": CANARY}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", DRIVER, json.dumps(calls)],
            env=env,
            cwd=clew.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=280,
            check=True,
        )
    ends = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    yield Sweep(clew, dict(zip(cases, ends, strict=True)))


@pytest.mark.slow
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("fault", CUT)
def test_an_answer_that_broke_off_is_exit_69_and_never_completed(
    sweep: Sweep, fault: str, flag: str
) -> None:
    line = sweep.line(fault, flag)
    assert (line["status"], line["exit_code"]) == ("ERROR", 69)
    assert sweep.ends[fault, flag][0] == 69


@pytest.mark.slow
@pytest.mark.parametrize("fault", PARTIAL)
def test_the_text_that_came_before_the_break_is_kept(sweep: Sweep, fault: str) -> None:
    assert sweep.line(fault, "--stream")["content"].split() == ["one", "two", "three"]


@pytest.mark.slow
@pytest.mark.parametrize("flag", FLAGS)
def test_a_stream_that_only_lacks_its_last_word_is_complete(sweep: Sweep, flag: str) -> None:
    line = sweep.line("no_done", flag)
    assert (line["status"], line["content"]) == ("COMPLETED", TEXT)


@pytest.mark.slow
@pytest.mark.parametrize("flag", FLAGS)
def test_a_provider_that_never_answers_ends_at_the_time_limit(sweep: Sweep, flag: str) -> None:
    line = sweep.line("hang", flag)
    assert (line["status"], line["exit_code"], line["error"]["kind"]) == ("ERROR", 5, "limit")


@pytest.mark.slow
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize(("status", "code"), STATUS.items())
def test_each_status_has_its_exit_code(sweep: Sweep, status: int, code: int, flag: str) -> None:
    assert sweep.ends[str(status), flag][0] == sweep.line(str(status), flag)["exit_code"] == code


@pytest.mark.slow
def test_a_key_that_the_server_echoes_appears_nowhere(sweep: Sweep) -> None:
    files = [path for path in sweep.clew.home.rglob("*") if path.is_file()]
    texts = [path.read_text() for path in files] + [o + e for _, o, e in sweep.ends.values()]
    assert files and not any("CANARY" in text for text in texts)


@pytest.mark.slow
def test_no_fault_shows_a_traceback(sweep: Sweep) -> None:
    assert not any("Traceback" in err for _, _, err in sweep.ends.values())
    assert not any(Path(sweep.clew.home / "logs").glob("*"))


@pytest.mark.slow
def test_each_attempt_is_a_request_and_is_recorded(clew: Clew, provider: Provider) -> None:
    provider.answer(status=503)
    provider.answer("at last")
    result = clew("run", "-q", "-m", "openai/test-model", "--json", "go")
    details = result.json["metrics"]["details"]
    assert len(provider.requests) == len(details) == result.json["metrics"]["requests"] == 2
    assert [call["attempt"] for call in details] == [1, 2]
    assert result.err == ""


@pytest.mark.slow
def test_the_cost_of_a_model_without_a_price_is_said_to_be_unknown(
    clew: Clew, provider: Provider
) -> None:
    result = clew("run", "-m", "openai/test-model", "--usage", "--json", "go")
    assert "cost unknown" in result.err
    assert (result.json["metrics"]["cost"], result.json["metrics"]["cost_unknown"]) == (None, 1)


@pytest.mark.slow
def test_the_pause_that_a_provider_asks_for_is_made(clew: Clew, provider: Provider) -> None:
    provider.answer(status=429, headers={"retry-after": "2"})
    provider.answer("at last")
    first = clew("run", "-m", "openai/test-model", "-o", "stream-json", "go").lines
    (told,) = [event for event in first if event["event"] == "ModelRequestError"]
    assert told["retry_in"] >= 2


@pytest.mark.slow
@pytest.mark.parametrize("flag", FLAGS)
def test_tokens_that_a_provider_does_not_report_are_marked_as_estimated(
    clew: Clew, provider: Provider, flag: str
) -> None:
    provider.answer("an answer", usage=None)
    metrics = clew("run", "-m", "openai/test-model", flag, "--json", "go").json["metrics"]
    assert metrics["estimated"] is True


@pytest.mark.slow
def test_a_schema_goes_to_the_model_in_words_where_it_takes_none(
    clew: Clew, provider: Provider
) -> None:
    provider.answer('{"age": 7}')
    clew("run", "-m", "openai/test-model", "--schema", "age int", "go")
    body = provider.requests[0].body
    assert "response_format" not in body
    assert '"age"' in body["messages"][0]["content"]


@pytest.mark.slow
def test_a_file_of_settings_in_the_folder_gives_no_key(clew: Clew, provider: Provider) -> None:
    (clew.cwd / ".env").write_text("OPENAI_API_KEY=sk-planted-0123456789\n")
    clew("run", "-q", "-m", "openai/test-model", "go", env={"OPENAI_API_KEY": ""}, code=77)
    assert provider.requests == []


@pytest.mark.slow
def test_a_response_without_an_answer_is_said_to_be_one(sweep: Sweep) -> None:
    assert "no choices" in sweep.line("empty_choices", "--no-stream")["error"]["message"]
