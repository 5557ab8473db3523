"""What tells one kept model from another: only a server that is the same in all of this answers
like a model that this process would load itself."""

import os
import re
import resource
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .llama import PARAMETERS, SAMPLING
from .version import VERSION

_HERE = os.path.dirname(os.path.abspath(__file__))
_CODE = ("llama.py", "model_server.py")
_SPLIT = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
"""What llama.cpp calls the parts of a model; it is given the first."""
_NAMES = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "PYTHONHOME")
_BEGINNINGS = (
    *("LD_", "DYLD_", "GGML_", "LLAMA_", "OMP_", "GOMP_", "KMP_"),
    *("CUDA_", "GPU_", "HIP_", "HSA_", "ROCR_", "VK_", "METAL_", "MTL_"),
)


def identity(path: str) -> dict[str, Any]:
    """Return, as JSON, what weights these are, what would load them, and how. Raises OSError."""
    real = os.path.realpath(path)
    environment = environment_for_llama()
    for name in ("PATH", "HOME", "LANG", "TMPDIR"):
        environment.pop(name, None)
    return {
        "path": real,
        "files": states_of(real),
        "parameters": PARAMETERS | SAMPLING,
        "clew": [VERSION, *(state_of(os.path.join(_HERE, name)) for name in _CODE)],
        "python": [sys.executable, sys.version],
        "xllamacpp": _xllamacpp(),
        "environment": environment,
        **_surroundings(),
    }


def state_of(path: str) -> list[int]:
    """Return which file it is, and which contents. Raises OSError."""
    found = os.stat(path)
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]


def states_of(weights: str) -> list[list[int]]:
    """Return that of each file of a model, which may have been split. Raises OSError."""
    found = _SPLIT.fullmatch(weights)
    if not found:
        return [state_of(weights)]
    before, _, count = found.groups()
    numbers = range(1, int(count) + 1)
    return [state_of(f"{before}-{number:05}-of-{count}.gguf") for number in numbers]


def environment_for_llama() -> dict[str, str]:
    """Return the variables that llama.cpp or Python look at: no key of anybody's is among them."""
    return {k: v for k, v in os.environ.items() if k in _NAMES or k.startswith(_BEGINNINGS)}


def _surroundings() -> dict[str, Any]:
    """Return what a process hands on to those that it starts, and where its loopback is."""
    limits = [resource.getrlimit(x) for x in (resource.RLIMIT_CPU, resource.RLIMIT_AS)]
    cpus: list[int] = []
    network = ""
    with suppress(AttributeError, OSError):  # macOS knows neither
        cpus = sorted(os.sched_getaffinity(0))
        network = os.readlink("/proc/self/ns/net")
    return {
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "limits": [list(limit) for limit in limits],
        "cpus": cpus,
        "network": network,
    }


def _xllamacpp() -> str | None:
    try:
        return version("xllamacpp")
    except PackageNotFoundError:
        return None
