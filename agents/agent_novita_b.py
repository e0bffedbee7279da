"""Moved: the demo's agent B is `agentnet demo duo --role b`."""

from _moved import moved

moved(
    "agents/agent_novita_b.py",
    *("agentnet", "demo", "duo", "--role", "b"),
    hint="It reads the same variables (agents/.env.example). `agentnet demo duo` runs both agents in one process.",
)
