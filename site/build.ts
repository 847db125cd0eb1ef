/**
 * Builds the documentation site as static files in site/dist: the pages of docs/ by VitePress, the API by TypeDoc, the page that
 * trains, and llms.txt.
 *
 *     npm run build && npm run site
 *
 * SITE_BASE is the path that the site is served under (by default `/`), SITE_ADDRESS its address, and SITE_REPOSITORY the
 * address of the sources.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Application } from "typedoc";
import { build } from "vitepress";
import { writePage } from "../src/serving/page-server.ts";
import { OUTPUT, writeForPrograms } from "./contents.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const base = process.env.SITE_BASE ?? "/";
await build(here("."), { base, outDir: OUTPUT });

const api = await Application.bootstrapWithPlugins({
  options: here("../typedoc.json"),
  readme: here("api.md"),
  customCss: here("api.css"),
  headings: { readme: false },
  hideGenerator: true,
  navigationLinks: { Contents: `${base}contents`, Playground: `${base}playground` },
});
const project = await api.convert();
if (!project || api.logger.hasErrors()) throw new Error("TypeDoc could not make the API pages");
await api.generateDocs(project, join(OUTPUT, "api"));

await writePage(join(OUTPUT, "try"));
writeForPrograms(process.env.SITE_ADDRESS ?? base);
console.log(`the site is in ${OUTPUT}`);
