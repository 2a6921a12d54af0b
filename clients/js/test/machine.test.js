// What the client decides, with no clock and no socket.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { scripted } from "./support/fakes.js";

const outcomeOf = (promise) => promise.then((reply) => ({ reply }), (error) => ({ error }));
const send = (script, id, options = {}) =>
  outcomeOf(script.machine.request({ type: "send", to: { user: "bob" }, body: id }, { id, ...options }));

describe("connecting", () => {
  it("locate is asked first, and its answer is where the client connects", () => {
    const script = scripted().at(0);
    const [[, link, url, reason]] = script.done("locate");
    assert.deepEqual([url, reason], ["http://n1:1/locate?user=alice", "connect"]);
    script.machine.connections.located(link, "wss://n2/ws?user=alice&hop=1");
    assert.deepEqual(script.done(), [["open", link, "wss://n2/ws?user=alice&hop=1", false]]);
  });

  it("where locate cannot be had the node is asked to redirect by a message", () => {
    const script = scripted({ url: "https://n1/base" }).at(0);
    const [[, link]] = script.done("locate");
    script.machine.connections.located(link);
    assert.deepEqual(script.done(), [["open", link, "wss://n1/base/ws?user=alice&redirect=frame", true]]);
    script.said(link, { type: "redirect", url: "wss://n2/ws?hop=1", reason: "not_owner" });
    const [close, tell, open] = script.done();
    assert.deepEqual(close, ["close", link]);
    assert.deepEqual(tell, ["tell", "redirect", { to: "n2", reason: "not_owner" }]);
    assert.deepEqual(open, ["open", link, "wss://n2/ws?hop=1", false]);
  });

  it("redirects that cannot be followed, or do not end, are given up", () => {
    for (const url of ["javascript:1", "n2:2/ws", "ws://n2/ws?secret", undefined]) {
      const script = scripted({ url: "wss://n1" }).at(0);
      const [[, link]] = script.done("locate");
      script.machine.connections.located(link);
      script.said(link, { type: "redirect", url, reason: "not_owner" });
      const [[, , state]] = script.done("tell");
      assert.deepEqual([state.state, state.error.code], ["connecting", "broken"]);
      assert.ok(!state.error.message.includes("secret"));
    }
    const script = scripted().at(0);
    const { link } = script.located();
    for (let hops = 2; hops <= 6; hops += 1) script.said(link, { type: "redirect", url: "ws://n3/ws", reason: "moved" });
    assert.equal(script.done("open").length, 4);
  });

  it("a located node that is not there is gone round: the node that was asked serves", () => {
    const script = scripted().at(0);
    const { link } = script.located();
    script.closed(link, 1006);
    assert.equal(script.at(0).done("open")[0][2], "ws://n1:1/ws?user=alice&redirect=frame");
  });

  it("waits double up to the longest, and a connection that held starts them over", () => {
    const script = scripted({ backoffFirstMs: 1_000, backoffMaxMs: 4_000 });
    const waits = [];
    for (let tries = 0; tries < 4; tries += 1) {
      script.at(script.machine.deadline());
      const [[, link]] = script.done("locate");
      script.machine.connections.located(link);
      script.closed(link, 1013);
      waits.push(script.machine.deadline() - script.now);
    }
    assert.deepEqual(waits, [1_000, 2_000, 4_000, 4_000]);
    script.at(script.machine.deadline());
    const link = script.connect();
    script.at(script.now + 10_000);
    script.closed(link, 1006);
    assert.equal(script.machine.deadline() - script.now, 1_000);
  });

  it("all nodes that were given are tried before there is a wait", () => {
    const script = scripted({ url: ["ws://n1", "ws://n2", "ws://n3"] });
    for (const node of ["n1", "n2", "n3"]) {
      script.at(0);
      const [[, link, url]] = script.done("locate");
      assert.equal(new URL(url).host, node);
      script.machine.connections.located(link);
      script.closed(link, 1006);
    }
    assert.equal(script.machine.deadline(), 1_000);
  });

  it("a node that does not answer in time is dropped", () => {
    const script = scripted({ connectTimeoutMs: 500 }).at(0);
    const [[, link]] = script.done("locate");
    script.machine.connections.located(link);
    script.done();
    assert.deepEqual(script.at(500).done("close"), [["close", link, true]]);
  });

  it("close codes say whether the client comes back", () => {
    const final = [1000, 1002, 1007, 1009, 1011, 4500, 4501, 4503, 4509, 4510, 4511, 4999];
    const passing = [1001, 1006, 1012, 1013, 4000, 4307, 4408, 4413, 4429, 4499];
    for (const code of [...final, ...passing]) {
      const script = scripted();
      script.closed(script.connect(), code);
      assert.equal(script.machine.deadline() === Infinity, final.includes(code), String(code));
      assert.equal(script.done("end").length, final.includes(code) ? 1 : 0, String(code));
    }
  });

  it("being replaced by a session of its own is no end", () => {
    const script = scripted();
    const link = script.connect();
    script.said(link, { type: "redirect", url: "ws://n3/ws?hop=1", reason: "moved", after_ms: 0 });
    script.at(0);
    const [[, next]] = script.done("open");
    script.closed(link, 4511);
    assert.deepEqual(script.done("end"), []);
    script.welcome(next);
    assert.equal(script.done("tell").at(-1)[2].state, "connected");
  });
});

