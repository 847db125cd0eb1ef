import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeReport } from "../../src/reports/report.ts";
import { startWatchServer } from "../../src/reports/watch-server.ts";
import { inChromium, installedChromium, launchChromium } from "../support/chromium.ts";
import { makeUp, writeRun } from "../support/made-up-run.ts";

describe.skipIf(!installedChromium)(inChromium, () => {
  let home: string;
  let browser: Browser;
  let one: string;
  let several: string;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "aflora-browser-"));
    browser = await launchChromium();
    const directory = await writeRun(join(home, "one"), makeUp({ blocks: 12, metrics: ["accuracy", "f1"] }));
    one = join(home, "one.html");
    await writeReport([directory], one);
    const runs = ["full", "lora", "vera", "aflora"].flatMap((method) =>
      [1, 2].map((seed) => writeRun(join(home, `${method}-${seed}`), makeUp({ method, seed }))),
    );
    several = join(home, "several.html");
    await writeReport(await Promise.all(runs), several);
  });
  afterAll(async () => {
    await browser?.close();
    await rm(home, { recursive: true });
  });

  /** Opens a page and gathers its complaints and what it asks of the network. */
  async function open(address: string, options: BrowserContextOptions = {}) {
    const page = await browser.newPage(options);
    const complaints: string[] = [];
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => {
      const asked = new URL(request.url());
      if (asked.protocol !== "data:" && asked.host !== new URL(address).host) complaints.push(asked.href);
    });
    await page.goto(address);
    return { page, complaints };
  }

  /** Labels of a picture that lie on each other, and pictures or tables that stick out of the page. */
  const faults = (page: Page) =>
    page.evaluate(() => {
      const found: string[] = [];
      for (const svg of document.querySelectorAll("svg")) {
        const title = svg.closest("figure")!.querySelector("h2")!.textContent;
        const place = svg.getBoundingClientRect();
        if (place.right > document.documentElement.clientWidth) found.push(`${title} sticks out`);
        const labels = [...svg.querySelectorAll("text")].map((text) => ({
          text: text.textContent,
          box: text.getBoundingClientRect(),
        }));
        labels.forEach((a, i) => {
          if (a.box.left < place.left - 1 || a.box.right > place.right + 1) found.push(`${title}: ${a.text} is cut`);
          for (const b of labels.slice(i + 1)) {
            const wide = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
            const high = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
            // Boxes of lines of text are taller than their letters.
            if (wide > 1 && high > 4) found.push(`${title}: ${a.text} lies on ${b.text}`);
          }
        });
      }
      if (document.documentElement.scrollWidth > innerWidth) found.push("the page scrolls sideways");
      return found;
    });

  for (const [name, options] of [
    ["light", { colorScheme: "light", viewport: { width: 1200, height: 900 } }],
    ["dark", { colorScheme: "dark", viewport: { width: 1200, height: 900 } }],
    ["a phone", { colorScheme: "light", viewport: { width: 360, height: 700 } }],
  ] as const) {
    test(`one run and several are drawn without a fault: ${name}`, async () => {
      for (const [file, pictures] of [
        [one, 7],
        [several, 6],
      ] as const) {
        const { page, complaints } = await open(pathToFileURL(file).href, options);
        expect(await page.locator("figure svg").count()).toBe(pictures);
        expect(await faults(page)).toEqual([]);
        expect(complaints).toEqual([]);
        const [paper, ink] = await page.evaluate(() => {
          const { backgroundColor, color } = getComputedStyle(document.body);
          return [backgroundColor, color].map((rgb) => Number(/\d+/.exec(rgb)![0]));
        });
        expect(paper! > ink!).toBe(options.colorScheme === "light");
        await page.close();
      }
    });
  }

  test("the marks of each picture can be seen", async () => {
    const { page } = await open(pathToFileURL(one).href);
    const figure = (title: string) =>
      page.locator("figure").filter({ has: page.getByRole("heading", { name: title }) });
    const cells = figure("Iterations until frozen").locator('g[aria-label="cell"] rect');
    expect(await cells.count()).toBe(48);
    const fills = await cells.evaluateAll((rects) => rects.map((rect) => getComputedStyle(rect).fill));
    expect(new Set(fills).size).toBe(6);
    expect(fills).not.toContain("rgb(0, 0, 0)");
    expect(await figure("Validation metrics").locator("circle").count()).toBe(8);
    const numbers = figure("Loss").locator("table");
    expect(await numbers.isVisible()).toBe(false);
    await figure("Loss").getByText("Numbers").click();
    expect(await numbers.isVisible()).toBe(true);
    await page.close();
  });

  test("print is dark on white, also from a dark screen", async () => {
    const { page } = await open(pathToFileURL(one).href, { colorScheme: "dark" });
    await page.emulateMedia({ media: "print" });
    expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe("rgb(255, 255, 255)");
    await page.close();
  });

  test("the live page follows the run, survives a reload and shows the end", async () => {
    const run = makeUp();
    const begun = { ...run, steps: run.steps.slice(0, 5), evaluations: [], freezing: [] };
    const directory = await writeRun(join(home, "live"), begun, false);
    const server = await startWatchServer();
    await server.follow(directory);
    const { page, complaints } = await open(server.url);
    expect(await page.locator("figure svg").count()).toBe(2);
    await page.evaluate(() => Object.assign(window, { untouched: true }));
    await page.getByText("Numbers").first().click();

    for (const step of run.steps.slice(5, 120)) await server.push(step);
    await page.getByText("120 steps so far").waitFor();
    for (const check of run.freezing) await server.push(check);
    for (const evaluation of run.evaluations.slice(0, 2)) await server.push(evaluation);
    await page.getByRole("heading", { name: "Iterations until frozen" }).waitFor();
    expect(await page.locator("figure svg").count()).toBe(7);
    expect(await page.locator("#picture-1-numbers").getAttribute("open")).not.toBeNull();
    expect(await page.evaluate(() => "untouched" in window)).toBe(true);
    expect(await faults(page)).toEqual([]);

    await page.reload();
    expect(await page.locator("figure svg").count()).toBe(7);
    await page.getByText("120 steps so far").waitFor();
    await server.push(run.steps[120]!);
    await page.getByText("121 steps so far").waitFor();

    await writeRun(directory, run);
    await server.close();
    await page.getByText("The run has ended").waitFor();
    await page.getByText("Best epoch 4").waitFor();
    expect(complaints).toEqual([]);
    await page.close();
  });
});
