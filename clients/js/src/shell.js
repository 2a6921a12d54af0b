// The machine's hands: sockets, `/locate`, the token, and one timer.

import { CLOSE_NAMES, RingpostError } from "./errors.js";
import { createMachine } from "./machine.js";

/** @typedef {import("./link.js").Link} Link */
/** @typedef {import("./events.js").Events} Events */
/** @typedef {import("./options.js").Settings} Settings */
/** @typedef {import("../index.d.ts").TokenReason} TokenReason */
const now = () => performance.now();

/** No timer of a browser waits longer. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** @typedef {ReturnType<typeof createShell>} Shell */

/** @param {import("./options.js").Settings} settings @param {Events} events */
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
    tell: soon("tell"),
    write: ({ socket }, text) => socket.send(text),
    message: soon("message"),
    end(error) {
      globalThis.removeEventListener?.("online", wake);
      soon("end")(error);
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
    timer = setTimeout(flush, Math.min(wait, TIMER_MAX_MS));
  }

  function wake() {
    run(connections.wake);
  }

  /** @template {"message" | "tell" | "end"} T @param {T} what @returns {(...of: Parameters<Events[T]>) => void} */
  function soon(what) {
    return (...of) => void news.push(() => /** @type {any} */ (events)[what](...of));
  }

  /** @param {Link} link @param {boolean} [atOnce] */
  function close({ abort, socket }, atOnce) {
    abort.abort();
    if (!socket) return;
    socket.onmessage = socket.onclose = socket.onerror = () => {};
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
      const headers = link.token ? { authorization: `Bearer ${link.token}` } : undefined;
      const answer = await fetch(url, { headers, signal: link.abort.signal, cache: "no-store", credentials: "omit" });
      const text = await answer.text();
      // 400, 401 and 403 mean what 4500, 4501 and 4503 do, and do not change by themselves.
      const code = CLOSE_NAMES[answer.status + 4100];
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
        const bearer = link.token ?? (await token(link.reason));
        if (bearer) protocols.push(`ringpost.bearer.${bearer}`);
        if (link.abort.signal.aborted) return;
      }
      const { WebSocket = globalThis.WebSocket } = settings;
      const socket = (link.socket = new WebSocket(url, protocols));
      socket.onmessage = (/** @type {MessageEvent} */ { data }) => run(() => connections.text(link, data));
      socket.onclose = (/** @type {CloseEvent} */ { code, reason }) =>
        run(() => connections.closed(link, code, reason));
      // Where nobody answers the sockets of Node 22 say no more. Others close, too, which counts once.
      socket.onerror = () => link.since || socket.onclose({ code: 1006, reason: "" });
    } catch (error) {
      refused(link, asError(error), false);
    }
  }

  async function renewToken() {
    if (typeof settings.token !== "function") return;
    try {
      const fresh = await token("expiring");
      await run(() => machine.auth(/** @type {string} */ (fresh)));
    } catch (error) {
      const why = asError(error);
      // The next connection, if there is one, asks for a token anyway.
      if (!(why.code === "unknown" || why.code === "closed")) run(() => soon("tell")("error", why));
    }
  }

  /** @param {TokenReason} reason */
  async function token(reason) {
    const source = settings.token;
    if (source === undefined) return;
    try {
      const given = typeof source === "function" ? await source({ reason }) : source;
      // Else platforms complain, and repeat it.
      if (!/^[\w.~+/=-]+$/.test(given ?? "")) throw asError("that is no token", "no_token");
      return given;
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
