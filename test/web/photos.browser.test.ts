import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { unzipSync } from "fflate";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { loadFineTunedModel } from "../../src/index.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { type PageServer, servePage } from "../../src/serving/page-server.ts";
import { inChromium, installedChromium, launchChromium } from "../support/chromium.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { pictureModel, savePicture } from "../support/pictures.ts";
import { PATIENCE, Visit } from "./built-page.ts";

const MODEL = pictureModel("vit");
/** Near to each other, so that losses are far from 0. */
const COLOURS = { green: [110, 120, 100], red: [120, 110, 100] };

// The page learns classes of photos, of a folder and of the camera.
describe.skipIf(!installedChromium)(inChromium, () => {
  let home: string;
  let photos: string;
  let server: PageServer;
  let browser: Browser;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "aflora-photos-page-"));
    photos = join(home, "photos");
    for (const [name, colour] of Object.entries(COLOURS)) {
      for (let i = 0; i < 5; i++) {
        const [height, width] = [14 + 3 * i, 25 - i];
        const data = Uint8Array.from(
          { length: height * width * 3 },
          (_, at) => colour[at % 3]! + ((at * (i + 3)) % 40),
        );
        await savePicture(join(photos, name, i % 2 ? "more" : "", `${i}.png`), { height, width, data });
      }
    }
    server = await servePage({ port: 0, page: inject("page") });
    browser = await launchChromium({ camera: true });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await rm(home, { recursive: true });
  });

  /** Chooses the model of this device, which the page asks for where there are photos. */
  async function chooseModel({ page }: Visit): Promise<void> {
    await page.getByText("Photos need a vision transformer").waitFor();
    expect(await page.getByLabel("all-MiniLM-L6-v2").isVisible()).toBe(false);
    await page.locator("#disk-folder").setInputFiles(MODEL);
    await page.getByText(/^vit, .* million weights/).waitFor();
  }

  test("a dropped folder trains: losses are Node's, and other photos are recognised", {
    timeout: 2 * PATIENCE,
  }, async () => {
    const ofNode: number[] = [];
    const onEvent = on("step", ({ loss }: { loss: number }) => ofNode.push(loss));
    const options = { epochs: 2, batchSize: 4, seed: 5, learningRate: 0.01, headLearningRate: 0.01 };
    await fineTune({ ...options, model: MODEL, train: photos, threads: 1, output: join(home, "run") }, { onEvent });
    expect(ofNode).toHaveLength(4);

    const visit = await Visit.of(browser, server.url);
    const { page } = visit;
    await drop(visit, photos);
    await page.getByText("10 examples").waitFor();
    await expect.poll(() => page.locator("#photo-classes canvas").count()).toBe(10);
    await chooseModel(visit);
    await visit.fill({ Epochs: 2, "Examples per step": 4, "Learning rate": 0.01, Seed: 5 });
    await visit.train();
    await visit.ended();
    const table = visit.section("Look").locator("figure", { has: page.getByRole("heading", { name: "Loss" }) });
    const losses = async (): Promise<number[]> => {
      const rows = await table
        .locator("tbody tr")
        .evaluateAll((found) => found.map((row) => [...row.children].map((cell) => cell.textContent!)));
      return rows.filter(([, training]) => training).map(([, loss]) => Number(loss));
    };
    // A worker draws, and may come later.
    await expect.poll(losses, { timeout: PATIENCE }).toHaveLength(4);
    const shown = await losses();
    for (const [i, loss] of shown.entries()) expect(Math.abs(loss - ofNode[i]!)).toBeLessThan(1e-3);

    const asked = Object.keys(COLOURS).flatMap((colour) => [0, 2, 4].map((i) => join(photos, colour, `${i}.png`)));
    const answers = async (): Promise<string[]> => {
      const said: string[] = [];
      for (const path of asked) {
        await page.locator("#answer").evaluate((answer) => answer.replaceChildren());
        await page.locator("#ask-file").setInputFiles(path);
        said.push((await page.locator("#answer .name").first().textContent())!);
      }
      return said;
    };
    const said = await answers();
    expect(new Set(said)).toEqual(new Set(Object.keys(COLOURS)));
    for (const [name, bytes] of Object.entries(unzipSync(await readFile(await visit.download("Adapter for aflora"))))) {
      await mkdir(dirname(join(home, name)), { recursive: true });
      await writeFile(join(home, name), bytes);
    }
    const model = await loadFineTunedModel(join(home, "adapter"), nodeRuntime({ threads: 1 }), { model: MODEL });
    expect((await model.predict(asked)).map(({ label }) => label)).toEqual(said);
    await model.release();

    // The browser kept the photos with the run.
    await page.reload();
    await page.getByRole("button", { name: "Open it again" }).click();
    await visit.ended();
    expect(await answers()).toEqual(said);
    expect(visit.complaints).toEqual([]);
    await page.close();
  });

  test("the camera gives photos while a button is held, and is answered live", { timeout: 2 * PATIENCE }, async () => {
    const visit = await Visit.of(browser, server.url);
    const { page } = visit;
    await page.locator("#take-photos:enabled").click();
    const takes = page.getByRole("button", { name: "Hold to take" });
    const names = page.getByLabel("Name of the class");
    for (const [i, name] of ["this", "that"].entries()) {
      await names.nth(i).fill(name);
      await takes.nth(i).hover();
      await page.mouse.down();
      await expect.poll(() => page.locator("#photo-classes li").nth(i).locator("canvas").count()).toBeGreaterThan(3);
      await page.mouse.up();
    }
    await page.getByText(/^photos: \d+ pictures/).waitFor();
    expect((await page.locator(".chips li").allTextContents()).sort()).toEqual([
      expect.stringMatching(/^that \d+$/),
      expect.stringMatching(/^this \d+$/),
    ]);
    await names.first().fill("that");
    await names.first().blur();
    expect(await names.first().evaluate((input: HTMLInputElement) => input.validationMessage)).toContain("this name");
    await names.first().fill("this");
    await names.first().blur();
    await chooseModel(visit);
    await page.getByLabel("Method").selectOption("head");
    expect(await page.getByLabel("Epochs").isVisible()).toBe(false);
    await visit.train();
    await visit.ended();
    expect(await page.locator("#camera").isVisible()).toBe(false);
    await page.getByRole("button", { name: "Try live with the camera" }).click();
    const first = page.locator("#answer .name").first();
    await first.waitFor();
    const shown = await first.elementHandle();
    // Another answer takes its place.
    await expect.poll(() => shown!.evaluate((name) => name.isConnected)).toBe(false);
    await page.getByRole("button", { name: "Close the camera" }).click();
    expect(await page.locator("#ask-camera").isVisible()).toBe(false);
    expect(visit.complaints).toEqual([]);
    await page.close();
  });

  /** Drops a folder as a person's file manager does. */
  async function drop({ page }: Visit, folder: string): Promise<void> {
    const box = (await page.locator("#drop").boundingBox())!;
    const session = await page.context().newCDPSession(page);
    await page.locator("#file:enabled").waitFor();
    for (const type of ["dragEnter", "dragOver", "drop"] as const) {
      const data = { items: [], files: [folder], dragOperationsMask: 1 };
      await session.send("Input.dispatchDragEvent", { type, x: box.x + 20, y: box.y + 20, data });
    }
  }
});
