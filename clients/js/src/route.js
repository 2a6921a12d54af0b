// The nodes that were given, how far they have been tried, and when to try again.

import { createBackoff } from "./backoff.js";

/** @param {import("./options.js").Settings} settings @param {() => number} random */
export function createRoute({ nodes, token, backoffMinMs, backoffFirstMs, backoffMaxMs }, random) {
  const backoff = createBackoff(backoffMinMs, backoffFirstMs, backoffMaxMs);
  let next = 0;
  /** Tries in this round, of one for each node. */
  let tried = 0;
  /** Refusals in a row that will not change by themselves. */
  let definites = 0;
  /** Refusals in a row of tokens, each of which was a new one. */
  let unauthorized = 0;

  const newRound = () => void (tried = 0);

  /** How long to wait before the next round. */
  function wait() {
    newRound();
    return backoff.next(random());
  }

  return {
    backoff,
    newRound,
    wait,

    /** Whether the next try does not ask `/locate`, whose last answer led to nobody. */
    isDirect: false,

    /** Why a token is needed. @returns {"connect" | "refused"} */
    tokenReason: () => (unauthorized ? "refused" : "connect"),

    /** The node to try now. */
    take() {
      tried += 1;
      return nodes[next];
    },

    /** There is a connection. */
    welcomed() {
      tried = definites = unauthorized = 0;
      this.isDirect = false;
    },

    /**
     * A try has failed; says whether all nodes refuse, and will go on doing so. A token that a
     * function gives may be a better one next time, once.
     * @param {import("./errors.js").RingpostError} error
     * @param {boolean} definite the same again would be refused again
     */
    failed({ code }, definite) {
      const renews = code === "unauthorized" && typeof token === "function" && unauthorized++ === 0;
      definites = definite && !renews ? definites + 1 : 0;
      return definites >= nodes.length;
    },

    /** Goes on to the next node; returns how long to wait before it is tried. */
    onward() {
      next = (next + 1) % nodes.length;
      return tried < nodes.length ? 0 : wait();
    },
  };
}
