// Clients whose story a test can read, and traffic between them.

import assert from "node:assert/strict";

import { connect } from "../../src/index.js";
import { WebSocket } from "./platform.js";
import { within } from "./wait.js";

/** A client that writes down all that it hears. */
export function listen(options) {
  const client = connect({ WebSocket, backoffFirstMs: 200, ...options });
  const heard = { messages: [], states: [], events: [], errors: [] };
  client.on("message", (message) => heard.messages.push(message));
  client.on("state", (state) => heard.states.push(state));
  client.on("error", (error) => heard.errors.push(error));
  for (const name of ["delivered", "joined", "left", "presence_change", "gap", "not_rejoined", "redirect", "closed"]) {
    client.on(name, (detail) => heard.events.push([name, detail]));
  }
  return Object.assign(client, { heard });
}

/** The bodies of the messages of a stream. */
export const bodies = (client, stream = "inbox") =>
  client.heard.messages.filter((message) => message.stream === stream).map(({ body }) => body);

/** 0, 1, 2, … */
export const numbers = (count) => Array.from({ length: count }, (_, number) => number);

/**
 * Sends numbers from a client at a steady rate, 500 without a receipt at most, until told to stop or the client is
 * closed, so that no failed test leaves it running.
 */
export function traffic(from, to) {
  const receipts = [];
  let outstanding = 0;
  let isRunning = true;
  const running = (async () => {
    while (isRunning && from.state !== "closed") {
      if (outstanding < 500) {
        outstanding += 1;
        const receipt = from.send(to, receipts.length).catch((error) => ({ status: "failed", error }));
        receipts.push(receipt.finally(() => (outstanding -= 1)));
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  return {
    sent: () => receipts.length,
    /** Resolves with how many were sent, all of them accepted. */
    async stop() {
      isRunning = false;
      await running;
      const outcomes = await within("all receipts", Promise.all(receipts));
      assert.deepEqual(outcomes.filter(({ status }) => status !== "accepted"), []);
      return outcomes.length;
    },
  };
}
