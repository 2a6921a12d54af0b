// What can go wrong: with a connection, and with a single request.

/** Why a client did not come back, by close code. */
export const CLOSE_NAMES = /** @type {Record<number, string>} */ ({
  4500: "bad_request",
  4501: "unauthorized",
  4503: "not_allowed",
  4509: "session_limit",
  4510: "disconnected",
  4511: "replaced",
});

/** @typedef {import("../index.d.ts").RingpostError} Api */

/**
 * A request that failed, or the reason why there is no connection.
 * @implements {Api}
 */
export class RingpostError extends Error {
  name = "RingpostError";
  retry = false;
  definite = true;
  /** @type {number | undefined} */
  closeCode;

  /**
   * @param {string} code one of the protocol's error codes, or one of this client's
   * @param {string} message a sentence
   * @param {{retry?: boolean, definite?: boolean, closeCode?: number}} [more]
   */
  constructor(code, message, more) {
    super(message);
    this.code = code;
    Object.assign(this, more);
  }
}

/** What a node says in an `error`, or in a receipt that failed. @param {any} said */
export const refusal = ({ code = "unknown", message = "no reason given", retry = false } = {}) =>
  new RingpostError(code, message, { retry, definite: code !== "unknown" });

/** A connection that was closed, or broke (1006). @param {{host: string}} link @param {number} closeCode @param {string} reason */
export const closedError = ({ host }, closeCode, reason) =>
  new RingpostError(
    CLOSE_NAMES[closeCode] ?? (closeCode === 1006 ? "broken" : "closed"),
    `${host} closed with ${closeCode} ${reason}`,
    { closeCode, retry: isReconnect(closeCode) },
  );

/** @param {{host: string}} link @param {string} what it did */
export const broken = ({ host }, what) => new RingpostError("broken", `${host} ${what}`, { retry: true });

/**
 * The outcome of a request whose connection is gone: it may have been delivered.
 * @param {RingpostError} cause
 */
export const outcomeUnknown = ({ message }) => refusal({ message: `perhaps delivered: ${message}`, retry: true });

/**
 * Whether a close code means that the client comes back.
 * @param {number} code
 */
export const isReconnect = (code) => code < 4500 && ![1000, 1002, 1007, 1009, 1011].includes(code);
