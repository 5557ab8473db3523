"""Programs for libraries that have no command line: the least that does what is measured."""

LITELLM = """
import sys
import litellm
messages = [{"role": "user", "content": sys.argv[1]}]
response = litellm.completion(model="openai/test-model", messages=messages)
print(response.choices[0].message.content)
"""

OPENAI = """
import sys
from openai import OpenAI
messages = [{"role": "user", "content": sys.argv[1]}]
response = OpenAI().chat.completions.create(model="test-model", messages=messages)
print(response.choices[0].message.content)
"""

AGNO = """
import os, sys
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.models.openai import OpenAIChat
prompt, file, session = sys.argv[1:4]
agent = Agent(
    model=OpenAIChat(id="test-model", base_url=os.environ["OPENAI_BASE_URL"]),
    db=SqliteDb(db_file=file),
    session_id=session,
    add_history_to_context=True,
    num_history_runs=100000,
    telemetry=False,
)
print(agent.run(prompt).content)
"""

AGENTS = """
import sys
from openai import AsyncOpenAI
from agents import Agent, OpenAIChatCompletionsModel, Runner, SQLiteSession, set_tracing_disabled
prompt, file, session = sys.argv[1:4]
set_tracing_disabled(True)
model = OpenAIChatCompletionsModel(model="test-model", openai_client=AsyncOpenAI())
agent = Agent(name="bench", model=model)
print(Runner.run_sync(agent, prompt, session=SQLiteSession(session, file)).final_output)
"""
