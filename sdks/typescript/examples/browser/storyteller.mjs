#!/usr/bin/env node
// An agent that streams its answers word by word, for the page to ask: node storyteller.mjs
import { setTimeout as pause } from "node:timers/promises";
import { AgentNode } from "agentnet-sdk";

const node = new AgentNode({ agentId: "storyteller", username: "storyteller", capabilities: ["stories"] });

node.onMessage(async (message) => {
  if (!message.wantsReply) return;
  const stream = await node.replyStream(message);
  const story =
    `You asked: "${message.text ?? "nothing"}". Once upon a time two agents did not know each other. One had a question, ` +
    "the other an answer. They found each other by name, and the answer came word by word, so that nobody had to wait for its end.";
  for (const word of story.split(" ")) {
    // The asker may have had enough.
    if (stream.cancelled.aborted) return;
    await stream.delta(`${word} `);
    await pause(80);
  }
  await stream.end();
});

console.log("@storyteller joins; Ctrl-C stops it");
await node.startForever();
