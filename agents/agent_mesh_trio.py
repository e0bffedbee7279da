"""Moved: the trio is `agentnet mesh run examples/mesh/mesh_agents.yaml`."""

import argparse
import pathlib

from _moved import moved

EXAMPLE = "examples/mesh/mesh_agents.yaml"

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--config", default="agents/config/mesh_agents.yaml")
parser.add_argument("--only", action="append", default=[])
options, _ = parser.parse_known_args()

# A file of one's own, also in the earlier format, is run as it is.
config = options.config if pathlib.Path(options.config).is_file() else EXAMPLE
only = [word for key in options.only for word in ("--only", key)]
moved(
    "agents/agent_mesh_trio.py",
    *("agentnet", "mesh", "run", "--config", config, *only),
    hint=f"It reads the same variables (agents/.env.example), and configuration files of the earlier format. The trio is in\n{EXAMPLE}; docs/MESH.md has the guide.",
)
