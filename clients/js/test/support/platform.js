// What the tests run with: the `ws` package, the binary, and whether either may be missing.

import { existsSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { join } from "node:path";

const insisting = process.env.RINGPOST_INSIST === "1";

/** @returns {Promise<any>} the module, or a reason why there is none */
async function loadWs() {
  const where = process.env.RINGPOST_WS;
  try {
    return await import(where ? pathToFileURL(join(where, "wrapper.mjs")).href : "ws");
  } catch {
    return `there is no package ws${where ? ` in ${where}` : ""}: npm install ws, or say where with RINGPOST_WS`;
  }
}

function findBinary() {
  const named = process.env.RINGPOST_BIN;
  if (named) return { binary: existsSync(named) && named, tried: named };
  const tried = ["release", "debug"].map((profile) =>
    fileURLToPath(new URL(`../../../../target/${profile}/ringpost`, import.meta.url)),
  );
  return { binary: tried.find(existsSync), tried: tried.join(" or ") };
}

function findChromium() {
  const folders = (process.env.PATH ?? "").split(":");
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const found = folders.flatMap((folder) => names.map((name) => join(folder, name)));
  return process.env.RINGPOST_CHROMIUM ?? found.find(existsSync);
}

const ws = await loadWs();
const { binary, tried } = findBinary();

export const WebSocket = ws.WebSocket;
export const WebSocketServer = ws.WebSocketServer;
export const chromium = findChromium();
export { binary };

/** Why a test cannot run here, for its option `skip`. With RINGPOST_INSIST=1 that is a failure. */
function skip(/** @type {string | false} */ why) {
  if (why && insisting) throw new Error(`must not be skipped here, but: ${why}`);
  return why;
}

export const withoutWs = skip(typeof ws === "string" && ws);
export const withoutCluster = withoutWs || skip(!binary && `there is no ${tried}: cargo build --release`);
export const withoutBrowser =
  withoutCluster || skip(!chromium && "there is no Chromium: install it, or say where with RINGPOST_CHROMIUM");
