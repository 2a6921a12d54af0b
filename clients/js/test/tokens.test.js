// The client with tokens, in a cluster that checks them.

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";

import { bodies, listen } from "./support/clients.js";
import { Cluster } from "./support/cluster.js";
import { withoutCluster } from "./support/platform.js";
import { until, within } from "./support/wait.js";

const SECRET = randomBytes(32).toString("hex");
const noFetch = () => Promise.reject(new TypeError("no such thing"));

/** A token of a user, good for so long. */
function tokenOf(user, seconds = 3600, secret = SECRET) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

const isOver = (seconds, since) => Date.now() > since + seconds * 1000;

describe("with tokens", { skip: withoutCluster }, () => {
  /** @type {Cluster} */
  let cluster;
  let folder;
  const clients = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ringpost-tokens-"));
    const file = join(folder, "secret");
    await writeFile(file, SECRET, { mode: 0o600 });
    const flags = ["--jwt-secret-file", file, "--token-warning", "5s", "--jwt-leeway", "0s"];
    // No node dies here: one that is starved for a while is not to be taken for dead.
    cluster = await Cluster.start(3, [...flags, "--suspicion-timeout", "20s"], [], tokenOf);
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
  });
  after(async () => {
    await cluster?.stop();
    if (folder) await rm(folder, { recursive: true });
  });

  function client(options) {
    const client = listen({ url: cluster.nodes[0].url, ...options });
    clients.push(client);
    return client;
  }

  it("a good one leads to the owner, by locate and by a redirect, with a ticket", async () => {
    const [, second, third] = cluster.nodes;
    for (const [owner, fetch, redirects] of [[second, undefined, 0], [third, noFetch, 1]]) {
      const user = await cluster.userOf(owner, "good");
      const one = client({ token: tokenOf(user), fetch });
      await within("a welcome", one.ready);
      assert.deepEqual([one.node, one.stats.redirects], [owner.id, redirects]);
      assert.equal((await one.send({ user }, "to myself")).status, "accepted");
      await until("it arrives", () => bodies(one).includes("to myself"));
    }
  });

  it("one that is refused ends the client, however it connects", async () => {
    const bad = tokenOf("mallory", 3600, "another secret, which is long enough");
    for (const options of [{}, { fetch: noFetch }, { followRedirects: false }]) {
      await within("the end", assert.rejects(client({ token: bad, ...options }).ready, { code: "unauthorized" }));
    }
    const foreign = client({ token: tokenOf("mallory"), user: "alice" });
    await within("the end", assert.rejects(foreign.ready, { code: "not_allowed" }));
  });

  it("one that expires is replaced, and the connection stays", async () => {
    const user = await cluster.userOf(cluster.nodes[2], "expiring");
    const reasons = [];
    const begun = Date.now();
    const one = client({ token: ({ reason }) => tokenOf(user, reasons.push(reason) === 1 ? 8 : 3600) });
    let warnings = 0;
    one.on("token_expiring", () => (warnings += 1));
    await within("a welcome", one.ready);
    await until("a warning", () => warnings === 1);
    await until("the first one has expired", () => isOver(9, begun));
    assert.equal((await one.send({ user }, "still there")).status, "accepted");
    assert.deepEqual(reasons, ["connect", "expiring"]);
    assert.deepEqual([one.heard.states.length, one.stats.reconnects, one.heard.errors], [1, 0, []]);
  });

  it("one that has expired is replaced on another connection, where there was no other in time", async () => {
    const user = await cluster.userOf(cluster.nodes[1], "expired");
    const reasons = [];
    const token = ({ reason }) => {
      reasons.push(reason);
      if (reason === "expiring") throw new Error("not now");
      return tokenOf(user, reason === "connect" ? 8 : 3600);
    };
    const one = client({ token });
    await within("a welcome", one.ready);
    await until("it is back", () => one.stats.reconnects === 1);
    assert.deepEqual(reasons, ["connect", "expiring", "refused"]);
    // The node says why before it closes.
    assert.deepEqual(one.heard.errors.map(({ code }) => code), ["no_token", "not_allowed"]);
    const [, { error }, { recovered }] = one.heard.states;
    assert.deepEqual([error.code, error.closeCode, recovered], ["unauthorized", 4501, true]);
  });

  it("a bad one that the program gives is refused, and the next connection has the good one", async () => {
    const user = await cluster.userOf(cluster.nodes[0], "auth");
    const one = client({ token: tokenOf(user) });
    await within("a welcome", one.ready);
    await within("a receipt", assert.rejects(one.auth(tokenOf("mallory")), { code: "not_allowed", definite: true }));
    assert.equal((await one.auth(tokenOf(user))).status, "accepted");
    assert.equal(one.state, "connected");
  });
});
