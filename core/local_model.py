"""Embedded models: llama.cpp in this process, spoken to like any provider.

Its server listens on loopback only, on a free port, behind a random key, for as long as this
process lives.
"""

import os
import secrets
from collections.abc import Callable
from functools import cache

from .errors import NotFoundError, ProviderDown
from .home import weights_path
from .media import MediaKind
from .model import Model, ModelReply, ModelRequest, Price
from .text import storable

WINDOW = 8192
"""Tokens of context that an embedded model is loaded with."""
_LONGEST_ANSWER = 512
"""Tokens, unless --max-tokens says otherwise: small models know no end."""
_SILENT = -1
_MAGIC = b"GGUF"


class LocalModel:
    """A GGUF file: `local/NAME` is what `clew models install` fetched, `gguf:PATH` any other."""

    takes_schema = True
    window = WINDOW
    price = Price(0.0, 0.0)

    def __init__(self, name: str, home: str | None) -> None:
        embedded = name.startswith("local/")
        if embedded:
            self._path = weights_path(name.removeprefix("local/"), home)
            self.name = name
        else:
            self._path = os.path.abspath(name.removeprefix("gguf:"))
            self.name = storable(f"gguf:{self._path}")
        self._check(embedded)

    def refuses(self, kind: MediaKind) -> bool:
        """Tell that it takes text only."""
        return True

    def _check(self, embedded: bool) -> None:
        hint = (
            "`clew models list` shows which there are, `clew models install smollm2` fetches one"
            if embedded
            else "name a GGUF file"
        )
        try:
            with open(self._path, "rb") as file:
                magic = file.read(len(_MAGIC))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise NotFoundError(f"no model {self.name!r}: {reason}", hint=hint) from None
        if magic != _MAGIC:
            raise NotFoundError(f"no model {self.name!r}: the file is not GGUF", hint=hint)

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """Load the model, if it is not loaded, and ask it."""
        return _loaded(self._path, self.name).ask(request, on_text)


@cache
def _loaded(path: str, name: str) -> Model:
    from .litellm_model import LitellmModel

    key = secrets.token_urlsafe(24)
    address = _serve(path, key)
    return LitellmModel(
        "openai/local",
        api_base=f"{address}/v1",
        api_key=key,
        called=name,
        price=LocalModel.price,
    )


def _serve(path: str, key: str) -> str:
    """Start the server and return its address; it ends with the process."""
    try:
        import xllamacpp
    except ImportError:
        raise NotFoundError(
            "embedded models need llama.cpp, which is not installed",
            hint="install clew with its extra: pipx install 'clew[local]'",
        ) from None
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.verbosity = _SILENT
    params.n_ctx = WINDOW
    params.ui = False
    params.n_predict = _LONGEST_ANSWER
    params.sampling.temp = 0.2
    params.sampling.top_p = 0.9
    params.sampling.penalty_repeat = 1.1
    try:
        server = xllamacpp.Server(params)
    except Exception as error:
        raise ProviderDown(f"cannot load {path}: {error}") from None
    _SERVERS.append(server)
    return str(server.listening_address)


_SERVERS: list[object] = []
