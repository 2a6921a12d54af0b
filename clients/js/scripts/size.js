// How large the client is for who loads it: bundled, minified and compressed.
//
// Fails above the limit. Needs esbuild, by RINGPOST_JS_TOOLS (a directory with node_modules) or in
// reach; without it says so, and fails only with RINGPOST_INSIST=1.

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

const BYTES_MAX = 8 * 1024;

const tools = process.env.RINGPOST_JS_TOOLS;
const require = createRequire(tools ? join(tools, "index.js") : import.meta.url);

let esbuild;
try {
  esbuild = require("esbuild");
} catch {
  console.log("skipped: there is no package esbuild; say where with RINGPOST_JS_TOOLS");
  process.exit(process.env.RINGPOST_INSIST === "1" ? 1 : 0);
}

const { outputFiles } = await esbuild.build({
  entryPoints: [fileURLToPath(new URL("../src/index.js", import.meta.url))],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  write: false,
});
const code = outputFiles[0].contents;
const [brotli, gzip] = [brotliCompressSync(code).length, gzipSync(code, { level: 9 }).length];
console.log(`minified ${code.length} bytes, gzip ${gzip}, brotli ${brotli} of at most ${BYTES_MAX}`);
if (brotli > BYTES_MAX) {
  console.error(`the client is ${brotli - BYTES_MAX} bytes too large`);
  process.exit(1);
}
