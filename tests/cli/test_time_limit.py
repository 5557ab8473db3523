"""`--timeout` bounds the whole run, also where no socket ever falls silent."""

import pytest

from tests.conftest import Clew
from tests.provider import Provider


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--stream", "--no-stream"])
def test_an_answer_that_drips_for_ever_is_stopped_and_kept(
    clew: Clew, provider: Provider, flag: str
) -> None:
    provider.answer("a word or two", fault="drip", delay=0.1)
    asked = ("run", "-s", "s", "-m", "openai/test-model", flag, "--timeout", "15", "hi")
    result = clew(*asked, code=5)
    assert "the time limit of 15 s was reached" in result.err
    (run,) = clew.stored("s")
    assert (run["status"], run["exit_code"], run["error"]["kind"]) == ("ERROR", 5, "limit")
    assert bool(run["content"]) is (flag == "--stream")
    assert [call["error"] for call in run["metrics"]["details"]] == ["limit"]
    assert len(provider.requests) == 1
