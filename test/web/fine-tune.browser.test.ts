import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { BUNDLED_MODEL, loadFineTunedModel } from "../../src/index.ts";
import { fineTuneInPage, type PageFineTuneOutcome } from "../../src/preparation/fine-tune-in-page.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { inChromium, installedChromium, launchChromium } from "../support/chromium.ts";
import { on } from "../support/on-event.ts";
import { relativeError } from "../support/small-bert.ts";
import { bundleForBrowser } from "./bundle.ts";
import type { FineTuneAnswer, FineTuneRequest } from "./fine-tune-worker.ts";
import { CONFIG, TEXTS, tablesOf } from "./five-steps.ts";
import { startSite } from "./site.ts";
import { runInWorker } from "./worker.ts";

const assets = fileURLToPath(new URL("../../assets/", import.meta.url));
const MODEL = `${BUNDLED_MODEL}/`;
const DATA = "sst2/dev.tsv";
const NAME = "owner/name";

// aflora/web bundled for a browser fine-tunes the bundled encoder in a worker, over onnxruntime-web's Wasm.
describe.skipIf(!installedChromium)(inChromium, () => {
  let home: string;
  let browser: Browser;
  let inNode: PageFineTuneOutcome;
  let tables: ReturnType<typeof tablesOf>;
  const losses: number[] = [];

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "aflora-web-"));
    await bundleForBrowser(fileURLToPath(new URL("fine-tune-worker.ts", import.meta.url)), join(home, "bundle"));
    browser = await launchChromium();
    tables = tablesOf(await readFile(join(assets, DATA), "utf8"));
    inNode = await fineTuneInPage(
      { ...CONFIG, ...tables, model: folderFiles(join(assets, BUNDLED_MODEL)), modelName: NAME, revision: "v2" },
      { runtime: nodeRuntime({ threads: 2 }), onEvent: on("step", ({ loss }) => void losses.push(loss)) },
    );
  });
  afterAll(async () => {
    await browser?.close();
    await rm(home, { recursive: true });
  });

  async function inPage(
    threads: number,
    isolated: boolean,
    { model = MODEL, ...more }: Partial<Pick<FineTuneRequest, "model" | "base">> = {},
  ) {
    const site = await startSite({ bundle: join(home, "bundle"), assets }, { isolated });
    try {
      const request: FineTuneRequest = {
        threads,
        model: `${site.url}assets/${model}`,
        data: `${site.url}assets/${DATA}`,
        ...more,
      };
      return await runInWorker<FineTuneAnswer>(browser, site.url, "bundle/entry.js", request);
    } finally {
      await site.close();
    }
  }

  test.each([
    [2, "isolated from other origins", true],
    [1, "not isolated", false],
  ] as const)(
    "five steps with %i thread(s) are Node's, and Node predicts with the adapter: a page %s",
    async (threads, _, isolated) => {
      const { answer, isolated: found, complaints } = await inPage(threads, isolated);
      console.log(`a page, ${threads} thread(s): ${Math.round(answer.tokens / answer.seconds)} tokens/s`);
      expect(complaints).toEqual([]);
      expect(found).toBe(isolated);
      expect(answer.losses).toHaveLength(5);
      for (const [i, loss] of answer.losses.entries()) expect(Math.abs(loss - losses[i]!)).toBeLessThan(1e-4);

      const folder = join(home, `adapter-${threads}`);
      await mkdir(folder);
      for (const [name, bytes] of Object.entries(answer.files)) await writeFile(join(folder, name), bytes);
      const tuned = await loadFineTunedModel(folder, nodeRuntime({ threads: 2 }), { model: BUNDLED_MODEL });
      try {
        const predictions = await tuned.predict(TEXTS);
        expect(predictions.map(({ label }) => label)).toEqual(answer.labels);
        const expected = inNode.finished!.adapter.parameters;
        expect(expected.size).toBeGreaterThan(100);
        for (const [name, parameter] of expected) {
          expect(relativeError(tuned.parameters.get(name)!, parameter), name).toBeLessThan(1e-3);
        }
      } finally {
        await tuned.release();
      }
    },
  );

  test("through an int8 base the losses are Node's, too", async () => {
    const expected: number[] = [];
    await fineTuneInPage(
      { ...CONFIG, ...tables, base: "int8", model: folderFiles(join(assets, BUNDLED_MODEL)) },
      { runtime: nodeRuntime({ threads: 2 }), onEvent: on("step", ({ loss }) => void expected.push(loss)) },
    );
    const { answer, complaints } = await inPage(2, true, { base: "int8" });
    expect(complaints).toEqual([]);
    expect(expected).not.toEqual(losses);
    expect(answer.losses).toHaveLength(5);
    for (const [i, loss] of answer.losses.entries()) expect(Math.abs(loss - expected[i]!)).toBeLessThan(1e-3);
  });

  test("the adapter names the model and the revision that it was trained on", () => {
    expect(inNode.finished!.adapter.description).toMatchObject({ model: NAME, revision: "v2" });
  });

  test("what fails in the worker is told", async () => {
    await expect(inPage(1, true, { model: "no-such-model/" })).rejects.toThrow(/no-such-model/);
  });
});

test("a bundle with a module of Node is refused, with who imports it", async () => {
  const entry = fileURLToPath(new URL("../../src/files/atomic-file-node.ts", import.meta.url));
  await expect(bundleForBrowser(entry, join(tmpdir(), "aflora-no-bundle"))).rejects.toThrow(
    /atomic-file-node\.ts imports node:\S+, which no browser has/,
  );
});
