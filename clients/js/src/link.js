// One connection of a client, from the first question where it leads to its end.

/** @typedef {import("./errors.js").RingpostError} RingpostError */

export class Link {
  /** Where it leads, as far as that is known. */
  url;
  /** Redirects behind it, the answer of `/locate` among them. */
  redirects = 0;
  /** `/locate` led there, and nobody else since. Nothing: it has not answered yet. @type {boolean | undefined} */
  located = false;
  /** Until it is welcomed: when that must have happened. Once it is left: when it is closed. */
  by = 0;
  /** Once it is left: it is read until then in any case. */
  notBefore = 0;
  /** Since when it is welcomed. */
  since = 0;
  /** An `error` instead of the welcome, until the Close behind it says how bad it is. @type {RingpostError | undefined} */
  rejected;
  /** When something was last heard of it. */
  heard = 0;
  /** After so long without a message it is asked whether it lives. */
  quietMs = 0;
  /** By when it must answer that. @type {number | undefined} */
  answerBy;
  /** What the node takes as one message. */
  bytesMax = Infinity;
  /** Where its node wants the client to be, and when it is to go. @type {{at: number, url: string, reason: string} | undefined} */
  moving;

  // What the shell keeps with it.
  /** @type {any} */
  socket;
  abort = new AbortController();
  /** @type {string | undefined} */
  token;

  /** @param {string} url @param {"connect" | "refused"} [reason] why a token is needed */
  constructor(url, reason = "connect") {
    this.url = url;
    this.reason = reason;
  }

  /** The node's name in sentences: never the query, which may be secret. */
  get host() {
    return new URL(this.url).host;
  }
}
