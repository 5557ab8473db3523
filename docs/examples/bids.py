"""Two bids."""

from clew.core import StepInput


def ann(given: StepInput) -> None:
    """Bid 10."""
    given.session_state.update(price=10, ann=1)


def ben(given: StepInput) -> None:
    """Bid 12."""
    given.session_state.update(price=12, ben=1)
