// A client of Ringpost's JSON protocol for browsers, as small as it can be and still do everything
// that a node may ask of it: follow redirects, resume where it was, repeat what has no receipt, ack.

/** Full jitter: before attempt n a random time up to BACKOFF_MS * 2^n, but at most BACKOFF_MAX_MS. */
const BACKOFF_MS = 250;
const BACKOFF_MAX_MS = 5000;
/** A connection that is not welcomed by then has failed; a node gives up waiting after 10 s. */
const CONNECT_TIMEOUT_MS = 12000;
const PING_INTERVAL_MS = 3000;
/** A node that does not answer for so long is gone. */
const PONG_TIMEOUT_MS = 8000;
/** An ack waits so long for more to ack: one speaks for all before it. */
const ACK_DELAY_MS = 200;
/** Messages without a receipt; more are refused. */
const PENDING_MAX = 200;
/** (from, id) of so many messages are remembered, to drop repeats; more than can come again: a guess. */
const SEEN_MAX = 2000;
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
  #pending = new Map(); // id to {message, since} of what has no receipt, in the order of sending
  #seen = new Set();
  #position = null; // {epoch, offset}: everything up to there has arrived
  #shown = null; // the position of the last message that the program was given
  #ackTimer = null;
  #closed = false;

  /**
   * @param user the user id
   * @param nodes a function that gives the nodes as [{id, url}]
   * @param events functions: log(text, kind), state(node or null), receipt(id, {status, …}),
   *   delivered(id), message(message), presence({user: bool}), latency(ms)
   */
  constructor(user, nodes, events) {
    this.#user = user;
    this.#nodes = nodes;
    this.#events = events;
    this.#ticker = setInterval(() => this.#ping(), PING_INTERVAL_MS);
  }

  get user() {
    return this.#user;
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

  /** Leaves where it is, and starts again as `connect`, from where it was. */
  reconnect(id) {
    this.#hangUp();
    this.#events.state(null);
    this.connect(id);
  }

  /** Ends for good. What has no receipt is not repeated any more. */
  close() {
    this.#closed = true;
    clearInterval(this.#ticker);
    this.#hangUp();
    for (const id of this.#pending.keys()) this.#fail(id, "unknown", "left before the receipt");
  }

  #hangUp() {
    clearTimeout(this.#timer);
    this.#ack();
    for (const link of [this.#attempt, this.#session]) this.#drop(link);
    this.#attempt = this.#session = null;
  }

  /**
   * Sends a message, now or as soon as there is a connection, and again on every new one until its
   * receipt is there; returns its id.
   */
  send(user, body) {
    const id = crypto.randomUUID();
    if (this.#pending.size >= PENDING_MAX) {
      queueMicrotask(() => this.#fail(id, "queue_full", "too many messages wait already"));
      return id;
    }
    const message = { type: "send", id, to: { user }, body, notify: true };
    this.#pending.set(id, { message, since: performance.now() });
    this.#say(message);
    return id;
  }

  /** Asks who is online; the answer comes as an event. */
  askPresence(users) {
    this.#say({ type: "presence", id: `p${++this.#numbers}`, users });
  }

  #open(address) {
    this.#drop(this.#attempt);
    const url = this.#withPosition(address);
    const link = { at: this.#nameOf(url), node: null, heard: 0, pings: new Map() };
    this.#attempt = link;
    try {
      link.socket = new WebSocket(url, "ringpost.v1.json");
    } catch (error) {
      // The page's policy names the nodes: nothing else can be dialled.
      this.#events.log(`cannot connect to ${url}: ${error.message}`, "bad");
      this.#attempt = null;
      return this.#retry();
    }
    link.timeout = setTimeout(() => this.#lost(link, 1006), CONNECT_TIMEOUT_MS);
    link.socket.onmessage = (event) => {
      clearTimeout(link.timeout);
      this.#hear(link, JSON.parse(event.data));
    };
    link.socket.onclose = (event) => this.#lost(link, event.code);
  }

  #hear(link, message) {
    link.heard = performance.now();
    switch (message.type) {
      case "welcome":
        return this.#welcome(link, message);
      case "redirect":
        return this.#redirect(link, message);
      case "message":
        return this.#message(link, message);
      case "receipt":
        return this.#receipt(link, message);
      case "delivered":
        return this.#events.delivered(message.id);
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

  #welcome(link, { node, epoch, offset, recovered }) {
    const before = this.#session;
    link.node = node;
    this.#session = link;
    this.#attempt = null;
    this.#failures = 0;
    this.#failed.clear();
    const resumed = recovered ? `, resumed at ${offset}` : "";
    const gone = before ? `; the connection to ${before.node} can go` : "";
    this.#events.log(`welcome at ${node}${resumed}${gone}`, "good");
    if (recovered === false) {
      this.#events.log(`${node} cannot tell what came since, or it is gone (recovered: false)`, "bad");
    }
    this.#drop(before);
    this.#advance({ epoch, offset });
    // First what has no receipt, in its order and under the same ids; what is new comes after it.
    const repeats = this.#pending.size;
    if (repeats) this.#events.log(`sending what has no receipt: ${repeats}`, "quiet");
    for (const { message } of this.#pending.values()) this.#say(message);
    // The last ack may have been lost with its connection.
    this.#ack();
    this.#events.state(node);
    this.#ping();
  }

  #redirect(link, { url, reason, after_ms: after = 0 }) {
    const to = this.#nameOf(url);
    if (link !== this.#session) {
      // Before the welcome: this node does not own the user. Its close (4307) follows.
      if (link !== this.#attempt) return;
      this.#events.log(`landed on ${link.at}, which said: your owner is ${to}; sent on to ${to}`, "move");
      return this.#open(url);
    }
    const why = reason === "drain" ? "I am stopping" : "the ring has changed";
    this.#events.log(`${link.at} said: ${why}, go to ${to} in ${Math.round(after)} ms`, "move");
    clearTimeout(this.#timer);
    // Service goes on here until the new connection is welcomed.
    this.#timer = setTimeout(() => this.#open(url), after);
  }

  #message(link, message) {
    // A user who is moving has two connections for a moment, and only one is in order.
    if (link !== this.#session) return;
    const name = JSON.stringify([message.from, message.id]);
    if (!this.#seen.has(name)) {
      this.#seen.add(name);
      if (this.#seen.size > SEEN_MAX) this.#seen.delete(this.#seen.values().next().value);
      this.#events.message(message);
    }
    if (message.epoch === undefined) return; // not kept
    this.#advance(message);
    this.#shown = this.#position;
    this.#ackTimer ??= setTimeout(() => this.#ack(), ACK_DELAY_MS);
  }

  /** Everything up to this position is here: where the next connection goes on. */
  #advance({ epoch, offset }) {
    const at = this.#position;
    if (at?.epoch !== epoch || at.offset < offset) this.#position = { epoch, offset };
  }

  #ack() {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = null;
    if (this.#shown) this.#say({ type: "ack", stream: "inbox", ...this.#shown });
  }

  #receipt(link, receipt) {
    const sent = this.#pending.get(receipt.id);
    if (!sent) return; // it was repeated, and has had one
    this.#pending.delete(receipt.id);
    if (receipt.duplicate) {
      this.#events.log(`${link.at} had a message already: the repeat was recognised`, "quiet");
    }
    this.#events.receipt(receipt.id, { ...receipt, ms: performance.now() - sent.since });
  }

  /** The connection has ended, or is treated as if it had. */
  #lost(link, code) {
    this.#drop(link);
    if (link === this.#attempt) {
      this.#attempt = null;
      this.#failed.add(link.at);
      this.#events.log(`${link.at} cannot be reached`, "bad");
      this.#retry();
    } else if (link === this.#session) {
      this.#session = null;
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

  /** Ends a connection that nothing more is wanted from. */
  #drop(link) {
    if (!link) return;
    clearTimeout(link.timeout);
    link.socket.onclose = link.socket.onmessage = null;
    link.socket.close(1000);
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

  /** The address with the present position, instead of any that it has. */
  #withPosition(address) {
    const url = new URL(address);
    for (const [name, value] of Object.entries(this.#position ?? {})) url.searchParams.set(name, value);
    return url.href;
  }

  #nameOf(url) {
    const { host } = new URL(url);
    const node = this.#nodes().find((node) => new URL(node.url).host === host);
    return node?.id ?? host;
  }
}
