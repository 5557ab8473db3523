"""A tool that is a Python function: its signature is the shape of the arguments."""

from clew.core.tools import RunContext


def add(item: str, run_context: RunContext, count: int = 1) -> dict[str, int]:
    """Put an item into the basket, and tell what is in it."""
    basket: dict[str, int] = run_context.session_state.setdefault("basket", {})
    basket[item] = basket.get(item, 0) + count
    return basket
