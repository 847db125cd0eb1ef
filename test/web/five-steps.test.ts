import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { inChromium, installedChromium, launchChromium } from "../chromium.ts";
import { relativeError } from "../methods/small-bert.ts";
import { bundleForBrowser } from "./bundle.ts";
import { type FiveSteps, fiveSteps } from "./five-steps.ts";
import type { FiveStepsRequest } from "./five-steps-worker.ts";
import { startSite } from "./site.ts";
import { runInWorker } from "./worker.ts";

const assets = fileURLToPath(new URL("../../assets/", import.meta.url));
const MODEL = "all-MiniLM-L6-v2";
const DATA = "sst2/dev.tsv";

// Covers: the rooms that need no Node bundled for a browser, and in a worker over onnxruntime-web's Wasm the bundled
// encoder's tokenizer, weights and training steps, all fetched over HTTP. Does not cover a public entry for pages.
describe.skipIf(!installedChromium)(inChromium, () => {
  let home: string;
  let browser: Browser;
  let expected: FiveSteps;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "aflora-web-"));
    await bundleForBrowser(fileURLToPath(new URL("five-steps-worker.ts", import.meta.url)), home);
    browser = await launchChromium();
    const tsv = await readFile(join(assets, DATA), "utf8");
    expected = await fiveSteps(nodeRuntime({ threads: 2 }), folderFiles(join(assets, MODEL)), tsv);
  });
  afterAll(async () => {
    await browser?.close();
    await rm(home, { recursive: true });
  });

  /** The five steps in a page. */
  async function inPage(threads: number, isolated: boolean, model = MODEL) {
    const site = await startSite({ bundle: home, assets }, { isolated });
    try {
      const request: FiveStepsRequest = {
        threads,
        model: `${site.url}assets/${model}`,
        data: `${site.url}assets/${DATA}`,
      };
      return await runInWorker<FiveSteps>(browser, site.url, "bundle/entry.js", request);
    } finally {
      await site.close();
    }
  }

  test.each([
    [2, "isolated from other origins", true],
    [1, "not isolated", false],
  ] as const)(
    "five steps with %i thread(s) give Node's losses and gradients: a page %s",
    async (threads, _, isolated) => {
      const { answer, isolated: found, complaints } = await inPage(threads, isolated);
      console.log(`a page, ${threads} thread(s): ${Math.round(answer.tokensPerSecond)} tokens/s`);
      expect(complaints).toEqual([]);
      expect(found).toBe(isolated);
      expect(answer.losses).toHaveLength(5);
      for (const [i, loss] of answer.losses.entries()) expect(Math.abs(loss - expected.losses[i]!)).toBeLessThan(1e-4);
      expect(Object.keys(answer.gradients)).toEqual(Object.keys(expected.gradients));
      for (const [name, gradient] of Object.entries(expected.gradients)) {
        expect(relativeError(answer.gradients[name]!, gradient), name).toBeLessThan(1e-4);
      }
    },
  );

  test("what fails in the worker is told", async () => {
    await expect(inPage(1, true, "no-such-model")).rejects.toThrow(
      /the worker failed: .*no-such-model has no config\.json/,
    );
  });
});

test("a bundle with a module of Node is refused, with who imports it", async () => {
  const entry = fileURLToPath(new URL("../../src/checkpoints/atomic-file-node.ts", import.meta.url));
  await expect(bundleForBrowser(entry, join(tmpdir(), "aflora-no-bundle"))).rejects.toThrow(
    /atomic-file-node\.ts imports node:\S+, which no browser has/,
  );
});
