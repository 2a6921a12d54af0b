// The client in a cluster of three nodes that all live.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { connect, RingpostError } from "../src/index.js";
import { bodies, listen, numbers } from "./support/clients.js";
import { Cluster } from "./support/cluster.js";
import { WebSocket, withoutCluster } from "./support/platform.js";
import { Proxy } from "./support/proxy.js";
import { until, within } from "./support/wait.js";

const noFetch = () => Promise.reject(new TypeError("no such thing"));

describe("in a cluster", { skip: withoutCluster }, () => {
  /** @type {Cluster} */
  let cluster;
  const clients = [];
  let users = 0;

  before(async () => {
    const flags = ["--max-sessions-per-user", "3", "--clients-may-broadcast"];
    // No node dies here: one that is starved for a while is not to be taken for dead.
    cluster = await Cluster.start(3, [...flags, "--suspicion-timeout", "20s"]);
  });
  after(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await cluster?.stop();
  });

  const newUser = (name) => `${name}-${(users += 1)}`;

  /** A connection that ends tells nobody when its last ack is there. */
  async function allAcked(user) {
    await until("all is acked", async () => {
      const { owner, inbox } = await cluster.nodes[0].admin(`/v1/users/${user}`);
      return owner && !inbox?.waiting;
    });
  }

  async function connected(options) {
    const client = listen({ url: cluster.nodes[0].url, ...options });
    clients.push(client);
    await within("a welcome", client.ready);
    return client;
  }

  it("locate leads to the owner before there is a connection", async () => {
    for (const owner of cluster.nodes) {
      const user = await cluster.userOf(owner, newUser("locate"));
      const client = await connected({ user });
      assert.equal(client.node, owner.id);
      assert.equal(client.stats.redirects, 0);
      assert.deepEqual(client.heard.states, [{ state: "connected", node: owner.id, recovered: undefined }]);
    }
  });

  it("without locate a redirect message leads to the owner", async () => {
    const [first, , third] = cluster.nodes;
    const user = await cluster.userOf(third, newUser("frame"));
    const client = await connected({ url: first.url, user, fetch: noFetch });
    assert.equal(client.node, third.id);
    assert.deepEqual(client.heard.events, [["redirect", { to: new URL(third.url).host, reason: "not_owner" }]]);
  });

  it("who does not follow redirects is served where it connects", async () => {
    const [first, second] = cluster.nodes;
    const user = await cluster.userOf(second, newUser("guest"));
    const client = await connected({ url: first.url, user, followRedirects: false });
    assert.equal(client.node, first.id);
    assert.equal((await client.send({ user }, "to myself")).status, "accepted");
    await until("it arrives", () => bodies(client).includes("to myself"));
  });

  it("a node that is not there is passed over", async () => {
    const nobody = await Proxy.start();
    const { url } = nobody;
    await nobody.stop();
    const client = await connected({ url: [url, cluster.nodes[1].url], user: newUser("second") });
    assert.equal(client.state, "connected");
  });

  it("what is sent is accepted and arrives, in order and once", async () => {
    const [alice, bob] = [newUser("alice"), newUser("bob")];
    const to = await connected({ user: bob });
    const from = await connected({ user: alice, url: cluster.nodes[2].url });
    const receipts = await Promise.all(numbers(300).map((number) => from.send({ user: bob }, { number })));
    for (const { status, copies } of receipts) assert.deepEqual([status, copies], ["accepted", 2]);
    await until("all arrive", () => to.heard.messages.length >= 300);
    assert.deepEqual(bodies(to), numbers(300).map((number) => ({ number })));
    assert.equal(to.heard.messages[0].from, alice);
    const again = await from.send({ user: bob }, { number: 0 }, { id: receipts[0].id });
    assert.equal(again.duplicate, true);
  });

  it("every kind of body passes", async () => {
    const user = newUser("bodies");
    const client = await connected({ user });
    const sent = [null, false, 0, 1.5, "", "ü \u2028 😀", [], {}, { a: [{ b: null }] }];
    for (const body of sent) await client.send({ user }, body);
    await until("all arrive", () => bodies(client).length === sent.length);
    assert.deepEqual(bodies(client), sent);
    await assert.rejects(client.send({ user }, undefined), { code: "bad_request" });
    await assert.rejects(client.send({ user }, 1n), { code: "bad_request" });
  });

  it("a failure says what it means", async () => {
    const client = await connected({ user: newUser("fails") });
    const offline = await client.send({ user: newUser("absent") }, 1, { qos: 0 }).catch((error) => error);
    assert.ok(offline instanceof RingpostError);
    assert.deepEqual([offline.code, offline.retry, offline.definite], ["offline", true, true]);
    await assert.rejects(client.send({ user: "x" }, "y".repeat(70_000)), { code: "too_large" });
    await assert.rejects(client.send({ user: "" }, 1), { code: "bad_request" });
    await assert.rejects(client.send({ user: "x" }, 1, { id: "i".repeat(65) }), { code: "bad_request" });
    assert.equal(client.state, "connected");
  });

  it("a notice comes when the recipient has the message", async () => {
    const [alice, bob] = [newUser("alice"), newUser("bob")];
    const from = await connected({ user: alice });
    const { id } = await from.send({ user: bob }, "hello", { notify: true });
    assert.deepEqual(from.heard.events.filter(([name]) => name === "delivered"), []);
    await connected({ user: bob });
    await until("the notice", () => from.heard.events.some(([name]) => name === "delivered"));
    assert.deepEqual(from.heard.events.at(-1), ["delivered", { id, user: bob }]);
  });

  it("what was handed over is acked, and what was not comes again", async () => {
    const user = newUser("acks");
    const sender = await connected({ user: newUser("sender") });
    const first = await connected({ user });
    await sender.send({ user }, "one");
    await until("one", () => bodies(first).includes("one"));
    await first.close();
    await allAcked(user);
    const manual = await connected({ user, autoAck: false });
    await sender.send({ user }, "two");
    await until("two", () => bodies(manual).includes("two"));
    assert.deepEqual(bodies(manual), ["two"]);
    await manual.close();
    const third = await connected({ user, autoAck: false });
    await until("two again", () => bodies(third).length > 0);
    assert.deepEqual(bodies(third), ["two"]);
    third.ack(third.heard.messages[0]);
    await third.close();
    await allAcked(user);
    await sender.send({ user }, "three");
    const last = await connected({ user });
    await until("three", () => bodies(last).length > 0);
    assert.deepEqual(bodies(last), ["three"]);
  });

  it("a program that starts again resumes from the position that it kept", async () => {
    const user = newUser("resume");
    const sender = await connected({ user: newUser("sender") });
    const first = await connected({ user });
    for (const body of ["a", "b", "c"]) await sender.send({ user }, body);
    await until("all", () => bodies(first).length === 3);
    const { epoch, offset } = first.heard.messages[0];
    assert.deepEqual(first.position, { epoch, offset: offset + 2 });
    await first.close();
    const again = await connected({ user, resume: { epoch, offset } });
    assert.equal(again.heard.states[0].recovered, true);
    await until("the rest", () => bodies(again).length === 2);
    assert.deepEqual(bodies(again), ["b", "c"]);
    const lost = await connected({ user, resume: { epoch: "unheard-of", offset: 7 } });
    assert.equal(lost.heard.states[0].recovered, false);
    assert.deepEqual(lost.heard.events[0], ["gap", { stream: "inbox" }]);
  });

  it("members of a room hear what is said, and who comes and goes", async () => {
    const room = newUser("room");
    const [alice, bob] = [await connected({ user: newUser("alice") }), await connected({ user: newUser("bob") })];
    const [a, b] = [alice, bob];
    await alice.join(room);
    await alice.send({ room }, "alone");
    await bob.join(room);
    await until("alice hears of bob", () => alice.heard.events.some(([name]) => name === "joined"));
    await bob.send({ room }, "hello");
    await bob.send({ room }, "not to me", { echo: false });
    await bob.send({ room }, "fleeting", { qos: 0 });
    await until("alice hears all", () => bodies(a, `room:${room}`).length === 4);
    assert.deepEqual(bodies(a, `room:${room}`), ["alone", "hello", "not to me", "fleeting"]);
    await until("bob hears", () => bodies(b, `room:${room}`).length === 2);
    assert.deepEqual(bodies(b, `room:${room}`), ["hello", "fleeting"]);
    const page = await alice.presence({ room });
    assert.equal(page.count, 2);
    await bob.leave(room);
    await until("alice hears that bob is gone", () => alice.heard.events.some(([name]) => name === "left"));
    await alice.send({ room }, "without bob");
    await until("alice", () => bodies(a, `room:${room}`).includes("without bob"));
    assert.ok(!bodies(b, `room:${room}`).includes("without bob"));
  });

  it("a room is joined from a position, with what came behind it", async () => {
    const room = newUser("history");
    const sender = await connected({ user: newUser("sender") });
    for (const number of numbers(5)) await sender.send({ room }, number);
    const late = await connected({ user: newUser("late") });
    const joined = await late.join(room, { since: { epoch: "0", offset: 0 } });
    assert.equal(joined.recovered, true);
    await until("all of it", () => bodies(late, `room:${room}`).length === 5);
    assert.deepEqual(bodies(late, `room:${room}`), numbers(5));
    const { epoch, offset } = late.heard.messages[2];
    await late.join(room, { since: { epoch, offset } });
    await until("the rest again", () => bodies(late, `room:${room}`).length === 7);
    assert.deepEqual(bodies(late, `room:${room}`), [...numbers(5), 3, 4]);
    assert.equal(late.roomPosition(room)?.offset, 5);
  });

  it("to everyone is to all who are there", async () => {
    const [a, b] = [await connected({ user: newUser("a") }), await connected({ user: newUser("b") })];
    const body = newUser("news");
    assert.equal((await a.send("everyone", body)).status, "sent");
    await until("both hear", () => [a, b].every((client) => bodies(client, "everyone").includes(body)));
  });

  it("presence is told on request, and when it changes for who subscribes", async () => {
    const [bob, room] = [newUser("bob"), newUser("room")];
    const watcher = await connected({ user: newUser("watcher") });
    assert.deepEqual(await watcher.subscribe([bob]), { [bob]: false });
    assert.equal((await watcher.subscribe({ room })).count, 0);
    const changes = () => watcher.heard.events.filter(([name]) => name === "presence_change").map(([, change]) => change);
    const client = await connected({ user: bob });
    await until("bob has come", () => changes().some(({ user, online }) => user === bob && online));
    await client.join(room);
    await until("and is in the room", () => changes().some((change) => change.room === room && change.count === 1));
    assert.deepEqual(await watcher.presence([bob, "nobody"]), { [bob]: true, nobody: false });
    await watcher.unsubscribe({ room });
    await client.close();
    await until("bob has gone", () => changes().some(({ user, online }) => user === bob && !online));
    assert.equal(changes().filter((change) => change.room === room).length, 1);
  });

  it("refusals that stay end the client, and say why", async () => {
    const user = newUser("many");
    for (const _ of numbers(3)) await connected({ user });
    const fourth = listen({ url: cluster.nodes[0].url, user });
    const limit = await within("it ends", fourth.ready.then(() => undefined, (error) => error));
    assert.deepEqual([limit?.code, limit?.closeCode], ["session_limit", 4509]);
    assert.equal(fourth.state, "closed");
    const impossible = listen({ url: cluster.nodes[0].url, user: "a\u0007" });
    await within("it ends", assert.rejects(impossible.ready, { code: "bad_request" }));
    class Foreign extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { origin: "https://elsewhere.example" });
      }
    }
    const page = listen({ url: cluster.nodes[0].url, user: newUser("page"), WebSocket: Foreign, fetch: noFetch });
    await within("it ends", assert.rejects(page.ready, { code: "not_allowed", closeCode: 4503 }));
    await assert.rejects(page.send({ user }, 1), { code: "not_allowed", definite: true });
  });

  it("a backend can end a client for good", async () => {
    const user = newUser("expelled");
    const client = await connected({ user });
    const outcome = new Promise((resolve) => client.on("closed", resolve));
    await cluster.nodes[0].admin(`/v1/users/${user}/sessions`, { method: "DELETE" });
    const { error } = await within("it ends", outcome);
    assert.deepEqual([error.code, error.closeCode], ["disconnected", 4510]);
  });

  it("messages can be iterated over, and what a loop leaves the next one has", async () => {
    const user = newUser("iterates");
    const other = await connected({ user: newUser("other") });
    const quiet = connect({ url: cluster.nodes[1].url, user, WebSocket });
    clients.push(quiet);
    await within("a welcome", quiet.ready);
    for (const number of numbers(6)) await other.send({ user }, number);
    const heard = [];
    for await (const { body } of quiet) {
      heard.push(body);
      if (body === 2) break;
    }
    for await (const { body } of quiet.messages()) {
      heard.push(body);
      if (body === 5) break;
    }
    assert.deepEqual(heard, numbers(6));
  });
});
