// The page: a cluster, and one or two users of it.

import { watch } from "/cluster.js";
import { Pane } from "/pane.js";

/** `?user=alice&to=bob`, or the same after `#`, is one user; without it there are two. */
function usersOfAddress() {
  const { search, hash } = location;
  const asked = new URLSearchParams(search.length > 1 ? search : hash.slice(1));
  const user = asked.get("user");
  if (!user) return [["alice", "bob"], ["bob", "alice"]];
  return [[user, asked.get("to") || (user === "bob" ? "alice" : "bob")]];
}

const users = usersOfAddress();
const panes = users.map(([user, to]) => new Pane(user, to, users.length === 1));
if (users.length === 1) document.title = `${users[0][0]} – Ringpost demo`;
addEventListener("hashchange", () => location.reload());
addEventListener("pagehide", () => panes.forEach((pane) => pane.close()));
await watch(panes);
for (const pane of panes) {
  pane.listNodes();
  pane.connect();
}
