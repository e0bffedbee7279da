"""Checks bodies of requests with the types of the official SDKs.

Reads lines `{"case": ..., "api": "openai-chat" | "openai-responses" | "anthropic-messages", "body": {...}}` from standard
input. Prints every problem and exits 1, or prints how many bodies are right. Members that an SDK does not know are problems too.
"""

import json
import sys

import anthropic.types
import openai.types.chat
import openai.types.responses
from anthropic.types import message_create_params
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from pydantic import ConfigDict, TypeAdapter, ValidationError

# Members of the API that this version of the SDK has no type for: older models and other servers take them, and where one is
# refused the call is made again without it.
UNTYPED = {"anthropic-messages": {"temperature"}}


def forbid_unknown_members():
    """Makes every TypedDict of both SDKs refuse members that it does not name: by default they are ignored."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("openai.types", "anthropic.types")):
            for item in vars(module).values():
                if isinstance(item, type) and issubclass(item, dict) and hasattr(item, "__total__"):
                    item.__pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


def walk(value):
    """Reads everything: an `Iterable` of a TypedDict is checked only when it is iterated."""
    if isinstance(value, dict):
        for item in value.values():
            walk(item)
    elif not isinstance(value, (str, bytes)) and hasattr(value, "__iter__"):
        for item in value:
            walk(item)


def main():
    forbid_unknown_members()
    adapters = {
        "openai-chat": TypeAdapter(completion_create_params.CompletionCreateParamsStreaming),
        "openai-responses": TypeAdapter(response_create_params.ResponseCreateParamsStreaming),
        "anthropic-messages": TypeAdapter(message_create_params.MessageCreateParamsStreaming),
    }
    checked, wrong = 0, 0
    for line in sys.stdin:
        request = json.loads(line)
        untyped = UNTYPED.get(request["api"], set())
        body = {name: value for name, value in request["body"].items() if name not in untyped}
        try:
            walk(adapters[request["api"]].validate_python(body))
        except ValidationError as error:
            wrong += 1
            print(f"{request['api']}, {request['case']}: {json.dumps(request['body'])}\n{error}\n", file=sys.stderr)
        checked += 1
    if wrong or not checked:
        print(f"{wrong} of {checked} requests are wrong", file=sys.stderr)
        return 1
    print(f"{checked} requests are right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
