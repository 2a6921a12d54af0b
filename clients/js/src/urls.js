// Where a node is: from what people write, and from what redirects say.

import { RingpostError } from "./errors.js";

/**
 * The address of `/ws` at a node, from `ws://host:port`, `https://host/base`, `host:port`, or, in a
 * page, `/`.
 * @param {string} text
 */
export function nodeUrl(text) {
  try {
    const absolute = /^([a-z][a-z\d+.-]*:)?\//i.test(text) ? text : `ws://${text}`;
    const url = new URL(absolute, globalThis.location?.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.pathname = url.pathname.replace(/(\/ws)?\/?$/, "/ws");
    url.hash = "";
    if (/^wss?:$/.test(url.protocol)) return url.href;
  } catch {
    // Said below.
  }
  throw new RingpostError("bad_url", `${text}: not ws://host:port or wss://host`);
}

/**
 * A URL with these parameters instead of any that it has; `undefined` takes one away.
 * @param {string} url
 * @param {Record<string, string | number | undefined>} parameters
 */
export function withQuery(url, parameters) {
  const changed = new URL(url);
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) changed.searchParams.delete(name);
    else changed.searchParams.set(name, String(value));
  }
  return changed.href;
}

/**
 * `/locate` at the node of a `/ws` address.
 * @param {string} url
 */
export const locateUrl = (url) => url.replace(/^ws/, "http").replace(/\/ws(?=\?|$)/, "/locate");

/**
 * Where a redirect leads; `undefined` where it cannot be followed. Nobody is led from TLS to none.
 * @param {string} to
 * @param {string} from the address that was connected to
 */
export function resolve(to, from) {
  try {
    if (!/^([a-z][a-z\d+.-]*:)?\//i.test(to)) return undefined;
    const url = new URL(to, from);
    url.protocol = url.protocol.replace("http", "ws");
    const secure = url.protocol === "wss:";
    if (secure || (url.protocol === "ws:" && !from.startsWith("wss:"))) return url.href;
  } catch {
    // It is no URL.
  }
  return undefined;
}
