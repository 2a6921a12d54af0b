// The client while nodes die and stop, and the network breaks.

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";

import { connect } from "../src/index.js";
import { bodies, listen, numbers, traffic } from "./support/clients.js";
import { Cluster } from "./support/cluster.js";
import { WebSocket, withoutCluster } from "./support/platform.js";
import { Proxy } from "./support/proxy.js";
import { until, within } from "./support/wait.js";

describe("through faults", { skip: withoutCluster }, () => {
  const open = [];

  afterEach(async () => {
    for (const what of open.splice(0).reverse()) await (what.stop?.() ?? what.close());
  });

  async function start(count, flags = [], proxies = []) {
    const cluster = await Cluster.start(count, flags, proxies);
    open.push(cluster);
    return cluster;
  }

  async function connected(options) {
    const client = listen({ backoffMaxMs: 1_000, closeTimeoutMs: 500, ...options });
    open.push(client);
    await within("a welcome", client.ready);
    return client;
  }

  async function proxied(flags = []) {
    const proxy = await Proxy.start();
    open.push(proxy);
    return { proxy, cluster: await start(1, flags, [proxy]) };
  }

  it("kill -9 of the recipient's node loses nothing, and repeats nothing", async () => {
    const cluster = await start(3);
    const [first, second] = cluster.nodes;
    const bob = await cluster.userOf(second, "bob");
    const to = await connected({ url: cluster.nodes.map(({ url }) => url), user: bob });
    const from = await connected({ url: first.url, user: await cluster.userOf(first, "alice") });
    assert.equal(to.node, second.id);
    const numbered = traffic(from, { user: bob });
    await until("traffic", () => bodies(to).length > 50);
    await second.kill();
    const sent = numbered.sent();
    await until("traffic again", () => numbered.sent() > sent + 50 && bodies(to).length > sent);
    const count = await numbered.stop();
    await until("all arrive", () => bodies(to).length >= count);
    assert.deepEqual(bodies(to), numbers(count));
    assert.ok(to.heard.states.some(({ state }) => state === "connecting"));
    assert.deepEqual(to.heard.events.filter(([name]) => name === "gap"), []);
    assert.notEqual(to.node, second.id);
  });

  it("kill -9 of the sender's node loses nothing, and repeats nothing, in a room either", async () => {
    const cluster = await start(3);
    const [first, second, third] = cluster.nodes;
    const room = "lobby";
    const to = await connected({ url: third.url, user: await cluster.userOf(third, "bob") });
    await to.join(room);
    const from = await connected({ url: [first.url, second.url], user: await cluster.userOf(first, "alice") });
    const numbered = traffic(from, { room });
    const heard = () => bodies(to, `room:${room}`);
    await until("traffic", () => heard().length > 50);
    await first.kill();
    const sent = numbered.sent();
    await until("traffic again", () => numbered.sent() > sent + 50 && heard().length > sent);
    const count = await numbered.stop();
    await until("all arrive", () => heard().length >= count);
    assert.deepEqual(heard(), numbers(count));
  });

  it("kill -9 of a member's node leaves it in its rooms", async () => {
    const cluster = await start(3);
    const [first, second, third] = cluster.nodes;
    const member = await connected({ url: [first.url, second.url], user: await cluster.userOf(second, "member") });
    const rooms = numbers(20).map((number) => `room-${number}`);
    for (const room of rooms) await member.join(room);
    const from = await connected({ url: third.url, user: await cluster.userOf(third, "sender") });
    await Promise.all(rooms.map((room) => from.send({ room }, "before")));
    await until("before", () => rooms.every((room) => bodies(member, `room:${room}`).length === 1));
    await second.kill();
    await within("meanwhile", Promise.all(rooms.map((room) => from.send({ room }, "meanwhile"))));
    await until("meanwhile", () => rooms.every((room) => bodies(member, `room:${room}`).length === 2));
    await Promise.all(rooms.map((room) => from.send({ room }, "after")));
    await until("after", () => rooms.every((room) => bodies(member, `room:${room}`).length === 3));
    for (const room of rooms) assert.deepEqual(bodies(member, `room:${room}`), ["before", "meanwhile", "after"]);
  });

  it("a drain moves clients without their notice", async () => {
    // Here and in the next test: one that is starved for a while is not to be taken for dead.
    const cluster = await start(3, ["--drain-timeout", "10s", "--suspicion-timeout", "20s"]);
    const [first, second] = cluster.nodes;
    const bob = await cluster.userOf(second, "bob");
    const to = await connected({ url: second.url, user: bob });
    const from = await connected({ url: first.url, user: await cluster.userOf(first, "alice") });
    await to.join("lobby");
    const numbered = traffic(from, { user: bob });
    await until("traffic", () => bodies(to).length > 50);
    second.process.kill("SIGTERM");
    const { code } = await within("the node ends", second.exit);
    assert.equal(code, 0);
    const sent = numbered.sent();
    await until("traffic still", () => bodies(to).length > sent);
    const count = await numbered.stop();
    await from.send({ room: "lobby" }, "still there?");
    await until("all arrive", () => bodies(to).length >= count && bodies(to, "room:lobby").length === 1);
    assert.deepEqual(bodies(to), numbers(count));
    // It was never without a connection, and never missed a thing.
    assert.deepEqual(new Set(to.heard.states.map(({ state }) => state)), new Set(["connected"]));
    assert.ok(to.heard.states.slice(1).every(({ recovered }) => recovered === true));
    assert.ok(to.heard.events.some(([name, { reason }]) => name === "redirect" && reason === "drain"));
    assert.deepEqual(to.heard.events.filter(([name]) => name === "gap" || name === "not_rejoined"), []);
    assert.notEqual(to.node, second.id);
  });

  it("a node that joins takes its users over without their notice", async () => {
    const cluster = await start(2, ["--suspicion-timeout", "20s"]);
    const clients = [];
    for (const number of numbers(20)) clients.push(await connected({ url: cluster.nodes[0].url, user: `u${number}` }));
    await cluster.join();
    const moved = await until("some move", () => {
      const there = clients.filter(({ node }) => node === "n3");
      return there.length > 0 && there;
    });
    for (const client of moved) {
      assert.deepEqual(client.heard.states.map(({ state }) => state), ["connected", "connected"]);
      assert.deepEqual(client.heard.events.map(([name, { reason }]) => [name, reason]), [["redirect", "moved"]]);
    }
  });

  it("offline and online again: what was sent meanwhile is sent, what came meanwhile comes", async () => {
    const { proxy, cluster } = await proxied();
    const user = "bob";
    const client = await connected({ url: proxy.url, user });
    await client.join("lobby");
    await client.subscribe(["alice"]);
    proxy.offline();
    await until("it notices", () => client.state === "connecting");
    const sends = numbers(20).map((number) => client.send({ user }, `offline ${number}`));
    const fleeting = client.send({ user }, "fleeting", { qos: 0 });
    const send = (to, body) => cluster.nodes[0].admin("/v1/send", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ from: "backend", to, id: body, body }),
    });
    await send({ user }, "meanwhile");
    await send({ room: "lobby" }, "meanwhile in the lobby");
    const tries = client.heard.states.length;
    await until("it goes on trying", () => client.heard.states.length > tries + 2);
    proxy.online();
    await within("receipts", Promise.all(sends));
    assert.equal((await fleeting).status, "sent");
    await until("all", () => bodies(client).length === 22 && bodies(client, "room:lobby").length === 1);
    assert.deepEqual(bodies(client), ["meanwhile", ...numbers(20).map((number) => `offline ${number}`), "fleeting"]);
    assert.equal(client.heard.states.at(-1).recovered, true);
    // Subscriptions are there again, too.
    const alice = await connected({ url: proxy.url, user: "alice" });
    await until("alice is online", () => client.heard.events.some(([, { user, online }]) => user === "alice" && online));
    await alice.close();
  });

  it("a change of presence while it was offline is told when it is back", async () => {
    const { proxy, cluster } = await proxied();
    const client = await connected({ url: proxy.url, user: "bob" });
    assert.deepEqual(await client.subscribe(["alice"]), { alice: false });
    proxy.offline();
    await until("it notices", () => client.state === "connecting");
    const direct = `ws://127.0.0.1:${proxy.target}`;
    await connected({ url: direct, user: "alice", followRedirects: false, fetch: undefined });
    assert.equal((await cluster.nodes[0].admin("/v1/users/alice")).online, true);
    proxy.online();
    await until("it is told", () =>
      client.heard.events.some(([name, change]) => name === "presence_change" && change.user === "alice" && change.online),
    );
  });

  it("subscriptions are there again where the node takes few users at once", async () => {
    const { proxy } = await proxied(["--max-presence-users", "8"]);
    const client = await connected({ url: proxy.url, user: "bob" });
    const users = numbers(20).map((number) => `u${number}`);
    for (const first of [0, 8, 16]) await client.subscribe(users.slice(first, first + 8));
    proxy.cut();
    await until("it is back", () => client.stats.reconnects === 1 && client.state === "connected");
    const changed = () => new Set(client.heard.events.map(([name, { user }]) => name === "presence_change" && user));
    for (const user of users.filter((_, number) => number % 7 === 0)) {
      await connected({ url: proxy.url, user });
      await until(`${user} is online`, () => changed().has(user));
    }
    assert.deepEqual(client.heard.errors, []);
  });

  it("connections that break again and again lose nothing, and repeat nothing", async () => {
    const { proxy } = await proxied();
    const to = await connected({ url: proxy.url, user: "bob", backoffFirstMs: 20 });
    const from = await connected({ url: proxy.url, user: "alice", backoffFirstMs: 20 });
    const numbered = traffic(from, { user: "bob" });
    for (let cuts = 1; cuts <= 10; cuts += 1) {
      const before = bodies(to).length;
      const both = () => to.state === "connected" && from.state === "connected";
      await until("traffic", () => both() && bodies(to).length > before + 20);
      proxy.cut();
    }
    const count = await numbered.stop();
    await until("all arrive", () => bodies(to).length >= count);
    assert.deepEqual(bodies(to), numbers(count));
    assert.ok(from.stats.reconnects >= 9);
  });

  it("the outcome of a send that is not repeated is unknown after a break", async () => {
    const { proxy } = await proxied();
    const client = await connected({ url: proxy.url, user: "bob" });
    proxy.silent(true);
    const outcome = client.send({ user: "bob" }, 1, { qos: 0 }).catch((error) => error);
    const kept = client.send({ user: "bob" }, 2);
    proxy.cut();
    proxy.silent(false);
    const { code, definite } = await within("an outcome", outcome);
    assert.deepEqual([code, definite], ["unknown", false]);
    assert.equal((await within("a receipt", kept)).status, "accepted");
  });

  it("a silent connection is noticed by a ping that nobody answers", async () => {
    const { proxy } = await proxied();
    let pings = 0;
    class Counting extends WebSocket {
      send(text) {
        if (text.includes('"ping"')) pings += 1;
        super.send(text);
      }
    }
    const options = { url: proxy.url, user: "bob", pingAfterMs: 50, pongWithinMs: 10_000, WebSocket: Counting };
    const client = await connected(options);
    await until("many pings are answered", () => pings > 10);
    assert.equal(client.stats.reconnects, 0);
    proxy.silent(true);
    await until("it notices", () => client.state === "connecting");
    proxy.cut();
    proxy.silent(false);
    await until("it is back", () => client.state === "connected");
  });

  it("a program that is slow to take messages gets all of them", async () => {
    const { proxy } = await proxied();
    const slow = connect({ url: proxy.url, user: "slow", bufferMax: 10, WebSocket });
    open.push(slow);
    await within("a welcome", slow.ready);
    const from = await connected({ url: proxy.url, user: "alice" });
    await slow.join("lobby");
    for (const number of numbers(50)) {
      await from.send({ user: "slow" }, number);
      await from.send({ room: "lobby" }, number);
    }
    // It can send all the same.
    await within("a receipt", slow.send({ user: "alice" }, "busy"));
    const heard = { inbox: [], "room:lobby": [] };
    for await (const { stream, body } of slow) {
      heard[stream].push(body);
      if (heard.inbox.length + heard["room:lobby"].length === 100) break;
    }
    assert.deepEqual(heard, { inbox: numbers(50), "room:lobby": numbers(50) });
    assert.ok(slow.stats.reconnects > 0);
  });
});
