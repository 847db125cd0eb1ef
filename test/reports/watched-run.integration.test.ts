import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { fineTune } from "../../src/fine-tune.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

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
  const { directory, result } = await fineTune(
    { ...config, epochs: 2, output: join(home, "reported") },
    { watch: { onServing: (url) => addresses.push(url) } },
  );
  const report = await readFile(join(directory, "report.html"), "utf8");
  expect(report).toContain("lora on tickets.csv");
  expect(report).toContain("40 training examples; scored on 5 held out (10 %, drawn by seed 42).");
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
  await expect(fineTune({ ...config, output }, { watch: { port, onServing: () => {} } })).rejects.toThrow(
    `can't watch on port ${port} of 127.0.0.1 (EADDRINUSE)`,
  );
  expect(existsSync(output)).toBe(false);
});
