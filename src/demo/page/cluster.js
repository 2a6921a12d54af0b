// What is known of the cluster: asked for twice a second, for all parts of the page to draw.

const POLL_MS = 500;

/**
 * A node, as this page's server has it.
 * @typedef {{
 *   id: string, url: string, state: "running" | "stopping" | "stopped",
 *   sessions: number | null, guests: number | null, digest: string | null,
 * }} Node
 */
/**
 * A node, as the others see it.
 * @typedef {{id: string, state: string, draining: boolean, share: number, under_replicated: number}} Member
 */
/** Where a key lies on the circle, 0 to 1, and who serves it. @typedef {{at: number, owner: string | null, successor: string | null}} Place */
/** The owner of each of many equal parts of the circle, as a place in `nodes`. @typedef {{digest: string, nodes: string[], parts: number[]}} Ring */

export const LOBBY = "lobby";

export const cluster = {
  /** @type {Node[]} */
  nodes: [],
  /** By id; none while no node runs. @type {Map<string, Member>} */
  members: new Map(),
  /** @type {Ring} */
  ring: { digest: "", nodes: [], parts: [] },
  /** By user or room. @type {Map<string, Place>} */
  places: new Map(),
  /** Where nodes may be now or later. @type {string[]} */
  addresses: [],
  /** Whether the page's server answers. */
  answers: true,
};

/** Those that run come first. */
export function addresses() {
  const running = cluster.nodes.filter(({ state }) => state === "running").map(({ url }) => url);
  return [...new Set([...running, ...cluster.addresses])];
}

/** @param {string} key a user or a room */
export const ownerOf = (key) => cluster.places.get(key)?.owner ?? undefined;

/** Those who wait for what is asked for next. @type {(() => void)[]} */
let waiting = [];

/** Resolves when all has been asked for anew. @returns {Promise<void>} */
export const seenAgain = () => new Promise((resolve) => waiting.push(resolve));

/** Asks again and again. @param {() => string[]} keys whose places are asked for @param {() => void} draw */
export async function watch(keys, draw) {
  const told = waiting;
  waiting = [];
  await look(keys());
  draw();
  for (const tell of told) tell();
  setTimeout(() => watch(keys, draw), POLL_MS);
}

/** @param {string[]} keys */
async function look(keys) {
  const query = new URLSearchParams(keys.map((key) => ["key", key]));
  const paths = ["/api/nodes", "/api/cluster", `/api/ring?${query}`];
  if (!cluster.addresses.length) paths.push("/api/addresses");
  try {
    const [nodes, seen, ring, addresses] = await Promise.all(paths.map(get));
    const { places = {}, ...drawn } = ring ?? { digest: "", nodes: [], parts: [] };
    const members = (seen?.members ?? []).map((/** @type {Member} */ member) => [member.id, member]);
    Object.assign(cluster, { nodes, members: new Map(members), ring: drawn, answers: true });
    cluster.places = new Map([...cluster.places, ...Object.entries(places)]);
    if (addresses) cluster.addresses = addresses;
  } catch {
    cluster.answers = false;
  }
}

/** An answer in JSON; none while no node runs. @param {string} path @returns {Promise<any>} */
async function get(path) {
  const answer = await fetch(path);
  return answer.ok ? answer.json() : undefined;
}

/** Has something done; resolves with what is wrong. @param {string} path @returns {Promise<string | undefined>} */
export async function order(path) {
  const headers = { "Content-Type": "application/json" };
  const asked = await fetch(path, { method: "POST", headers, body: "{}" }).catch(() => undefined);
  return asked && !asked.ok ? asked.text() : undefined;
}
