// The server-sent events of the node, by fetch: an EventSource cannot send a key.

/**
 * @typedef {{
 *   onEvent: (name: string, data: any) => void,
 *   onState: (state: "waiting" | "live" | "lost", text: string) => void,
 *   onKeyWanted: (wasRefused: boolean) => void,
 * }} Listener
 */

const KEY = "ringpost-api-key";
const AGAIN_MS = [500, 1_000, 2_000, 4_000];
/** Silence after which the connection counts as dead. */
const SILENCE_MS = 6_000;

/** @returns {Record<string, string>} */
function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** @param {string} key */
export function setKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** Asks the node. @param {string} path @param {AbortSignal} [signal] */
export function ask(path, signal) {
  return fetch(path, { headers: headers(), cache: "no-store", signal });
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Listens for as long as the page is open; ends when a key is wanted.
 * @param {Listener} listener
 */
export async function follow(listener) {
  for (let failures = 0; ; failures += 1) {
    const before = performance.now();
    const why = await once(listener);
    if (why === "key") return;
    if (performance.now() - before > SILENCE_MS) failures = 0;
    listener.onState("lost", why);
    await pause(AGAIN_MS[Math.min(failures, AGAIN_MS.length - 1)] ?? 1_000);
  }
}

/** One connection; says why it ended. @param {Listener} listener @returns {Promise<string>} */
async function once(listener) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  let ended = "no connection to the node; trying again";
  try {
    const answer = await ask("/v1/cluster/events", silence.signal);
    if (answer.status === 401) {
      listener.onKeyWanted(sessionStorage.getItem(KEY) !== null);
      return "key";
    }
    if (!answer.ok || !answer.body) {
      const fault = await answer.json().catch(() => undefined);
      return fault?.error?.message ?? `the node answers ${answer.status}`;
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return ended;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      const parts = (text + value).split("\n\n");
      text = parts.pop() ?? "";
      for (const part of parts) {
        if (part.startsWith("event: end\n")) ended = "this node drains: open the dashboard of another";
        else hear(part, listener);
      }
    }
  } catch {
    return ended;
  } finally {
    clearTimeout(timer);
  }
}

/** What goes wrong with one event is a fault of the page, and not of the connection. @param {string} part @param {Listener} listener */
function hear(part, listener) {
  try {
    const { name, data } = parse(part);
    if (name === "snapshot") listener.onState("live", "live");
    if (name) listener.onEvent(name, data);
  } catch (fault) {
    reportError(fault);
  }
}

/** @param {string} part @returns {{ name?: string, data?: any }} */
function parse(part) {
  const lines = part.split("\n");
  /** @param {string} field */
  const field = (field) => lines.find((line) => line.startsWith(field))?.slice(field.length);
  const data = field("data: ");
  return { name: field("event: "), data: data === undefined ? undefined : JSON.parse(data) };
}
