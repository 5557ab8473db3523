"""Embedded models: llama.cpp, in this process or in one that is kept for the next call."""

import os
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from .errors import NotFoundError
from .home import weights_path
from .litellm_model import SILENCE_SECONDS, LitellmModel
from .litellm_model import load as load_litellm
from .llama import WINDOW, Llama, load
from .media import MediaKind
from .model import Model, ModelReply, ModelRequest, Price
from .text import storable

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
        """Ask the model that is kept loaded; else load it in this process, if it is not loaded."""
        from .kept_models import served

        if self._path in _LOADED:
            return self._speaking_to(_LOADED[self._path]).ask(request, on_text)
        with served(self._path, load_litellm) as kept:
            if kept is None:
                return self._speaking_to(_loaded(self._path)).ask(request, on_text)
            if not kept.again:
                request = _afresh(request)
            silence = SILENCE_SECONDS * (1 + kept.ahead)
            return self._speaking_to(kept.llama, silence).ask(request, on_text)

    def _speaking_to(self, llama: Llama, silence: float = SILENCE_SECONDS) -> Model:
        return LitellmModel(
            "openai/local",
            api_base=f"{llama.address}/v1",
            api_key=llama.key,
            called=self.name,
            price=self.price,
            silence=silence,
        )


def _afresh(request: ModelRequest) -> ModelRequest:
    """Have nothing used of what was worked out for another process, as none would be in ours: the
    last bits of the numbers depend on it."""
    body = {"cache_prompt": False, **(request.options.get("extra_body") or {})}
    return replace(request, options={**request.options, "extra_body": body})


def _loaded(path: str) -> Llama:
    """Return the server of this process."""
    with _LOADING:
        if path not in _LOADED:
            _LOADED[path] = load(path)
        return _LOADED[path]


_LOADING = Lock()
_LOADED: dict[str, Llama] = {}
