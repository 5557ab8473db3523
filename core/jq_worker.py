"""A process that runs jq programs, one line of JSON after the other, until nobody asks any more.

jq lets nothing else run in its process and cannot be stopped: a program that never ends ends with
its process.
"""

import json
import signal
import sys
from typing import Any


def serve(seconds: float) -> None:
    """Answer each program and its data, a line each, with a line; end if one takes too long."""
    import jq

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    programs: dict[str, Any] = {}
    for line in iter(sys.stdin.buffer.readline, b""):
        text, data = json.loads(line), sys.stdin.buffer.readline().decode()
        signal.setitimer(signal.ITIMER_REAL, seconds)
        answer: dict[str, Any]
        try:
            if text not in programs:
                programs[text] = jq.compile(text)
            answer = {"values": programs[text].input_text(data).all()}
        except ValueError as error:
            answer = {"error": str(error)}
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.path.append(sys.argv[1])
    serve(float(sys.argv[2]))
