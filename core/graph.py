"""A workflow as a picture, in Mermaid's words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .defined import Defined
from .step_check import always_stops
from .steps import (
    Command,
    Condition,
    Loop,
    Node,
    Parallel,
    Pause,
    Router,
    Step,
    Steps,
    Test,
    kind_of,
)
from .text import shorten, showable
from .workflow import Workflow

_LONGEST = 60
_ENTITIES = {ord(sign): f"#{ord(sign)};" for sign in '#&<>"`\\'}


@dataclass(frozen=True)
class _Way:
    """Where an arrow begins, and what is written on it."""

    start: str
    label: str = ""


@dataclass
class _Drawing:
    """Lines of a flowchart; each part gets an id when it is drawn.

    The arrows come last: what an arrow inside a frame names would be drawn inside, too.
    """

    lines: list[str] = field(default_factory=list)
    ways: list[str] = field(default_factory=list)
    depth: int = 1
    count: int = 0

    def line(self, text: str) -> None:
        """Add a line."""
        self.lines.append("  " * self.depth + text)

    def node(self, opened: str, label: str, closed: str) -> str:
        """Draw something in a shape, and return its id."""
        self.count += 1
        self.line(f"n{self.count}{opened}{label}{closed}")
        return f"n{self.count}"

    def arrows(self, ways: Sequence[_Way], end: str) -> None:
        """Add an arrow from each of these to `end`."""
        for way in ways:
            label = f"|{_lines(way.label)}|" if way.label else ""
            self.ways.append(f"  {way.start} -->{label} {end}")


def mermaid(workflow: Workflow) -> str:
    """Return the steps of a workflow as the text of a Mermaid flowchart, from top to bottom."""
    drawing = _Drawing(["flowchart TD"])
    drawing.line("start([input])")
    drawing.line("done([output])")
    ways: Sequence[_Way] = [_Way("start")]
    if workflow.agent is not None:
        decides = drawing.node("{", _lines(workflow.agent.name or "agent", "decides"), "}")
        drawing.arrows(ways, decides)
        drawing.arrows([_Way(decides, "answers")], "done")
        ways = [_Way(decides, "asks")]
    ways = _group(drawing, workflow.nodes, ways)
    drawing.arrows(ways, "done")
    return "\n".join((*drawing.lines, *drawing.ways)) + "\n"


def _group(drawing: _Drawing, nodes: Sequence[Node], ways: Sequence[_Way]) -> Sequence[_Way]:
    """Draw parts one after the other, and return from where it goes on."""
    for node in nodes:
        ways = _part(drawing, node, ways)
    return ways


def _part(drawing: _Drawing, node: Node, ways: Sequence[_Way]) -> Sequence[_Way]:
    match node:
        case Step():
            return _step(drawing, node, ways)
        case Steps():
            return _framed(drawing, _label(node), node.steps, ways)
        case Parallel():
            fork = drawing.node("{{", _label(node, "at once"), "}}")
            drawing.arrows(ways, fork)
            return [end for each in node.steps for end in _part(drawing, each, [_Way(fork)])]
        case Condition():
            asks = drawing.node("{", _label(node, f"if {_test(node.if_)}"), "}")
            drawing.arrows(ways, asks)
            then = _group(drawing, node.then, [_Way(asks, "yes")])
            return [*then, *_group(drawing, node.else_, [_Way(asks, "no")])]
        case Loop():
            return _loop(drawing, node, ways)
        case Router():
            says = "somebody chooses" if node.route is None else f"route {_test(node.route)}"
            asks = drawing.node("{", _label(node, says, *_waits(node.pause)), "}")
            drawing.arrows(ways, asks)
            return [
                end
                for each in node.choices
                for end in _part(drawing, each, [_Way(asks, str(each.name))])
            ]


def _step(drawing: _Drawing, step: Step, ways: Sequence[_Way]) -> Sequence[_Way]:
    shape = ("[[", "]]") if kind_of(step) in ("team", "workflow") else ("[", "]")
    drawn = drawing.node(shape[0], _label(step, _does(step), *_waits(step.pause)), shape[1])
    drawing.arrows(ways, drawn)
    if step.stop is False:
        return [_Way(drawn)]
    says = f"stop if {shorten(step.stop, _LONGEST)}" if isinstance(step.stop, str) else "stop"
    drawing.arrows([_Way(drawn, says)], "done")
    return [] if always_stops(step) else [_Way(drawn)]


def _loop(drawing: _Drawing, loop: Loop, ways: Sequence[_Way]) -> Sequence[_Way]:
    first = f"n{drawing.count + 1}"  # of the steps, whichever it is
    ends = _framed(drawing, _label(loop), loop.steps, ways)
    if not ends:
        return []  # each iteration ends the workflow
    times = f"{loop.max_iterations} times" if loop.max_iterations > 1 else "once"
    until = "" if loop.until is None else f"until {_test(loop.until)}"
    most = f"at most {times}" if until else times
    asks = drawing.node("{", _lines(until, most), "}")
    drawing.arrows(ends, asks)
    if loop.max_iterations > 1:
        drawing.arrows([_Way(asks, "again")], first)
    return [_Way(asks, "done")]


def _framed(
    drawing: _Drawing, title: str, nodes: Sequence[Node], ways: Sequence[_Way]
) -> Sequence[_Way]:
    """Draw parts in a frame."""
    drawing.line(f"subgraph g{drawing.count + 1}x{drawing.depth}[{title}]")
    drawing.depth += 1
    ends = _group(drawing, nodes, ways)
    drawing.depth -= 1
    drawing.line("end")
    return ends


def _does(step: Step) -> str:
    """Return what a step does, where its name does not say it."""
    does: Any = step.does
    if isinstance(does, Command):
        return " ".join(does.argv) if list(does.argv) != [step.name] else ""
    if isinstance(does, Defined):
        return does.kind if does.name in (None, step.name) else f"{does.kind} {does.name}"
    name = getattr(does, "__name__", "")
    return "function" if name in ("", "<lambda>", step.name) else f"function {name}"


def _test(test: Test) -> str:
    if isinstance(test, Command):
        return " ".join(test.argv)
    if callable(test):
        return str(getattr(test, "__name__", "function"))
    return str(test).lower() if isinstance(test, bool) else test


def _waits(pause: Pause) -> list[str]:
    """Return for what a part waits."""
    asked = {
        "confirmation": pause.confirmation,
        "input": pause.user_input is not None,
        "review": pause.review,
    }
    words = [word for word, is_asked in asked.items() if is_asked]
    return [f"waits for {', '.join(words)}"] if words else []


def _label(node: Node, *more: str) -> str:
    return _lines(str(node.name), *more)


def _lines(*lines: str) -> str:
    return '"' + "<br/>".join(_text(line) for line in lines if line) + '"'


def _text(text: str) -> str:
    """Return text as it can stand in a label: Mermaid reads markup and signs of its own in it."""
    short = shorten(" ".join(showable(text).split()), _LONGEST)
    return short.translate(_ENTITIES).replace("$$", "$#36;")
