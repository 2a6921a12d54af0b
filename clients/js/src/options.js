// What a client can be told, with its defaults.

import { RingpostError } from "./errors.js";
import { nodeUrl } from "./urls.js";

/** @typedef {ReturnType<typeof settingsOf>} Settings */

const DEFAULTS = {
  followRedirects: true,
  autoAck: true,
  outstandingMax: 512,
  bufferMax: 1024,
  seenMax: 8192,
  connectTimeoutMs: 15_000,
  closeTimeoutMs: 5_000,
  backoffMinMs: 20,
  backoffFirstMs: 1_000,
  backoffMaxMs: 30_000,
  pingAfterMs: Infinity,
  pongWithinMs: 10_000,
};

/** @param {import("../index.d.ts").Options} options */
export function settingsOf(options) {
  const { url, user, token } = options;
  const urls = [url].flat();
  const nodes = (urls.length ? urls : [""]).map(nodeUrl);
  if (user === undefined && token === undefined) {
    throw new RingpostError("unauthorized", "no user or token");
  }
  if (!(options.WebSocket ?? globalThis.WebSocket)) {
    throw new RingpostError("unsupported", "no WebSocket: give one as an option");
  }
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  /** @type {typeof options & typeof DEFAULTS} */
  const settings = { ...DEFAULTS, ...Object.fromEntries(given), url };
  return { ...settings, nodes };
}
