// A client of Ringpost's JSON protocol for browsers, as small as it can be and still do everything
// that a node may ask of it: follow redirects, move without a gap, come back after a loss.

/** Full jitter: before attempt n a random time up to BACKOFF_MS * 2^n, but at most BACKOFF_MAX_MS. */
const BACKOFF_MS = 250;
const BACKOFF_MAX_MS = 5000;
/** A connection that has not brought its first message by then has failed. */
const CONNECT_TIMEOUT_MS = 5000;
const PING_INTERVAL_MS = 3000;
/** A node that does not answer for so long is gone. */
const PONG_TIMEOUT_MS = 8000;
/** After a move, the old connection stays for receipts that are still on their way. */
const RETIRE_MS = 1000;
/** Messages written while there is no connection; more are refused. */
const QUEUE_MAX = 100;
/** (from, id) of so many messages are remembered, to drop repeats. */
const SEEN_MAX = 500;
/** Close codes after which a client does not come back. */
const isFinal = (code) => [1000, 1002, 1007, 1009].includes(code) || code >= 4500;

export class Client {
  #user;
  #nodes;
  #events;
  #session = null; // the connection that has been welcomed
  #attempt = null; // the connection on its way there
  #timer = null; // the next attempt
  #ticker;
  #failures = 0;
  #failed = new Set(); // ids of nodes that could not be reached since the last welcome
  #numbers = 0;
  #queue = [];
  #seen = new Set();
  #closed = false;

  /**
   * @param user the user id
   * @param nodes a function that gives the nodes as [{id, url}]
   * @param events functions: log(text, kind), state(node or null), receipt(id, {status, …}),
   *   message(message), presence({user: bool}), latency(ms)
   */
  constructor(user, nodes, events) {
    this.#user = user;
    this.#nodes = nodes;
    this.#events = events;
    this.#ticker = setInterval(() => this.#ping(), PING_INTERVAL_MS);
  }

  get node() {
    return this.#session?.node ?? null;
  }

