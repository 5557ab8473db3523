"""jq programs: what they give, and what is said of bad ones."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from clew.core.errors import UsageError
from clew.core.jq_program import program


def test_a_program_gives_its_values_in_their_order() -> None:
    assert program(".a[] | . + 1").values({"a": [1, 2]}) == [2, 3]
    assert program("empty").values({}) == []


def test_one_program_runs_over_many_data() -> None:
    found = program(".n")
    assert [found.one({"n": n}) for n in (1, "é", None, [True])] == [1, "é", None, [True]]


@pytest.mark.parametrize(
    ("text", "truth"),
    [("true", True), ("false", False), ("null", False), ("0", True), ('""', True), ("[]", True)],
)
def test_truth_is_that_of_jq(text: str, truth: bool) -> None:
    assert program(text).holds({}) is truth


@pytest.mark.parametrize(("text", "count"), [("empty", "none"), ("1, 2", "2"), ("halt", "none")])
def test_anything_but_one_value_is_refused_where_one_is_wanted(text: str, count: str) -> None:
    with pytest.raises(UsageError, match=f"must give one value, and gave {count}"):
        program(text).one({})
    with pytest.raises(UsageError, match=f"must give one value, and gave {count}"):
        program(text).holds({})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (".a |", "syntax error, unexpected end of file (line 1, column 4)"),
        (".\n| foo", "foo/0 is not defined (line 2, column 3)"),
        (".a | env | oh", "oh/0 is not defined (line 1, column 12)"),
        ("", 'Top-level program not given (try ".")'),
        ("# nothing", 'Top-level program not given (try ".")'),
        ("1) , (2", "syntax error, unexpected INVALID_CHARACTER"),
        ('"\0"', "it has a NUL character"),
        ('import "a" as a; 1', "module not found: a"),
    ],
)
def test_a_bad_program_is_one_clear_line(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        program(text)
    assert caught.value.message.startswith(f"the jq program is wrong: {reason}")
    assert "\n" not in caught.value.message


def test_a_program_that_fails_says_which_and_why() -> None:
    with pytest.raises(UsageError) as caught:
        program(".a.b").one({"a": "text"})
    assert caught.value.message == (
        'the jq program .a.b failed: Cannot index string with string ("b")'
    )


def test_what_is_said_of_a_failure_is_short_whatever_the_data() -> None:
    with pytest.raises(UsageError) as caught:
        program(f"error(.a){' ' * 1000}").one({"a": "x" * 100_000})
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("text", ["env", "$ENV", "def f: env; f", '"x" as $x | $ENV'])
def test_a_program_sees_the_environment_without_its_secrets(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITY", 'Lyon \\(1) "x"\n\udc80')
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    seen = program(text).one({})
    assert seen["CITY"] == 'Lyon \\(1) "x"\n\ufffd'
    assert "OPENAI_API_KEY" not in seen
    monkeypatch.setenv("CITY", "Nantes")
    assert program(text).one({})["CITY"] == "Nantes"


def test_several_threads_run_one_program_at_once() -> None:
    found = program(".n * 2")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: found.one({"n": n}), range(500))) == list(range(0, 1000, 2))


def test_a_program_that_never_ends_is_ended_and_the_next_one_runs() -> None:
    # In a process of its own: the time is that of all programs.
    script = """
from clew.core import jq_process
from clew.core.errors import UsageError
from clew.core.jq_program import program
jq_process.MOST_SECONDS = 0.3
for text in ("until(false; .)", "def f: f; f", "[range(1e15)] | length"):
    try:
        program(text).one(1)
    except UsageError as error:
        print(error.message)
print(program(". + 1").one(1))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines() == [
        "the jq program until(false; .) failed: it took longer than 0.3 s",
        "the jq program def f: f; f failed: it took longer than 0.3 s",
        "the jq program [range(1e15)] | length failed: it took longer than 0.3 s",
        "2",
    ]


def test_a_program_that_runs_here_gives_what_it_gives_apart() -> None:
    for text in (".a[]", "env | type", ".a | error", "nan", ".b"):
        said = []
        for apart in (True, False):
            try:
                said.append(program(text, apart=apart).values({"a": [1, "é\0"]}))
            except UsageError as error:
                said.append([error.message])
        assert said[0] == said[1]


def test_a_forked_process_has_its_own_place_for_programs() -> None:
    script = """
import os
from clew.core.jq_program import program
assert program(".").one(1) == 1
child = os.fork()
if child == 0:
    os._exit(0 if program(".").one(2) == 2 else 1)
assert program(".").one(3) == 3
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_ten_thousand_runs_of_a_program_need_no_more_memory_than_one() -> None:
    # In a process of its own: how much this one has held before says nothing.
    script = """
import resource
from clew.core.jq_program import program
data = {"steps": {str(n): {"content": "x" * 100} for n in range(10)}}
for _ in range(100):
    program('.steps["3"].content | length').one(data)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(10_000):
    program('.steps["3"].content | length').one(data)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert after - before < before / 2, (before, after)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_jq_is_loaded_only_where_a_program_is_compiled() -> None:
    script = "import sys, clew.core.jq_program; assert 'jq' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
