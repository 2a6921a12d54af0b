// The client with sockets, answers and tokens that the test holds in its hands.

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";

import { connect } from "../src/index.js";
import { fakePlatform } from "./support/fakes.js";
import { until, within } from "./support/wait.js";

const clients = [];

afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

/** A client, the platform under it, and its first socket. */
async function opened(options, locate = {}) {
  const platform = fakePlatform();
  Object.assign(platform.locate, locate);
  const { WebSocket, fetch, sockets } = platform;
  const client = connect({ url: "ws://n1:1", WebSocket, fetch, backoffFirstMs: 20, closeTimeoutMs: 0, ...options });
  clients.push(client);
  const errors = [];
  const states = [];
  client.on("error", (error) => errors.push(error));
  client.on("state", (state) => states.push(state));
  const socket = (count = 1) => until(`socket ${count}`, () => sockets[count - 1]);
  return { ...platform, client, socket, errors, states };
}

const welcome = { type: "welcome", user: "alice", session: "s", node: "n2", heartbeat_ms: 25_000 };

describe("tokens", () => {
  it("go to locate in a header, and into no URL; the ticket in the answer counts from there", async () => {
    const { client, fetches, socket } = await opened({ token: "secret" });
    const { url, protocols } = await socket();
    assert.deepEqual(fetches, [{ url: "http://n1:1/locate", headers: { authorization: "Bearer secret" } }]);
    assert.equal(url, "ws://n2:2/ws?hop=1&ticket=t");
    assert.deepEqual(protocols, ["ringpost.v1.json"]);
    assert.equal(client.state, "connecting");
  });

  it("go beside the subprotocol where there is no locate, and to no node that was redirected to", async () => {
    const { socket } = await opened({ token: () => "secret" }, { status: 0 });
    const first = await socket();
    assert.equal(first.url, "ws://n1:1/ws?redirect=frame");
    assert.deepEqual(first.protocols, ["ringpost.v1.json", "ringpost.bearer.secret"]);
    first.say({ type: "redirect", url: "ws://n3:3/ws?hop=1&ticket=u", reason: "not_owner" });
    const second = await socket(2);
    assert.deepEqual([second.url, second.protocols], ["ws://n3:3/ws?hop=1&ticket=u", ["ringpost.v1.json"]]);
    assert.equal(first.closedWith, 1000);
  });

  it("of a function are asked for anew for each connection", async () => {
    const reasons = [];
    const token = async ({ reason }) => `t${reasons.push(reason)}`;
    const { client, fetches, socket } = await opened({ token });
    (await socket()).say(welcome);
    await within("a welcome", client.ready);
    (await socket()).end(1006);
    await socket(2);
    assert.deepEqual(reasons, ["connect", "connect"]);
    assert.deepEqual(fetches.map(({ headers }) => headers.authorization), ["Bearer t1", "Bearer t2"]);
  });

  it("that expire are replaced on the open connection", async () => {
    const reasons = [];
    const { client, socket } = await opened({ token: ({ reason }) => `${reason}${reasons.push(reason)}` });
    const first = await socket();
    first.say(welcome);
    const expiring = [];
    client.on("token_expiring", (detail) => expiring.push(detail));
    first.say({ type: "token_expiring", in_ms: 60_000 });
    const auth = await until("the new token", () => first.sent.find(({ type }) => type === "auth"));
    assert.equal(auth.token, "expiring2");
    assert.deepEqual(expiring, [{ inMs: 60_000 }]);
    first.say({ type: "receipt", id: auth.id, status: "accepted" });
  });

  it("that cannot be had are an error that is told, and no end", async () => {
    let fails = true;
    const token = () => {
      if (fails) throw new Error("no session");
      return "secret";
    };
    const { client, socket, states, errors } = await opened({ token });
    await until("it says why", () => states.some(({ error }) => error?.code === "no_token"));
    fails = false;
    const first = await socket();
    first.say(welcome);
    await within("a welcome", client.ready);
    fails = true;
    first.say({ type: "token_expiring", in_ms: 60_000 });
    await until("it says why", () => errors.length > 0);
    assert.equal(errors[0].code, "no_token");
    assert.equal(client.state, "connected");
  });

  it("given as a string are replaced by the program", async () => {
    const { client, socket, fetches } = await opened({ token: "old" });
    const first = await socket();
    first.say(welcome);
    const done = client.auth("new");
    const { id, token } = await until("the new token", () => first.sent.find(({ type }) => type === "auth"));
    assert.equal(token, "new");
    first.say({ type: "receipt", id, status: "accepted" });
    await within("its receipt", done);
    first.end(1006);
    await socket(2);
    assert.equal(fetches[1].headers.authorization, "Bearer new");
  });

  it("given by the program and refused are not kept", async () => {
    const { client, socket, fetches } = await opened({ token: "old" });
    const first = await socket();
    first.say(welcome);
    await within("a welcome", client.ready);
    const done = client.auth("bad");
    const { id } = await until("the new token", () => first.sent.find(({ type }) => type === "auth"));
    first.say({ type: "receipt", id, status: "failed", error: { code: "not_allowed", message: "bad", retry: false } });
    await within("its receipt", assert.rejects(done, { code: "not_allowed" }));
    first.end(1006);
    await socket(2);
    assert.equal(fetches[1].headers.authorization, "Bearer old");
  });

  it("that are none are not used, nor told", async () => {
    for (const given of ["se cret", "secret\n", "secr\u00e9t", "", undefined, { secret: 1 }]) {
      const { states, sockets, fetches } = await opened({ token: () => given });
      const { error } = await until("it says why", () => states.find(({ error }) => error));
      assert.deepEqual([error.code, error.retry], ["no_token", true]);
      assert.ok(!error.message.includes("secr"));
      assert.equal(sockets.length + fetches.length, 0);
    }
  });

  it("are asked for with the reason where locate is gone round, too", async () => {
    const reasons = [];
    const { client, socket, locate } = await opened({ token: ({ reason }) => `t${reasons.push(reason)}` }, { status: 404 });
    const first = await socket();
    locate.status = 200;
    first.end(4501, "expired");
    (await socket(2)).end(1006);
    (await socket(3)).end(4501, "expired");
    await within("the end", assert.rejects(client.ready, { code: "unauthorized" }));
    assert.deepEqual(reasons, ["connect", "refused", "refused"]);
  });

  it("that are refused end a client that does not follow redirects, too", async () => {
    const { client, fetches, sockets } = await opened({ token: "bad", followRedirects: false }, { status: 401 });
    await within("the end", assert.rejects(client.ready, { code: "unauthorized" }));
    assert.deepEqual([fetches.length, sockets.length], [1, 0]);
  });

  it("that expire in a break are no error that is told", async () => {
    const { client, socket, errors } = await opened({ token: () => "secret" });
    const first = await socket();
    first.say(welcome);
    first.say({ type: "token_expiring", in_ms: 60_000 });
    await until("the new token", () => first.sent.some(({ type }) => type === "auth"));
    first.end(1006);
    (await socket(2)).say(welcome);
    await until("it is back", () => client.stats.reconnects === 1);
    assert.deepEqual(errors, []);
  });

  it("that cannot be had when it is all over are no error that is told", async () => {
    let fail;
    const token = ({ reason }) => (reason === "expiring" ? new Promise((_, reject) => (fail = reject)) : "secret");
    const { client, socket, errors } = await opened({ token });
    const first = await socket();
    first.say(welcome);
    first.say({ type: "token_expiring", in_ms: 60_000 });
    await until("it is asked", () => fail);
    await client.close();
    fail(new Error("too late"));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(errors, []);
  });

  it("that are refused end a client that has no other", async () => {
    const { client } = await opened({ token: "bad" }, { status: 401, body: "the token has expired" });
    const error = await within("the end", client.ready.catch((error) => error));
    assert.deepEqual([error.code, error.definite], ["unauthorized", true]);
    assert.match(error.message, /n1:1 answered 401: .*expired/);
    assert.equal(client.state, "closed");
  });

  it("that are refused are asked for once more, with the reason, where a function gives them", async () => {
    const reasons = [];
    const { client } = await opened({ token: ({ reason }) => `t${reasons.push(reason)}` }, { status: 401 });
    await within("the end", assert.rejects(client.ready, { code: "unauthorized" }));
    assert.deepEqual(reasons, ["connect", "refused"]);
  });

  it("that expired while connected are no end where a function gives them", async () => {
    for (const [token, state] of /** @type {const} */ ([["string", "closed"], [() => "fresh", "connecting"]])) {
      const { client, socket } = await opened({ token });
      const first = await socket();
      first.say(welcome);
      await within("a welcome", client.ready);
      first.end(4501, "expired");
      await until(state, () => client.state === state);
      if (state === "connecting") (await socket(2)).say(welcome);
    }
  });
});

