import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import type { TestProject } from "vitest/node";
import { isBuilt } from "../support/build.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Folder of the page that trains, as it is built. */
    page: string;
  }
}

/** Builds the page once for the tests of all files, where `npm run build` has not. */
export default async function buildPage({ provide }: TestProject): Promise<undefined | (() => Promise<void>)> {
  if (isBuilt("page/index.html", ["src", "web", "examples"])) {
    provide("page", fileURLToPath(new URL("../../dist/page", import.meta.url)));
    return undefined;
  }
  const folder = await mkdtemp(join(tmpdir(), "aflora-page-"));
  await build({
    configFile: fileURLToPath(new URL("../../web/vite.config.ts", import.meta.url)),
    logLevel: "silent",
    build: { outDir: folder },
  });
  provide("page", folder);
  return () => rm(folder, { recursive: true });
}
