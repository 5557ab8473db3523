"""A tool that is a Python function: its signature is the shape of the arguments."""

import copy
import inspect
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from .errors import UsageError
from .loading import load_object
from .run_environment import named
from .stdout_apart import apart
from .text import capped, storable
from .tools import LONGEST_RESULT, RunContext, ToolError, ToolSpec

_CONTEXT = "run_context"


class PythonTool:
    """Calls a function; a parameter called `run_context` gets the RunContext, unseen by the model.

    What it returns is the result: text as it is, anything else as JSON. What it raises is an error
    that the model gets to read. Time-outs leave it running, for a thread cannot be ended; what it
    did to the state is then not taken over.
    """

    reads_session = False

    def __init__(self, function: Callable[..., Any], spec: ToolSpec | None = None) -> None:
        if not callable(function):
            raise UsageError(f"{function!r} is no function, so it is no tool")
        self._function = function
        self._arguments = _model_of(function)
        name = getattr(function, "__name__", type(function).__name__)
        base = spec or ToolSpec(name)
        self.spec = replace(
            base,
            description=base.description or inspect.getdoc(function) or "",
            parameters=_parameters(self._arguments),
        )

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Call the function; a time-out, bad arguments or an exception is a ToolError."""
        given = self._read(arguments)
        # Its own: after a time-out the thread may still write to it.
        own = replace(context, session_state=copy.deepcopy(context.session_state))
        if _CONTEXT in inspect.signature(self._function).parameters:
            given[_CONTEXT] = own
        outcome: list[str] = []
        failure: list[BaseException] = []

        def work() -> None:
            try:
                with apart(), named(context.environment):
                    outcome.append(_as_text(_awaited(self._function(**given))))
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(context.seconds)
        if thread.is_alive():
            raise ToolError(f"it took longer than {context.seconds:g} s")
        context.session_state = own.session_state
        if failure:
            raise ToolError(f"{type(failure[0]).__name__}: {failure[0]}") from failure[0]
        return capped(storable(outcome[0]), LONGEST_RESULT)

    def stop(self) -> None:
        """Nothing can end a thread; what it still does is not waited for."""

    def _read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        from pydantic import ValidationError

        try:
            read = self._arguments.model_validate(arguments)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ToolError(f"the arguments do not fit at {where}: {first['msg']}") from None
        fields = type(read).model_fields
        return {str(fields[key].alias): getattr(read, key) for key in read.model_fields_set}


def load_function(name: str) -> Callable[..., Any]:
    """Return the function that `module:function` names; raise UsageError if it names none."""
    try:
        found: Callable[..., Any] = load_object(name)
    except (Exception, SystemExit) as error:
        raise UsageError(f"cannot load the tool {name!r}: {error}") from None
    if not callable(found):
        raise UsageError(f"{name!r} is no function, so it is no tool")
    return found


def _model_of(function: Callable[..., Any]) -> Any:
    from pydantic import ConfigDict, create_model

    try:
        signature = inspect.signature(function, eval_str=True)
    except (NameError, TypeError, ValueError) as error:
        raise UsageError(f"the parameters of the tool cannot be read: {error}") from None
    fields: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
            parameter.POSITIONAL_ONLY,
        ):
            raise UsageError(f"the tool's parameter {name!r} has no name that a model could use")
        if name != _CONTEXT:
            # Under names of ours: pydantic has methods, and rules for names, of its own.
            fields[f"argument_{len(fields)}"] = _field(name, parameter)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    try:
        return create_model("Arguments", __config__=config, **fields)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"the parameters of the tool have no JSON Schema: {reason}") from None


def _field(name: str, parameter: inspect.Parameter) -> tuple[Any, Any]:
    from pydantic import Field

    empty = parameter.empty
    hint = Any if parameter.annotation is empty else parameter.annotation
    if parameter.default is None:
        hint = hint | None if hint is not Any else Any
    default = ... if parameter.default is empty else parameter.default
    return Annotated[hint, Field(alias=name)], default


def _parameters(model: Any) -> dict[str, Any]:
    try:
        schema: dict[str, Any] = model.model_json_schema()
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"the parameters of the tool have no JSON Schema: {reason}") from None
    schema.pop("title", None)
    for described in schema.get("properties", {}).values():
        described.pop("title", None)
    return schema


def _awaited(value: Any) -> Any:
    """Return a value; of an `async` function, wait for it."""
    if not inspect.iscoroutine(value):
        return value
    import asyncio

    return asyncio.run(value)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    from pydantic_core import to_jsonable_python

    return json.dumps(to_jsonable_python(value, fallback=str), ensure_ascii=False)
