import { existsSync } from "node:fs";
import { cp, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { createAdaptorServer } from "@hono/node-server";
import { serveStatic } from "@hono/node-server/serve-static";
import { Hono } from "hono";
import { BUNDLED_MODEL } from "../base-models/bundled-model.ts";
import { modelDirectory } from "../base-models/load-base-model-node.ts";
import { opt, UserError } from "../errors.ts";
import { makeFolder } from "../files/atomic-file-node.ts";
import { close, LOOPBACK, listen } from "./loopback.ts";
import { PAGE_POLICY } from "./page-policy.ts";

/** Folder of the built page. The relative path is the same from the sources and from the build. */
const PAGE = fileURLToPath(new URL("../../dist/page", import.meta.url));

/** Path of the bundled model on the page. */
const MODEL = `models/${BUNDLED_MODEL}`;

/** Threads need a cross-origin isolated page. Only models of the hub come from other origins. */
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Content-Security-Policy": `${PAGE_POLICY}; frame-ancestors 'none'`,
};

export interface PageServer {
  /** Such as `http://127.0.0.1:8081/`. */
  readonly url: string;
  close(): Promise<void>;
}

export interface PageOptions {
  /** Folder of the built page. */
  page?: string;
}

/**
 * Serves the page that trains in a browser, with the bundled model, on 127.0.0.1.
 * @param port 0 for any free one
 * @throws UserError if the port cannot be used, or the page is not built
 */
export async function servePage({ port, page = PAGE }: PageOptions & { port: number }): Promise<PageServer> {
  const root = built(page);
  const app = new Hono();
  app.use(async (context, next) => {
    if (!LOOPBACK.test(context.req.header("host") ?? "")) {
      return context.text("Only 127.0.0.1 and localhost are served.\n", 403);
    }
    await next();
    for (const [name, value] of Object.entries(HEADERS)) context.header(name, value);
    context.header("Cache-Control", "no-cache");
  });
  const inModel = `/${MODEL}/`;
  app.use(
    `${inModel}*`,
    serveStatic({
      root: modelDirectory(BUNDLED_MODEL),
      // Only removes the prefix at a segment's end, because paths were checked before.
      rewriteRequestPath: (path) => (path.startsWith(inModel) ? path.slice(inModel.length - 1) : ""),
    }),
  );
  app.use("/*", serveStatic({ root }));
  const server = createAdaptorServer({ fetch: app.fetch });
  const bound = await listen(server, port);
  return { url: `http://127.0.0.1:${bound}/`, close: () => close(server) };
}

/**
 * Writes the page as static files for any host, with the bundled model and a `_headers` file, which several hosts read.
 * @throws UserError if the folder exists, or the page is not built
 */
export async function writePage(folder: string, { page = PAGE }: PageOptions = {}): Promise<void> {
  const root = built(page);
  const directory = resolve(folder);
  if (existsSync(directory)) throw new UserError(`${folder} already exists; name a new folder with ${opt("output")}`);
  await makeFolder(directory);
  await cp(root, directory, { recursive: true });
  await cp(modelDirectory(BUNDLED_MODEL), join(directory, MODEL), { recursive: true });
  const lines = Object.entries(HEADERS).map(([name, value]) => `  ${name}: ${value}\n`);
  await writeFile(join(directory, "_headers"), `/*\n${lines.join("")}`);
}

/** @throws UserError if the page does not exist */
function built(page: string): string {
  if (existsSync(join(page, "index.html"))) return page;
  throw new UserError(`the page is not built in ${page}; npm run build in the clone of aflora builds it`);
}
