import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { unzipSync } from "fflate";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { fineTuneInPage } from "../../src/finetuning/fine-tune-in-page.ts";
import { BUNDLED_MODEL } from "../../src/index.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { type PageServer, servePage } from "../../src/serving/page-server.ts";
import { inChromium, installedChromium, launchChromium } from "../chromium.ts";
import { AFLORA } from "../cli/aflora.ts";
import { buildPage, Visit } from "./built-page.ts";

const assets = fileURLToPath(new URL("../../assets/", import.meta.url));
const MINUTES = 60_000;

// The page that trains, as `aflora web` serves it, and what is taken away from it.
describe.skipIf(!installedChromium)(inChromium, () => {
  let home: string;
  let built: Awaited<ReturnType<typeof buildPage>>;
  let server: PageServer;
  let browser: Browser;
  /** Rows of SST-2 as a spreadsheet writes them. */
  let rows: string[];

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "aflora-page-test-"));
    built = await buildPage();
    server = await servePage({ port: 0, page: built.folder });
    browser = await launchChromium();
    const [, ...lines] = (await readFile(join(assets, "sst2/train.tsv"), "utf8")).trim().split("\n");
    rows = lines.map((line) => {
      const [text, label] = line.split("\t") as [string, string];
      return `"${text.replaceAll('"', '""')}",${label === "1" ? "good" : "bad"}`;
    });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await built?.remove();
    await rm(home, { recursive: true });
  });

  const csvOf = (from: number, to: number): string => ["review,opinion", ...rows.slice(from, to)].join("\n");

  async function unzipped(path: string, folder: string): Promise<string> {
    for (const [name, bytes] of Object.entries(unzipSync(await readFile(path)))) {
      if (name.endsWith("/")) continue;
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), bytes);
    }
    return folder;
  }

  test("from a CSV file to an adapter that Node predicts with: losses and labels are Node's", {
    timeout: 5 * MINUTES,
  }, async () => {
    const data = csvOf(0, 400);
    const options = { epochs: 1, batchSize: 16, seed: 3, learningRate: 0.01 };
    const losses: number[] = [];
    await fineTuneInPage(
      {
        ...options,
        headLearningRate: 0.01,
        text: "review",
        label: "opinion",
        model: folderFiles(join(assets, BUNDLED_MODEL)),
        train: { name: "reviews.csv", text: data },
      },
      { runtime: nodeRuntime({ threads: 2 }), onStep: ({ loss }) => void losses.push(loss) },
    );
    expect(losses.length).toBeGreaterThanOrEqual(20);

    const visit = await Visit.of(browser, server.url);
    const { page } = visit;
    await visit.give("reviews.csv", data);
    await page.getByText("400 examples").waitFor();
    expect(await page.locator("#text").inputValue()).toBe("review");
    expect(await page.locator("#label").inputValue()).toBe("opinion");
    await visit.ready();
    await visit.fill({ Epochs: 1, "Examples a step": 16, "Learning rate": 0.01, Seed: 3 });
    await page.evaluate(() => {
      const tasks: number[] = [];
      Object.assign(window, { tasks });
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) tasks.push(duration);
      }).observe({ type: "longtask" });
    });
    await visit.train();
    await visit.ended(3 * MINUTES);
    const tasks = await page.evaluate(() => (window as unknown as { tasks: number[] }).tasks);
    console.log(`the page's longest task while training: ${Math.max(0, ...tasks)} ms`);

    const look = visit.section("Look");
    expect(await look.locator("figure svg").count()).toBeGreaterThanOrEqual(6);
    const cells = look
      .locator("figure")
      .filter({ hasText: "Iterations until frozen" })
      .locator('g[aria-label="cell"] rect');
    expect(await cells.count()).toBe(24);
    const table = look
      .locator("figure")
      .filter({ has: page.getByRole("heading", { name: "Loss" }) })
      .locator("tbody tr");
    const shown = await table.evaluateAll((found) =>
      found.map((row) => [...row.children].map((cell) => cell.textContent!)).filter(([, training]) => training),
    );
    expect(shown).toHaveLength(losses.length);
    for (const [i, [, loss]] of shown.entries()) expect(Math.abs(Number(loss) - losses[i]!)).toBeLessThan(1e-3);

    const texts = rows.slice(400, 500).map((row) => row.slice(1, row.lastIndexOf('"')).replaceAll('""', '"'));
    const said: string[] = [];
    for (const text of texts) {
      await page.locator("#answer").evaluate((answer) => answer.replaceChildren());
      await page.getByLabel("Your text").fill(text);
      await page.keyboard.press("Enter");
      said.push((await page.locator("#answer .name").first().textContent())!);
    }
    expect(new Set(said)).toEqual(new Set(["good", "bad"]));

    const adapter = await unzipped(await visit.download("Adapter for aflora"), join(home, "taken"));
    const file = join(home, "texts.txt");
    await writeFile(file, `${texts.join("\n")}\n`);
    const predict = [...AFLORA.slice(1), "predict", "--adapter", join(adapter, "adapter"), "--file", file, "--json"];
    const { stdout } = await promisify(execFile)(AFLORA[0]!, predict, { maxBuffer: 1e8 });
    const labels = stdout
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { label: string }).label);
    expect(labels).toEqual(said);

    const report = await readFile(await visit.download("Report"), "utf8");
    expect(report).toContain("aflora on reviews.csv");
    expect(report).toContain("held out (10 %, drawn by seed 3)");
    const peft = await unzipped(await visit.download("Adapter for PEFT"), join(home, "taken"));
    expect(JSON.parse(await readFile(join(peft, "peft-adapter/adapter_config.json"), "utf8")).peft_type).toBe("LORA");
    expect(visit.complaints).toEqual([]);
    await page.close();
  });
});
