import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type PageServer, servePage, writePage } from "../../src/serving/page-server.ts";

let home: string;
let page: string;
let server: PageServer;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-page-server-"));
  page = join(home, "page");
  await mkdir(page);
  await writeFile(join(page, "index.html"), "<!doctype html><title>a page</title>");
  server = await servePage({ port: 0, page });
});
afterAll(async () => {
  await server.close();
  await rm(home, { recursive: true });
});

test("serves the page with the headers that threads need, and a policy without foreign scripts", async () => {
  const response = await fetch(server.url);
  expect(await response.text()).toContain("a page");
  expect(response.headers.get("Cross-Origin-Opener-Policy")).toBe("same-origin");
  expect(response.headers.get("Cross-Origin-Embedder-Policy")).toBe("require-corp");
  const policy = response.headers.get("Content-Security-Policy")!;
  expect(policy).toMatch(/^default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/);
  expect(policy).not.toMatch(/'unsafe-eval'|script-src[^;]*'unsafe-inline'/);
});

test("also serves the bundled model, and nothing else", async () => {
  const config = await fetch(`${server.url}models/all-MiniLM-L6-v2/config.json`);
  expect(((await config.json()) as { model_type: string }).model_type).toBe("bert");
  expect((await fetch(`${server.url}models/all-MiniLM-L6-v2/none.json`)).status).toBe(404);
  expect((await fetch(`${server.url}..%2f..%2fetc%2fpasswd`)).status).toBe(404);
  // As long as the model's name: without it, `../sst2/dev.tsv` is left.
  const name = "a".repeat("all-MiniLM-L6-v2".length);
  expect((await fetch(`${server.url}models/${name}../sst2/dev.tsv`)).status).toBe(404);
  expect((await fetch(`${server.url}models/${name}/config.json`)).status).toBe(404);
  expect((await fetch(`${server.url}models/all-MiniLM-L6-v2`)).status).toBe(404);
});

test("a page of another site whose name resolves here is not answered", async () => {
  const status = await new Promise<number | undefined>((resolve, reject) => {
    request(server.url, { headers: { Host: "example.org" } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });
  expect(status).toBe(403);
});

test("is written as static files with the model, only into a new folder", async () => {
  const site = join(home, "site");
  await writePage(site, { page });
  expect(await readFile(join(site, "_headers"), "utf8")).toMatch(
    /^\/\*\n {2}Cross-Origin-Opener-Policy: same-origin\n/,
  );
  expect((await stat(join(site, "models/all-MiniLM-L6-v2/model.safetensors"))).size).toBeGreaterThan(4e7);
  await expect(writePage(site, { page })).rejects.toThrow(/site already exists; name a new folder/);
});

test("a page that was not built is an error", async () => {
  await expect(servePage({ port: 0, page: join(home, "none") })).rejects.toThrow(/not built in .*none; npm run build/);
});
