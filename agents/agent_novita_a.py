"""Moved: the demo's agent A is `agentnet demo duo --role a`."""

from _moved import moved

moved(
    "agents/agent_novita_a.py",
    *("agentnet", "demo", "duo", "--role", "a"),
    hint="It reads the same variables (agents/.env.example). `agentnet demo duo` runs both agents in one process.",
)
