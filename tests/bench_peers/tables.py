"""The figures as docs/performance.md has them."""

from collections.abc import Sequence
from dataclasses import dataclass

from .rounds import Rounds


@dataclass(frozen=True)
class Figure:
    """One promise, what was measured, and what it may be at most (or, of a rate, at least)."""

    what: str
    measured: float
    limit: float
    shape: str = "{:.2f}"
    at_least: bool = False

    @property
    def kept(self) -> bool:
        """Whether it is what was promised."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


class Figures:
    """Gathers figures of rounds in which both sides could be run."""

    def __init__(self) -> None:
        self.found: list[Figure] = []

    def ratio(
        self, what: str, rounds: Rounds, name: str, other: str, limit: float, of: str = "seconds"
    ) -> None:
        """Add a ratio, if both were measured."""
        if name in rounds and other in rounds:
            self.found.append(Figure(what, rounds.ratio(name, other, of), limit))

    def add(self, figure: Figure) -> None:
        """Add a figure."""
        self.found.append(figure)

    def show(self) -> None:
        """Print the table."""
        rows = []
        for each in self.found:
            word = "at least " if each.at_least else ""
            limit = word + each.shape.format(each.limit) + ("" if each.kept else " **missed**")
            rows.append([each.what, each.shape.format(each.measured), limit])
        table("The figures", ["figure", "measured", "limit"], rows)


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown: its first column is text, the others are numbers."""
    print(f"\n## {title}\n")
    print(f"| {' | '.join(head)} |")
    print("|---|" + "---:|" * (len(head) - 1))
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def show(title: str, rounds: Rounds, base: str, *, first: bool = False) -> None:
    """Print what each command took, the quickest first, beside `base`."""
    of = "first" if first else "seconds"
    rows = []
    for name in sorted(rounds.samples, key=lambda name: rounds.middle(name, of)):
        times = f"{rounds.ratio(name, base, of):.2f}" if base in rounds else "-"
        row = [name, f"{rounds.middle(name, of) * 1000:.0f}", times]
        row += [f"{rounds.middle(name, 'cpu') * 1000:.0f}"]
        row += [f"{rounds.middle(name, 'peak') / (1 << 20):.0f}"]
        row += [f"{rounds.middle(name, kind) / 1e6:.2f}" for kind in ("read", "written")]
        rows.append(row)
    what = "first word, ms" if first else "median, ms"
    head = ["", what, f"times {base}", "CPU, ms", "peak, MiB", "read, MB", "written, MB"]
    table(title, head, rows)
