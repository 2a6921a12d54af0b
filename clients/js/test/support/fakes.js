// A host that writes down what the machine wants, and a platform of sockets and answers that a
// test holds in its hands.

import { createMachine } from "../../src/machine.js";
import { settingsOf } from "../../src/options.js";

/** A machine whose time, and whose chance, the test sets. */
export function scripted(options = {}) {
  const settings = settingsOf({ url: "ws://n1:1", user: "alice", WebSocket: Object, ...options });
  const done = [];
  const note = (kind) => (...rest) => void done.push([kind, ...rest]);
  const names = ["locate", "open", "write", "close", "renewToken", "message", "tell", "end"];
  const host = { ...Object.fromEntries(names.map((name) => [name, note(name)])), now: () => script.now, random: () => script.random };
  const script = { now: 0, random: 1 };
  const machine = createMachine(settings, host);
  const { connections } = machine;
  return Object.assign(script, {
    machine,
    /** All that was done since this was last called, or all of a kind. */
    done: (kind) => done.splice(0).filter(([name]) => !kind || name === kind),
    /** The requests that were written since this was last called. */
    written: () => script.done("write").map(([, , text]) => JSON.parse(text)),
    /** Time goes on. */
    at(now) {
      script.now = now;
      machine.tick();
      return script;
    },
    said: (link, message) => connections.text(link, JSON.stringify(message)),
    closed: (link, code, reason = "") => connections.closed(link, code, reason),
    /** The next connection is asked for: its link and URL. */
    located(url = "ws://n2:2/ws?user=alice&hop=1") {
      const [[, link]] = script.done("locate");
      connections.located(link, url);
      const [[, , opened]] = script.done("open");
      return { link, url: opened };
    },
    welcome(link, more = {}) {
      script.said(link, { type: "welcome", user: "alice", session: "s", node: "n2", heartbeat_ms: 25_000, ...more });
    },
    /** A machine with a connection, at an epoch `e`. */
    connect() {
      script.at(script.now);
      const { link } = script.located();
      script.welcome(link, { epoch: "e", offset: 0 });
      script.done();
      return link;
    },
    message: (link, offset, more = {}) =>
      script.said(link, {
        ...{ type: "message", stream: "inbox", id: `m${offset}`, from: "bob", to: { user: "alice" }, body: offset, ts: 1 },
        ...(offset === undefined ? {} : { epoch: "e", offset }),
        ...more,
      }),
  });
}

/** Sockets whose other end is the test. */
export function fakePlatform() {
  const sockets = [];
  const fetches = [];
  class WebSocket {
    sent = [];
    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      sockets.push(this);
    }
    send(text) {
      this.sent.push(JSON.parse(text));
    }
    close(code) {
      this.closedWith = code;
    }
    say(message) {
      this.onmessage?.({ data: JSON.stringify(message) });
    }
    end(code, reason = "") {
      this.onclose?.({ code, reason });
    }
    fail() {
      this.onerror?.({});
    }
  }
  /** What `/locate` answers: a status and a body. */
  const locate = { status: 200, body: { url: "ws://n2:2/ws?hop=1&ticket=t" } };
  const fetch = async (url, { headers }) => {
    fetches.push({ url, headers });
    if (!locate.status) throw new TypeError("fetch failed");
    return new Response(JSON.stringify(locate.body), { status: locate.status });
  };
  return { WebSocket, fetch, sockets, fetches, locate };
}
