"""What a provider can answer that is no answer, and what of it clew keeps: streamed and not."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clew, jq
from tests.provider import Answer, Json, Provider
from tests.spent import spent

CANARY = "sk-CANARY-0123456789"
FLAGS = ("--stream", "--no-stream")
HALF = "\ud800"
BIG = 50_000_000
DRIVER = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from clew.cli.main import main
for arguments in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def chunk(delta: Any, finish_reason: Any = None, **fields: Any) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "x", "object": "chat.completion.chunk", "choices": [choice]} | fields


def events(*found: Json | bytes) -> bytes:
    raw = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in found]
    return b"".join(b"data: %b\n\n" % item for item in [*raw, b"[DONE]"])


def document(content: Any = "one two", finish_reason: Any = "stop", **fields: Any) -> bytes:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    return json.dumps(whole | {"choices": [choice]} | fields).encode()


def answered(*, usage: Any = None, **fields: Any) -> tuple[bytes, bytes]:
    """A whole answer, streamed and not."""
    used = {} if usage is None else {"usage": usage}
    last = [chunk({}, choices=[], **used)] if used else []
    streamed = events(chunk({"content": "one two"}, **fields), chunk({}, "stop", **fields), *last)
    return streamed, document(**used, **fields)


def counts(sent: Any, out: Any) -> Json:
    return {"prompt_tokens": sent, "completion_tokens": out, "total_tokens": 5}


WHOLE = {
    "usage_missing": answered(),
    "usage_negative": answered(usage=counts(-3, -2)),
    "usage_huge": answered(usage=counts(10**30, 10**30)),
    "half_text": (
        events(
            chunk({"content": f"one{HALF}"}), chunk({"content": " \0\u2028"}), chunk({}, "stop")
        ),
        document(f"one{HALF} \0\u2028"),
    ),
    "half_model": answered(model=f"m{HALF}"),
    "half_reason": (
        events(chunk({"content": "one two"}), chunk({}, f"stop{HALF}")),
        document(finish_reason=f"stop{HALF}"),
    ),
    "model_list": answered(model=["m"]),
    "reason_number": (
        events(chunk({"content": "one two"}), chunk({}, 5)),
        document(finish_reason=5),
    ),
}
BROKEN = {
    "empty": (b"", b""),
    "html": (b"<html>Bad gateway</html>", b"<html>Bad gateway</html>"),
    "null": (b"null", b"null"),
    "list": (b"[]", b"[]"),
    "zeros": (b"\0" * 3000, b"\0" * 3000),
    "binary": (b"data: \xff\xfe\n\n", b"\xff\xfe\xfa\xfb"),
    "cut": (events(chunk({"content": "one two"}))[:-30], document()[:60]),
    "deep": (b"data: " + b"[" * 100_000 + b"\n\n", b"[" * 100_000),
    "long_number": (
        events(chunk({"content": "one two"}), b'{"created": ' + b"9" * 5000 + b"}"),
        b'{"created": ' + b"9" * 5000 + b"}",
    ),
    "choices_text": (events(chunk({}, choices="x")), document(choices="x")),
    "choices_numbers": (events(chunk({}, choices=[5])), document(choices=[5])),
    "choices_missing": (events({"id": "x"}), b'{"id": "x"}'),
    "message_text": (
        events(chunk("one")),
        document(choices=[{"index": 0, "message": "one", "finish_reason": "stop"}]),
    ),
}
STATUS = {
    "error_half": (400, json.dumps({"error": {"message": f"bad {HALF}"}}).encode(), 1),
    "error_page": (500, b"<html>", 69),
    "error_empty": (503, b"", 69),
    "error_list": (429, b"[]", 75),
    "error_teapot": (418, b"tea", 1),
    "error_money": (402, b"{}", 1),
    "moved_nowhere": (302, b"", 69),
}
OTHER = {"stall": 5, "redirected": 0, "later": 0, "never": 75, "much_later": 75, "down": 69}
NAMES = (*WHOLE, *BROKEN, *STATUS, *OTHER)
ATTEMPTS = {"later": 2, "never": 3, "down": 3}
CODES = dict.fromkeys(WHOLE, 0) | dict.fromkeys(BROKEN, 69) | OTHER
CODES |= {name: code for name, (_, _, code) in STATUS.items()}


class Nonsense:
    """Answers as a model's name says; whoever follows a redirect arrives `elsewhere`."""

    def __init__(self, elsewhere: str) -> None:
        self._elsewhere = elsewhere
        self._seen: set[tuple[str, bool]] = set()
        self.gate = threading.Event()

    def __call__(self, body: Json) -> Answer:
        name, stream = body["model"], bool(body.get("stream"))
        if name in STATUS:
            status, raw, _ = STATUS[name]
            return Answer(status=status, body=raw)
        if name in WHOLE or name in BROKEN:
            raw = (WHOLE | BROKEN)[name][not stream]
            kind = "text/event-stream" if stream else "application/json"
            return Answer(body=raw, headers={"content-type": kind})
        return self._other(name, stream)

    def _other(self, name: str, stream: bool) -> Answer:
        first = (name, stream) not in self._seen
        self._seen.add((name, stream))
        match name:
            case "stall":
                return Answer("one two three", gate=self.gate)
            case "redirected":
                return Answer(fault="redirect", headers={"location": self._elsewhere})
            case "later" if not first:
                return Answer("at last")
            case "much_later":
                return Answer(status=429, headers={"retry-after": "86400"})
            case "down":
                return Answer(status=503, echo_key=True)
            case _:
                return Answer(status=429, headers={"retry-after": "0"}, echo_key=True)


