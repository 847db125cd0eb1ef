import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { fineTuneWithReport } from "../../src/reports/reported-run.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

const CLI = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const installed = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
].find(existsSync);

let home: string;
let config: { model: string; train: string; text: string; label: string; batchSize: number; threads: number };
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-watched-"));
  const model = await writeTinyModel(join(home, "model"));
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  config = { model, train, text: "message", label: "team", batchSize: 8, threads: 1 };
});
afterAll(() => rm(home, { recursive: true }));

test("a run ends with its report", async () => {
  const addresses: string[] = [];
  const { directory, result } = await fineTuneWithReport(
    { ...config, epochs: 2, output: join(home, "reported") },
    { watch: { onServing: (url) => addresses.push(url) } },
  );
  const report = await readFile(join(directory, "report.html"), "utf8");
  expect(report).toContain("aflora on tickets.csv");
  expect(report).toContain("40 training examples; scores are of 5 held out (10 %, drawn by seed 42).");
  expect(report).toContain(`Best epoch ${result!.bestEpoch}: accuracy`);
  expect(addresses).toHaveLength(1);
  await expect(fetch(addresses[0]!)).rejects.toThrow();
});

test("a port that is taken is refused before anything is written", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  onTestFinished(() => void other.close());
  const { port } = other.address() as AddressInfo;
  const output = join(home, "refused");
  await expect(fineTuneWithReport({ ...config, output }, { watch: { port, onServing: () => {} } })).rejects.toThrow(
    `can't watch on port ${port} of 127.0.0.1 (EADDRINUSE)`,
  );
  expect(existsSync(output)).toBe(false);
});

describe.skipIf(!installed)(
  installed ? "train --watch" : "train --watch: skipped, no Chromium is installed here",
  () => {
    /** Starts `aflora train --watch`, far longer than the test needs unless `epochs` says otherwise. */
    async function start(
      output: string,
      epochs: number,
    ): Promise<{ run: ChildProcess; url: string; log: () => string }> {
      const flags = Object.entries({ ...config, epochs, output, "batch-size": config.batchSize })
        .filter(([name]) => name !== "batchSize")
        .flatMap(([name, value]) => [`--${name}`, String(value)]);
      const run = spawn(process.execPath, ["--import", "tsx", CLI, "train", "--watch", ...flags]);
      onTestFinished(() => void run.kill("SIGKILL"));
      let log = "";
      const url = await new Promise<string>((resolve, reject) => {
        run.stderr.setEncoding("utf8").on("data", (text: string) => {
          log += text;
          const found = /watch the run at (http:\S+)/.exec(log);
          if (found) resolve(found[1]!);
        });
        run.on("exit", () => reject(new Error(log)));
      });
      return { run, url, log: () => log };
    }

    test("the page follows a real run without a reload, and closes with it on Ctrl-C", async () => {
      const output = join(home, "interrupted");
      const { run, url, log } = await start(output, 2000);
      const browser = await chromium.launch({ executablePath: installed!, args: ["--no-sandbox"] });
      onTestFinished(() => browser.close());
      const page = await browser.newPage();
      const complaints: string[] = [];
      page.on("console", (message) => complaints.push(message.text()));
      page.on("pageerror", (error) => complaints.push(error.message));
      await page.goto(url);
      await page.evaluate(() => Object.assign(window, { untouched: true }));
      const steps = async (): Promise<number> =>
        Number(/^([\d,]+) steps? so far/.exec((await page.locator("main > p").textContent())!)![1]!.replace(",", ""));
      const first = await steps();
      await expect.poll(steps, { timeout: 30_000 }).toBeGreaterThan(first);
      await page.getByRole("heading", { name: "Validation metrics" }).waitFor();
      expect(await page.evaluate(() => "untouched" in window)).toBe(true);

      run.kill("SIGINT");
      const [code] = await once(run, "exit");
      expect(code).toBe(130);
      expect(log()).toContain(`train --resume ${output}`);
      await page.getByText("The run has ended").waitFor();
      expect(complaints).toEqual([]);
      await expect(fetch(url)).rejects.toThrow();
    });
  },
);
