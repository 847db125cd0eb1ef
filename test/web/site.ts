import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { text } from "node:stream/consumers";

const TYPES: Record<string, string> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** A site on 127.0.0.1. */
export interface Site {
  /** `http://127.0.0.1:41234/` */
  url: string;
  close(): Promise<void>;
}

/**
 * Serves folders, each under its name, and an empty page at `/`; a folder without a name is served there with its own.
 * @param isolated whether pages are isolated from other origins: without it a browser gives Wasm one thread
 * @param onPost hears what pages post, as text
 */
export async function startSite(
  folders: Readonly<Record<string, string>>,
  { isolated = true, onPost }: { isolated?: boolean; onPost?: (text: string) => void } = {},
): Promise<Site> {
  const server = createServer(async (request, response) => {
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    if (request.method === "POST") {
      onPost?.(await text(request));
      response.end();
      return;
    }
    const { pathname } = new URL(request.url!, "http://127.0.0.1");
    const root = folders[""];
    if (pathname === "/" && root === undefined) {
      // The icon is empty, or the browser would ask for one.
      response.setHeader("Content-Type", "text/html; charset=utf-8");
      response.end('<!doctype html><title>aflora</title><link rel="icon" href="data:,">');
      return;
    }
    const [, folder, ...path] = pathname.split("/");
    const inFolder = Object.hasOwn(folders, folder!) ? join(folders[folder!]!, ...path) : undefined;
    const file = root === undefined ? inFolder : join(root, pathname === "/" ? "index.html" : pathname);
    const found = file === undefined ? undefined : await stat(file).catch(() => undefined);
    if (!found?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader("Content-Type", TYPES[extname(file!)] ?? "application/octet-stream");
    response.setHeader("Content-Length", found.size);
    createReadStream(file!).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
