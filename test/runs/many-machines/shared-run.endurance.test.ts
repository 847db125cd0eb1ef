import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Aflora, aflora } from "../../support/aflora.ts";
import { tickets, writeCsv, writeTinyModel } from "../../support/tiny-model.ts";
import { noValkey, Valkey } from "../../support/valkey.ts";

const RUNS = Number(process.env.AFLORA_ENDURANCE ?? 1);
const KILLS = 2;

describe.skipIf(noValkey !== undefined)(
  noValkey === undefined ? "with a Valkey server" : `skipped: ${noValkey}`,
  () => {
    let folder: string;
    let server: Valkey;
    const started: Aflora[] = [];
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "aflora-many-"));
      await mkdir(join(folder, "valkey"));
      await writeTinyModel(join(folder, "model"));
      await writeCsv(join(folder, "tickets.csv"), tickets(2));
      server = await Valkey.start(join(folder, "valkey"));
    });
    afterAll(async () => {
      for (const each of started) each.process.kill("SIGKILL");
      await Promise.all(started.map(({ ended }) => ended));
      await server.stop();
      await rm(folder, { recursive: true, force: true, maxRetries: 10 });
    });

    const start = (args: readonly string[]): Aflora => {
      const one = new Aflora(args, folder);
      started.push(one);
      return one;
    };
    const worker = (): Aflora => start(["work", "--queue", server.url, "--dir", "work", "--threads", "1"]);
    const adapterOf = (output: string): Promise<Buffer> =>
      readFile(join(folder, output, "adapter", "adapter.safetensors"));
    const stepsOf = async (output: string): Promise<number> =>
      (await readFile(join(folder, output, "metrics.jsonl"), "utf8").catch(() => "")).split('"kind":"step"').length - 1;
    const reaches = (output: string, steps: number) =>
      expect.poll(() => stepsOf(output), { interval: 20 }).toBeGreaterThanOrEqual(steps);

    const data = [
      "--model",
      "model",
      "--train",
      "tickets.csv",
      "--text",
      "message",
      "--label",
      "team",
      "--threads",
      "1",
    ];
    const settings = [
      "--method",
      "lora",
      "--head-start",
      "new",
      "--epochs",
      "8",
      "--batch-size",
      "9",
      "--token-budget",
      "24",
    ];
    const train = ["train", ...data, ...settings];

    test.each(Array.from({ length: RUNS }, (_, i) => i + 1))(
      "workers are killed, the server restarts, the run is ended and goes on: one process's adapter, to the bit (%i)",
      async (seed) => {
        const [alone, many] = [`alone-${seed}`, `many-${seed}`];
        const run = [...train, "--seed", String(seed)];
        expect((await aflora([...run, "--output", alone], folder)).code).toBe(0);
        const workers = [worker(), worker(), worker()];
        const first = start([...run, "--output", many, "--queue", server.url]);
        await first.says(/takes part/);
        for (let kill = 1; kill <= KILLS; kill++) {
          await reaches(many, 4 * kill);
          workers.shift()!.process.kill("SIGKILL");
          workers.push(worker());
        }
        await server.restart();
        await first.says(/the server at redis:\/\/127\.0\.0\.1:\d+ does not answer: it waits for it/);
        await reaches(many, 4 * (KILLS + 1));
        first.process.kill("SIGINT");
        expect((await first.ended).code).toBe(130);
        for (const each of workers) each.process.kill("SIGKILL");

        const second = start(["train", "--resume", many, "--queue", server.url]);
        await second.says(/it waits for workers/);
        const another = worker();
        expect((await second.ended).code).toBe(0);
        expect((await adapterOf(many)).equals(await adapterOf(alone))).toBe(true);
        expect(await stepsOf(many)).toBe(await stepsOf(alone));
        another.process.kill("SIGTERM");
        expect((await another.ended).code).toBe(0);
      },
    );
  },
);
