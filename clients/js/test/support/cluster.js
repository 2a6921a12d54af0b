// Clusters of real processes.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { createInterface } from "node:readline";

import { binary } from "./platform.js";
import { PATIENCE_MS, START_MS, until, within } from "./wait.js";

/** Tests send as fast as they can. */
const ROOMY = ["--message-rate", "1000000", "--message-burst", "1000000", "--max-inbox-messages", "100000"];

/**
 * So many ports that were free a moment ago: each node must know the peer ports of all. They are below those that
 * systems give to whoever asks for any, so that nobody takes them in between.
 */
async function freePorts(count) {
  const servers = [];
  while (servers.length < count) {
    const server = createServer();
    const isFree = await new Promise((resolve, reject) => {
      server.once("error", (error) => (error.code === "EADDRINUSE" ? resolve(false) : reject(error)));
      server.listen(10_000 + Math.floor(Math.random() * 20_000), "127.0.0.1", () => resolve(true));
    });
    if (isFree) servers.push(server);
  }
  const found = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return found;
}

class Node {
  constructor(id, process, exit) {
    this.id = id;
    this.process = process;
    /** Resolves with {code, signal}. */
    this.exit = exit;
  }

  /** By SIGKILL; resolves when it is gone. */
  async kill() {
    this.process.kill("SIGKILL");
    await this.exit;
  }

  /** What it answers on its admin address. */
  async admin(path, options) {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch(`http://${this.adminAddress}${path}`, { signal, ...options });
    return answer.json();
  }

  async locate(user, token) {
    const url = `${this.url.replace("ws", "http")}/locate?user=${encodeURIComponent(user)}`;
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const answer = await fetch(url, { headers, signal: AbortSignal.timeout(PATIENCE_MS) });
    return (await answer.json()).node;
  }
}

export class Cluster {
  nodes = [];
  #seeds;
  #flags;
  #proxies;
  #tokenOf;

  /**
   * Starts so many nodes, and waits until each sees all. Clients reach them by these proxies, if there are any. With
   * `tokenOf` a user needs a token, and that is how a test gets one.
   */
  static async start(count, flags = [], proxies = [], tokenOf = undefined) {
    const cluster = new Cluster();
    cluster.#tokenOf = tokenOf;
    const ports = await freePorts(count);
    cluster.#seeds = ports.map((port) => `127.0.0.1:${port}`);
    cluster.#flags = flags;
    cluster.#proxies = proxies;
    // Each to its end: whatever has failed, no process comes after all are stopped.
    const starting = await Promise.allSettled(cluster.#seeds.map((_, index) => cluster.#spawn(index)));
    try {
      for (const start of starting) if (start.status === "rejected") throw start.reason;
      await cluster.settled();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** Starts one more node. Nobody waits until all know. */
  async join() {
    const [port] = await freePorts(1);
    this.#seeds.push(`127.0.0.1:${port}`);
    await this.#spawn(this.nodes.length);
  }

  async #spawn(index) {
    const id = `n${index + 1}`;
    const flags = ["--id", id, "--seeds", this.#seeds.join(","), ...(this.#tokenOf ? [] : ["--insecure-users"])];
    flags.push("--admin-listen", "127.0.0.1:0", "--peer-listen", this.#seeds[index]);
    const proxy = this.#proxies[index];
    if (proxy) [proxy.target] = await freePorts(1);
    flags.push("--listen", `127.0.0.1:${proxy?.target ?? 0}`, ...(proxy ? ["--advertise-url", proxy.url] : []));
    const child = spawn(binary, ["serve", ...flags, ...ROOMY, ...this.#flags], { stdio: ["ignore", "pipe", "pipe"] });
    let log = "";
    child.stderr.on("data", (data) => (log = (log + data).slice(-4000)));
    const exit = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
    const node = new Node(id, child, exit);
    this.nodes.push(node);
    const line = new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).once("line", resolve);
      exit.then(({ code }) => reject(new Error(`${id} ended with ${code}: ${log}`)));
    });
    const ready = JSON.parse(await within(`${id} is ready`, line, START_MS));
    node.url = ready.url;
    node.adminAddress = ready.admin;
  }

  /** Waits until all nodes that run see the same members, and none has a stream to copy. */
  async settled() {
    const { running } = this;
    await until("all nodes agree", async () => {
      const views = await Promise.all(running.map((node) => node.admin("/v1/cluster").catch(() => undefined)));
      return views.every((view) => {
        const members = view?.members.filter(({ state }) => state === "alive") ?? [];
        const calm = members.every(({ under_replicated }) => under_replicated === 0);
        return members.length === running.length && view.digest === views[0].digest && calm;
      });
    }, START_MS);
  }

  /** A user that this node owns, by a name that no test has had. */
  async userOf(node, prefix) {
    for (let number = 0; number < 10_000; number += 1) {
      const user = `${prefix}-${number}`;
      if ((await node.locate(user, this.#tokenOf?.(user))) === node.id) return user;
    }
    throw new Error(`${node.id} owns hardly anybody`);
  }

  node(id) {
    return this.nodes.find((node) => node.id === id);
  }

  /** Those that were not killed, and have not ended. */
  get running() {
    return this.nodes.filter(({ process }) => process.exitCode === null && process.signalCode === null);
  }

  async stop() {
    for (const { process } of this.nodes) process.kill("SIGKILL");
    await Promise.all(this.nodes.map(({ exit }) => exit));
  }
}
