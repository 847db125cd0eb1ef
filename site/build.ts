/**
 * Builds the documentation site as static files in site/dist: the pages of docs/ by VitePress, the API by TypeDoc, the page that
 * trains, and llms.txt.
 *
 *     npm run build && npm run site
 *
 * SITE_BASE is the path that the site is served under (`/` where absent), SITE_ADDRESS where it stands, and SITE_REPOSITORY the
 * address of the sources.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vitepress";
import { writePage } from "../src/serving/page-server.ts";
import { OUTPUT, writeForPrograms } from "./contents.ts";

const base = process.env.SITE_BASE ?? "/";
await build(fileURLToPath(new URL(".", import.meta.url)), { base, outDir: OUTPUT });

const typedoc = fileURLToPath(new URL("../node_modules/typedoc/bin/typedoc", import.meta.url));
const { status } = spawnSync(process.execPath, [typedoc, "--out", join(OUTPUT, "api")], { stdio: "inherit" });
if (status !== 0) throw new Error("TypeDoc could not make the API pages");

await writePage(join(OUTPUT, "try"));
writeForPrograms(process.env.SITE_ADDRESS ?? base);
console.log(`the site is in ${OUTPUT}`);
