"""Text of any kind comes back as it was, or is replaced when it comes in; jq reads every file."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clew.core import Agent
from clew.core.model import ModelReply, ModelRequest
from clew.core.session import Draft, StateChange, always
from clew.core.text import storable
from clew.core.usage import no_usage
from clew.stores import JsonlStore
from tests.conftest import Clew, jq
from tests.torture.conftest import Figure

EXAMPLES = 1500
ODD = "\0\t\r\x0b\x1b\x7f\x85\xa0\u2028\u2029\u202e\ufeff\ufffe\uffff\ud800\udbff\udc00\udfff"
CHARACTERS = st.characters(codec="utf-8") | st.sampled_from(f'{ODD}"\\/\N{GRINNING FACE}\n')
TEXT = st.text(CHARACTERS, max_size=40)
STATES = st.dictionaries(TEXT, TEXT | st.integers() | st.lists(TEXT, max_size=3), max_size=3)
MANY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Speaker:
    """A model that says what it is told to."""

    pieces: list[str] = field(default_factory=list)
    name = "replay:speaker"
    window = None
    price = None
    takes_schema = True

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        for piece in self.pieces:
            on_text(piece)
        return ModelReply("stop", no_usage(), None)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _fd: None)  # nothing here is about the disk


def newest(path: Path, size: int) -> str:
    """The text that was added after `size` bytes; it is one line of ASCII."""
    with path.open("rb") as file:
        file.seek(size)
        raw = file.read()
    assert raw.isascii()
    assert raw.count(b"\n") == 1
    assert raw.endswith(b"\n")
    return raw.decode()


def stored(state: dict[str, object]) -> dict[str, object]:
    """The state as it has to come back."""
    return {
        storable(key): json.loads(storable(json.dumps(value, ensure_ascii=False)))
        for key, value in state.items()
    }


@pytest.mark.usefixtures("quick")
def test_prompts_answers_and_states_of_any_text_come_back(tmp_path: Path, figure: Figure) -> None:
    store = JsonlStore(str(tmp_path / "home"))
    log = store.session("s", "default")
    path = Path(log.location)
    asked: list[str] = []

    @MANY
    @given(TEXT.filter(lambda text: bool(text.strip())), st.lists(TEXT, max_size=4), STATES)
    def comes_back(prompt: str, answer: list[str], state: dict[str, object]) -> None:
        size = path.stat().st_size if path.exists() else 0
        agent = Agent(model=Speaker(answer))
        run = agent.run(prompt, session_id="s", store=store, session_state=state)
        line = json.loads(newest(path, size))
        assert line["input"] == line["messages"][0]["content"] == storable(prompt)
        assert line["content"] == "".join(map(storable, answer)) == run.content
        for key, value in stored(state).items():
            assert line["session_state"][key] == value
        log.append(
            always(
                Draft(
                    "state",
                    {"state_patch": None, "state_replaced": True, "by": None},
                    StateChange(replacement={}),
                )
            )
        )
        asked.append(storable(prompt))

    comes_back()
    lines = jq('select(.type == "run") | .input', path.read_text()).split("\n")
    assert list(map(json.loads, lines[:-1])) == asked
    assert jq(".session_state", path.read_text().splitlines()[-1]) == "{}\n"
    figure("text: prompts, answers and states of any Unicode that came back", len(asked))


@pytest.mark.usefixtures("quick")
def test_what_was_sent_before_is_sent_again_exactly(tmp_path: Path) -> None:
    store = JsonlStore(str(tmp_path / "home"))
    heard: list[list[str]] = []

    class Listener(Speaker):
        def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
            heard.append([message["content"] for message in request.messages])
            return super().ask(request, on_text)

    @settings(MANY, max_examples=300)
    @given(TEXT.filter(lambda text: bool(text.strip())), TEXT)
    def is_sent_again(prompt: str, answer: str) -> None:
        agent = Agent(model=Listener([answer]), add_history_to_context=True, num_history_runs=1)
        agent.run(prompt, session_id="s", store=store)
        agent.run("next", session_id="s", store=store)
        assert heard[-1] == [storable(prompt), storable(answer), "next"]

    is_sent_again()


BYTES = {
    "no UTF-8": b"a\xff\xfeb",
    "overlong": b"a\xc0\x80b",
    "half a character": b"a\xed\xa0\x80b",
    "cut character": b"a\xf0\x9f\x98",
    "beyond Unicode": b"a\xf4\x90\x80\x80b",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x0cf".encode(),
    "no characters": "a\ufffe\uffff\ufeffb".encode(),
    "controls": b"a\x01\x1b]52;c;eA==\x07\x7f\rb",
    "directions": "a\u202e\u2066b".encode(),
    "beyond the basic plane": "\N{GRINNING FACE}\U0010fffd".encode(),
    "combining": "e\u0301 \u200d \N{ZERO WIDTH SPACE}x".encode(),
    "quotes": b"\\ \" ' ` $(x) %s {} \\u0000 \\ud800",
}


def as_argument(raw: bytes) -> str:
    """How an argument is read: each byte that is no text is replaced by itself."""
    return storable(raw.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("raw", BYTES.values(), ids=BYTES)
def test_the_command_takes_any_bytes_as_arguments(clew: Clew, raw: bytes) -> None:
    prompt = as_argument(raw)
    model = clew.recording((prompt, f"<{prompt}>"), ("next", "fine"))
    options = (b"--system", raw, b"--meta", b"key=" + raw, b"--state", b'{"k": "v"}')
    shown = clew("run", "-s", "s", "-m", model, "--json", *options, b"--", raw)
    clew("state", "-s", "s", "set", b"word=" + raw)
    clew("continue", "-s", "s", "next")
    line = clew.stored("s")[0]
    assert shown.json == line
    assert (line["input"], line["content"]) == (prompt, f"<{prompt}>")
    assert (line["options"]["system"], line["metadata"]["key"]) == (prompt, prompt)
    assert clew("state", "-s", "s", "get", "-r", "word").out == f"{prompt}\n"
    last = clew.session_file("s").read_text().splitlines()[-1]
    assert json.loads(jq(".session_state", last)) == {"k": "v", "word": prompt}
    assert jq(".seq", clew.session_file("s").read_text()) == "1\n2\n3\n"


@pytest.mark.parametrize("raw", [*BYTES.values(), b"a\0b"], ids=[*BYTES, "NUL"])
def test_the_command_takes_any_bytes_from_a_pipe(clew: Clew, raw: bytes) -> None:
    prompt = raw.decode("utf-8", "replace")
    model = clew.recording((prompt, f"<{prompt}>\0"))
    clew("run", "-s", "s", "-m", model, stdin=raw)
    line = clew.stored("s")[0]
    assert (line["input"], line["content"]) == (prompt, f"<{prompt}>\0")
    assert json.loads(jq(".content", clew.session_file("s").read_text())) == f"<{prompt}>\0"
    assert clew("history", "-s", "s", "--json").lines == [line]


def test_names_and_paths_of_any_bytes_leave_a_line_that_jq_reads(clew: Clew) -> None:
    folder = os.fsencode(clew.cwd) + b"/\xff\xfe"
    os.mkdir(folder)
    recording = folder + b"/rec\xff.jsonl"
    with open(recording, "wb") as file:
        file.write(b'{"input": "hi", "content": "hello"}\n')
    with open(folder + b"/notes\xfe.txt", "wb") as file:
        file.write(b"notes")
    clew("run", "-s", "s", "-m", b"replay:" + recording, "hi", cwd=Path(os.fsdecode(folder)))
    attached = ("-f", folder + b"/notes\xfe.txt")
    clew("run", "-s", "s", "-m", b"replay:" + recording, *attached, "hi", code=None)
    clew("run", "-s", "s", "-m", b"replay:rec\xff.jsonl", "hi", cwd=Path(os.fsdecode(folder)))
    assert jq(".seq", clew.session_file("s").read_text()) == "1\n2\n3\n"
    assert clew("sessions", "verify", "-s", "s").out == ""
