// Making connections, following redirects, and trying again.
//
// There are up to three connections: the *current* one; a *trial*, which is being made instead of
// the current one or beside it; and one that is *leaving*, on which only receipts are waited for.
// The trial becomes the current connection with its `welcome`, and no sooner.

import { broken, closedError, isReconnect, refusal, RingpostError } from "./errors.js";
import { Link } from "./link.js";
import { Liveness } from "./liveness.js";
import { createRoute } from "./route.js";
import { locateUrl, resolve, withQuery } from "./urls.js";
import { textOf } from "./wire.js";

/** @typedef {import("../index.d.ts").Position} Position */
/**
 * What is made of connections. `position`: where a new one has to go on. `said`: on the current one, or, `late`, on
 * the one that is left. `lost`: what was written there and not answered is lost. `dependsOn`: something can come there
 * and nowhere else. `offline`: there is no current one any more. `end`: and there will be none.
 * @typedef {{
 *   position: () => Position | undefined,
 *   welcomed: (now: number, welcome: any) => void,
 *   said: (now: number, said: any, late: boolean) => void,
 *   lost: (link: Link, error: RingpostError) => void,
 *   dependsOn: (link: Link) => boolean,
 *   offline: () => void,
 *   end: (error: RingpostError) => void,
 * }} Session
 */
/** @typedef {ReturnType<typeof createConnections>} Connections */

/** Redirects that are followed in a row. One is usual: whoever comes with `hop` is not sent on. */
const REDIRECTS_MAX = 5;
/** A connection that held for so long was a good one: the backoff starts over. */
const STABLE_MS = 10_000;
/** After a move the old connection is read for so long, for what was on its way to it. */
const LINGER_MIN_MS = 500;
/** Then it is kept as long as something is missing that can come nowhere else, up to this. */
const LINGER_MAX_MS = 5_000;
/** Between a node's pings, where its welcome does not say. */
const HEARTBEAT_MS = 25_000;
/** The close codes that a newer session of the same user, and a token that has expired, can cause. */
const REPLACED = 4511;
const UNAUTHORIZED = 4501;

/**
 * @param {number} now
 * @param {import("./options.js").Settings} settings
 * @param {import("./machine.js").Host} host
 * @param {Session} session
 */
