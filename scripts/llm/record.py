"""Records answers of real servers as fixtures for crates/agentnet-mesh: raw streams, and the same as the SDKs write them.

Usage: record.py SERVER BASE_URL FOLDER, with the environment of `make llm-sdks`. SERVER names the recordings (aimock, llama);
BASE_URL is without a path. Each recording is FOLDER/API/SERVER-CASE.sse, and FOLDER/API/SERVER-CASE-sdk.sse has the events of
the SDK, which writes every member that its types have.
"""

import pathlib
import re
import sys

import anthropic
import httpx2 as httpx
import openai

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
# Questions to the server, and whether tools are offered. aimock has fixtures for each (scripts/llm/record.json).
CASES = {
    "aimock": {"text": False, "tools": True, "parallel": True, "reasoning": False, "length": False},
    "llama": {"text": False, "length": False},
}
LIMIT = {"text": 48, "length": 4}


def main(server, base, folder):
    raw = bytearray()

    def copy(response):
        stream = response.stream

        class Copying(httpx.SyncByteStream):
            def __iter__(self):
                for chunk in stream:
                    raw.extend(chunk)
                    yield chunk

            def close(self):
                stream.close()

        response.stream = Copying()

    for case, has_tools in CASES[server].items():
        for api, record in {"openai-chat": chat, "openai-responses": responses, "anthropic-messages": messages}.items():
            raw.clear()
            client = httpx.Client(event_hooks={"response": [copy]}, headers={"accept-encoding": "identity"}, timeout=120)
            events = record(client, base, f"record {case}: The capital of France?", has_tools, LIMIT.get(case, 256))
            target = pathlib.Path(folder) / api
            target.mkdir(parents=True, exist_ok=True)
            for name, text in ((f"{server}-{case}", raw.decode()), (f"{server}-{case}-sdk", "".join(events))):
                # llama.cpp names the model by the path of its file.
                text = re.sub(r'"model":"[^"]*/([^"/]+)"', r'"model":"/models/\1"', text)
                (target / f"{name}.sse").write_text(text, encoding="utf-8")
            print(f"{api}/{server}-{case}: {len(raw)} bytes, {len(events)} events")


def chat(client, base, text, has_tools, limit):
    sdk = openai.OpenAI(api_key="x", base_url=f"{base}/v1", http_client=client, max_retries=0)
    tools = [{"type": "function", "function": {"name": "get_weather", "description": "Weather.", "parameters": WEATHER}}]
    stream = sdk.chat.completions.create(
        model="recorded",
        messages=[{"role": "user", "content": text}],
        stream=True,
        stream_options={"include_usage": True},
        max_tokens=limit,
        temperature=0,
        **({"tools": tools} if has_tools else {}),
    )
    return [f"data: {chunk.model_dump_json()}\n\n" for chunk in stream] + ["data: [DONE]\n\n"]


def responses(client, base, text, has_tools, limit):
    sdk = openai.OpenAI(api_key="x", base_url=f"{base}/v1", http_client=client, max_retries=0)
    tools = [{"type": "function", "name": "get_weather", "description": "Weather.", "parameters": WEATHER, "strict": False}]
    stream = sdk.responses.create(
        model="recorded",
        input=[{"role": "user", "content": text}],
        stream=True,
        max_output_tokens=limit,
        temperature=0,
        **({"tools": tools} if has_tools else {}),
    )
    return [f"event: {event.type}\ndata: {event.model_dump_json()}\n\n" for event in stream]


def messages(client, base, text, has_tools, limit):
    sdk = anthropic.Anthropic(api_key="x", base_url=base, http_client=client, max_retries=0)
    tools = [{"name": "get_weather", "description": "Weather.", "input_schema": WEATHER}]
    stream = sdk.messages.create(
        model="recorded",
        messages=[{"role": "user", "content": text}],
        stream=True,
        max_tokens=limit,
        extra_body={"temperature": 0},
        **({"tools": tools} if has_tools else {}),
    )
    return [f"event: {event.type}\ndata: {event.model_dump_json()}\n\n" for event in stream]


if __name__ == "__main__":
    main(*sys.argv[1:])
