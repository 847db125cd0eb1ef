import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Aflora, aflora } from "../../support/aflora.ts";
import { questions, writeJsonl, writeTinyLanguageModel } from "../../support/tiny-language-model.ts";
import { tickets, writeCsv, writeTinyModel } from "../../support/tiny-model.ts";
import { noValkey, Valkey } from "../../support/valkey.ts";

/** `AFLORA_ENDURANCE=10 npx vitest run --project endurance shared-run`: ten runs, 30 SIGKILLs of workers. */
const RUNS = Number(process.env.AFLORA_ENDURANCE ?? 1);
/** Of each run. */
const KILLS = 3;

describe.skipIf(noValkey !== undefined)(
  noValkey === undefined ? "with a Valkey server" : `skipped: ${noValkey}`,
  () => {
    let folder: string;
    let server: Valkey;
    const started: Aflora[] = [];
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "aflora-many-"));
      await mkdir(join(folder, "valkey"));
      await writeTinyModel(join(folder, "encoder"));
      await writeTinyLanguageModel(join(folder, "decoder"));
      const rows = tickets(2);
      await writeCsv(join(folder, "tickets.csv"), rows);
      const pairs = rows.map(({ message }) => ({ anchor: message, positive: `please ${message}` }));
      await writeCsv(join(folder, "pairs.csv"), pairs);
      await writeJsonl(join(folder, "chats.jsonl"), questions(24));
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

    const common = ["--threads", "1", "--method", "lora", "--epochs", "8"];
    const encoder = ["--model", "encoder", "--head-start", "new", "--batch-size", "9"];
    const decoder = ["--model", "decoder", "--train", "chats.jsonl", "--batch-size", "6", "--token-budget", "48"];
    const labels = ["--train", "tickets.csv", "--text", "message", "--label", "team", "--token-budget", "24"];
    /** What is trained, in turn. */
    const trained = [
      [...encoder, ...labels],
      [...decoder, "--recompute"],
      // All texts of a batch compared, which is cut.
      [...encoder, "--train", "pairs.csv", "--token-budget", "12"],
      [...decoder, "--base", "int8"],
    ];
    const NUMBERS_OF_WORKERS = [2, 3, 5];

    test.each(Array.from({ length: RUNS }, (_, i) => i + 1))(
      "workers are killed, the server restarts, the run is ended and goes on: one process's adapter, to the bit (%i)",
      async (seed) => {
        const [alone, many] = [`alone-${seed}`, `many-${seed}`];
        const run = ["train", ...common, ...trained[(seed - 1) % trained.length]!, "--seed", String(seed)];
        expect((await aflora([...run, "--output", alone], folder)).code).toBe(0);
        const workers = Array.from({ length: NUMBERS_OF_WORKERS[seed % NUMBERS_OF_WORKERS.length]! }, worker);
        const first = start([...run, "--output", many, "--queue", server.url]);
        await first.says(/takes part/);
        for (let kill = 1; kill <= KILLS; kill++) {
          await reaches(many, 4 * kill);
          workers.shift()!.process.kill("SIGKILL");
          workers.push(worker());
        }
        await server.restart();
        await first.says(/the server at redis:\/\/127\.0\.0\.1:\d+ does not answer: the run waits for it/);
        await reaches(many, 4 * (KILLS + 1));
        first.process.kill("SIGINT");
        expect((await first.ended).code).toBe(130);
        for (const each of workers) each.process.kill("SIGKILL");

        const second = start(["train", "--resume", many, "--queue", server.url]);
        await second.says(/the run waits for workers/);
        const another = worker();
        expect((await second.ended).code).toBe(0);
        expect((await adapterOf(many)).equals(await adapterOf(alone))).toBe(true);
        expect(await stepsOf(many)).toBe(await stepsOf(alone));
        another.process.kill("SIGTERM");
        expect((await another.ended).code).toBe(130);
      },
    );
  },
);
