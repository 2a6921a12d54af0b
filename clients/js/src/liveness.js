// Whether the other end still lives. Scripts see nothing of a node's own pings, so the client sends
// `ping` messages of its own.

/** The heartbeat of one connection, from the client's side. In milliseconds. */
export class Liveness {
  #heard;
  /** @type {number | undefined} by when the ping must be answered */
  #answerBy;
  #quiet;
  #timeout;

  /**
   * @param {number} now
   * @param {number} quiet after so long without a message the node is asked
   * @param {number} timeout and has so long for its answer
   */
  constructor(now, quiet, timeout) {
    this.#heard = now;
    this.#quiet = quiet;
    this.#timeout = timeout;
  }

  /** @param {number} now */
  heard(now) {
    this.#heard = now;
    this.#answerBy = undefined;
  }

  /** When `beat` wants to be called next. */
  get deadline() {
    return this.#answerBy ?? this.#heard + this.#quiet;
  }

  /** Asks with the next `beat`, unless it has been asked. */
  doubt() {
    this.#heard = -Infinity;
  }

  /**
   * A deadline may have come.
   * @param {number} now
   * @returns {"ping" | "dead" | undefined}
   */
  beat(now) {
    if (now < this.deadline) return;
    if (this.#answerBy !== undefined) return "dead";
    this.#answerBy = now + this.#timeout;
    return "ping";
  }
}
