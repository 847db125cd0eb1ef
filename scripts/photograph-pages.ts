import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { servePage } from "../src/serving/page-server.ts";
import { launchChromium } from "../test/support/chromium.ts";
import { THEMES } from "./themed-picture.ts";

const SIZE = { width: 1000, height: 505 };
/** Height of the picture of the page that trains, whose steps follow one another. */
const TALL = 900;
/** Milliseconds that a run in a page may take. */
const PATIENCE = 600_000;
const AFLORA = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const REVIEWS = fileURLToPath(new URL("../assets/sst2/train.tsv", import.meta.url));
const ROWS = fileURLToPath(new URL("../examples/tickets.csv", import.meta.url));

/** Photographs a page for each theme, and closes it. */
type Photograph = (name: string, page: Page) => Promise<void>;

/**
 * Photographs a report, the page of a run that trains, and the page that trains in a browser, each for light and dark.
 * @param report HTML of the report
 * @param folder folder of the pictures
 */
export async function photographPages(report: string, folder: string): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), "aflora-pictures-"));
  const browser = await launchChromium();
  const photograph: Photograph = async (name, page) => {
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: join(folder, `${name}-${colorScheme}.png`) });
    }
    await page.close();
  };
  try {
    await writeFile(join(home, "report.html"), report);
    const page = await browser.newPage({ viewport: SIZE });
    await page.goto(pathToFileURL(join(home, "report.html")).href);
    await photograph("page", page);
    await photographRun(browser, home, photograph);
    await photographTraining(browser, photograph);
  } finally {
    await browser.close();
    await rm(home, { recursive: true });
  }
}

/** Watches a run on film reviews for some evaluations, and then ends it. */
async function photographRun(browser: Browser, cwd: string, photograph: Photograph): Promise<void> {
  const flags = ["--train", REVIEWS, "--text", "sentence", "--head-start", "new", "--learning-rate", "0.015"];
  flags.push("--batch-size", "24", "--evaluate-every", "15", "--evaluate-samples", "200", "--output", "watched");
  const run = spawn(process.execPath, [AFLORA, "train", "--watch", "--method", "aflora", ...flags], { cwd });
  const ended = once(run, "close");
  try {
    const page = await browser.newPage({ viewport: SIZE });
    page.setDefaultTimeout(PATIENCE);
    await page.goto(await addressIn(run.stdout, run.stderr));
    await page.getByText(/^(60|7\d) steps so far/).waitFor();
    await photograph("watched", page);
  } finally {
    run.kill("SIGINT");
    await ended;
  }
}

/** Waits for the address that a run prints. */
function addressIn(...outputs: readonly Readable[]): Promise<string> {
  let printed = "";
  return new Promise((resolve) => {
    for (const output of outputs) {
      output.on("data", (bytes) => {
        printed += bytes;
        const [, address] = /watch the run at (http:\S+)/.exec(printed) ?? [];
        if (address) resolve(address);
      });
    }
  });
}

/** Trains on the example's rows in the page, and photographs what it then offers. */
async function photographTraining(browser: Browser, photograph: Photograph): Promise<void> {
  const server = await servePage({ port: 0 });
  try {
    const page = await browser.newPage({ viewport: { ...SIZE, height: TALL } });
    page.setDefaultTimeout(PATIENCE);
    await page.goto(server.url);
    await page.locator("#file:enabled").setInputFiles(ROWS);
    await page.getByText("million weights").waitFor();
    await page.getByRole("button", { name: "Train", exact: true }).click();
    await page.locator("#progress-text", { hasText: /^Done/ }).waitFor();
    await page.locator("#train").scrollIntoViewIfNeeded();
    await photograph("web-page", page);
  } finally {
    await server.close();
  }
}
