// What the page knows of the cluster: the last snapshots, and the rates between them. Nothing is drawn here.

/**
 * @typedef {{
 *   uptime_ms: number, sessions: number, guests: number, streams_held: number, streams_owned: number,
 *   inbox_bytes: number, messages_in: number, messages_out: number, messages_forwarded: number,
 *   messages_accepted: number, bytes_in: number, bytes_out: number, bytes_forwarded: number,
 *   link_waiting: number, link_unanswered: number, lanes_waiting: number, webhooks_queued: number,
 *   delivery_buckets: number[], receipt_buckets: number[], replication_buckets: number[],
 * }} Stats
 * @typedef {{
 *   id: string, generation: number, state: "alive" | "suspect" | "down", draining: boolean, url: string,
 *   peer: string, weight: number, share: number, under_replicated: number, stale: boolean, stats?: Stats,
 * }} Member
 * @typedef {{ node: string, digest: string, at_ms: number, bucket_bounds_s: number[], members: Member[] }} Snapshot
 * @typedef {"messages_in" | "messages_out" | "messages_forwarded" | "bytes_in" | "bytes_out" | "bytes_forwarded"} Counter
 * @typedef {Record<Counter, number>} Rates
 * @typedef {{
 *   member: Member, state: string, rates?: Rates, queued?: number, latency: number[], p50?: number, p99?: number,
 * }} Row
 */

/** @type {Counter[]} */
const COUNTERS = ["messages_in", "messages_out", "messages_forwarded", "bytes_in", "bytes_out", "bytes_forwarded"];
/** A rate is that of the last seconds: calm, and soon right. */
const RATE_MS = 4_000;
/** Percentiles are those of a longer time, or a quiet cluster would have none. */
const LATENCY_MS = 30_000;

export class Cluster {
  /** @type {Snapshot | undefined} */
  snapshot;
  /** @type {Row[]} */
  rows = [];
  /** By node and generation, oldest first. @type {Map<string, Stats[]>} */
  #samples = new Map();

  /** @param {Snapshot} snapshot */
  take(snapshot) {
    this.snapshot = snapshot;
    /** @type {Map<string, Stats[]>} */
    const samples = new Map();
    this.rows = snapshot.members.map((member) => {
      const start = `${member.id} ${member.generation}`;
      const known = this.#samples.get(start) ?? [];
      if (member.stats) samples.set(start, remember(known, member.stats));
      return row(member, samples.get(start) ?? [], snapshot.bucket_bounds_s);
    });
    this.#samples = samples;
  }

  /** The whole cluster. */
  totals() {
    const alive = this.rows.filter(({ member }) => member.state !== "down");
    /** @param {(row: Row) => number | undefined} of */
    const sum = (of) => alive.reduce((total, row) => total + (of(row) ?? 0), 0);
    /** @type {number[]} */
    const latency = [];
    for (const row of alive) row.latency.forEach((number, index) => (latency[index] = (latency[index] ?? 0) + number));
    const bounds = this.snapshot?.bucket_bounds_s ?? [];
    return {
      members: this.rows.length,
      alive: this.rows.filter(({ member }) => member.state === "alive").length,
      sessions: sum(({ member }) => member.stats?.sessions),
      guests: sum(({ member }) => member.stats?.guests),
      streams: sum(({ member }) => member.stats?.streams_owned),
      inbox_bytes: sum(({ member }) => member.stats?.inbox_bytes),
      messages_in: sum(({ rates }) => rates?.messages_in),
      messages_out: sum(({ rates }) => rates?.messages_out),
      messages_forwarded: sum(({ rates }) => rates?.messages_forwarded),
      bytes_in: sum(({ rates }) => rates?.bytes_in),
      bytes_out: sum(({ rates }) => rates?.bytes_out),
      bytes_forwarded: sum(({ rates }) => rates?.bytes_forwarded),
      queued: sum(({ queued }) => queued),
      under_replicated: sum(({ member }) => member.under_replicated),
      p50: quantile(0.5, latency, bounds),
      p99: quantile(0.99, latency, bounds),
    };
  }
}

/** @param {Stats[]} known @param {Stats} now */
function remember(known, now) {
  const last = known.at(-1);
  if (last && last.uptime_ms >= now.uptime_ms) return known;
  const from = now.uptime_ms - LATENCY_MS;
  return [...known.filter(({ uptime_ms }) => uptime_ms >= from), now];
}

/** @param {Member} member @param {Stats[]} samples @param {number[]} bounds @returns {Row} */
function row(member, samples, bounds) {
  const [first, now] = [samples[0], samples.at(-1)];
  const state = member.state === "alive" && member.draining ? "draining" : member.state;
  if (!now || !first) return { member, state, latency: [] };
  const latency = now.delivery_buckets.map((number, index) => number - (first.delivery_buckets[index] ?? 0));
  return {
    member,
    state,
    rates: member.stale ? undefined : rates(samples, now),
    queued: now.link_waiting + now.lanes_waiting + now.webhooks_queued,
    latency,
    p50: quantile(0.5, latency, bounds),
    p99: quantile(0.99, latency, bounds),
  };
}

/** @param {Stats[]} samples @param {Stats} now @returns {Rates | undefined} */
function rates(samples, now) {
  const before = samples.find(({ uptime_ms }) => uptime_ms >= now.uptime_ms - RATE_MS);
  if (!before || before.uptime_ms >= now.uptime_ms) return undefined;
  const seconds = (now.uptime_ms - before.uptime_ms) / 1000;
  const each = COUNTERS.map((name) => [name, Math.max(0, now[name] - before[name]) / seconds]);
  return Object.fromEntries(each);
}

/**
 * The bound, in seconds, of the bucket in which that part of all lies; nothing if there is none.
 * @param {number} part 0 to 1 @param {number[]} buckets @param {number[]} bounds
 */
export function quantile(part, buckets, bounds) {
  const all = buckets.reduce((sum, number) => sum + number, 0);
  if (all <= 0) return undefined;
  let left = part * all;
  const found = buckets.findIndex((number) => (left -= number) <= 0);
  return bounds[found] ?? Infinity;
}