@dataclass(frozen=True)
class Table:
    """How every call ended, by name and flag: exit code, stdout, stderr."""

    clew: Clew
    ends: dict[tuple[str, str], tuple[int, str, str]]
    after: dict[tuple[str, str], int]
    requests: list[tuple[str, bool]]
    elsewhere: list[dict[str, str]]

    def line(self, name: str, flag: str) -> Any:
        return self.clew.stored(session(name, flag))[0]


def session(name: str, flag: str) -> str:
    return f"{name.replace('_', '-')}{flag}"


def calls(flag: str, model: str) -> list[list[str]]:
    """Each fault, and after it a run that has to succeed."""
    found: list[list[str]] = []
    for name in NAMES:
        where = ["-s", session(name, flag)]
        limits = [
            f"--retries={ATTEMPTS.get(name, 1) - 1}",
            f"--timeout={10 if name == 'stall' else 100}",
        ]
        found.append(
            ["run", "-v", "--no-stdin", *where, "-m", f"openai/{name}", flag, *limits, "go"]
        )
        found.append(["continue", "--no-stdin", *where, "-m", model, "hi"])
    return found


def outcomes(driver: "subprocess.Popen[str]") -> list[tuple[int, str, str]]:
    out, err = driver.communicate(timeout=250)
    assert driver.returncode == 0, err
    assert "CANARY" not in err
    return [tuple(json.loads(line)) for line in out.splitlines()]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    clew = Clew(tmp_path_factory.mktemp("nonsense"))
    model = clew.recording(("hi", "hello"))
    with Provider() as provider, Provider() as elsewhere:
        elsewhere.default = Answer("from elsewhere")
        provider.default = nonsense = Nonsense(f"{elsewhere.url}/chat/completions")
        env = clew.env | {"OPENAI_API_BASE": provider.url, "OPENAI_API_KEY": CANARY}
        command = [sys.executable, "-W", "ignore", "-c", DRIVER]
        drivers = []
        for flag in FLAGS:
            work = clew.cwd.parent / f"calls{flag}"
            work.write_text(json.dumps(calls(flag, model)))
            with work.open() as stdin:
                pipes: Any = {"stdin": stdin, "stdout": -1, "stderr": -1, "text": True}
                drivers.append(subprocess.Popen(command, env=env, cwd=clew.cwd, **pipes))
        results = {flag: outcomes(driver) for flag, driver in zip(FLAGS, drivers, strict=True)}
        nonsense.gate.set()
        ends = {(n, f): results[f][2 * i] for f in FLAGS for i, n in enumerate(NAMES)}
        after = {(n, f): results[f][2 * i + 1][0] for f in FLAGS for i, n in enumerate(NAMES)}
        asked = [(r.body["model"], bool(r.body.get("stream"))) for r in provider.requests]
        yield Table(clew, ends, after, asked, [r.headers for r in elsewhere.requests])


both = pytest.mark.parametrize("flag", FLAGS)


@pytest.mark.slow
@both
@pytest.mark.parametrize("name", NAMES)
def test_each_answer_ends_in_its_documented_exit_code(table: Table, name: str, flag: str) -> None:
    code, _, err = table.ends[name, flag]
    line = table.line(name, flag)
    assert (code, line["exit_code"]) == (CODES[name], CODES[name]), err
    assert line["status"] == ("COMPLETED" if CODES[name] == 0 else "ERROR")


@pytest.mark.slow
@both
@pytest.mark.parametrize("name", BROKEN)
def test_no_answer_at_all_is_told_as_the_providers_fault(
    table: Table, name: str, flag: str
) -> None:
    line = table.line(name, flag)
    assert (line["error"]["kind"], line["error"]["retryable"]) == ("provider", True)
    assert line["error"]["message"] in table.ends[name, flag][2]


@pytest.mark.slow
def test_text_before_garbage_is_kept(table: Table) -> None:
    assert table.line("long_number", "--stream")["content"] == "one two"


@pytest.mark.slow
def test_text_before_a_silence_is_kept(table: Table) -> None:
    line = table.line("stall", "--stream")
    assert (line["content"], line["error"]["kind"]) == ("one ", "limit")


@pytest.mark.slow
@both
@pytest.mark.parametrize("name", NAMES)
def test_every_request_that_reached_the_server_is_recorded(
    table: Table, name: str, flag: str
) -> None:
    arrived = table.requests.count((name, flag == "--stream"))
    metrics = table.line(name, flag)["metrics"]
    assert arrived == len(metrics["details"]) == metrics["requests"] == ATTEMPTS.get(name, 1)
    assert [call["attempt"] for call in metrics["details"]] == list(range(1, arrived + 1))


