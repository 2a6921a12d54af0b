// Making connections, following redirects, and trying again.
//
// There are up to three connections: the *current* one; a *trial*, which is being made instead of
// the current one or beside it; and one that is *leaving*, on which only receipts are waited for.
// The trial becomes the current connection with its `welcome`, and no sooner.

import { broken, closedError, isReconnect, refusal, RingpostError } from "./errors.js";
import { Link } from "./link.js";
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
 *   welcomed: (welcome: any) => void,
 *   said: (said: any, late: boolean) => void,
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
/** After so long without a message the node is asked whether it lives, where its welcome does not say. */
const HEARTBEAT_MS = 25_000;
/** The close codes that a newer session of the same user, and a token that has expired, can cause. */
const REPLACED = 4511;
const UNAUTHORIZED = 4501;

/**
 * @param {import("./options.js").Settings} settings
 * @param {import("./machine.js").Host} host
 * @param {Session} session
 */
export function createConnections(settings, host, session) {
  const route = createRoute(settings, host.random);
  /** The next node is tried then, unless there is a trial. */
  let retryAt = host.now();
  /** @type {Link | undefined} */
  let current;
  /** @type {Link | undefined} */
  let trial;
  /** @type {Link | undefined} */
  let leaving;
  let redirects = 0;

  const leaveAt = () => (leaving ? (session.dependsOn(leaving) ? leaving.by : leaving.notBefore) : Infinity);

  /** Scripts see nothing of a node's own pings, so the client sends messages of its own when it hears nothing. */
  const beatAt = () => (current ? (current.answerBy ?? current.heard + current.quietMs) : Infinity);

  function beat() {
    if (!current || beatAt() > host.now()) return;
    if (current.answerBy === undefined) {
      current.answerBy = host.now() + settings.pongWithinMs;
      return host.write(current, textOf({ type: "ping" }));
    }
    host.close(current, true);
    lost(broken(current, "was silent"), true);
  }

  /** Tries the next of the nodes that were given. */
  function tryNext() {
    const { user } = settings;
    const link = new Link(withQuery(route.take(), { user }), route.tokenReason());
    start(link);
    if (route.isDirect) return openGiven(link);
    // Also where redirects are not followed: of a handshake that is refused a script does not see the status.
    link.located = undefined;
    host.locate(link, locateUrl(link.url), link.reason);
  }

  /** @param {Link} link */
  function openGiven(link) {
    open(link, { redirect: settings.followRedirects ? "frame" : "never" });
  }

  /** @param {Link} link */
  function start(link) {
    link.by = host.now() + settings.connectTimeoutMs;
    retryAt = Infinity;
    trial = link;
  }

  /** `more` for the query of a node that was given by the program, and may see its token. @param {Link} link @param {object} [more] */
  function open(link, more) {
    host.open(link, withQuery(link.url, { ...more, ...session.position() }), !!more);
  }

  /** Goes where `/locate` or a node says. @param {Link} link @param {string} to @param {string} [reason] */
  function follow(link, to, reason) {
    const url = resolve(to, link.url);
    if (!url || ++link.redirects > REDIRECTS_MAX) {
      const where = String(to).split("?")[0];
      return failed(broken(link, `redirected to ${where}`), false);
    }
    link.url = url;
    if (reason) {
      redirects += 1;
      host.tell("redirect", { to: link.host, reason });
    }
    start(link);
    open(link);
  }

  /** Connects where a node that has the client says that it belongs. @param {Link} from */
  function move(from) {
    const { url, reason } = /** @type {NonNullable<Link["moving"]>} */ (from.moving);
    from.moving = undefined;
    route.newRound();
    const link = new Link(from.url);
    start(link);
    follow(link, url, reason);
  }

  /** @param {Link} link @param {any} said */
  function trialSaid(link, said) {
    if (said?.type === "welcome") return welcome(link, said);
    if (said?.type === "error") return void (link.rejected = refusal(said));
    host.close(link);
    if (said?.type === "redirect") {
      link.located = false;
      follow(link, said.url, said.reason);
    } else {
      failed(broken(link, "did not welcome"), false);
    }
  }

  /** The trial is the current connection from here on. @param {Link} link @param {any} welcome */
  function welcome(link, welcome) {
    link.since = link.heard = host.now();
    link.quietMs = Math.min(settings.pingAfterMs, welcome.heartbeat_ms || HEARTBEAT_MS);
    link.bytesMax = welcome.max_message_bytes || Infinity;
    if (current) {
      letGo();
      leaving = current;
      leaving.notBefore = host.now() + LINGER_MIN_MS;
      leaving.by = host.now() + LINGER_MAX_MS;
    }
    current = link;
    trial = undefined;
    route.welcomed();
    session.welcomed(welcome);
  }

  /** There will be no connection of the trial. @param {RingpostError} error @param {boolean} definite the same again would be refused again */
  function failed(error, definite) {
    const isLocated = !!trial?.located;
    trial = undefined;
    if (route.failed(error, definite) && !current) return session.end(error);
    // Who is not there may not be missed yet: without `/locate` any node serves who cannot go there.
    route.isDirect = isLocated;
    retryAt = host.now() + (isLocated && error.code === "broken" ? 0 : route.onward());
    if (!current) tellWhy(error);
  }

  /** The current connection is gone. @param {RingpostError} error @param {boolean} reconnect @param {number} [wait] */
  function lost(error, reconnect, wait) {
    const link = /** @type {Link} */ (current);
    current = undefined;
    session.lost(link, error);
    session.offline();
    if (!reconnect) return session.end(error);
    if (host.now() - link.since >= STABLE_MS) route.backoff.reset();
    if (!trial && link.moving) move(link);
    else if (!trial) retryAt = Math.min(retryAt, host.now() + (wait ?? route.wait()));
    tellWhy(error);
  }

  /** @param {RingpostError} error */
  function tellWhy(error) {
    host.tell("state", { state: "connecting", error, retryInMs: trial ? 0 : retryAt - host.now() });
  }

  function letGo() {
    const link = leaving;
    if (!link) return;
    leaving = undefined;
    host.close(link);
    session.lost(link, broken(link, "was left"));
  }

  return {
    current: () => current,
    redirects: () => redirects,

    /** When `tick` has something to do. */
    deadline: () =>
      Math.min(
        trial?.by ?? Math.min(retryAt, current?.moving?.at ?? Infinity),
        beatAt(),
        leaveAt(),
      ),

    /** Does what is due. */
    tick() {
      if (leaveAt() <= host.now()) letGo();
      beat();
      if (trial) {
        if (trial.by > host.now()) return;
        // A `/locate` that hangs leads to nobody.
        trial.located ??= true;
        host.close(trial, true);
        failed(broken(trial, "fell silent"), false);
      } else if (current?.moving && current.moving.at <= host.now()) {
        move(current);
      }
      if (!trial && retryAt <= host.now()) tryNext();
    },

    /** The network may be back: a silent connection is not to be trusted, nor is there a reason to wait for long. */
    wake() {
      if (current) current.heard = -Infinity;
      route.backoff.reset();
      if (retryAt < Infinity) retryAt = Math.min(retryAt, host.now() + route.wait());
    },

    /** Lets the current connection go and makes another, from where the client stands. */
    renew() {
      if (!current || trial) return;
      host.close(current);
      lost(broken(current, "was too fast"), true, 0);
    },

    /** `/locate` has answered, or could not be had. @param {Link} link @param {string} [url] */
    located(link, url) {
      if (link !== trial) return;
      link.located = url !== undefined && settings.followRedirects;
      if (link.located) follow(link, /** @type {string} */ (url));
      else openGiven(link);
    },

    /** A connection was not made. @param {Link} link @param {RingpostError} error @param {boolean} definite */
    refused(link, error, definite) {
      if (link === trial) failed(error, definite);
    },

    /** A node says something. @param {Link} link @param {string} text */
    text(link, text) {
      const said = parse(text);
      if (link === trial) return trialSaid(link, said);
      const late = link === leaving;
      if (!late && link !== current) return;
      link.heard = host.now();
      link.answerBy = undefined;
      if (said?.type === "redirect") {
        link.moving = { at: host.now() + (said.after_ms || 0), url: said.url, reason: said.reason };
      } else if (said) {
        session.said(said, late);
      } else {
        host.tell("error", new RingpostError("not_understood", `${link.host}: not understood`));
      }
    },

    /** A connection has ended. @param {Link} link @param {number} code @param {string} reason */
    closed(link, code, reason) {
      const error = closedError(link, code, reason);
      const reconnect = isReconnect(code);
      if (link === current) {
        // A trial may be the newer session; a function may have a better token.
        const changed = code === REPLACED ? trial : code === UNAUTHORIZED && !route.failed(error, true);
        lost(error, reconnect || !!changed);
      } else if (link === trial) {
        if (link.rejected) error.message = `${link.host} refused: ${link.rejected.message}`;
        // A ticket may be spent, or too old; the token that it was given for is another matter.
        failed(error, !reconnect && !(code === UNAUTHORIZED && link.redirects));
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
