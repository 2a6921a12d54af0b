// The client protocol in JSON: what all requests and all messages have in common.

import { RingpostError } from "./errors.js";

/** The room that a message came through. @param {{stream: string}} message */
export function roomOf({ stream }) {
  return stream.startsWith("room:") ? stream.slice(5) : undefined;
}

/** What a node said, for the program. @param {any} said @returns {any} */
export function untyped({ type, ...fields }) {
  return fields;
}

/** An id that nobody else has: 128 random bits. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {object} message */
export function textOf(message) {
  try {
    return JSON.stringify(message);
  } catch (error) {
    throw new RingpostError("bad_request", `no JSON: ${error}`);
  }
}

/** In UTF-8. @param {string} text */
export const byteLength = (text) => new TextEncoder().encode(text).length;

/** Takes something out of a map. @template T @param {Map<string, T>} map @param {string} key */
export function take(map, key) {
  const taken = map.get(key);
  map.delete(key);
  return taken;
}