  /** Starts at the node of that id, or at a random one. Nobody is asked who owns the user. */
  connect(id) {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    const nodes = this.#nodes();
    const first = nodes.find((node) => node.id === id);
    // Round after round: none twice before all have been tried.
    let untried = nodes.filter((node) => !this.#failed.has(node.id));
    if (untried.length === 0) {
      this.#failed.clear();
      untried = nodes;
    }
    const node = first ?? untried[Math.floor(Math.random() * untried.length)];
    if (!node) return this.#retry();
    this.#events.log(`trying ${node.id}${first ? "" : ", picked at random"}`, "quiet");
    this.#open(`${node.url}/ws?user=${encodeURIComponent(this.#user)}`);
  }

  /** Ends for good. */
  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#ticker);
    for (const link of [this.#attempt, this.#session]) link?.socket.close(1000);
  }

  /** Sends a message, now or as soon as there is a connection; returns its id. */
  send(user, body) {
    const id = crypto.randomUUID();
    const message = { type: "send", id, to: { user }, body, qos: 0 };
    if (this.#session) this.#transmit(message);
    else if (this.#queue.length < QUEUE_MAX) this.#queue.push(message);
    else queueMicrotask(() => this.#fail(id, "queue_full", "too many messages wait already"));
    return id;
  }

  /** Asks who is online; the answer comes as an event. */
  askPresence(users) {
    this.#say({ type: "presence", id: `p${++this.#numbers}`, users });
  }

  #open(url) {
    this.#attempt?.socket.close(1000);
    const link = { url, at: this.#nameOf(url), node: null, pending: new Map(), heard: 0, pings: new Map() };
    this.#attempt = link;
    try {
      link.socket = new WebSocket(url, "ringpost.v1.json");
    } catch (error) {
      // The page's policy names the nodes: nothing else can be dialled.
      this.#events.log(`cannot connect to ${url}: ${error.message}`, "bad");
      this.#attempt = null;
      return this.#retry();
    }
    const timeout = setTimeout(() => this.#lost(link, 1006), CONNECT_TIMEOUT_MS);
    link.socket.onmessage = (event) => {
      clearTimeout(timeout);
      this.#hear(link, JSON.parse(event.data));
    };
    link.socket.onclose = (event) => {
      clearTimeout(timeout);
      this.#lost(link, event.code);
    };
  }

  #hear(link, message) {
    link.heard = performance.now();
    switch (message.type) {
      case "welcome":
        return this.#welcome(link, message);
      case "redirect":
        return this.#redirect(link, message);
      case "message":
        return this.#message(message);
      case "receipt":
        return this.#receipt(link, message);
      case "presence":
        return this.#events.presence(message.online);
      case "pong": {
        const since = link.pings.get(message.id);
        link.pings.delete(message.id);
        if (since && link === this.#session) this.#events.latency(performance.now() - since);
        return;
      }
      case "error":
        return this.#events.log(`${link.at} said: ${message.message}`, "bad");
    }
  }

  #welcome(link, { node }) {
    const before = this.#session;
    link.node = node;
    this.#session = link;
    this.#attempt = null;
    this.#failures = 0;
    this.#failed.clear();
    this.#events.log(
      before ? `welcome at ${node}; the connection to ${before.node} can go` : `welcome at ${node}`,
      "good",
    );
    this.#events.state(node);
    if (before) this.#retire(before);
    for (const message of this.#queue.splice(0)) this.#transmit(message);
    this.#ping();
  }

  #redirect(link, { url, reason, after_ms: after = 0 }) {
    const to = this.#nameOf(url);
    if (link !== this.#session) {
      // Before the welcome: this node does not own the user. Its close (4307) follows.
      if (link !== this.#attempt) return;
      this.#events.log(`landed on ${link.at}, which said: your owner is ${to}; sent on to ${to}`, "move");
      this.#attempt = null;
      return this.#open(url);
    }
    const why = reason === "drain" ? "I am stopping" : "the ring has changed";
    this.#events.log(`${link.at} said: ${why}, go to ${to} in ${Math.round(after)} ms`, "move");
    clearTimeout(this.#timer);
    // Service goes on here until the new connection is welcomed.
    this.#timer = setTimeout(() => this.#open(url), after);
  }

  #message(message) {
    // A user who is moving has two connections for a moment, and both are served.
    const name = JSON.stringify([message.from, message.id]);
    if (this.#seen.has(name)) return;
    this.#seen.add(name);
    if (this.#seen.size > SEEN_MAX) this.#seen.delete(this.#seen.values().next().value);
    this.#events.message(message);
  }

  #receipt(link, receipt) {
    const since = link.pending.get(receipt.id);
    link.pending.delete(receipt.id);
    this.#events.receipt(receipt.id, { ...receipt, ms: since && performance.now() - since });
    if (link.retired && link.pending.size === 0) link.socket.close(1000);
  }

  /** The connection has ended, or is treated as if it had. */
  #lost(link, code) {
    link.socket.onclose = link.socket.onmessage = null;
    link.socket.close();
    // With qos 0 nobody can say whether they arrived, and a repeat might arrive twice.
    for (const id of link.pending.keys()) {
      this.#fail(id, "unknown", "the connection was lost before the receipt");
    }
    if (link === this.#attempt) {
      this.#attempt = null;
      this.#failed.add(link.at);
      this.#events.log(`${link.at} cannot be reached`, "bad");
      this.#retry();
    } else if (link === this.#session) {
      this.#session = null;
      if (this.#closed) return;
      this.#failed.add(link.at);
      this.#events.state(null);
      this.#events.log(`the connection to ${link.node} ended (${code})`, "bad");
      if (isFinal(code)) this.#events.log("that is final; the button connects again", "bad");
      else if (!this.#attempt) this.#retry();
    }
  }

  #retry() {
    if (this.#closed) return;
    const most = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** this.#failures++);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.connect(), Math.random() * most);
  }

  #retire(link) {
    link.retired = true;
    if (link.pending.size === 0) link.socket.close(1000);
    else setTimeout(() => link.socket.close(1000), RETIRE_MS);
  }

  #transmit(message) {
    this.#session.pending.set(message.id, performance.now());
    this.#say(message);
  }

  #say(message) {
    const socket = this.#session?.socket;
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  #ping() {
    const link = this.#session;
    if (!link) return;
    if (performance.now() - link.heard > PONG_TIMEOUT_MS && link.pings.size > 1) {
      return this.#lost(link, 1006);
    }
    const id = `x${++this.#numbers}`;
    link.pings.set(id, performance.now());
    this.#say({ type: "ping", id });
  }

  #fail(id, code, message) {
    this.#events.receipt(id, { status: "failed", error: { code, message } });
  }

  #nameOf(url) {
    const { host } = new URL(url);
    const node = this.#nodes().find((node) => new URL(node.url).host === host);
    return node?.id ?? host;
  }
}
