// The dashboard: what the node tells, on its way to those who draw it.

import { Cluster } from "./cluster.js";
import * as details from "./details.js";
import { byId, input, write } from "./dom.js";
import { follow, setKey } from "./feed.js";
import * as lookup from "./lookup.js";
import * as members from "./members.js";
import * as ring from "./ring.js";
import * as timeline from "./timeline.js";
import * as totals from "./totals.js";

const cluster = new Cluster();

/** @type {Record<string, (data: any) => void>} */
const handlers = {
  ring: (next) => {
    ring.setRing(next);
    lookup.lookAgain();
  },
  timeline: (moments) => {
    // The first list of a connection has all.
    if (isFirst) timeline.clear();
    isFirst = false;
    timeline.add(moments);
  },
  snapshot: (snapshot) => {
    cluster.take(snapshot);
    write(byId("node"), snapshot.node);
    write(byId("digest"), snapshot.digest);
    document.title = `${snapshot.node} · Ringpost`;
    ring.setRows(cluster.rows);
    members.draw(cluster.rows);
    details.draw(cluster.rows);
    totals.draw(cluster.totals());
  },
};
let isFirst = true;

function start() {
  byId("key-form").hidden = true;
  void follow({
    onEvent: (name, data) => handlers[name]?.(data),
    onState: (state, text) => {
      if (state === "lost") isFirst = true;
      byId("status").dataset.state = state;
      write(byId("status"), text);
    },
    onKeyWanted: (wasRefused) => {
      byId("key-form").hidden = false;
      refuse(wasRefused ? "The node does not know this key." : "");
      byId("status").dataset.state = "waiting";
      write(byId("status"), "a key is needed");
      byId("key").focus();
    },
  });
}

/** What can stand in a header. */
const KEY = /^[\x21-\x7e]+$/;

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = input("key").value.trim();
  if (!KEY.test(key)) {
    refuse("A key has only visible ASCII characters.");
    return;
  }
  setKey(key);
  input("key").value = "";
  start();
});

/** @param {string} why nothing: it was not */
function refuse(why) {
  byId("key-refused").hidden = !why;
  write(byId("key-refused"), why);
}

totals.prepare();
members.prepare();
details.prepare();
lookup.prepare();
start();
