// The client as a state machine, with no clock and no socket.
//
// Inputs are what the program asks for, what connections say, and that time has gone on. What is to
// be done leaves through a small interface, the host, which also has the time, and chance.

import { createConnections } from "./connections.js";
import { outcomeUnknown, refusal, RingpostError } from "./errors.js";
import { Inbox } from "./inbox.js";
import { createMemberships } from "./memberships.js";
import { positionOf } from "./position.js";
import { keyOf } from "./watches.js";
import { byteLength, newId, roomOf, take, textOf, untyped } from "./wire.js";

/** @typedef {import("./inbox.js").Item} Item */
/** @typedef {import("./link.js").Link} Link */
/**
 * A request without a reply. `kind` and `room`: where its reply changes something. `rewinds`: the
 * program says from where a room is to go on, whatever it has been given. `repeatable`: it may be
 * sent again on another connection. `keys`: whose presence it asks for; `subscribe`: it subscribes
 * to that, or ends it. `written`: where it was last written; `repeated`: and not for the first time.
 * @typedef {{
 *   id: string, text: string, bytes: number, repeatable: boolean, number: number, written?: Link, repeated?: boolean,
 *   kind: string, room?: string, rewinds?: boolean, keys?: string[], subscribe?: boolean,
 *   resolve: (reply?: any) => void, reject: (error: RingpostError) => void,
 * }} Request
 */
/** @typedef {import("../index.d.ts").Message} Message */
/** @typedef {import("../index.d.ts").Position} Position */
/**
 * What is to be done. `locate`: ask there which URL to connect to. `open`: connect; `given`: this
 * node was given by the program, and may see its token. `close`: nothing that it says matters any
 * more; not `atOnce`: after what was written. `renewToken`: the one in use expires. `message`,
 * `tell`, `end`: the program is to hear of it, and not before the machine is done.
 * @typedef {{
 *   locate: (link: Link, url: string, reason: "connect" | "refused") => void,
 *   open: (link: Link, url: string, given: boolean) => void,
 *   write: (link: Link, text: string) => void,
 *   close: (link: Link, atOnce?: boolean) => void,
 *   renewToken: () => void,
 *   message: (item: Item) => void,
 *   tell: (name: string, detail: any) => void,
 *   end: (error?: RingpostError) => void,
 *   now: () => number,
 *   random: () => number,
 * }} Host
 */
/** @typedef {Partial<Pick<Request, "id" | "repeatable" | "room" | "rewinds" | "keys" | "subscribe">>} RequestOptions */
/** @typedef {ReturnType<typeof createMachine>} Machine */

const ID_BYTES_MAX = 64;

