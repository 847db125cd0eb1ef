import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { BUNDLED_MODEL } from "../../src/index.ts";
import { writePage } from "../../src/serving/page-server.ts";
import { inChromium, installedChromium, launchChromium } from "../support/chromium.ts";
import { writeSmallEncoder } from "../support/small-encoder.ts";
import { PATIENCE, Visit } from "./built-page.ts";
import { startSite } from "./site.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

// The examples for pages of one's own learn from tickets.
describe.skipIf(!installedChromium)(inChromium, () => {
  let home: string;
  let browser: Browser;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "aflora-page-examples-"));
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await rm(home, { recursive: true });
  });

  const learns = async (url: string): Promise<void> => {
    const { page, complaints } = await Visit.of(browser, url);
    await page.locator("#file").setInputFiles(join(root, "examples/tickets.csv"));
    await page.getByText("My card was charged twice → billing").waitFor();
    expect(await page.locator("#progress").textContent()).toMatch(/epoch 4: accuracy .*the adapter has \d{6} bytes/s);
    // Which of a model's optional files are on a server only asking tells.
    expect(complaints.filter((each) => !/^404 .*\/models\//.test(each))).toEqual([]);
    await page.close();
  };

  test("with Vite", { timeout: 2 * PATIENCE }, async () => {
    const site = join(home, "vite");
    await build({
      configFile: false,
      logLevel: "silent",
      root: join(root, "examples/page-vite"),
      resolve: { alias: { "aflora/web": join(root, "src/web.ts") } },
      worker: { format: "es" },
      build: { outDir: site },
    });
    await writeSmallEncoder(join(site, "models", BUNDLED_MODEL));
    const served = await startSite({ "": site });
    await learns(served.url);
    await served.close();
  });

  test("with a plain script", { timeout: 2 * PATIENCE }, async () => {
    const site = join(home, "script");
    await writePage(site, { page: inject("page") });
    await writeSmallEncoder(join(site, "models", BUNDLED_MODEL));
    await cp(join(root, "examples/page-script"), site, { recursive: true });
    const served = await startSite({ "": site });
    await learns(served.url);
    await served.close();
  });
});
