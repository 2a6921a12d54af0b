// What a session has and a connection ends: its rooms, and the presence that it subscribes to. On
// each new connection they are asked for again, in lists, and what a node refuses for the moment is
// asked for again later.

import { createBackoff } from "./backoff.js";
import { refusal } from "./errors.js";
import { positionOf } from "./position.js";
import { Rooms } from "./rooms.js";
import { keyOf, Watches } from "./watches.js";
import { byteLength, newId, take, textOf } from "./wire.js";

/** @typedef {import("./errors.js").RingpostError} RingpostError */
/** @typedef {import("./machine.js").Host} Host */

/** Between tries to ask again, with full jitter. A guess: whoever takes a room over needs about a second. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
/** What a list takes beside its items, in bytes, at most. */
const LIST_BYTES = 128;
/** Items of one list, until a node finds them too many. Nodes take 256 users unless told otherwise. */
const LIST_ITEMS = 100;

/** @param {Host} host */
export function createMemberships(host) {
  const rooms = new Rooms();
  const watches = new Watches();
  const retry = createBackoff(RETRY_MIN_MS, RETRY_MIN_MS, RETRY_MAX_MS);
  /** Items of one list. */
  let listItems = LIST_ITEMS;
  /** When what could not be had is asked for again. */
  let retryAt = Infinity;
  /** Lists that were asked for on the current connection, and not answered, by id. @type {Map<string, {of: Rooms | Watches, keys: string[]}>} */
  const asked = new Map();

  function retryLater() {
    retryAt = Math.min(retryAt, host.now() + retry.next(host.random()));
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

    /**
     * Asks for all that the current connection does not have.
     * @param {number} bytesMax of each request
     * @param {(request: object) => void} write
     */
    ask(bytesMax, write) {
      retryAt = Infinity;
      /** @param {Rooms | Watches} of @param {string[]} keys @param {object} request */
      const ask = (of, keys, request) => {
        const id = newId();
        keys.forEach((key) => of.asking(key));
        asked.set(id, { of, keys });
        write({ ...request, id });
      };
      const toJoin = (/** @type {string} */ room) => ({ room, since: rooms.get(room)?.arrived });
      for (const keys of lists(rooms.unasked(), listItems, bytesMax, toJoin)) {
        ask(rooms, keys, { type: "join", rooms: keys.map(toJoin) });
      }
      const presence = { type: "presence", subscribe: true };
      const [users, ofRooms] = ["u", "r"].map((kind) => watches.unasked().filter((key) => key[0] === kind));
      for (const keys of lists(users, listItems, bytesMax, nameOf)) ask(watches, keys, { ...presence, users: keys.map(nameOf) });
      for (const key of ofRooms) ask(watches, [key], { ...presence, room: nameOf(key) });
    },

    /** A receipt; says whether it was that of a list. @param {any} said */
    receipt(said) {
      const list = take(asked, said.id);
      if (!list) return false;
      const { of, keys } = list;
      for (const key of keys) {
        const outcome = said.rooms?.find((/** @type {any} */ { room }) => room === key) ?? said;
        const position = positionOf(outcome);
        if (outcome.error || !position) {
          const error = refusal(outcome.error);
          // Perhaps a shorter list is taken.
          const isHalved = error.code === "too_large" && keys.length > 1;
          if (isHalved) {
            listItems = Math.min(listItems, keys.length >> 1);
            retryAt = host.now();
          } else if (error.retry) retryLater();
          if (!of.refused(key, isHalved || error.retry) || isHalved) continue;
          if (of === rooms) host.tell("not_rejoined", { room: key, error });
          else if (!error.retry) {
            error.message = `${nameOf(key)}: ${error.message}`;
            host.tell("error", error);
          }
        } else if (rooms.rejoined(key, position)) {
          retry.reset();
          if (outcome.recovered === false) host.tell("gap", { stream: `room:${key}` });
        }
      }
      return true;
    },

    /** A join was refused: the client may not be in the room any more. @param {string} room @param {RingpostError} error */
    fellOut(room, error) {
      if (!error.retry || !rooms.has(room)) return;
      rooms.asking(room);
      rooms.refused(room, true);
      retryLater();
    },

    /**
     * An answer about presence. What changed while nobody told is told now.
     * @param {any} said
     * @param {string[]} [watched] what the program subscribes to with it
     */
    presence({ id, online, room, count }, watched) {
      const list = take(asked, id);
      /** @param {string} key @param {boolean | number} is @param {object} change */
      const learn = (key, is, change) => {
        if (watched?.includes(key)) watches.add(key, is);
        else if (watches.learn(key, is) && list) host.tell("presence_change", change);
      };
      for (const user in online) learn(keyOf({ user }), online[user], { user, online: online[user] });
      if (room !== undefined) learn(keyOf({ room }), count, { room, count, joined: [], left: [] });
      if (list) retry.reset();
    },
  };
}

/** The user or the room of a key. @param {string} key */
const nameOf = (key) => key.slice(1);

/** Lists of so many items and bytes each, as what stands in them is written. @param {string[]} keys @param {number} itemsMax @param {number} bytesMax @param {(key: string) => any} written */
function lists(keys, itemsMax, bytesMax, written) {
  /** @type {string[][]} */
  const all = [];
  let bytes = 0;
  for (const key of keys) {
    const size = byteLength(textOf(written(key))) + 1;
    bytes += size;
    let last = all.at(-1);
    if (!last || last.length >= itemsMax || bytes > bytesMax) {
      all.push((last = []));
      bytes = LIST_BYTES + size;
    }
    last.push(key);
  }
  return all;
}