@pytest.mark.slow
@both
def test_jq_reads_what_any_answer_left_and_the_next_run_works(table: Table, flag: str) -> None:
    for name in NAMES:
        raw = table.clew.session_file(session(name, flag)).read_text()
        assert jq(".seq", raw) == "1\n2\n", name
        assert table.after[name, flag] == 0, name


@pytest.mark.slow
def test_what_any_answer_left_is_clean(table: Table) -> None:
    assert table.clew("sessions", "verify", "--all").out == ""


@pytest.mark.slow
@both
@pytest.mark.parametrize("name", ["usage_missing", "usage_negative", "usage_huge"])
def test_usage_that_cannot_be_is_estimated(table: Table, name: str, flag: str) -> None:
    metrics = table.line(name, flag)["metrics"]
    assert metrics["estimated"] is True
    assert 0 < metrics["output_tokens"] < 10
    assert 0 < metrics["input_tokens"] < 20
    assert metrics["total_tokens"] == metrics["input_tokens"] + metrics["output_tokens"]


@pytest.mark.slow
@both
def test_a_wait_longer_than_a_minute_is_not_waited_for(table: Table, flag: str) -> None:
    assert table.line("much_later", flag)["metrics"]["requests"] == 1
    assert table.line("much_later", flag)["error"]["kind"] == "rate_limit"


@pytest.mark.slow
def test_the_key_does_not_follow_a_redirect_to_another_host(table: Table) -> None:
    assert len(table.elsewhere) == len(FLAGS)
    assert not [headers for headers in table.elsewhere if "CANARY" in json.dumps(headers)]


@pytest.mark.slow
def test_the_key_is_found_nowhere_after_all_of_that(table: Table) -> None:
    said = [out + err for _, out, err in table.ends.values()]
    root = table.clew.home.parent.parent
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) > len(NAMES)
    assert not [path for path in files if b"CANARY" in path.read_bytes()]
    assert not [text for text in said if "CANARY" in text]


@pytest.mark.slow
def test_nothing_of_it_was_a_bug(table: Table) -> None:
    assert not any("Traceback" in err for _, _, err in table.ends.values())
    assert not list((table.clew.home / "logs").glob("*"))


@pytest.mark.parametrize(
    "option",
    [
        f"extra_headers={{'Authorization': '{CANARY}'}}",
        f'headers={{"Authorization": "Bearer {CANARY}"}}',
        f"api_key={CANARY}",
        f'extra_body={{"api_key": "{CANARY}"}}',
    ],
)
def test_a_key_given_as_an_option_is_refused_and_not_repeated(clew: Clew, option: str) -> None:
    result = clew("run", "-v", "-m", "openai/m", "--option", option, "hi", code=2)
    assert "CANARY" not in result.out + result.err
    files = [path for path in clew.home.rglob("*") if path.is_file()]
    assert not [path for path in files if b"CANARY" in path.read_bytes()]


@pytest.mark.slow
def test_an_answer_may_say_the_same_word_a_hundred_times(clew: Clew, provider: Provider) -> None:
    provider.answer("chorus " * 150)
    result = clew("run", "-q", "--stream", "-m", "openai/m", "--retries=0", "sing")
    assert result.out.split() == ["chorus"] * 150


@pytest.mark.slow
def test_a_busy_provider_is_asked_again_when_it_says_so(clew: Clew, provider: Provider) -> None:
    provider.answer(status=429, headers={"retry-after": "2"})
    provider.answer("at last")
    result = clew("run", "-m", "openai/m", "--json", "go")
    first, second = provider.requests
    assert second.started - first.started >= 2
    assert [call["error"] for call in result.json["metrics"]["details"]] == ["rate_limit", None]
    assert "asking again in 2.0 s" in result.err


@pytest.mark.slow
@both
def test_an_answer_of_fifty_megabytes_is_kept_whole_in_memory_of_a_few_times_its_line(
    clew: Clew, provider: Provider, tmp_path: Path, flag: str
) -> None:
    text = "river bank " * (BIG // 11)
    pieces = [chunk({"content": text[at : at + 65536]}) for at in range(0, len(text), 65536)]
    raw = events(*pieces, chunk({}, "stop")) if flag == "--stream" else document(text)
    kind = "text/event-stream" if flag == "--stream" else "application/json"
    call = ["run", "-q", "-m", "openai/m", "-s", "s", flag, "--retries=0", "go"]
    provider.answer("short")
    base = spent(clew, *call, out=tmp_path / "short").memory
    provider.answer(body=raw, headers={"content-type": kind})
    most = spent(clew, *call, out=tmp_path / "long").memory
    lines = clew.session_file("s").read_bytes().splitlines()
    assert json.loads(lines[1])["content"] == text
    assert (tmp_path / "long").read_text() == text + "\n"
    assert most - base < 7 * len(lines[1])
