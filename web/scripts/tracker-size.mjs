// Fails the build when the tracker has become too large for what it is: a script of every page.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BYTES_MAX = 4_000;
const bytes = gzipSync(readFileSync(new URL("../dist/tw.js", import.meta.url)), { level: 9 }).length;
console.log(`tw.js: ${bytes} bytes gzipped of ${BYTES_MAX}`);
if (bytes >= BYTES_MAX) process.exit(1);
