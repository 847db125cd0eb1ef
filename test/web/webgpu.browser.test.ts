import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { inChromium, installedChromium, launchChromium } from "../support/chromium.ts";
import { readJson } from "../support/small-bert.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";
import { bundleForBrowser } from "./bundle.ts";
import { startSite } from "./site.ts";
import type { WebGpuAnswer, WebGpuRequest } from "./webgpu-worker.ts";
import { runInWorker } from "./worker.ts";

/** Models, each with a method. */
const CASES = [
  ["deberta-v2-1", "full"],
  ["llama-1", "lora"],
] as const;

// Over software that imitates a graphics card, whose kernels take most of a minute to compile.
test.skipIf(!installedChromium)(
  `WebGPU gives Wasm's losses and gradients, computes all of a step, is chosen where it is faster, and says so where it goes away, ${inChromium}`,
  { timeout: 600_000 },
  async () => {
    const home = await mkdtemp(join(tmpdir(), "aflora-webgpu-"));
    const bundle = join(home, "bundle");
    await bundleForBrowser(fileURLToPath(new URL("webgpu-worker.ts", import.meta.url)), bundle);
    await writeTinyModel(join(home, "model"));
    const csv = await writeCsv(join(home, "tickets.csv"), tickets());
    const browser = await launchChromium({ webGpu: true });
    const site = await startSite({ bundle, model: join(home, "model") });
    try {
      const request: WebGpuRequest = {
        cases: Object.fromEntries(
          CASES.map(([name, method]) => [
            `${name} ${method}`,
            { config: readJson(`models/${name}/config.json`), method },
          ]),
        ),
        model: `${site.url}model/`,
        data: await readFile(csv, "utf8"),
      };
      const { answer } = await runInWorker<WebGpuAnswer>(browser, site.url, "bundle/entry.js", request);
      expect(answer.card).toBe(false);
      for (const [model, method] of CASES) {
        const name = `${model} ${method}`;
        const { losses, farthest, onCpu } = answer.steps[name]!;
        expect(Math.abs(losses.webgpu / losses.cpu - 1), name).toBeLessThan(1e-3);
        expect(farthest, name).toBeLessThan(1e-3);
        expect(onCpu, name).toEqual([]);
      }
      const { cpu, webgpu } = answer.losses;
      expect(cpu.length).toBeGreaterThan(3);
      expect(webgpu).toHaveLength(cpu.length);
      // The head is fitted to features of each device, and a fit enlarges their differences.
      for (const [i, loss] of cpu.entries()) expect(Math.abs(webgpu[i]! - loss)).toBeLessThan(5e-3);
      const { first, second, only } = answer.chosen;
      for (const { device, note } of [first, second]) {
        expect(device).toBe("cpu");
        expect(note).toMatch(/^trains on WebAssembly: a step took \d+ ms there and [\d,]+ ms on WebGPU$/);
      }
      expect(only).toEqual({ device: "cpu", note: "WebGPU cannot be used in this browser: the device is lost" });
      expect(answer.lost).toMatch(
        /^device "webgpu" was lost during the computation: .*; resume the run from its last checkpoint$/,
      );
    } finally {
      await browser.close();
      await site.close();
      await rm(home, { recursive: true });
    }
  },
);
