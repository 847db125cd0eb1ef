import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { env, pipeline } from "@huggingface/transformers";
import { unzipSync } from "fflate";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { BUNDLED_MODEL } from "../../src/index.ts";
import { fineTuneInPage } from "../../src/preparation/fine-tune-in-page.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { type PageServer, servePage } from "../../src/serving/page-server.ts";
import { AFLORA } from "../support/aflora.ts";
import { inChromium, installedChromium, launchChromium } from "../support/chromium.ts";
import { on } from "../support/on-event.ts";
import { writeTinyModel } from "../support/tiny-model.ts";
import { csvOf, PATIENCE, ROWS, Visit } from "./built-page.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const assets = join(root, "assets");

// The page that trains, as `aflora web` serves it, and what is taken away from it.
describe.skipIf(!installedChromium)(inChromium, () => {
  let home: string;
  let server: PageServer;
  let browser: Browser;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "aflora-page-test-"));
    Object.assign(env, { localModelPath: join(home, "taken"), allowRemoteModels: false });
    server = await servePage({ port: 0, page: inject("page") });
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await rm(home, { recursive: true });
  });

  async function unzipped(path: string, folder: string): Promise<string> {
    for (const [name, bytes] of Object.entries(unzipSync(await readFile(path)))) {
      if (name.endsWith("/")) continue;
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), bytes);
    }
    return folder;
  }

  test("what looks wrong in the rows is shown before training, and by the keyboard", {
    timeout: 2 * PATIENCE,
  }, async () => {
    const visit = await Visit.of(browser, server.url);
    const { page } = visit;
    const lines = ROWS.slice(0, 30);
    const [text] = lines[0]!.split(/,(?=\w+$)/) as [string];
    const twice = `${text.replace(/"$/, '!"')},neutral`;
    await visit.give("reviews.csv", ["review,opinion", ...lines, twice].join("\n"));
    const summary = page.locator("#rows-wrong-summary");
    await summary.waitFor();
    expect(await page.locator("#row-notes li").allTextContents()).toEqual([
      expect.stringMatching(/^1 class has fewer than 3 rows \("neutral"\)/),
    ]);
    expect(await summary.textContent()).toBe(
      "Rows that look wrong (classes with few rows: 1; near duplicates with another label: 1)",
    );
    expect(await page.locator("#rows-wrong-list").isVisible()).toBe(false);
    await summary.focus();
    await page.keyboard.press("Enter");
    const list = page.locator("#rows-wrong-list");
    await list.waitFor();
    expect(await list.getByText("neutral has 1 training row; give at least 8").count()).toBe(1);
    const cells = await list.locator("tbody").last().locator("th, td").allTextContents();
    expect(cells).toEqual([
      "line 32",
      "neutral",
      expect.stringMatching(/^nearly reviews\.csv, line 2, which is (good|bad)$/),
      expect.any(String),
    ]);

    // A file without a header: its first row stands where names belong.
    await visit.give("headless.csv", ["a good film,good", ...ROWS.slice(0, 40)].join("\n"));
    await page.locator("#label").waitFor();
    await page.locator("#text").selectOption("a good film");
    await page.locator("#label").selectOption("good");
    await expect.poll(() => summary.textContent()).toContain("the first line seems to be a row");

    // Of rows in which nothing looks wrong nothing is shown.
    await visit.give("sound.csv", csvOf(0, 60));
    await page.getByText("60 examples").waitFor();
    await expect.poll(() => page.locator("#rows-wrong").isVisible()).toBe(false);
    expect(visit.complaints).toEqual([]);
    await page.close();
  });

  test("from a CSV file to an adapter that Node predicts with: losses and labels are Node's", {
    timeout: 2 * PATIENCE,
  }, async () => {
    const data = csvOf(0, 200);
    const options = { epochs: 2, maxSteps: 23, batchSize: 8, seed: 7, learningRate: 0.005 };
    const losses: number[] = [];
    await fineTuneInPage(
      {
        ...options,
        // As in the recipe, 0.4 of the method's rate.
        headLearningRate: 0.002,
        text: "review",
        label: "opinion",
        model: folderFiles(join(assets, BUNDLED_MODEL)),
        train: { name: "reviews.csv", text: data },
      },
      { runtime: nodeRuntime({ threads: 2 }), onEvent: on("step", ({ loss }) => void losses.push(loss)) },
    );
    expect(losses.length).toBeGreaterThanOrEqual(20);

    const visit = await Visit.of(browser, server.url);
    const { page } = visit;
    await visit.give("reviews.csv", data);
    await page.getByText("200 examples").waitFor();
    expect(await page.locator("#text").inputValue()).toBe("review");
    expect(await page.locator("#label").inputValue()).toBe("opinion");
    await visit.ready();
    await visit.fill({ Epochs: 2, "Steps in all": 23, "Examples per step": 8, "Learning rate": 0.005, Seed: 7 });
    await page.evaluate(() => {
      const tasks: number[] = [];
      Object.assign(window, { tasks });
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) tasks.push(duration);
      }).observe({ type: "longtask" });
    });
    const begun = performance.now();
    await visit.train();
    await visit.ended();
    const taken = performance.now() - begun;
    const tasks = await page.evaluate(() => (window as unknown as { tasks: number[] }).tasks);
    // Under 50 ms none is told of; more is left for a busy machine, where all takes longer.
    console.log(`the page's tasks of 50 ms and more while training: ${tasks.join(", ") || "none"}`);
    expect(Math.max(0, ...tasks)).toBeLessThan(Math.max(150, taken / 100));

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

    const texts = ROWS.slice(400, 450).map((row) => row.slice(1, row.lastIndexOf('"')).replaceAll('""', '"'));
    const said: string[] = [];
    for (const text of texts) {
      await page.locator("#answer").evaluate((answer) => answer.replaceChildren());
      await page.getByLabel("Your text").fill(text);
      await page.keyboard.press("Enter");
      said.push((await page.locator("#answer .name").first().textContent())!);
    }
    expect(new Set(said)).toEqual(new Set(["good", "bad"]));
    // No answer is as sure as this; without a threshold, the class stands alone.
    const unsure = page.locator("#answer .said");
    expect(await unsure.count()).toBe(0);
    await page.getByLabel("Unsure below, %").fill("100");
    expect(await unsure.textContent()).toBe("unsure");
    await page.getByLabel("Unsure below, %").fill("1");
    expect(await unsure.count()).toBe(0);

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
    expect(report).toContain("held out (10 %, drawn by seed 7)");
    const peft = await unzipped(await visit.download("Adapter for PEFT"), join(home, "taken"));
    expect(JSON.parse(await readFile(join(peft, "peft-adapter/adapter_config.json"), "utf8")).peft_type).toBe("LORA");
    await unzipped(await visit.download("Model in ONNX"), join(home, "taken"));
    const classify = await pipeline("text-classification", "onnx-model", { dtype: "fp32" });
    const inTransformersJs = (await classify(texts.slice(0, 20))) as { label: string }[];
    expect(inTransformersJs.map(({ label }) => label)).toEqual(said.slice(0, 20));
    await classify.dispose();
    expect(visit.complaints).toEqual([]);
    await page.close();
  });

  test("the learning rate is the method's for what the rows hold", { timeout: PATIENCE }, async () => {
    const visit = await Visit.of(browser, server.url);
    const rate = () => visit.page.locator("#learning-rate").inputValue();
    await visit.give("reviews.csv", csvOf(0, 60));
    await expect.poll(rate).toBe("0.0004");
    await visit.page.locator("#method").evaluate((select: HTMLSelectElement) => {
      select.value = "aflora";
      select.dispatchEvent(new Event("change"));
    });
    await expect.poll(rate).toBe("0.01");
    await visit.give(
      "pairs.csv",
      ["anchor,positive", ...ROWS.slice(0, 20).map((_, i) => `word ${i},meaning ${i}`)].join("\n"),
    );
    await expect.poll(rate).toBe("0.004");
    await visit.page.close();
  });

  test("with 800 texts and more than six blocks, the learning rate is higher", { timeout: PATIENCE }, async () => {
    const folder = await writeTinyModel(join(home, "twelve-blocks"));
    const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
    await writeFile(join(folder, "config.json"), JSON.stringify({ ...config, num_hidden_layers: 12 }));
    const visit = await Visit.of(browser, server.url);
    const { page } = visit;
    const rate = () => page.locator("#learning-rate").inputValue();
    await visit.give("reviews.csv", csvOf(0, 800));
    await visit.ready();
    await page.getByLabel("From this device").check();
    await page.getByLabel("Folder", { exact: true }).setInputFiles(folder);
    await expect.poll(rate).toBe("0.0008");
    await visit.give("fewer.csv", csvOf(0, 799));
    await expect.poll(rate).toBe("0.0004");
    await page.close();
  });

  test("what cannot be used is a sentence, and the page stays usable", { timeout: 2 * PATIENCE }, async () => {
    const visit = await Visit.of(browser, server.url);
    const { page } = visit;
    const problem = async (id: string): Promise<string> => {
      const said = page.locator(id);
      await expect.poll(() => said.textContent(), { timeout: PATIENCE }).not.toBe("");
      return (await said.textContent())!;
    };
    await visit.give("picture.png", Buffer.from([0x89, 0x50]));
    expect(await problem("#data-problem")).toMatch(/^picture\.png: unknown kind of file; its name must end in \.csv/);
    await visit.give("tickets.csv", Buffer.from([0x74, 0xff, 0x00]));
    await expect.poll(() => problem("#data-problem")).toBe("tickets.csv is not UTF-8 text; save it with that encoding");
    await visit.give("zeros.csv", Buffer.alloc(100));
    await expect.poll(() => problem("#data-problem")).toBe("zeros.csv is not text; save it as CSV, TSV or JSONL");
    await visit.give("rows.csv", "text,label\nfine,good\nbad,awful,really\n");
    await expect.poll(() => problem("#data-problem")).toMatch(/^rows\.csv, line 3: 3 fields, too many/);
    const script = "<img src=x onerror=alert(1)>";
    await visit.give(`${script}.csv`, `text,label\nfine,${script}\n`);
    await expect.poll(() => problem("#data-problem")).toContain(`holds one label only, "${script}"`);
    await visit.give("unlabelled.csv", "text,label\nfine,good\nbad,\n");
    await expect.poll(() => problem("#data-problem")).toMatch(/^unlabelled\.csv, line 3: no label in column "label"/);

    // 20 MB, 100,000 rows, one of them of 100,000 characters.
    const many = Array.from({ length: 100_000 }, (_, i) => `"row ${i} ${"is long, ".repeat(20)}",${i % 3 ? "a" : "b"}`);
    many[1] = `"${"word ".repeat(20_000)}",a`;
    await visit.give("many.csv", ["text,label", ...many].join("\n"));
    await page.getByText("100,000 examples").waitFor();
    expect(await page.locator("#data-problem").textContent()).toBe("");
    expect(await page.locator("#preview").innerHTML()).not.toContain("word ".repeat(100));

    await visit.give("odd.csv", `text,label\n"${script}",good\nbad,${script}\n`);
    await page.getByText("2 examples").waitFor();
    expect(await page.locator("main img").count()).toBe(0);
    expect(await page.locator("#preview").textContent()).toContain(script);

    await visit.ready();
    await page.route("https://huggingface.co/**", async (route) => {
      const large = {
        model_type: "llama",
        vocab_size: 128_256,
        hidden_size: 4096,
        intermediate_size: 14_336,
        num_hidden_layers: 32,
      };
      const heads = {
        num_attention_heads: 32,
        num_key_value_heads: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 5e5,
        max_position_embeddings: 8192,
      };
      const headers = { "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin" };
      const isLarge = route.request().url().endsWith("/llm/large/resolve/main/config.json");
      if (isLarge) await route.fulfill({ status: 200, headers, json: { ...large, ...heads, hidden_act: "silu" } });
      else await route.fulfill({ status: route.request().url().includes("/no/model/") ? 404 : 401, headers });
    });
    await page.getByLabel("From the Hugging Face hub").check();
    const lookUp = async (id: string): Promise<void> => {
      await page.getByLabel("Name on the hub").fill(id);
      await page.getByRole("button", { name: "Look it up" }).click();
    };
    await lookUp("no model");
    expect(await problem("#model-problem")).toBe('"no model" is not the name of a model on the hub; write owner/name');
    await lookUp("no/model");
    await expect.poll(() => problem("#model-problem")).toContain("no/model has no config.json");
    await lookUp("not/public");
    await expect.poll(() => problem("#model-problem")).toContain("There is no public model not/public on the hub");
    await lookUp("llm/large");
    await expect
      .poll(() => problem("#model-problem"))
      .toMatch(/llm\/large has 7,5\d\d million weights .* choose a smaller model/);
    expect(await page.getByRole("button", { name: "Train", exact: true }).isEnabled()).toBe(false);
    await page.getByLabel("all-MiniLM-L6-v2").check();
    await visit.ready();
    expect(await page.getByRole("button", { name: "Train", exact: true }).isEnabled()).toBe(true);
    await page.close();
  });

  test("memory that runs out is a sentence, and the page stays usable", { timeout: 2 * PATIENCE }, async () => {
    const small = await launchChromium({ wasmMegabytes: 160 });
    try {
      const visit = await Visit.of(small, server.url);
      await visit.give("reviews.csv", csvOf(0, 60));
      await visit.ready();
      await visit.train();
      const problem = visit.page.locator("#train-problem");
      await expect.poll(() => problem.textContent(), { timeout: PATIENCE }).toMatch(/memory ran out; lower/);
      await visit.page.reload();
      await visit.give("reviews.csv", csvOf(0, 60));
      await visit.ready();
      await visit.page.getByLabel("From this device").check();
      await visit.page.getByLabel("or GGUF file").setInputFiles(join(root, "test/fixtures/gguf/llama.gguf"));
      await visit.page.getByText(/^llama, .* million weights/).waitFor();
      await visit.fill({ Epochs: 1 });
      await visit.train();
      await visit.ended();
    } finally {
      await small.close();
    }
  });

  test("a GGUF file of this device trains, and is kept for the next visit; one tab trains at a time", {
    timeout: 2 * PATIENCE,
  }, async () => {
    const context = await browser.newContext();
    const first = await Visit.of(context, server.url);
    await first.give("reviews.csv", csvOf(0, 60));
    await first.ready();
    await first.page.getByLabel("From this device").check();
    await first.page.getByLabel("or GGUF file").setInputFiles(join(root, "test/fixtures/gguf/llama.gguf"));
    await first.page.getByText(/^llama, .* million weights/).waitFor();
    await first.fill({ Epochs: 2 });
    // At once: so small a model has trained before a slow machine's browser could press another button.
    await first.page.evaluate(() => {
      for (const id of ["start", "pause"]) (document.getElementById(id) as HTMLButtonElement).click();
    });

    const second = await Visit.of(context, server.url);
    await second.give("reviews.csv", csvOf(0, 60));
    await second.ready();
    await second.train();
    await second.page.getByText("Another tab of this page is training").waitFor();
    await second.page.close();

    await first.page.getByRole("button", { name: "Continue" }).click();
    await first.ended();
    const adapterOf = async (visit: Visit): Promise<Record<string, Uint8Array>> =>
      unzipSync(await readFile(await visit.download("Adapter for aflora")));
    const taken = await adapterOf(first);
    expect(JSON.parse(new TextDecoder().decode(taken["adapter/adapter.json"])).model).toBe("llama.gguf");
    await first.page.reload();
    await first.page.getByRole("button", { name: "Open it again" }).click();
    await first.ended();
    expect(await adapterOf(first)).toEqual(taken);

    // Another file was chosen before: the columns are the kept run's all the same, also for what is trained after it.
    await first.page.reload();
    await first.give("other.csv", csvOf(0, 60).replace("review,opinion", "text,label"));
    await first.ready();
    await first.page.getByRole("button", { name: "Open it again" }).click();
    await first.ended();
    await first.ready();
    await first.train();
    await first.page.getByText(/^Step \d+ of/).waitFor();
    await first.page.getByRole("button", { name: "Stop" }).click();
    await first.ended();
    expect([...first.complaints, ...second.complaints]).toEqual([]);
    await context.close();
  });

  test("it trains where the browser keeps nothing, and each run hears of its own buttons alone", {
    timeout: 2 * PATIENCE,
  }, async () => {
    const context = await browser.newContext();
    // As in some private windows.
    await context.route("**/training-worker*.js", async (route) => {
      const response = await route.fetch();
      const refuses = 'navigator.storage.getDirectory = async () => { throw new DOMException("not here") };';
      await route.fulfill({ response, body: `${refuses}\n${await response.text()}` });
    });
    const visit = await Visit.of(context, server.url);
    const { page } = visit;
    await visit.give("reviews.csv", csvOf(0, 60));
    await visit.ready();
    await page.getByLabel("From this device").check();
    await page.getByLabel("or GGUF file").setInputFiles(join(root, "test/fixtures/gguf/llama.gguf"));
    await page.getByText(/^llama, .* million weights/).waitFor();
    await visit.fill({ Epochs: 1 });
    await visit.train();
    await visit.ended();
    const notes = await page.locator("#notes li").allTextContents();
    expect(notes.filter((note) => note === "the run cannot be kept in this browser: not here")).toHaveLength(1);

    // A run that cannot begin leaves the model of the one before.
    await visit.fill({ "Learning rate": 0 });
    await visit.train();
    await expect.poll(() => page.locator("#train-problem").textContent()).toMatch(/learning/i);
    await page.getByLabel("Your text").fill("a warm and wise film");
    await page.keyboard.press("Enter");
    await page.locator("#answer .name").first().waitFor();
    expect(await readFile(await visit.download("Report"), "utf8")).toContain("aflora on reviews.csv");

    // Pressed while a run was ending.
    await page.locator("#pause").evaluate((pause: HTMLButtonElement) => pause.click());
    await visit.fill({ "Learning rate": 0.01 });
    await visit.train();
    await visit.ended();

    await visit.fill({ Epochs: 500 });
    await page.evaluate(() => {
      for (const id of ["start", "stop"]) (document.getElementById(id) as HTMLButtonElement).click();
    });
    await visit.ended();
    expect(await page.locator("#progress-text").textContent()).toMatch(/^Stopped before the first epoch/);
    expect(visit.complaints).toEqual([]);
    await context.close();
  });
});