export function createConnections(now, settings, host, session) {
  const route = createRoute(settings, host.random);
  /** The next node is tried then, unless there is a trial. */
  let retryAt = now;
  /** @type {Link | undefined} */
  let current;
  /** @type {Link | undefined} */
  let trial;
  /** @type {Link | undefined} */
  let leaving;
  let redirects = 0;

  const leaveAt = () => (leaving ? (session.dependsOn(leaving) ? leaving.by : leaving.notBefore) : Infinity);

  /** @param {number} now */
  function beat(now) {
    const beat = current?.liveness?.beat(now);
    if (!current || !beat) return;
    if (beat === "ping") return host.write(current, textOf({ type: beat }));
    host.close(current, true);
    lost(now, broken(current, "was not heard of any more"), true);
  }

  /** Tries the next of the nodes that were given. @param {number} now */
  function tryNext(now) {
    const { user, followRedirects } = settings;
    const link = new Link(withQuery(route.take(), { user }));
    start(now, link);
    if (followRedirects && !route.isDirect()) host.locate(link, locateUrl(link.url), route.tokenReason());
    else open(link, { redirect: followRedirects ? "frame" : "never" });
  }

  /** @param {number} now @param {Link} link */
  function start(now, link) {
    link.by = now + settings.connectTimeoutMs;
    retryAt = Infinity;
    trial = link;
  }

  /** `more` for the query of a node that was given by the program, and may see its token. @param {Link} link @param {object} [more] */
  function open(link, more) {
    host.open(link, withQuery(link.url, { ...more, ...session.position() }), !!more);
  }

  /** Goes where `/locate` or a node says. @param {number} now @param {Link} link @param {string} to @param {string} [reason] */
  function follow(now, link, to, reason) {
    const url = resolve(to, link.url);
    if (!url || ++link.redirects > REDIRECTS_MAX) {
      const where = String(to).split("?")[0];
      return failed(now, broken(link, `redirected to ${where}, which cannot be followed`), false);
    }
    link.url = url;
    if (reason) {
      redirects += 1;
      host.tell("redirect", { to: link.host, reason });
    }
    start(now, link);
    open(link);
  }

  /** Connects where a node that has the client says that it belongs. @param {number} now @param {Link} from */
  function move(now, from) {
    const { url, reason } = /** @type {NonNullable<Link["moving"]>} */ (from.moving);
    from.moving = undefined;
    route.newRound();
    const link = new Link(from.url);
    start(now, link);
    follow(now, link, url, reason);
  }

  /** @param {number} now @param {Link} link @param {any} said */
  function trialSaid(now, link, said) {
    if (said?.type === "welcome") return welcome(now, link, said);
    if (said?.type === "error") return void (link.rejected = refusal(said));
    host.close(link);
    if (said?.type === "redirect") {
      link.located = false;
      follow(now, link, said.url, said.reason);
    } else {
      failed(now, broken(link, "did not begin with a welcome"), false);
    }
  }

  /** The trial is the current connection from here on. @param {number} now @param {Link} link @param {any} welcome */
  function welcome(now, link, welcome) {
    const { pingAfterMs, pongWithinMs } = settings;
    link.since = now;
    link.liveness = new Liveness(now, Math.min(pingAfterMs, welcome.heartbeat_ms || HEARTBEAT_MS), pongWithinMs);
    link.bytesMax = welcome.max_message_bytes || Infinity;
    if (current) {
      letGo();
      leaving = current;
      leaving.notBefore = now + LINGER_MIN_MS;
      leaving.by = now + LINGER_MAX_MS;
    }
    current = link;
    trial = undefined;
    route.welcomed();
    session.welcomed(now, welcome);
  }

  /** There will be no connection of the trial. @param {number} now @param {RingpostError} error @param {boolean} definite the same again would be refused again */
  function failed(now, error, definite) {
    const isLocated = !!trial?.located;
    trial = undefined;
    if (route.failed(error, definite) && !current) return session.end(error);
    // Who is not there may not be missed yet: without `/locate` any node serves who cannot go there.
    route.setDirect(isLocated);
    retryAt = now + (isLocated && error.code === "broken" ? 0 : route.onward());
    if (!current) tellWhy(now, error);
  }

  /** The current connection is gone. @param {number} now @param {RingpostError} error @param {boolean} reconnect @param {number} [wait] */
  function lost(now, error, reconnect, wait) {
    const link = /** @type {Link} */ (current);
    current = undefined;
    session.lost(link, error);
    session.offline();
    if (!reconnect) return session.end(error);
    if (now - link.since >= STABLE_MS) route.backoff.reset();
    if (!trial && link.moving) move(now, link);
    else if (!trial && retryAt === Infinity) retryAt = now + (wait ?? route.wait());
    tellWhy(now, error);
  }

  /** @param {number} now @param {RingpostError} error */
  function tellWhy(now, error) {
    host.tell("state", { state: "connecting", error, retryInMs: trial ? 0 : retryAt - now });
  }

  function letGo() {
    const link = leaving;
    if (!link) return;
    leaving = undefined;
    host.close(link);
    session.lost(link, broken(link, "was left for another node"));
  }

  return {
    current: () => current,
    redirects: () => redirects,

    /** When `tick` has something to do. */
    deadline: () =>
      Math.min(
        trial?.by ?? Math.min(retryAt, current?.moving?.at ?? Infinity),
        current?.liveness?.deadline ?? Infinity,
        leaveAt(),
      ),

    /** @param {number} now */
    tick(now) {
      if (leaveAt() <= now) letGo();
      beat(now);
      if (trial) {
        if (trial.by > now) return;
        host.close(trial, true);
        failed(now, broken(trial, "did not answer in time"), false);
      } else if (current?.moving && current.moving.at <= now) {
        move(now, current);
      }
      if (!trial && retryAt <= now) tryNext(now);
    },

    /** The network may be back: a silent connection is not to be trusted, nor is there a reason to wait for long. @param {number} now */
    wake(now) {
      current?.liveness?.doubt();
      route.backoff.reset();
      if (retryAt < Infinity) retryAt = Math.min(retryAt, now + route.wait());
    },

    /** Lets the current connection go and makes another, from where the client stands. @param {number} now */
    renew(now) {
      if (!current || trial) return;
      host.close(current);
      lost(now, broken(current, "had more than there was room for"), true, 0);
    },

    /** `/locate` has answered, or could not be had. @param {number} now @param {Link} link @param {string} [url] */
    located(now, link, url) {
      if (link !== trial) return;
      link.located = url !== undefined;
      if (url === undefined) open(link, { redirect: "frame" });
      else follow(now, link, url);
    },

    /** A connection was not made. @param {number} now @param {Link} link @param {RingpostError} error @param {boolean} definite */
    refused(now, link, error, definite) {
      if (link === trial) failed(now, error, definite);
    },

    /** A node says something. @param {number} now @param {Link} link @param {string} text */
    text(now, link, text) {
      const said = parse(text);
      if (link === trial) return trialSaid(now, link, said);
      const late = link === leaving;
      if (!late && link !== current) return;
      link.liveness?.heard(now);
      if (said?.type === "redirect") {
        link.moving = { at: now + (said.after_ms || 0), url: said.url, reason: said.reason };
      } else if (said) {
        session.said(now, said, late);
      } else {
        host.tell("error", new RingpostError("not_understood", `${link.host} is not understood`));
      }
    },

    /** A connection has ended. @param {number} now @param {Link} link @param {number} code @param {string} reason */
    closed(now, link, code, reason) {
      const error = closedError(link, code, reason);
      const reconnect = isReconnect(code);
      if (link === current) {
        // A trial may be the newer session; a function may have a better token.
        const changed = code === REPLACED ? trial : code === UNAUTHORIZED && !route.failed(error, true);
        lost(now, error, reconnect || !!changed);
      } else if (link === trial) {
        if (link.rejected) error.message = `${link.host} refused: ${link.rejected.message}`;
        // A ticket may be spent, or too old; the token that it was given for is another matter.
        failed(now, error, !reconnect && !(code === UNAUTHORIZED && link.redirects));
      } else if (link === leaving) {
        leaving = undefined;
        session.lost(link, error);
      }
    },

    /** The end: nothing that connections say matters any more. */
    shutDown() {
      for (const link of [current, leaving, trial]) if (link) host.close(link, link === trial);
      current = leaving = trial = undefined;
    },
  };
}

/** @param {string} text @returns {any} an object with a type, or nothing */
function parse(text) {
  try {
    const said = JSON.parse(text);
    if (typeof said?.type === "string") return said;
  } catch {
    // The caller says so.
  }
}
