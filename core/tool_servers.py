"""The servers of a run: started together and once, when the run is sure to be made, and ended with
it."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import replace
from types import TracebackType

from .limits import TimeLimit
from .order import Order
from .tools import RunningToolServer, Tool, ToolServer, by_name

_NO_LIMIT = TimeLimit()


class Servers:
    """Ends what it has started with its block."""

    def __init__(self) -> None:
        self._running: list[RunningToolServer] = []

    def __enter__(self) -> "Servers":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for server in self._running:
            server.leave(hurry=error is not None)
        for server in self._running:
            server.join()

    def join_in(self, order: Order) -> Order:
        """Return the order with the tools of its servers, which are started now.

        Raises ToolServerDown for one that cannot be used, LimitReached if the run's time is up by
        then, ConfigError where the SDK is not installed, UsageError for tools that do not go
        together.
        """
        if not order.servers:
            return order
        begun = time.monotonic()
        found = self.tools(order.servers, order.environment, order.time)
        tools = (*order.tools, *found)
        by_name(tools)
        return replace(order, tools=tools, servers=(), spent=time.monotonic() - begun)

    def tools(
        self,
        servers: Iterable[ToolServer],
        environment: Mapping[str, str],
        time_limit: TimeLimit = _NO_LIMIT,
    ) -> list[Tool]:
        """Start servers, all at once, and return their tools; raise as `join_in` does."""
        for server in servers:
            self._running.append(server.start(environment))
        done, waiting = wait(
            [server.ready for server in self._running],
            time_limit.left,
            return_when=FIRST_EXCEPTION,
        )
        for ready in done:
            ready.result()
        if waiting:
            raise time_limit.reached(" before the tools were there")
        return [tool for server in self._running for tool in server.tools()]
