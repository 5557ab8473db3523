"""An agent that is a Python object."""

from clew.core import Agent

greeter = Agent(instructions=["Greet.", "Use one word."], num_history_runs=3)
