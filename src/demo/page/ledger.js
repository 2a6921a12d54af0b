// Who was sent what, and what came of it. Messages from one user to another are numbered from 0, and
// must come in that order, each once.

/** A message that was accepted and is not there after so long, though its reader is, is lost. */
export const LOST_MS = 15_000;

/** @typedef {{sentAt: number, state: "sent" | "accepted" | "refused", received: boolean}} Entry */

export class Ledger {
  /**
   * By sender and reader: what is not both accepted and there, the number of the first of it, and the last that came.
   * @type {Map<string, {entries: Entry[], first: number, last: number}>}
   */
  #lanes = new Map();
  sent = 0;
  accepted = 0;
  received = 0;
  refused = 0;
  twice = 0;
  disordered = 0;
  /** Of what has come. */
  longestMs = 0;

  /** @param {string} lane */
  #lane(lane) {
    const known = this.#lanes.get(lane) ?? { entries: [], first: 0, last: -1 };
    this.#lanes.set(lane, known);
    return known;
  }

  /** The number of the next message. @param {string} lane @param {number} now in milliseconds */
  send(lane, now) {
    const { entries, first } = this.#lane(lane);
    this.sent += 1;
    return first + entries.push({ sentAt: now, state: "sent", received: false }) - 1;
  }

  /** It has its receipt. @param {string} lane @param {number} number @param {"accepted" | "refused"} state */
  settle(lane, number, state) {
    const known = this.#lane(lane);
    known.entries[number - known.first].state = state;
    this[state] += 1;
    this.#forget(known);
  }

  /** It has come. @param {string} lane @param {number} number @param {number} now */
  receive(lane, number, now) {
    const known = this.#lane(lane);
    const entry = known.entries[number - known.first];
    if (!entry || entry.received) {
      this.twice += 1;
      return;
    }
    entry.received = true;
    this.received += 1;
    this.longestMs = Math.max(this.longestMs, now - entry.sentAt);
    if (number < known.last) this.disordered += 1;
    known.last = Math.max(known.last, number);
    this.#forget(known);
  }

  /** Nothing more can come of the first ones, but a repeat. @param {{entries: Entry[], first: number}} known */
  #forget(known) {
    while (known.entries[0]?.received && known.entries[0].state === "accepted") {
      known.entries.shift();
      known.first += 1;
    }
  }

  /**
   * Accepted, and not come though a later one has, or though its reader has been there for long.
   * @param {number} now
   * @param {(lane: string) => number} readyFor since when its reader is there, in milliseconds; infinite if it is not
   */
  lost(now, readyFor) {
    let lost = 0;
    for (const [lane, { entries, first, last }] of this.#lanes) {
      const since = readyFor(lane);
      entries.forEach(({ sentAt, state, received }, index) => {
        const late = now - Math.max(sentAt, since) > LOST_MS;
        if (state === "accepted" && !received && (first + index < last || late)) lost += 1;
      });
    }
    return lost;
  }

  /** Neither come nor refused. */
  underWay() {
    let count = 0;
    for (const { entries } of this.#lanes.values()) {
      count += entries.filter(({ state, received }) => !received && state !== "refused").length;
    }
    return count;
  }
}
