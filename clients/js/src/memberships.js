// What a session has and a connection ends: its rooms, and the presence that it subscribes to. On
// each new connection they are asked for again, in lists, and what a node refuses for the moment is
// asked for again later.

import { Backoff } from "./backoff.js";
import { refusal } from "./errors.js";
import { positionOf } from "./position.js";
import { Rooms } from "./rooms.js";
import { keyOf, Watches } from "./watches.js";
import { byteLength, newId } from "./wire.js";

/** @typedef {import("./errors.js").RingpostError} RingpostError */
/** @typedef {import("./machine.js").Host} Host */
/** @typedef {{key: string, item: any}} Entry */

/** Between tries to ask again, with full jitter. A guess: whoever takes a room over needs about a second. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
/** What a list takes beside its items, in bytes, at most. */
const LIST_BYTES = 128;
/** Items of one list. Nodes take 256 users unless told otherwise. */
const LIST_ITEMS = 100;

/** @param {number} seenMax @param {Host} host */
export function createMemberships(seenMax, host) {
  const rooms = new Rooms(seenMax);
  const watches = new Watches();
  const retry = new Backoff(RETRY_MIN_MS, RETRY_MIN_MS, RETRY_MAX_MS);
  /** When what could not be had is asked for again. */
  let retryAt = Infinity;
  /** Lists that were asked for on the current connection, and not answered, by id. @type {Map<string, {of: Rooms | Watches, keys: string[]}>} */
  const asked = new Map();

  /** A list has its answer: what was in it. @param {string} id */
  function answered(id) {
    const list = asked.get(id);
    asked.delete(id);
    return list;
  }

  /** @param {number} now */
  function retryLater(now) {
    retryAt = Math.min(retryAt, now + retry.next(host.random()));
  }

  return {
    rooms,
    watches,
    retryAt: () => retryAt,
    /** Whether something was asked for that has no answer. */
    isAsking: () => asked.size > 0,

    /** There is another connection, or none. */
    offline() {
      rooms.offline();
      watches.offline();
      asked.clear();
      retryAt = Infinity;
    },

    /** The requests for all that the current connection does not have. @param {number} bytesMax of each */
    ask(bytesMax) {
      retryAt = Infinity;
      /** @type {object[]} */
      const requests = [];
      /** @param {Rooms | Watches} of @param {Entry[]} list @param {object} request */
      const ask = (of, list, request) => {
        const id = newId();
        const keys = list.map(({ key }) => key);
        keys.forEach((key) => of.asking(key));
        asked.set(id, { of, keys });
        requests.push({ ...request, id });
      };
      const items = (/** @type {Entry[]} */ list) => list.map(({ item }) => item);
      for (const list of lists(rooms.unasked(), bytesMax)) ask(rooms, list, { type: "join", rooms: items(list) });
      const watched = watches.unasked();
      for (const list of lists(watched.filter(({ isRoom }) => !isRoom), bytesMax)) {
        ask(watches, list, { type: "presence", users: items(list), subscribe: true });
      }
      for (const entry of watched.filter(({ isRoom }) => isRoom)) {
        ask(watches, [entry], { type: "presence", room: entry.item, subscribe: true });
      }
      return requests;
    },

    /** A receipt; says whether it was that of a list. @param {number} now @param {any} said */
    receipt(now, said) {
      const list = answered(said.id);
      for (const key of list?.keys ?? []) {
        const outcome = said.rooms?.find((/** @type {any} */ { room }) => room === key) ?? said;
        const position = positionOf(outcome);
        if (outcome.error || !position) {
          const error = refusal(outcome.error);
          if (error.retry) retryLater(now);
          if (list?.of.refused(key, error.retry) && list.of === rooms) host.tell("not_rejoined", { room: key, error });
        } else if (rooms.rejoined(key, position)) {
          retry.reset();
          if (outcome.recovered === false) host.tell("gap", { stream: `room:${key}` });
        }
      }
      return !!list;
    },

    /**
     * A join of a room that the client is in was refused: it may not be in it any more.
     * @param {number} now @param {string} room @param {RingpostError} error
     */
    fellOut(now, room, error) {
      if (!error.retry || !rooms.get(room)) return;
      rooms.asking(room);
      rooms.refused(room, true);
      retryLater(now);
    },

    /**
     * An answer about presence. What changed while nobody told is told now.
     * @param {any} said
     * @param {string[]} [watched] what the program subscribes to with it
     */
    presence({ id, online, room, count }, watched) {
      const list = answered(id);
      /** @type {[string, any, object][]} */
      const known = Object.entries(online ?? {}).map(([user, is]) => [keyOf({ user }), is, { user, online: is }]);
      if (room !== undefined) known.push([keyOf({ room }), count, { room, count, joined: [], left: [] }]);
      for (const [key, is, change] of known) {
        if (watched?.includes(key)) watches.add(key, is);
        else if (watches.learn(key, is) && list) host.tell("presence_change", change);
      }
      if (list) retry.reset();
    },
  };
}

/** The entries in lists of so many bytes each. @param {Entry[]} entries @param {number} bytesMax */
function lists(entries, bytesMax) {
  /** @type {Entry[][]} */
  const all = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = byteLength(JSON.stringify(entry.item)) + 1;
    bytes += size;
    let last = all.at(-1);
    if (!last || last.length >= LIST_ITEMS || bytes > bytesMax) {
      all.push((last = []));
      bytes = LIST_BYTES + size;
    }
    last.push(entry);
  }
  return all;
}
