"""The border to litellm."""

import json
import subprocess
import sys

from clew.core.litellm_errors import ERRORS

WALK = (
    "import inspect, json, os; os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] = 'True';"
    "import litellm.exceptions as e;"
    "print(json.dumps([n for n, c in inspect.getmembers(e, inspect.isclass)"
    " if issubclass(c, Exception)]))"
)


def test_every_class_of_error_of_litellm_is_one_of_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WALK], capture_output=True, check=True
    )
    assert set(json.loads(done.stdout)) <= set(ERRORS)
