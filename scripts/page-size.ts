/**
 * Sizes of the page that trains and of `aflora/web` for pages of one's own, in bytes as they are and gzipped, ONNX Runtime's apart. Ends with an
 * error where the library is more than it may be.
 *
 *     npm run build:page && npx tsx scripts/page-size.ts
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** Bytes that the library may have gzipped, ONNX Runtime apart. */
const MOST = 400_000;

const folder = fileURLToPath(new URL("../dist/page", import.meta.url));
const sizes = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.(js|css|html|wasm)$/.test(name))
  .map((name) => {
    const bytes = readFileSync(join(folder, name));
    return { name: name.replaceAll("\\", "/"), size: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length };
  });
const sum = (files: typeof sizes): number => files.reduce((total, { gzipped }) => total + gzipped, 0);
const isRuntime = ({ name }: { name: string }): boolean => /ort[.-]/.test(name);
/** The library for pages without a bundler, which the page itself does not load. */
const isLibrary = ({ name }: { name: string }): boolean => name === "aflora-web.js";

for (const { name, size, gzipped } of sizes.toSorted((a, b) => b.size - a.size)) {
  console.log(`${String(size).padStart(10)} ${String(gzipped).padStart(10)} ${name}`);
}
const [page, library] = [sizes.filter((file) => !isRuntime(file) && !isLibrary(file)), sizes.filter(isLibrary)];
console.log(`the page, without ONNX Runtime: ${sum(page)} bytes gzipped; aflora/web: ${sum(library)}`);
console.log(`ONNX Runtime's WebAssembly: ${sum(sizes.filter(({ name }) => name.endsWith(".wasm")))}`);
if (sum(library) > MOST) {
  console.error(`error: the library has more than ${MOST} bytes`);
  process.exitCode = 1;
}
