// A user: who owns it, where its sessions are, and how far its inbox is. Asked for again and again while it is
// shown, since all that changes by itself.

import { byId, input, make, write } from "./dom.js";
import { ask } from "./feed.js";
import { count, time } from "./format.js";

/**
 * @typedef {{
 *   user: string, owner: string | null, successors: string[],
 *   inbox?: { epoch: string, offset: number, acked: number, waiting: number } | null,
 *   sessions: { node: string, session: string, since?: number }[],
 * }} Found
 */

const AGAIN_MS = 5_000;

/** Who is shown. @type {string | undefined} */
let user;
/** Questions so far: an answer to an older one than the last is of no use. */
let questions = 0;
/** The answer that is shown, as text. */
let shown = "";
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

export function prepare() {
  byId("user-form").addEventListener("submit", (event) => {
    event.preventDefault();
    user = input("user").value;
    void lookUp();
  });
}

/** Another ring: perhaps another owner. */
export function lookAgain() {
  if (user !== undefined) void lookUp();
}

async function lookUp() {
  clearTimeout(timer);
  questions += 1;
  const question = questions;
  const answer = await ask(`/v1/users/${encodeURIComponent(user ?? "")}`).catch(() => undefined);
  const found = await answer?.json().catch(() => undefined);
  if (question !== questions) return;
  timer = setTimeout(lookAgain, AGAIN_MS);
  draw(answer?.ok ? found : undefined, found?.error?.message ?? "The node does not answer.");
  write(byId("user-asked"), `As it was at ${time(Date.now())}.`);
}

/** Only what is new, so that selections and screen readers are left in peace. @param {Found | undefined} found @param {string} fault */
function draw(found, fault) {
  const text = JSON.stringify(found ?? fault);
  if (text === shown) return;
  shown = text;
  byId("user-answer").replaceChildren(found ? listOf(found) : make("p", "bad", fault));
}

/** @param {Found} found */
function listOf({ user, owner, successors, inbox, sessions }) {
  const list = make("dl");
  /** @param {string} name @param {string | HTMLElement} value */
  const line = (name, value) => {
    const cell = make("dd");
    cell.append(value);
    list.append(make("dt", "", name), cell);
  };
  line("User", user);
  line("Owner", owner ?? "nobody");
  line("Then", successors.slice(0, 3).join(", ") || "nobody");
  line("Inbox", inbox ? `at ${count(inbox.offset)} of epoch ${inbox.epoch}` : "nothing was kept");
  if (inbox) line("Acked", `up to ${count(inbox.acked)}; ${count(inbox.waiting)} wait`);
  const all = make("ul");
  for (const { node, session, since } of sessions) {
    const when = since ? ` since ${new Date(since).toLocaleString("en-GB")}` : "";
    all.append(make("li", "", `${session} at ${node}${when}`));
  }
  line("Sessions", sessions.length ? all : "none: offline");
  return list;
}
