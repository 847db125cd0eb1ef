import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { Aflora } from "../support/aflora.ts";
import { inChromium, installedChromium, launchChromium } from "../support/chromium.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-watched-"));
  await writeTinyModel(join(home, "model"));
  await writeCsv(join(home, "tickets.csv"), tickets());
});
afterAll(() => rm(home, { recursive: true }));

describe.skipIf(!installedChromium)(`train --watch, ${inChromium}`, () => {
  test("the page follows a real run without a reload, and closes with it on Ctrl-C", async () => {
    // Far longer than the test needs.
    const flags = "--text message --label team --batch-size 8 --threads 1 --epochs 2000 --output interrupted";
    const run = new Aflora(`train --watch --model model --train tickets.csv ${flags}`.split(" "), home);
    onTestFinished(() => void run.process.kill("SIGKILL"));
    const [, url] = await run.says(/watch the run at (http:\S+)/);
    const browser = await launchChromium();
    onTestFinished(() => browser.close());
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(url!);
    await page.evaluate(() => Object.assign(window, { untouched: true }));
    // Before the first step, the page shows no number.
    const steps = async (): Promise<number> => {
      const [, shown = "0"] = /^([\d,]+) steps? so far/.exec((await page.locator("main > p").textContent())!) ?? [];
      return Number(shown.replace(",", ""));
    };
    const first = await steps();
    await expect.poll(steps, { timeout: 300_000 }).toBeGreaterThan(first);
    await page.getByRole("heading", { name: "Validation metrics" }).waitFor();
    expect(await page.evaluate(() => "untouched" in window)).toBe(true);

    run.process.kill("SIGINT");
    const { code, stderr } = await run.ended;
    expect(code).toBe(130);
    expect(stderr).toMatch(/train --resume \S*interrupted\n/);
    await page.getByText("The run has ended").waitFor();
    expect(complaints).toEqual([]);
    await expect(fetch(url!)).rejects.toThrow();
  });
});
