import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inChromium, installedChromium, launchChromium } from "../support/chromium.ts";
import { ROOT } from "./pages.ts";
import { ran } from "./project.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".png": "image/png",
};
/** Seconds, but on a busy machine minutes. */
const TIMEOUT = 600_000;

let folder: string;
let server: Server;
let address: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-site-"));
  const vitepress = join(ROOT, "node_modules/vitepress/bin/vitepress.js");
  await ran(process.execPath, [vitepress, "build", "site", "--outDir", folder], ROOT);
  server = createServer(async ({ url }, response) => {
    const path = new URL(url!, "http://localhost").pathname.replace(/\/$/, "/index.html");
    const file = extname(path) === "" ? `${path}.html` : path;
    const bytes = await readFile(join(folder, file)).catch(() => undefined);
    response.writeHead(bytes ? 200 : 404, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
    response.end(bytes);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}, TIMEOUT);
afterAll(async () => {
  server?.close();
  await rm(folder, { recursive: true });
});

test("no link of the site is broken", async () => {
  const pages = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".html"));
  expect(pages.length).toBeGreaterThan(30);
  const texts = new Map<string, string>();
  for (const page of pages) texts.set(page, await readFile(join(folder, page), "utf8"));
  const broken: string[] = [];
  for (const [page, text] of texts) {
    for (const [, link] of text.matchAll(/<a [^>]*href="([^"]+)"/g)) {
      const { pathname, hash, origin } = new URL(link!, `http://site/${page}`);
      // The API pages and the page that trains are made by other tools.
      if (origin !== "http://site" || /^\/(api|try)\//.test(pathname)) continue;
      const name = pathname === "/" ? "index.html" : pathname.slice(1).replace(/(\.html)?$/, ".html");
      const id = decodeURIComponent(hash.slice(1));
      const target = texts.get(name);
      const there = id === "" || id === "VPContent" || target?.includes(`id="${id}"`);
      if (target === undefined || !there) broken.push(`${page}: ${link}`);
    }
  }
  expect(broken).toEqual([]);
});

describe.skipIf(!installedChromium)(inChromium, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchChromium();
  }, TIMEOUT);
  afterAll(() => browser?.close());

  test(
    "the first page has less than 300 kB",
    async () => {
      const page = await browser.newPage();
      const sizes: Promise<number>[] = [];
      page.on("response", (response) => sizes.push(response.body().then(({ length }) => length)));
      await page.goto(address, { waitUntil: "networkidle" });
      const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
      expect(bytes).toBeGreaterThan(10_000);
      expect(bytes).toBeLessThan(300_000);
      await page.close();
    },
    TIMEOUT,
  );

  test.each(["light", "dark"] as const)(
    "axe finds nothing serious and nothing is wider than the screen, %s",
    async (colorScheme) => {
      const axe = await readFile(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8");
      for (const viewport of [
        { width: 1280, height: 900 },
        { width: 390, height: 844 },
      ]) {
        const context = await browser.newContext({ colorScheme, viewport });
        const page = await context.newPage();
        for (const path of ["", "learn-frozen", "methods", "studies"]) {
          await page.goto(`${address}/${path}`, { waitUntil: "networkidle" });
          await page.evaluate(axe);
          const found = await page.evaluate<string[]>(`axe.run().then(({ violations }) => violations
            .filter(({ impact }) => impact === "serious" || impact === "critical")
            .flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html)))`);
          expect(found, `${path} at ${viewport.width}`).toEqual([]);
          const wider = await page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
          expect(wider, `${path} at ${viewport.width}`).toBeLessThanOrEqual(0);
        }
        await context.close();
      }
    },
    TIMEOUT,
  );
});
