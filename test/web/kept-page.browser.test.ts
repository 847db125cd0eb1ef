import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unzipSync } from "fflate";
import type { Browser, BrowserContext } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { BUNDLED_MODEL } from "../../src/index.ts";
import { type PageServer, servePage, writePage } from "../../src/serving/page-server.ts";
import { inChromium, installedChromium, launchChromium } from "../support/chromium.ts";
import { writeSmallEncoder } from "../support/small-encoder.ts";
import { csvOf, PATIENCE, Visit } from "./built-page.ts";
import { type Site, startSite } from "./site.ts";

// What the page that trains keeps in the browser from one visit to the next: runs, itself and its model.
describe.skipIf(!installedChromium)(inChromium, () => {
  let home: string;
  /** The page as files, with a small encoder. */
  let site: string;
  let served: Site;
  let server: PageServer;
  let browser: Browser;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "aflora-kept-page-"));
    site = join(home, "site");
    await writePage(site, { page: inject("page") });
    await writeSmallEncoder(join(site, "models", BUNDLED_MODEL));
    served = await startSite({ "": site });
    server = await servePage({ port: 0, page: inject("page") });
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await served?.close();
    await rm(home, { recursive: true });
  });

  test("a page that is closed within an epoch goes on from the last one, to the adapter of an undisturbed run", {
    timeout: 2 * PATIENCE,
  }, async () => {
    const begin = async (context: BrowserContext): Promise<Visit> => {
      const visit = await Visit.of(context, server.url);
      await visit.give("reviews.csv", csvOf(0, 64));
      await visit.ready();
      await visit.fill({ Epochs: 2, "Examples per step": 8, "Learning rate": 0.01 });
      await visit.train();
      return visit;
    };
    const adapterOf = async (visit: Visit): Promise<Buffer> => {
      await visit.ended();
      const taken = await readFile(await visit.download("Adapter for aflora"));
      return Buffer.from(unzipSync(taken)["adapter/adapter.safetensors"]!);
    };
    const [undisturbed, closed] = [await browser.newContext(), await browser.newContext()];
    const whole = await begin(undisturbed);
    // Stopped for a while, not for good.
    await whole.page.getByText(/^Step [2-9] of/).waitFor();
    await whole.page.getByRole("button", { name: "Pause" }).click();
    await whole.page.getByText("Paused").waitFor();
    await whole.page.getByRole("button", { name: "Continue" }).click();
    const expected = await adapterOf(whole);
    await undisturbed.close();

    const first = await begin(closed);
    await first.page.getByText(/^Step (9|1[0-5]) of 16/).waitFor();
    await first.page.close();
    const second = await Visit.of(closed, server.url);
    await second.page.getByText("all-MiniLM-L6-v2 on reviews.csv, after epoch 1 of 2").waitFor();
    await second.page.getByRole("button", { name: "Continue it" }).click();
    expect((await adapterOf(second)).equals(expected)).toBe(true);
    // The whole run's, not what this visit alone has seen.
    expect(await second.section("Look").getByText("over 16 steps").count()).toBe(1);

    // What had ended is there on a third visit, and gone when it is forgotten.
    await second.page.reload();
    await second.page.getByText("after epoch 2 of 2").waitFor();
    await second.page.getByRole("button", { name: "Forget it" }).click();
    await second.page.reload();
    await second.page.getByText("Choose a file").waitFor();
    expect(await second.page.locator("#left").isVisible()).toBe(false);
    expect([...first.complaints, ...second.complaints]).toEqual([]);
    await closed.close();
  });

  test("a run after a kept one has the rates of its kind", { timeout: 2 * PATIENCE }, async () => {
    const context = await browser.newContext();
    const visit = await Visit.of(context, served.url);
    const pairs = csvOf(0, 16).replace("review,opinion", "anchor,positive");
    const rates = async (): Promise<string[]> => {
      await visit.ended();
      const report = await readFile(await visit.download("Report"), "utf8");
      return report.match(/(head)?learningRate.{0,60}/gi) ?? [];
    };
    await visit.give("pairs.csv", pairs);
    await visit.ready();
    await visit.fill({ Epochs: 1 });
    await visit.train();
    const first = await rates();
    expect(first.length).toBeGreaterThan(1);
    await visit.page.reload();
    await visit.page.getByRole("button", { name: "Open it again" }).click();
    await visit.ended();
    await visit.train();
    expect(await rates()).toEqual(first);
    await context.close();
  });

  test("without a network it trains from the second visit on, by the keyboard alone", {
    timeout: 2 * PATIENCE,
  }, async () => {
    const context = await browser.newContext();
    const first = await Visit.of(context, served.url);
    await first.page.getByText("It is kept now.").waitFor();
    await first.page.getByRole("button", { name: "Begin with 88 support tickets" }).click();
    await first.ready();
    await first.fill({ Epochs: 1 });
    await first.train();
    await first.ended();
    await context.setOffline(true);
    const { page, complaints } = await Visit.of(context, served.url);
    await page.getByRole("button", { name: "Forget it" }).press("Enter");
    await page.getByRole("button", { name: "Begin with 88 support tickets" }).press("Enter");
    await page.getByText("This browser already stores its files").waitFor();
    await page.getByLabel("Epochs").press("Control+A");
    await page.keyboard.type("1");
    await page.keyboard.press("Enter");
    await page.locator("#progress-text", { hasText: "Done." }).waitFor();
    expect(complaints).toEqual([]);
    await context.close();
  });

  test("a host without headers gives one thread, and the second visit all", { timeout: 2 * PATIENCE }, async () => {
    expect(await readFile(join(site, "_headers"), "utf8")).toContain("Cross-Origin-Embedder-Policy: require-corp");
    const plain = await startSite({ "": site }, { isolated: false });
    const context = await browser.newContext();
    try {
      const visit = await Visit.of(context, plain.url);
      await visit.page.getByText("It is kept now.").waitFor();
      await visit.page.getByRole("button", { name: "Begin with 88 support tickets" }).click();
      await visit.ready();
      await visit.page.getByText("Computes with one thread").waitFor();
      await visit.page.getByLabel("Base model").selectOption("int8");
      await visit.fill({ Epochs: 1 });
      await visit.train();
      await visit.ended();
      expect(await readFile(await visit.download("Report"), "utf8")).toContain("metrics on the float32 base model");
      await visit.page.reload();
      await visit.page.getByRole("button", { name: "Begin with 88 support tickets" }).click();
      await visit.page.getByText(/Computes with \d+ threads/).waitFor();
      expect(visit.complaints).toEqual([]);
    } finally {
      await context.close();
      await plain.close();
    }
  });
});
