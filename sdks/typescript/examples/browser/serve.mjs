#!/usr/bin/env node
// Serves this page and the built SDK on this machine: node serve.mjs [PORT], 8080 by default, 0 for a free one.
// Node.js alone; any other static web server will do as well.
import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { pipeline } from "node:stream";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The files that are served, by their path, and nothing else. */
const FILES = new Map([
  ["/", [here("index.html"), "text/html; charset=utf-8"]],
  ["/app.js", [here("app.js"), "text/javascript; charset=utf-8"]],
  ["/style.css", [here("style.css"), "text/css; charset=utf-8"]],
  ["/icon.svg", [here("icon.svg"), "image/svg+xml"]],
  ["/agentnet-sdk.js", [here("../../dist/browser.js"), "text/javascript; charset=utf-8"]],
]);
// Scripts and styles of this site alone; connections to any network; a worker of the SDK keeps time in hidden tabs.
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; worker-src blob:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const port = Number(process.argv[2] ?? 8080);
if (!Number.isInteger(port) || port < 0 || port > 65535) {
  console.error(`serve: ${process.argv[2]} is no port; usage: node serve.mjs [PORT]`);
  process.exit(2);
}

const server = createServer((request, response) => {
  const file = FILES.get(request.url?.split("?")[0]);
  if (file === undefined || !["GET", "HEAD"].includes(request.method)) {
    response.writeHead(file === undefined ? 404 : 405, { "content-type": "text/plain" }).end("not here\n");
    return;
  }
  const [path, type] = file;
  const body = createReadStream(path);
  body.once("open", () => {
    const headers = { "content-type": type, "content-security-policy": POLICY, "x-content-type-options": "nosniff" };
    response.writeHead(200, { ...headers, "cache-control": "no-cache" });
    pipeline(body, response, () => undefined);
  });
  body.once("error", (error) => {
    console.error(`serve: ${error.message}${path.endsWith("browser.js") ? ": run `npm run build` first" : ""}`);
    response.writeHead(500, { "content-type": "text/plain" }).end("this file cannot be read\n");
  });
});
server.on("error", (error) => {
  const hint = error.code === "EADDRINUSE" ? "; choose another port: node serve.mjs PORT" : "";
  console.error(`serve: ${error.message}${hint}`);
  process.exitCode = 1;
});
// On this machine alone.
server.listen(port, "localhost", () => {
  const origin = `http://localhost:${server.address().port}`;
  console.log(`The page is at ${origin}`);
  console.log(`Let it in:     agentnet up --websocket --websocket-origin ${origin}`);
});
