// A server of the dashboard's files that makes up a cluster of any size.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const PAGE = new URL("../../../src/admin/page/", import.meta.url);
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'";
const KINDS = { html: "text/html", css: "text/css", js: "text/javascript", svg: "image/svg+xml" };
const PARTS = 720;

/** @param {number} count */
function ring(count) {
  const nodes = Array.from({ length: count }, (_, index) => `node-${index + 1}`);
  const owners = Array.from({ length: PARTS }, (_, index) => (index * 7919 + (index % 13) * 31) % count);
  return { digest: "00112233aabbccdd", nodes, owners };
}

/** Each node has more than the one before it. @param {number} index @param {number} count */
export const shareOf = (index, count) => (2 * (index + 1)) / (count * (count + 1));

/** @param {number} count @param {number} second */
function snapshot(count, second) {
  const bounds = [0.0001, 0.001, 0.01, 0.1];
  const members = ring(count).nodes.map((id, index) => {
    const state = index === 7 ? "suspect" : index === 9 ? "down" : "alive";
    const total = second * (100 + index);
    const stats = {
      uptime_ms: second * 1000, sessions: 1000 + index, guests: index % 5, streams_held: 2000, streams_owned: 1000,
      inbox_bytes: 1e6 + index, messages_in: total, messages_out: 2 * total, messages_forwarded: total, messages_accepted: total,
      bytes_in: 100 * total, bytes_out: 200 * total, bytes_forwarded: 100 * total, link_waiting: index % 3, link_unanswered: 7,
      lanes_waiting: 10, webhooks_queued: 20, delivery_buckets: [total, total, 3 * second, second, 0],
      receipt_buckets: [], replication_buckets: [],
    };
    const rest = { url: `ws://${id}:7001`, peer: `${id}:7101`, weight: 1, share: shareOf(index, count), under_replicated: 0 };
    const known = state === "down" ? {} : { stats };
    return { id, generation: 1_732_350_000_000 + index, state, draining: index === 11, stale: index === 8, ...rest, ...known };
  });
  return { node: "node-1", digest: "00112233aabbccdd", at_ms: Date.now(), bucket_bounds_s: bounds, members };
}

export class FakeNode {
  #server;
  #port = 0;
  #count = 0;
  #streams = new Set();
  /** That is wanted. @type {string | undefined} */
  key;
  /** Keys that were given. @type {(string | undefined)[]} */
  keys = [];
  /** What is known of a user. @type {(user: string) => object | Promise<object>} */
  onUser = () => ({});

  /** @param {number} count of nodes @param {string} [key] that is wanted */
  static async start(count, key) {
    const node = new FakeNode();
    node.key = key;
    node.#count = count;
    await node.resume();
    return node;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}/`;
  }

  get ring() {
    return ring(this.#count);
  }

  /** Is there, again if it was. */
  async resume() {
    this.#server = createServer((request, response) => this.#answer(this.#count, request, response));
    await new Promise((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = this.#server.address().port;
  }

  /** Tells all that watch. @param {string} name @param {unknown} data */
  tell(name, data) {
    for (const response of this.#streams) response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** Ends what all that watch are told. */
  end() {
    for (const response of this.#streams) response.end();
  }

  async #answer(count, request, response) {
    response.setHeader("Content-Security-Policy", POLICY);
    const user = /^\/v1\/users\/(.*)$/.exec(request.url)?.[1];
    if (user) return response.end(JSON.stringify(await this.onUser(decodeURIComponent(user))));
    if (request.url !== "/v1/cluster/events") {
      const name = request.url === "/" ? "index.html" : /^\/dashboard\/([a-z]+\.[a-z]+)$/.exec(request.url)?.[1];
      const text = name && (await readFile(new URL(name, PAGE)).catch(() => undefined));
      if (!text) return response.writeHead(404).end();
      response.setHeader("Content-Type", KINDS[name.split(".")[1]]);
      return response.end(text);
    }
    this.keys.push(request.headers.authorization);
    if (this.key && request.headers.authorization !== `Bearer ${this.key}`) return response.writeHead(401).end("{}");
    response.setHeader("Content-Type", "text/event-stream");
    const tell = (name, data) => response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
    tell("ring", ring(count));
    const up = (id, number) => ({ number: number + 1, at_ms: Date.now(), node: "node-1", event: "member_up", member: id });
    tell("timeline", ring(count).nodes.map(up));
    let second = 1;
    tell("snapshot", snapshot(count, second));
    const timer = setInterval(() => tell("snapshot", snapshot(count, (second += 1))), 1000);
    this.#streams.add(response);
    response.on("close", () => {
      clearInterval(timer);
      this.#streams.delete(response);
    });
  }

  async stop() {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
