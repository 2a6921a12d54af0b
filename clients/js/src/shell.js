// The machine's hands: sockets, `/locate`, the token, and one timer.

import { RingpostError } from "./errors.js";
import { createMachine } from "./machine.js";

/** @typedef {import("./link.js").Link} Link */
/** @typedef {import("./options.js").Settings} Settings */
/** @typedef {import("../index.d.ts").TokenReason} TokenReason */
const now = () => performance.now();

/** No timer of a browser waits longer. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Statuses of `/locate` that will not change by themselves. */
const REFUSALS = /** @type {Record<number, string>} */ ({ 400: "bad_request", 401: "unauthorized", 403: "not_allowed" });

/** @typedef {ReturnType<typeof createShell>} Shell */

/** @param {import("./options.js").Settings} settings @param {import("./events.js").Events} events */
export function createShell(settings, events) {
  /** What the program is to hear, once the machine is done. @type {(() => void)[]} */
  const news = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let isFlushing = false;

  const machine = createMachine(settings, {
    locate,
    open,
    close,
    renewToken,
    tell,
    write: ({ socket }, text) => socket.send(text),
    message: (item) => void news.push(() => events.message(item)),
    end(error) {
      globalThis.removeEventListener?.("online", wake);
      news.push(() => events.end(error));
    },
    now,
    random: Math.random,
  });
  const { connections } = machine;

  globalThis.addEventListener?.("online", wake);
  flushAt(0);

  /**
   * Lets something happen to the machine, and what is due.
   * @template T @param {() => T} happen
   */
  function run(happen) {
    try {
      return happen();
    } finally {
      flush();
    }
  }

  function flush() {
    // What a listener does in here waits for what is under way.
    if (isFlushing) return;
    isFlushing = true;
    machine.tick();
    for (let tell = news.shift(); tell; tell = news.shift()) tell();
    isFlushing = false;
    flushAt(machine.deadline());
  }

  /** @param {number} deadline */
  function flushAt(deadline) {
    clearTimeout(timer);
    if (deadline === Infinity) return;
    const wait = Math.ceil(deadline - now());
    timer = setTimeout(flush, Math.min(Math.max(wait, 0), TIMER_MAX_MS));
  }

  function wake() {
    run(connections.wake);
  }

  /** @param {string} name @param {any} detail */
  function tell(name, detail) {
    news.push(() => events.tell(name, detail));
  }

  /** @param {Link} link @param {boolean} [atOnce] */
  function close({ abort, socket }, atOnce) {
    abort.abort();
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    // The package `ws` waits for a peer that is gone, unless it is told not to.
    if (atOnce && socket.terminate) socket.terminate();
    else socket.close(1000);
  }

  /** @param {Link} link @param {string} url @param {TokenReason} reason */
  async function locate(link, url, reason) {
    const { fetch = globalThis.fetch } = settings;
    /** @type {string | undefined} */
    let to;
    try {
      link.token = await token(reason);
      const headers = link.token === undefined ? undefined : { authorization: `Bearer ${link.token}` };
      const answer = await fetch(url, { headers, signal: link.abort.signal, cache: "no-store", credentials: "omit" });
      const text = await answer.text();
      const code = REFUSALS[answer.status];
      if (code) throw new RingpostError(code, `${link.host} answered ${answer.status}: ${text.slice(0, 200).trim()}`);
      if (answer.ok) to = JSON.parse(text).url;
    } catch (error) {
      // Any other error says that there is no such thing, or nobody: the node itself says more.
      if (error instanceof RingpostError) return refused(link, error, !error.retry);
    }
    run(() => connections.located(link, to));
  }

  /** @param {Link} link @param {string} url @param {boolean} given */
  async function open(link, url, given) {
    const protocols = ["ringpost.v1.json"];
    try {
      // Where a node sends the client, the ticket in the URL counts.
      if (given) {
        const bearer = link.token ?? (await token("connect"));
        if (bearer !== undefined) protocols.push(`ringpost.bearer.${bearer}`);
        if (link.abort.signal.aborted) return;
      }
      const { WebSocket = globalThis.WebSocket } = settings;
      const socket = (link.socket = new WebSocket(url, protocols));
      socket.onmessage = (/** @type {MessageEvent} */ { data }) => run(() => connections.text(link, data));
      socket.onclose = (/** @type {CloseEvent} */ { code, reason }) =>
        run(() => connections.closed(link, code, reason));
      // A close comes behind it, and says no less.
      socket.onerror = () => {};
    } catch (error) {
      refused(link, asError(error), false);
    }
  }

  async function renewToken() {
    if (typeof settings.token !== "function") return;
    try {
      const fresh = await token("expiring");
      await run(() => machine.request({ type: "auth", token: fresh }, { repeatable: false }));
    } catch (error) {
      run(() => tell("error", asError(error)));
    }
  }

  /** @param {TokenReason} reason */
  async function token(reason) {
    try {
      return typeof settings.token === "function" ? await settings.token({ reason }) : settings.token;
    } catch (error) {
      throw asError(error, "no_token");
    }
  }

  /** @param {Link} link @param {RingpostError} error @param {boolean} definite */
  function refused(link, error, definite) {
    run(() => connections.refused(link, error, definite));
  }

  return { machine, run };
}

/** @param {unknown} error @param {string} [code] */
const asError = (error, code = "broken") =>
  error instanceof RingpostError ? error : new RingpostError(code, String(error), { retry: true });