describe("moving", () => {
  it("the old connection is used until the new one is welcomed, and then only for what is missing", async () => {
    const script = scripted();
    const old = script.connect();
    const lost = send(script, "fleeting", { repeatable: false });
    const kept = send(script, "kept");
    script.said(old, { type: "redirect", url: "ws://n3:3/ws?hop=1", reason: "drain", after_ms: 350 });
    assert.equal(script.at(349).done("open").length, 0);
    script.at(350);
    const [[, link, url, given]] = script.done("open");
    assert.deepEqual([url, given], ["ws://n3:3/ws?hop=1&epoch=e&offset=0", false]);
    script.message(old, 1);
    assert.equal(script.done("message").length, 1);
    script.welcome(link, { epoch: "e", offset: 1, recovered: true });
    assert.deepEqual(script.written().map(({ id }) => id), ["kept"]);
    // What is kept comes on the new connection; what is not may come on either.
    script.message(old, 2);
    script.message(old, undefined, { id: "q0" });
    assert.deepEqual(script.done("message").map(([, { message }]) => message.id), ["q0"]);
    script.said(old, { type: "receipt", id: "kept", status: "accepted", copies: 2 });
    assert.equal((await kept).reply.copies, 2);
    assert.deepEqual(script.at(350 + 500).done("close"), []);
    assert.deepEqual(script.at(350 + 5_000).done("close"), [["close", old]]);
    assert.equal((await lost).error.code, "unknown");
  });

  it("who is sent away and then cut off goes where it was sent", () => {
    const script = scripted();
    const old = script.connect();
    script.said(old, { type: "redirect", url: "ws://n3:3/ws?hop=1", reason: "drain", after_ms: 5_000 });
    script.closed(old, 1006);
    assert.equal(script.done("open")[0][2], "ws://n3:3/ws?hop=1&epoch=e&offset=0");
  });
});

