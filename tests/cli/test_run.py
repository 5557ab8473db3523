"""`clew run`."""

from tests.conftest import Clew


def test_the_answer_is_all_that_stdout_gets(clew: Clew, model: str) -> None:
    result = clew("run", "-m", model, "hi")
    assert result.out == "hello\n"
