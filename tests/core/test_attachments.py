"""Attachments from Python: paths, URLs, bytes; models of one's own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from clew.core import Agent, File
from clew.core.attachments import Source
from clew.core.errors import UsageError
from clew.core.media import MediaKind
from clew.core.model import ModelReply, ModelRequest, Price
from clew.core.usage import no_usage
from clew.stores.memory import MemoryStore
from tests.attached import PDF, PNG, Pages


@dataclass
class Looking:
    """A model that keeps what it is asked."""

    name: str = "looking"
    window: int | None = None
    price: Price | None = None
    takes_schema: bool = True
    asked: list[ModelRequest] = field(default_factory=list)

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        self.asked.append(request)
        on_text("I see.")
        return ModelReply("stop", no_usage(), self.name)


class OnlyImages(Looking):
    """One that takes images only."""

    def refuses(self, kind: MediaKind) -> bool:
        return kind != "image"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    return path


def test_a_file_is_a_path_a_url_or_bytes(image: Path) -> None:
    model = Looking()
    with Pages() as pages:
        url = pages.page("/far.png", PNG)
        given: list[Source] = [
            str(image),
            image,
            url,
            File(url=url, name="u"),
            File(content=PNG, name="c"),
        ]
        run = Agent(model=model).run("What is this?", files=given)
    names = ["dot.png", "dot.png", "far.png", "u", "c"]
    assert [file["name"] for file in run.line["files"]] == names
    assert [one["name"] for one in model.asked[0].messages[0]["attachments"]] == names
    assert list(model.asked[0].attachments.values()) == [PNG]


def test_a_missing_file_is_an_error_before_the_model_is_asked(tmp_path: Path) -> None:
    model = Looking()
    with pytest.raises(UsageError, match="No such file"):
        Agent(model=model).run("hi", files=[tmp_path / "none.png"])
    assert model.asked == []


def test_a_store_in_memory_has_the_bytes_for_the_turns_to_come(image: Path) -> None:
    model, store = Looking(), MemoryStore()
    agent = Agent(model=model, add_history_to_context=True)
    agent.run("What is this?", session_id="s", store=store, files=[image])
    image.unlink()
    agent.run("And now?", session_id="s", store=store)
    assert list(model.asked[1].attachments.values()) == [PNG]


def test_another_user_of_the_store_does_not_have_them(image: Path) -> None:
    store = MemoryStore()
    run = Agent(model=Looking()).run("hi", session_id="s", store=store, files=[image])
    sha256 = run.line["files"][0]["sha256"]
    assert store.session("t", "default").attached(sha256) == PNG
    assert store.session("s", "ada").attached(sha256) is None


def test_a_model_is_not_asked_with_what_it_refuses(image: Path) -> None:
    model = OnlyImages()
    Agent(model=model).run("hi", files=[image])
    with pytest.raises(UsageError, match="the model looking takes no PDF"):
        Agent(model=model).run("hi", files=[image, File(content=PDF, name="a.pdf")])
    assert len(model.asked) == 1


def test_a_fallback_that_refuses_a_file_is_found_out_before_anything_is_sent(image: Path) -> None:
    model = Looking()
    agent = Agent(model=model, fallback_models=[OnlyImages("second")])
    with pytest.raises(UsageError, match="the model second takes no PDF"):
        agent.run("hi", files=[File(content=PDF)])
    assert model.asked == []


def test_what_an_earlier_turn_had_goes_along_as_a_word_to_a_model_that_refuses_it() -> None:
    store = MemoryStore()
    Agent(model=Looking()).run("hi", session_id="s", store=store, files=[File(content=PDF)])
    model = OnlyImages()
    agent = Agent(model=model, add_history_to_context=True)
    run = agent.run("And now?", session_id="s", store=store)
    told = "hi\n\n[attachment 'attachment' left out: the model looking takes no PDF]"
    assert model.asked[0].messages[0] == {"role": "user", "content": told}
    assert [one["name"] for one in run.line["history"]["attachments_left_out"]] == ["attachment"]
