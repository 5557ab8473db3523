"""Answers from recorded runs."""

from clew.core.model import ModelRequest
from clew.core.replay_model import ReplayModel
from tests.conftest import Clew


def play(model: ReplayModel, text: str) -> str:
    pieces: list[str] = []
    model.ask(ModelRequest([{"role": "user", "content": text}], text), pieces.append)
    return "".join(pieces)


def test_the_kth_use_gets_the_kth_recording_then_the_last(clew: Clew) -> None:
    name = clew.recording(("a", "1"), ("b", "x"), ("a", "2"))
    model = ReplayModel(name, None, "default")
    assert [play(model, text) for text in "aabaab"] == ["1", "2", "x", "2", "2", "x"]
