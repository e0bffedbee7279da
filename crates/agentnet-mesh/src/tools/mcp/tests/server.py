"""An MCP server for tests, of the standard library alone.

    server.py [--modern] [--http] [--log FILE] [--refuse FILE] [--endless] [--stubborn]

It speaks over its standard input and output, or over streamable HTTP on a free port, which it prints. With --modern it speaks the
revision 2026-07-28 (`server/discover`, no sessions), else 2025-11-25 (`initialize`). It appends what the tests look at to --log,
one line each. While the file --refuse exists, it exits at once. With --endless its list of tools has no end, with --stubborn it
stays when its input ends, and when it is asked to end.
"""

import argparse
import json
import os
import pathlib
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INFO = {"name": "test", "version": "1"}
NUMBER = {"type": "number"}
# Two pages: name, description, schema.
TOOLS = [
    ("add", "Adds two numbers.", {"type": "object", "required": ["a", "b"], "properties": {"a": NUMBER, "b": NUMBER}}),
    ("read file", "Reads\nnothing.", {"type": "object", "properties": {}}),
    ("fail", "Fails.", {"type": "object"}),
    ("environment", f"Lists the variables, such as {os.environ.get('TOKEN')}.", {"type": "object"}),
    ("slow", "Runs until it is cancelled.", {"type": "object"}),
    ("crash", "Ends the server.", {"type": "object"}),
    ("grow", "Adds a tool.", {"type": "object"}),
    ("big", "Returns a megabyte.", {"type": "object"}),
    ("strange", "Has a schema of a text.", {"type": "string"}),
]
CANCELLED = {}
WRITE_LOCK = threading.Lock()


class RpcError(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.error = {"code": code, "message": message}


class Server:
    def __init__(self, options):
        self.modern = options.modern
        self.log_path = options.log
        self.endless = options.endless
        self.grown = False
        self.subscription = None
        self.notify = lambda message: None

    def log(self, line):
        if self.log_path:
            with open(self.log_path, "a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    def result(self, members, **more):
        if self.modern:
            members = {**members, **more, "resultType": "complete", "_meta": {"io.modelcontextprotocol/serverInfo": INFO}}
        return members

    def answer(self, message):
        """The response to a message; None for a notification."""
        method, params = message.get("method"), message.get("params") or {}
        self.log(method)
        if "id" not in message:
            if method == "notifications/cancelled":
                CANCELLED.setdefault(params["requestId"], threading.Event()).set()
            return None
        try:
            found = {"jsonrpc": "2.0", "id": message["id"], "result": self.call(method, params, message["id"])}
            return None if found["result"] is None else found
        except RpcError as error:
            return {"jsonrpc": "2.0", "id": message["id"], "error": error.error}

    def call(self, method, params, request_id):
        changes = {"tools": {"listChanged": True}}
        if method == "initialize" and not self.modern:
            return {"protocolVersion": "2025-11-25", "capabilities": changes, "serverInfo": INFO}
        if method == "server/discover" and self.modern:
            found = {"supportedVersions": ["2026-07-28"], "capabilities": changes}
            return self.result(found, ttlMs=0, cacheScope="private")
        if method == "subscriptions/listen" and self.modern:
            self.subscription = request_id
            filter_ = params["notifications"]
            self.tell("notifications/subscriptions/acknowledged", {"notifications": filter_})
            return None
        if method == "tools/list":
            return self.list_tools(params.get("cursor"))
        if method == "tools/call":
            return self.result(self.call_tool(params["name"], params.get("arguments") or {}, request_id))
        raise RpcError(-32601, f"no method {method}")

    def list_tools(self, cursor):
        tools = [*TOOLS, ("late", "Was added later.", {"type": "object"})] if self.grown else TOOLS
        first = int(cursor or 0)
        if self.endless:
            page = [{"name": f"tool_{first}_{n}", "description": "x" * 10_000, "inputSchema": {}} for n in range(50)]
            return self.result({"tools": page, "nextCursor": str(first + 1)}, ttlMs=0, cacheScope="private")
        page = [{"name": n, "description": d, "inputSchema": s} for n, d, s in tools[first : first + 5]]
        result = {"tools": page}
        if first + 5 < len(tools):
            result["nextCursor"] = str(first + 5)
        return self.result(result, ttlMs=0, cacheScope="private")

    def call_tool(self, name, arguments, request_id):
        if name == "add":
            total = arguments["a"] + arguments["b"]
            return {"content": [{"type": "text", "text": str(total)}], "structuredContent": {"sum": total}}
        if name == "fail":
            return {"content": [{"type": "text", "text": "the disk is full"}], "isError": True}
        if name == "environment":
            return {"content": [{"type": "text", "text": json.dumps(dict(os.environ))}]}
        if name == "slow":
            cancelled = CANCELLED.setdefault(request_id, threading.Event()).wait(30)
            self.log("slow was cancelled" if cancelled else "slow ended")
            return {"content": []}
        if name == "crash":
            os._exit(3)
        if name == "grow":
            self.grown = True
            self.tell("notifications/tools/list_changed", {})
            return {"content": [{"type": "text", "text": "grown"}]}
        if name == "big":
            return {"content": [{"type": "text", "text": "x" * 1_000_000}]}
        if name == "late":
            return {"content": [{"type": "text", "text": "better than never"}]}
        raise RpcError(-32602, f"no tool {name}")

    def tell(self, method, params):
        if self.modern:
            if self.subscription is None:
                return
            params = {**params, "_meta": {"io.modelcontextprotocol/subscriptionId": self.subscription}}
        self.notify({"jsonrpc": "2.0", "method": method, "params": params})


def serve_stdio(server):
    def write(message):
        with WRITE_LOCK:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    def answer(message):
        response = server.answer(message)
        if response is not None:
            write(response)

    server.notify = write
    print("a line on standard error", file=sys.stderr, flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("method") == "tools/call":
            threading.Thread(target=answer, args=(message,), daemon=True).start()
        else:
            answer(message)
    server.log("end of input")


class HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "test"

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        mcp = self.server.mcp
        mcp.log(f"authorization: {self.headers.get('authorization')}")
        if message.get("method") == "subscriptions/listen":
            return self.reply(200, {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}})
        response = mcp.answer(message)
        return self.reply(202 if response is None else 200, response)

    def do_GET(self):
        self.reply(405, None)

    def do_DELETE(self):
        self.reply(405, None)

    def reply(self, status, message):
        body = b"" if message is None else json.dumps(message).encode()
        self.send_response(status)
        if body:
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve_http(server):
    http = ThreadingHTTPServer(("127.0.0.1", 0), HttpHandler)
    http.daemon_threads = True
    http.mcp = server
    print(http.server_address[1], flush=True)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    # Ends with the test.
    sys.stdin.read()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--modern", action="store_true")
    parser.add_argument("--http", action="store_true")
    parser.add_argument("--log")
    parser.add_argument("--refuse")
    parser.add_argument("--endless", action="store_true")
    parser.add_argument("--stubborn", action="store_true")
    options = parser.parse_args()
    server = Server(options)
    server.log(f"started {os.getpid()}")
    if options.refuse and pathlib.Path(options.refuse).exists():
        sys.exit(1)
    if options.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (serve_http if options.http else serve_stdio)(server)
    while options.stubborn:
        signal.pause()


if __name__ == "__main__":
    main()