describe("a client", () => {
  it("needs a URL, somebody to be, and sockets", () => {
    const { WebSocket } = fakePlatform();
    for (const url of ["", "ftp://n1", "ws://", "http://a b"]) {
      assert.throws(() => connect({ url, user: "alice", WebSocket }), { code: "bad_url" }, url);
    }
    assert.throws(() => connect({ url: [], user: "alice", WebSocket }), { code: "bad_url" });
    assert.throws(() => connect({ url: "ws://n1", WebSocket }), { code: "unauthorized" });
    const { WebSocket: own } = globalThis;
    delete globalThis.WebSocket;
    assert.throws(() => connect({ url: "ws://n1", user: "alice" }), { code: "unsupported" });
    if (own) globalThis.WebSocket = own;
  });

  it("keeps messages for who begins to listen later, in order", async () => {
    const { client, socket } = await opened({ user: "alice" });
    const first = await socket();
    first.say(welcome);
    const message = (id) => first.say({ type: "message", stream: "everyone", id, from: "bob", to: "everyone", body: id, ts: 1 });
    message("1");
    await within("a welcome", client.ready);
    message("2");
    const heard = [];
    client.on("message", ({ id }) => heard.push(id));
    message("3");
    await until("all", () => heard.length === 3);
    assert.deepEqual(heard, ["1", "2", "3"]);
  });

  it("acks what the slowest of its iterators has taken", async () => {
    const { client, socket } = await opened({ user: "alice" });
    const first = await socket();
    first.say({ ...welcome, epoch: "e", offset: 0 });
    await within("a welcome", client.ready);
    const [fast, slow] = [client.messages(), client.messages()];
    for (const offset of [1, 2, 3]) {
      first.say({ type: "message", stream: "inbox", epoch: "e", offset, id: `m${offset}`, from: "bob", to: {}, body: 1, ts: 1 });
    }
    for (let count = 0; count < 3; count += 1) await fast.next();
    await slow.next();
    assert.deepEqual(client.position, { epoch: "e", offset: 1 });
    // Who leaves was not the last to want them: the other has had them.
    await slow.return();
    assert.deepEqual(client.position, { epoch: "e", offset: 3 });
  });

  it("acks nothing in rooms", async () => {
    const { client, socket } = await opened({ user: "alice", autoAck: false });
    const first = await socket();
    first.say({ ...welcome, epoch: "e", offset: 0 });
    await within("a welcome", client.ready);
    const base = { type: "message", id: "m1", from: "bob", to: {}, body: 1, ts: 1 };
    const heard = [];
    client.on("message", (message) => heard.push(message));
    first.say({ ...base, stream: "inbox", epoch: "e", offset: 1 });
    first.say({ ...base, stream: "room:lobby", epoch: "r", offset: 7 });
    first.say({ ...base, id: "m2", stream: "everyone" });
    for (const message of heard) client.ack(message);
    const ack = await until("an ack", () => first.sent.find(({ type }) => type === "ack"));
    assert.deepEqual(ack, { type: "ack", stream: "inbox", epoch: "e", offset: 1 });
    assert.equal(heard.length, 3);
  });

  it("keeps the newest of the events that an iterator has not taken", async () => {
    const { client, socket } = await opened({ user: "alice" });
    const others = client.events("other");
    const first = await socket();
    first.say(welcome);
    for (let number = 1; number <= 300; number += 1) first.say({ type: "news", number });
    await client.close();
    const heard = [];
    for await (const { number } of others) heard.push(number);
    assert.deepEqual([heard.length, heard[0], heard.at(-1)], [256, 45, 300]);
  });

  it("tries again at once where a socket only says that it failed", async () => {
    const { client, socket, states } = await opened({ user: "alice", connectTimeoutMs: 60_000 });
    (await socket()).fail();
    const second = await socket(2);
    assert.equal(second.url, "ws://n1:1/ws?user=alice&redirect=frame");
    // The end of one that has failed is no news, nor is a failure of one that is welcomed.
    (await socket()).end(1006);
    second.say(welcome);
    await within("a welcome", client.ready);
    second.fail();
    assert.deepEqual(states.map(({ state }) => state), ["connecting", "connected"]);
  });

  it("is closed at once from within a listener, when nothing is waited for", async () => {
    const { client, socket } = await opened({ user: "alice", closeTimeoutMs: 60_000 });
    client.on("state", ({ state }) => state === "connected" && client.close());
    const first = await socket();
    first.say(welcome);
    await until("it is closed", () => client.state === "closed");
    assert.equal(first.closedWith, 1000);
  });

  it("ends its iterators, with the error if there is one", async () => {
    const good = await opened({ user: "alice" });
    (await good.socket()).say(welcome);
    const messages = good.client.messages();
    const next = messages.next();
    await good.client.close();
    assert.deepEqual(await next, { value: undefined, done: true });
    const bad = await opened({ user: "alice" });
    const states = bad.client.events("state");
    (await bad.socket()).say(welcome);
    assert.equal((await states.next()).value.state, "connected");
    (await bad.socket()).end(4510);
    assert.equal((await states.next()).value.state, "closed");
    await assert.rejects(states.next(), { code: "disconnected", closeCode: 4510 });
  });

  it("goes on when a listener throws", async () => {
    const { client, socket } = await opened({ user: "alice" });
    const thrown = new Promise((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
    const off = client.on("state", () => {
      off();
      throw new Error("in a listener");
    });
    (await socket()).say(welcome);
    await within("a welcome", client.ready);
    assert.equal((await within("the error", thrown)).message, "in a listener");
    process.setUncaughtExceptionCaptureCallback(null);
    assert.equal(client.state, "connected");
  });

  it("may be used from within its listeners", async () => {
    const { client, socket } = await opened({ user: "alice" });
    client.on("state", ({ state }) => {
      if (state === "connected") void client.send({ user: "bob" }, "at once").catch(() => {});
      if (state === "closed") assert.rejects(client.send({ user: "bob" }, "too late"), { code: "closed" });
    });
    const first = await socket();
    first.say(welcome);
    await until("it is sent", () => first.sent.some(({ body }) => body === "at once"));
  });

  it("tries at once when the platform says that it is online", async () => {
    const listeners = new Map();
    const { addEventListener, removeEventListener } = globalThis;
    globalThis.addEventListener = (name, listener) => listeners.set(name, listener);
    globalThis.removeEventListener = (name) => listeners.delete(name);
    try {
      const { client, socket } = await opened({ user: "alice", backoffFirstMs: 600_000, backoffMinMs: 0, backoffMaxMs: 600_000 });
      (await socket()).say(welcome);
      await within("a welcome", client.ready);
      assert.deepEqual([...listeners.keys()], ["online"]);
      const { sent } = await socket();
      listeners.get("online")();
      await until("it asks whether the node lives", () => sent.some(({ type }) => type === "ping"));
      await client.close();
      assert.equal(listeners.size, 0);
    } finally {
      Object.assign(globalThis, { addEventListener, removeEventListener });
    }
  });

  it("takes what it does not know, and what it does not understand, for no end", async () => {
    const { client, socket, errors } = await opened({ user: "alice" });
    const first = await socket();
    first.say(welcome);
    await within("a welcome", client.ready);
    const others = [];
    client.on("other", (other) => others.push(other));
    first.say({ type: "news", id: 7 });
    for (const data of ["not json", "[]", "{}", "null", '{"type":7}']) first.onmessage({ data });
    first.say({ type: "error", code: "bad_request", message: "what?", retry: false });
    assert.deepEqual(others, [{ type: "news", id: 7 }]);
    assert.deepEqual(errors.map(({ code }) => code), [...Array(5).fill("not_understood"), "bad_request"]);
    assert.equal(client.state, "connected");
  });
});