describe("requests", () => {
  it("what has no receipt is repeated in order after the welcome, before anything new", () => {
    const script = scripted();
    const first = script.connect();
    void send(script, "a");
    void send(script, "b", { repeatable: false });
    void send(script, "c");
    script.said(first, { type: "receipt", id: "a", status: "accepted" });
    script.closed(first, 1006);
    void send(script, "d");
    void send(script, "e", { repeatable: false });
    script.done();
    script.at(script.machine.deadline());
    const { link } = script.located();
    assert.deepEqual(script.written(), []);
    script.welcome(link);
    void send(script, "f");
    assert.deepEqual(script.written().map(({ id }) => id), ["c", "d", "e", "f"]);
  });

  it("a full queue, a taken id and a message that is too long are refused at once", async () => {
    const script = scripted({ outstandingMax: 2 });
    const link = script.connect();
    void send(script, "a");
    assert.throws(() => script.machine.request({ type: "send" }, { id: "a" }), { code: "id_in_use", definite: true });
    void send(script, "b");
    const full = { code: "queue_full", retry: true, definite: true };
    assert.throws(() => script.machine.request({ type: "send" }, { id: "c" }), full);
    script.closed(link, 1006);
    script.at(script.machine.deadline());
    const next = script.located();
    script.said(next.link, { type: "receipt", id: "a", status: "accepted" });
    const other = scripted().at(0);
    const located = other.located();
    other.welcome(located.link, { max_message_bytes: 50 });
    const { error } = await send(other, "x".repeat(50));
    assert.deepEqual([error.code, error.definite], ["too_large", true]);
  });

  it("a receipt settles one request, and one of nobody's none", async () => {
    const script = scripted();
    const link = script.connect();
    const outcome = send(script, "a");
    script.said(link, { type: "receipt", id: "zzz", status: "accepted" });
    const failure = { code: "inbox_full", message: "too much waits", retry: true };
    script.said(link, { type: "receipt", id: "a", status: "failed", error: failure });
    script.said(link, { type: "receipt", id: "a", status: "accepted" });
    const { error } = await outcome;
    assert.deepEqual([error.code, error.message, error.retry, error.definite], [...Object.values(failure), true]);
  });

  it("closing waits for receipts, acks what was handed over, and says what is unknown", async () => {
    const script = scripted({ closeTimeoutMs: 1_000 });
    const link = script.connect();
    const [a, b] = [send(script, "a"), send(script, "b")];
    script.message(link, 1);
    const [[, item]] = script.done("message");
    script.machine.taken(item);
    script.machine.close();
    script.said(link, { type: "receipt", id: "a", status: "accepted" });
    assert.ok((await a).reply);
    script.at(50);
    assert.deepEqual(script.done("end"), []);
    assert.throws(() => script.machine.request({ type: "send" }), { code: "closed" });
    script.said(link, { type: "receipt", id: "b", status: "accepted" });
    const [[, , ack], close] = script.at(51).done();
    assert.equal(JSON.parse(ack).offset, 1);
    assert.deepEqual(close, ["close", link, false]);
    assert.ok((await b).reply);
  });

  it("what has no receipt when closing takes too long is unknown, or was never sent", async () => {
    const script = scripted({ closeTimeoutMs: 1_000 });
    const link = script.connect();
    const written = send(script, "a");
    script.closed(link, 1006);
    const unwritten = send(script, "b");
    script.machine.close();
    script.at(1_000);
    assert.equal(script.done("end").length, 1);
    assert.deepEqual([(await written).error.code, (await unwritten).error.code], ["unknown", "closed"]);
  });
});

