"""Paired runs: in each round everything is run once, so that a busy moment meets all of it."""

import sys
from collections.abc import Callable, Mapping
from statistics import median

from .process import Command, CommandFailed, Sample, measured

Make = Callable[[], Command]
"""Makes the command anew for each round: some need a session of their own."""


class Rounds:
    """The samples of what could be run."""

    def __init__(
        self,
        cases: Mapping[str, Make],
        rounds: int,
        take: Callable[[Command], Sample] = measured,
    ) -> None:
        self.samples: dict[str, list[Sample]] = {}
        failed: set[str] = set()
        for number in range(rounds + 1):
            for name, make in cases.items():
                if name in failed:
                    continue
                try:
                    sample = take(make())
                except CommandFailed as error:
                    failed.add(name)
                    self.samples.pop(name, None)
                    told(f"{name} is left out: {error}")
                    continue
                if number:  # the first round only warms the caches
                    self.samples.setdefault(name, []).append(sample)

    def __contains__(self, name: str) -> bool:
        return name in self.samples

    def middle(self, name: str, of: str = "seconds") -> float:
        """Return the median of the samples."""
        return float(median(getattr(sample, of) for sample in self.samples[name]))

    def ratio(self, name: str, other: str, of: str = "seconds") -> float:
        """Return the median of the ratios, each of two runs of the same round."""
        pairs = zip(self.samples[name], self.samples[other], strict=True)
        return float(median(getattr(mine, of) / getattr(its, of) for mine, its in pairs))


def told(text: str) -> None:
    """Say something that belongs to no table."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
