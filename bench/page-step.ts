/**
 * Speed of an AFLoRA training step in a web page (Chromium, WebAssembly), dropout on, beside a bare matrix product in the same page, in turn;
 * with threads, where the page is isolated from others, and with one. `--profile` says where a step's time goes, by kernel.
 *
 *     npm run bench:page [-- [--profile] [MODEL [ROWSxLENGTH]]]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installedChromium, launchChromium } from "../test/support/chromium.ts";
import { bundleForBrowser } from "../test/web/bundle.ts";
import { startSite } from "../test/web/site.ts";
import { runInWorker } from "../test/web/worker.ts";
import { oneOf, refuse, shapeOf } from "./arguments.ts";
import type { PageStepAnswer, PageStepRequest } from "./page-step-worker.ts";
import { ENCODER_NAMES } from "./random-model.ts";

const given = process.argv.slice(2);
const profile = given.includes("--profile");
const [name = "all-MiniLM-L6-v2", size = "8x64"] = given.filter((argument) => argument !== "--profile");
const model = oneOf("model", name, ENCODER_NAMES);
const [rows, length] = shapeOf(size);
if (!installedChromium) refuse("no Chromium is installed here");

const home = await mkdtemp(join(tmpdir(), "aflora-bench-page-"));
await bundleForBrowser(fileURLToPath(new URL("page-step-worker.ts", import.meta.url)), home);
const browser = await launchChromium();
try {
  for (const isolated of [true, false]) {
    const site = await startSite({ bundle: home }, { isolated });
    const request: PageStepRequest = { model, formats: ["float32", "int8"], rows, length, rounds: 7, profile };
    const { answer } = await runInWorker<PageStepAnswer>(browser, site.url, "bundle/entry.js", request);
    await site.close();
    console.log(
      `${model}, ${size} tokens, ${answer.threads} threads: bare product ${answer.gigaflops.toFixed(1)} GFLOP/s`,
    );
    for (const { format, milliseconds, gigaflops } of answer.steps) {
      const speed = Math.round((rows * length * 1000) / milliseconds);
      console.log(
        `  base ${format}: a step ${milliseconds.toFixed(0)} ms, ${speed} tokens/s, ${gigaflops.toFixed(1)} GFLOP/s, ratio ${(gigaflops / answer.gigaflops).toFixed(2)}`,
      );
    }
    for (const table of answer.profiles) console.log(table);
  }
} finally {
  await browser.close();
  await rm(home, { recursive: true });
}
