"""From a model's name to the model."""

from .errors import UsageError
from .model import Model
from .store import Store
from .text import storable

DEFAULT_MODEL = "local/smollm2"
"""The embedded model: what answers when nothing else is configured."""


def resolve(name: str, *, store: Store | None, user_id: str, home: str | None = None) -> Model:
    """Return the model of this name, nothing loaded yet.

    `local/NAME` and `gguf:PATH` are embedded, `replay:REF_OR_FILE` answers from recorded runs,
    every other name is litellm's. Raises NotFoundError where the weights or the recording do not
    exist.
    """
    if not name.strip():
        raise UsageError("the model's name is empty")
    if name.startswith("replay:"):
        from .replay_model import ReplayModel

        return ReplayModel(name, store, user_id)
    if name.startswith(("local/", "gguf:")):
        from .local_model import LocalModel

        return LocalModel(name, home)
    from .litellm_model import LitellmModel

    return LitellmModel(storable(name))


def missing_keys(model: Model) -> list[str]:
    """Return the environment variables that a hosted model needs and that are not set."""
    from .litellm_model import LitellmModel

    return model.missing_keys if isinstance(model, LitellmModel) else []
