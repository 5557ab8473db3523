"""llama.cpp's server in this process: on loopback, on a free port, behind a key."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import NotFoundError, ProviderDown

WINDOW = 8192
"""Tokens of context that an embedded model is loaded with."""
_LONGEST_ANSWER = 512
"""Tokens, unless --max-tokens says otherwise: small models know no end."""
_SILENT = -1
PARAMETERS: dict[str, Any] = {
    "hostnames": ["127.0.0.1"],
    "port": 0,
    "n_parallel": 1,  # an answer that is made beside others may come out otherwise
    "verbosity": _SILENT,
    "n_ctx": WINDOW,
    "ui": False,
    "n_predict": _LONGEST_ANSWER,
}
SAMPLING = {"temp": 0.2, "top_p": 0.9, "penalty_repeat": 1.1}


@dataclass(frozen=True)
class Llama:
    """Where a model is served; it ends with the process."""

    address: str
    key: str = field(repr=False)


def load(path: str, extra: Mapping[str, Any] | None = None) -> Llama:
    """Load a GGUF file and serve it.

    Raises NotFoundError without llama.cpp, ProviderDown for a file that cannot be loaded.
    """
    try:
        import xllamacpp
    except ImportError:
        raise NotFoundError(
            "embedded models need llama.cpp, which is not installed",
            hint="install clew with its extra: pipx install 'clew[local]'",
        ) from None
    key = secrets.token_urlsafe(24)
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.api_keys = [key]
    for name, value in {**PARAMETERS, **(extra or {})}.items():
        setattr(params, name, value)
    for name, value in SAMPLING.items():
        setattr(params.sampling, name, value)
    try:
        server = xllamacpp.Server(params)
    except Exception as error:
        raise cannot_load(path, str(error)) from None
    _SERVERS.append(server)
    return Llama(str(server.listening_address), key)


def cannot_load(path: str, reason: str) -> ProviderDown:
    """Return the error for a file that llama.cpp refuses."""
    return ProviderDown(f"cannot load {path}: {reason}")


_SERVERS: list[object] = []
