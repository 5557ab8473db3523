"""The work of a run that asks a model: its turns, and the line that comes of them."""

from copy import deepcopy

from .answer_repair import Repairs
from .approvals import Settlement
from .chain import calls_before
from .errors import ClewError, RequestRefused, SchemaMismatch
from .lines import RunLine
from .messages import open_calls
from .order import Order, Plan, first_request
from .run_line import line_of_turns
from .tool_round import ToolRound
from .tools import by_name
from .turns import Turns
from .work import Begun, Outcome

_PAUSED = 6
_CUT = 5


class Asking:
    """Asks the model until there is an answer."""

    def __init__(self, order: Order, planned: Plan, begun: Begun) -> None:
        self._order = order
        self._planned = planned
        again = order.to_go_on_with
        earlier = calls_before(begun.log, order.resumes)
        ended = [record for record in earlier if record["tool_call_id"] not in again]
        tools = ToolRound(
            begun.log, begun.flight, begun.outer, begun.state, begun.context, again, ended
        )
        self._turns = _turns(order, tools)

    @property
    def unstored(self) -> ClewError | None:
        """Why a run inside this one could not be stored, if one could not."""
        return self._turns.round.unstored

    def go(self) -> Outcome:
        """Ask, to the end."""
        turns = self._turns
        if not turns.go(first_request(self._order, self._planned), open_calls(self._planned.own)):
            return Outcome("PAUSED", _PAUSED)
        reply = turns.exchange.reply
        if reply is not None and reply.finish_reason == "content_filter":
            raise RequestRefused("the provider's content filter stopped the answer")
        cut = reply is not None and reply.finish_reason == "length"
        code = _CUT if cut else 0
        try:
            return Outcome("COMPLETED", code, data=turns.repairs.data())
        except SchemaMismatch as error:
            hint = "it was cut off at its longest length: see --max-tokens"
            error.hint = hint if cut else error.hint
            raise

    def end(self, intent: RunLine, outcome: Outcome) -> RunLine:
        """Return the line of the run."""
        turns = self._turns
        unmended = "" if outcome.status == "PAUSED" else turns.give_up(self._planned.own)
        line = line_of_turns(intent, turns, outcome, unmended)
        turns.exchange.break_off(unmended)
        return line


def _turns(order: Order, tools: ToolRound) -> Turns:
    earlier = order.resumes["requirements"] if order.resumes else []
    waiting = [deepcopy(one) for one in earlier if one["decision"] is None]
    inside: dict[str, dict[str, Settlement]] = {}
    for one in waiting:
        if "inside" in one and one["tool_call_id"] in order.settled:
            settled = inside.setdefault(one["inside"]["tool_call_id"], {})
            settled[one["tool_call_id"]] = order.settled[one["tool_call_id"]]
    return Turns(
        tools.outer.exchange,
        tools.flight,
        tools.outer.announcer,
        tools,
        tools.context.user_id,
        offered=by_name(order.tools),
        resuming=by_name(order.tools_resuming),
        decide=order.decide,
        settled=dict(order.settled),
        settled_inside=inside,
        waiting={one["tool_call_id"]: one for one in waiting if "inside" not in one},
        tool_call_limit=order.tool_call_limit,
        agenda=order.agenda,
        repairs=Repairs(order.schema, order.limits.rounds if order.schema else 0),
    )