describe("messages", () => {
  it("repeats are dropped by sender and id, and their positions count", () => {
    const script = scripted();
    const link = script.connect();
    script.message(link, 1);
    script.message(link, 2, { id: "m1" });
    script.message(link, 3, { id: "m1", from: "carol" });
    assert.deepEqual(script.done("message").map(([, { message }]) => [message.from, message.id]), [
      ["bob", "m1"],
      ["carol", "m1"],
    ]);
    assert.equal(script.machine.stats().repeatsDropped, 1);
    script.closed(link, 1006);
    script.at(script.machine.deadline());
    assert.match(script.located().url, /epoch=e&offset=3$/);
  });

  it("acks speak for all that was handed over, after a little while or many messages", () => {
    const script = scripted();
    const link = script.connect();
    for (let offset = 1; offset <= 3; offset += 1) script.message(link, offset);
    const items = script.done("message").map(([, item]) => item);
    script.machine.taken(items[1]);
    script.machine.taken(items[2]);
    assert.equal(script.machine.handed().offset, 0);
    script.machine.taken(items[0]);
    assert.equal(script.machine.handed().offset, 3);
    assert.deepEqual(script.at(99).written(), []);
    const ack = { type: "ack", stream: "inbox", epoch: "e", offset: 3 };
    assert.deepEqual(script.at(100).written(), [ack]);
    for (let offset = 4; offset < 4 + 64; offset += 1) script.message(link, offset);
    for (const [, item] of script.done("message")) script.machine.taken(item);
    assert.equal(script.at(100).written()[0].offset, 67);
    // The last one may not have arrived: it is repeated.
    script.closed(link, 1006);
    script.at(script.machine.deadline());
    script.welcome(script.located().link, { epoch: "e", offset: 67, recovered: true });
    assert.equal(script.written()[0].offset, 67);
  });

  it("positions do not go back within an epoch, but follow into another", () => {
    const script = scripted({ resume: { epoch: "e", offset: 5 } }).at(0);
    const { link, url } = script.located();
    assert.match(url, /epoch=e&offset=5$/);
    script.welcome(link, { epoch: "f", offset: 2, recovered: false });
    assert.deepEqual(script.done("tell").map(([, name]) => name), ["state", "gap"]);
    assert.deepEqual(script.machine.handed(), { epoch: "f", offset: 2 });
  });

  it("past the bound what is kept is passed over, and asked for again once half was taken", () => {
    const script = scripted({ bufferMax: 4 });
    const link = script.connect();
    for (let offset = 1; offset <= 6; offset += 1) script.message(link, offset);
    const items = script.done("message").map(([, item]) => item);
    assert.equal(items.length, 4);
    for (const item of items.slice(0, 2)) script.machine.taken(item);
    assert.deepEqual(script.done("close"), [["close", link]]);
    assert.match(script.at(0).located().url, /epoch=e&offset=4$/);
  });

  it("a room goes on from its last message on each connection, in few requests", async () => {
    const script = scripted();
    const link = script.connect();
    for (const room of ["a", "b"]) {
      const joined = outcomeOf(script.machine.join(room));
      const [{ id }] = script.written();
      script.said(link, { type: "receipt", id, status: "joined", epoch: "r", offset: 7 });
      assert.deepEqual((await joined).reply, { epoch: "r", offset: 7, recovered: undefined });
    }
    script.message(link, 8, { stream: "room:a", epoch: "r" });
    script.machine.taken(script.done("message")[0][1]);
    assert.deepEqual(script.machine.roomHanded("a"), { epoch: "r", offset: 8 });
    script.closed(link, 1006);
    script.at(script.machine.deadline());
    const next = script.located().link;
    script.welcome(next, { epoch: "e", offset: 0, recovered: true });
    const [{ type, id, rooms }] = script.written();
    assert.deepEqual([type, rooms], [
      "join",
      [
        { room: "a", since: { epoch: "r", offset: 8 } },
        { room: "b", since: { epoch: "r", offset: 7 } },
      ],
    ]);
    const refused = { code: "unreachable", message: "not yet", retry: true };
    const outcomes = [
      { room: "a", epoch: "r", offset: 8, recovered: false },
      { room: "b", error: refused },
    ];
    script.said(next, { type: "receipt", id, status: "joined", rooms: outcomes });
    assert.deepEqual(script.done("tell").map(([, name, { stream, room }]) => [name, stream ?? room]), [
      ["gap", "room:a"],
      ["not_rejoined", "b"],
    ]);
    script.at(script.machine.deadline());
    assert.deepEqual(script.written()[0].rooms.map(({ room }) => room), ["b"]);
  });

  it("nothing of a room is handed over once it is left", () => {
    const script = scripted();
    const link = script.connect();
    void outcomeOf(script.machine.join("a"));
    script.said(link, { type: "receipt", id: script.written()[0].id, status: "joined", epoch: "r", offset: 0 });
    script.message(link, 1, { stream: "room:a", epoch: "r" });
    const [[, item]] = script.done("message");
    void outcomeOf(script.machine.leave("a"));
    assert.equal(item.dropped, true);
    script.message(link, 2, { stream: "room:a", epoch: "r" });
    assert.deepEqual(script.done("message"), []);
  });
});

describe("liveness", () => {
  it("silence is asked about, and then taken for death", () => {
    const script = scripted();
    const link = script.connect();
    assert.deepEqual(script.at(24_999).written(), []);
    assert.deepEqual(script.at(25_000).written(), [{ type: "ping" }]);
    script.now = 30_000;
    script.said(link, { type: "pong" });
    script.at(54_999);
    assert.deepEqual(script.at(55_000).written(), [{ type: "ping" }]);
    assert.deepEqual(script.at(64_999).done("close"), []);
    assert.deepEqual(script.at(65_000).done("close"), [["close", link, true]]);
    assert.ok(script.machine.deadline() < Infinity);
  });

  it("a network that is back is tried soon, and a connection from before it is asked", () => {
    const script = scripted();
    const link = script.connect();
    script.machine.connections.wake();
    assert.deepEqual(script.at(0).written(), [{ type: "ping" }]);
    script.closed(link, 1006);
    for (let tries = 0; tries < 6; tries += 1) {
      script.at(script.machine.deadline());
      const [[, trial]] = script.done("locate");
      script.machine.connections.located(trial);
      script.closed(trial, 1006);
    }
    assert.ok(script.machine.deadline() - script.now > 10_000);
    script.machine.connections.wake();
    assert.ok(script.machine.deadline() - script.now <= 1_000);
  });
});