/** @param {import("./options.js").Settings} settings @param {Host} host */
export function createMachine(settings, host) {
  const { bufferMax, outstandingMax, closeTimeoutMs } = settings;
  /** In the order in which they were made. @type {Map<string, Request>} */
  const requests = new Map();
  let requestNumber = 0;
  const memberships = createMemberships(host);
  const { rooms, watches } = memberships;
  const inbox = new Inbox(settings, host.now);
  /** @type {"running" | "closing" | "ended"} */
  let phase = "running";
  let closeBy = Infinity;
  /** Why there are no new requests. */
  let why = new RingpostError("closed", "the client was closed");
  let welcomes = 0;
  let repeatsDropped = 0;
  /** Messages were passed over on the current connection, since too many wait. */
  let isFull = false;

  const connections = createConnections(settings, host, {
    position: () => inbox.arrived,
    welcomed,
    said,
    lost,
    dependsOn: (link) => memberships.isAsking() || onlyOn(link).length > 0,
    offline: memberships.offline,
    end,
  });
  const { current } = connections;

  const unanswered = () => [...requests.values()];

  /** There is a new current connection. @param {any} welcome */
  function welcomed({ node, recovered, ...welcome }) {
    welcomes += 1;
    isFull = false;
    memberships.offline();
    host.tell("state", { state: "connected", node, recovered });
    const position = positionOf(welcome);
    if (position) inbox.adopt(position);
    if (recovered === false) host.tell("gap", { stream: "inbox" });
    askAgain();
    // All but those that may be sent only once and were.
    unanswered().filter(({ repeatable, written }) => repeatable || !written).forEach(write);
    inbox.repeatAck();
    ackDue();
  }

  /**
   * A connection says something. `late`: it is the one that is left. What is kept, and what is asked
   * for again, comes on the current one, too, and there in order.
   * @param {any} said @param {boolean} late
   */
  function said(said, late) {
    const { type, id, room } = said;
    if (type === "message") {
      const from = roomOf(said);
      // A room that the program is not in any more it has left on the current connection.
      if (!late || !(positionOf(said) || (from !== undefined && !rooms.get(from)))) message(untyped(said));
    } else if (type === "receipt") {
      // Of one that may be repeated the new connection says more than a failure on the old one.
      const request = late && requests.get(id);
      if (!request || !(request.room !== undefined || (request.repeatable && said.error))) receipt(said);
    } else if (type === "presence") presence(said);
    else if (type === "delivered") host.tell(type, untyped(said));
    else if (type === "joined" || type === "left") {
      const known = rooms.get(room);
      if (known && !(late && known.stage === "in")) host.tell(type, untyped(said));
    } else if (late || type === "welcome" || type === "pong") return;
    else if (type === "presence_change") {
      watches.learn(keyOf(said), said.online ?? said.count);
      host.tell(type, untyped(said));
    } else if (type === "token_expiring") {
      host.tell(type, { inMs: said.in_ms });
      host.renewToken();
    } else if (type !== "error") host.tell("other", said);
    else if (room === undefined) host.tell(type, refusal(said));
    else host.tell("gap", { stream: `room:${room}` });
  }

  /** Requests whose only connection is gone have an outcome that nobody knows. @param {Link} link @param {RingpostError} error */
  function lost(link, error) {
    for (const { id, reject } of onlyOn(link)) {
      requests.delete(id);
      reject(outcomeUnknown(error));
    }
  }

  /** What was written to this connection, and can be answered nowhere else. @param {Link} link */
  function onlyOn(link) {
    return unanswered().filter(({ repeatable, written }) => !repeatable && written === link);
  }

  /** Whether a request after that one is to leave this room. @param {number} after @param {string} left */
  function leavesAfter(after, left) {
    return unanswered().some(({ number, kind, room }) => number > after && kind === "leave" && room === left);
  }

  /** The end: the last ack, all connections closed, all requests settled. @param {RingpostError} [error] */
  function end(error) {
    if (phase === "ended") return;
    phase = "ended";
    why = error ?? why;
    ack();
    connections.shutDown();
    for (const { written, reject } of unanswered()) reject(written ? outcomeUnknown(why) : why);
    requests.clear();
    host.tell("state", { state: "closed", error });
    host.tell("closed", { error });
    host.end(error);
  }

  /** @param {Message} message */
  function message(message) {
    // The program has said that it wants no more; what is kept for it stays so.
    if (phase !== "running") return;
    // What is kept and passed over comes again on the next connection.
    isFull ||= inbox.size >= bufferMax;
    if (isFull) return;
    const name = roomOf(message);
    const room = rooms.get(name ?? "");
    let item;
    if (room) item = rooms.message(room, message, positionOf(message)) ? inbox.add(message) : undefined;
    else if (message.stream === "inbox") item = inbox.message(message);
    // Unless it is on its way out of a room, a node may have its reasons to have the client in it.
    else if (name !== undefined && leavesAfter(0, name)) return;
    else item = inbox.other(message);
    if (item) host.message(item);
    else repeatsDropped += 1;
  }

  /** @param {any} said */
  function receipt(said) {
    const { id, status, error, recovered } = said;
    if (memberships.receipt(said)) return;
    const request = take(requests, id);
    // One that is not known, or has had its reply, is none of ours.
    if (!request) return;
    const { kind, room = "", rewinds, number, repeated, resolve, reject } = request;
    const position = positionOf(said);
    if (status === "failed" || error || (kind === "join" && !position)) {
      const failure = refusal(error);
      // An earlier try may have been accepted, and its receipt lost.
      failure.definite &&= !repeated;
      if (kind === "join") memberships.fellOut(room, failure);
      return reject(failure);
    }
    if (kind !== "join" || !position) return resolve(kind === "leave" ? undefined : untyped(said));
    if (!leavesAfter(number, room)) {
      if (rewinds) inbox.forget(`room:${room}`);
      rooms.join(room, position, settings.seenMax, rewinds);
    }
    resolve({ ...position, recovered });
  }

  /** @param {any} said */
  function presence(said) {
    const request = take(requests, said.id);
    memberships.presence(said, request?.subscribe ? request.keys : undefined);
    // Perhaps an answer to an earlier request was under way when this one was made.
    unwatch(request ?? {});
    const { id, ...page } = untyped(said);
    request?.resolve(page.online ?? page);
  }

  /** @param {{keys?: string[], subscribe?: boolean}} request */
  function unwatch({ keys, subscribe }) {
    if (subscribe === false) keys?.forEach((key) => watches.delete(key));
  }

  /** Writes a request to the current connection, if there is one. @param {Request} request */
  function write(request) {
    const link = current();
    if (!link) return;
    const { id, text, bytes, written, reject } = request;
    if (bytes > link.bytesMax) {
      requests.delete(id);
      const message = `${bytes} bytes of at most ${link.bytesMax}`;
      return reject(new RingpostError("too_large", message, { definite: !written }));
    }
    request.repeated = !!written;
    request.written = link;
    host.write(link, text);
  }

  /** Asks on the current connection for all that it does not have the client in. */
  function askAgain() {
    const link = current();
    if (!link || phase !== "running") return;
    memberships.ask(link.bytesMax, (request) => host.write(link, textOf(request)));
  }

  /** Acks what is to be acked, due or not. */
  function ack() {
    const link = current();
    const position = link && inbox.takeAck();
    if (position) host.write(link, textOf({ type: "ack", stream: "inbox", ...position }));
  }

  function ackDue() {
    if (inbox.ackAt <= host.now()) ack();
  }

  /** Nothing is waited for any more, and the program wants none. */
  const isDone = () => phase === "closing" && !requests.size;

  /** What was passed over is asked for again. */
  function renewIfRoom() {
    if (isFull && inbox.size * 2 <= bufferMax) connections.renew();
  }

  return {
    connections,

    /** What the program has been given. */
    handed: () => inbox.handed,
    /** @param {string} room */
    roomHanded: (room) => rooms.get(room)?.handed,
    stats: () => ({ reconnects: Math.max(welcomes - 1, 0), redirects: connections.redirects(), repeatsDropped }),

    /** When `tick` has something to do. */
    deadline() {
      if (phase === "ended") return Infinity;
      if (isDone()) return host.now();
      const again = phase === "running" ? memberships.retryAt() : Infinity;
      const connected = current() ? Math.min(inbox.ackAt, again) : Infinity;
      return Math.min(connected, closeBy, connections.deadline());
    },

    /** Does what is due. */
    tick() {
      if (phase === "ended") return;
      if (closeBy <= host.now()) return end();
      // Perhaps there was room while a move was tried.
      renewIfRoom();
      connections.tick();
      if (memberships.retryAt() <= host.now()) askAgain();
      ackDue();
      if (isDone()) end();
    },

    /**
     * Sends a request, or keeps it until there is a connection.
     * @param {{type: string, [field: string]: any}} message without its id
     * @param {RequestOptions} [options]
     * @returns {Promise<any>} of its reply
     * @throws {RingpostError} it was not taken
     */
    request({ type, ...fields }, { id = newId(), repeatable = true, ...rest } = {}) {
      const { size } = requests;
      if (phase !== "running") throw why;
      if (!id || byteLength(id) > ID_BYTES_MAX) throw new RingpostError("bad_request", "an id has 1 to 64 bytes");
      if (requests.has(id)) throw new RingpostError("id_in_use", "this id waits for its receipt");
      if (size >= outstandingMax) {
        throw new RingpostError("queue_full", `${size} requests wait for a reply`, { retry: true });
      }
      const text = textOf({ type, id, ...fields });
      return new Promise((resolve, reject) => {
        const bytes = byteLength(text);
        const request = { ...rest, id, text, bytes, repeatable, number: ++requestNumber, kind: type, resolve, reject };
        requests.set(id, request);
        write(request);
      });
    },

    /** A fresh token. @param {string} token */
    auth(token) {
      return this.request({ type: "auth", token }, { repeatable: false });
    },

    /** Joins a room, or goes on in it. @param {string} room @param {Position} [since] */
    join(room, since) {
      const from = since ?? rooms.get(room)?.arrived;
      return this.request({ type: "join", room, since: from }, { room, rewinds: since !== undefined });
    },

    /** Leaves a room. Nothing of it is handed over from here on. @param {string} room */
    leave(room) {
      const reply = this.request({ type: "leave", room }, { room });
      rooms.delete(room);
      inbox.forget(`room:${room}`);
      return reply;
    },

    /**
     * Who is there; `subscribe`: and tell what changes from now on, or not any more.
     * @param {{users?: string[], room?: string, after?: string}} of
     * @param {boolean} [subscribe]
     */
    presence({ users, room, after }, subscribe) {
      const keys = room === undefined ? users?.map((user) => keyOf({ user })) : [keyOf({ room })];
      const reply = this.request({ type: "presence", users, room, after, subscribe }, { keys, subscribe });
      unwatch({ keys, subscribe });
      return reply;
    },

    /** The program is done with everything up to here. @param {Position} position */
    ack: (position) => inbox.ack(position),

    /** The program has a message. @param {Item} item */
    taken(item) {
      if (item.done) return;
      inbox.done(item);
      const room = rooms.get(roomOf(item.message) ?? "");
      const position = positionOf(item.message);
      if (room && position) rooms.hand(room, position);
      renewIfRoom();
    },

    /** Ends the client once all requests have their replies, or the time for that is over. */
    close() {
      if (phase !== "running") return;
      phase = "closing";
      closeBy = host.now() + closeTimeoutMs;
    },
  };
}
