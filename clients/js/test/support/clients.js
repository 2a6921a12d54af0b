// Clients whose story a test can read.

import { connect } from "../../src/index.js";
import { WebSocket } from "./platform.js";

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
