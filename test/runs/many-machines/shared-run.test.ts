import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { workOnRuns } from "../../../src/runs/many-machines/run-worker.ts";
import { fineTune } from "../../support/fine-tune.ts";
import { questions, writeTinyLanguageModel } from "../../support/tiny-language-model.ts";
import { tickets, writeCsv, writeTinyModel } from "../../support/tiny-model.ts";
import { noValkey, Valkey } from "../../support/valkey.ts";

const adapterOf = (directory: string): Promise<Buffer> => readFile(join(directory, "adapter/adapter.safetensors"));

describe.skipIf(noValkey !== undefined)(
  noValkey === undefined ? "a run whose steps workers compute" : `skipped: ${noValkey}`,
  () => {
    let folder: string;
    let server: Valkey;
    let files: Record<"encoder" | "tickets" | "pairs" | "decoder" | "chats", string>;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "aflora-shared-run-"));
      await mkdir(join(folder, "valkey"));
      server = await Valkey.start(join(folder, "valkey"));
      const rows = tickets(1);
      const pairs = rows.map(({ message }) => ({ anchor: message, positive: `please ${message}` }));
      files = {
        encoder: await writeTinyModel(join(folder, "encoder")),
        decoder: await writeTinyLanguageModel(join(folder, "decoder")),
        tickets: await writeCsv(join(folder, "tickets.csv"), rows),
        pairs: await writeCsv(join(folder, "pairs.csv"), pairs),
        chats: join(folder, "chats.jsonl"),
      };
      await writeFile(
        files.chats,
        questions(12)
          .map((row) => `${JSON.stringify(row)}\n`)
          .join(""),
      );
    });
    afterAll(async () => {
      await server.stop();
      await rm(folder, { recursive: true, maxRetries: 10 });
    });

    const notes: string[] = [];
    const abort = new AbortController();
    const workers: Promise<void>[] = [];
    afterEach(async () => {
      abort.abort();
      await Promise.all(workers.splice(0));
    });
    function work(name: string): void {
      const onNote = (note: string) => void notes.push(`${name}: ${note}`);
      const { signal } = abort;
      const options = { url: server.url, directory: join(folder, name), compute: { threads: 1 }, signal, onNote };
      workers.push(workOnRuns({ ...options, isBusy: () => false }));
    }

    let count = 0;
    const runs = { method: "lora", rank: 2, epochs: 1, threads: 1, seed: 3, patience: 9 } as const;
    /** Trains here and on two workers. @returns the adapters */
    async function both(options: Readonly<Record<string, unknown>>): Promise<[Buffer, Buffer]> {
      const output = (name: string) => join(folder, `${name}-${++count}`);
      const alone = await fineTune({ ...runs, ...options, output: output("alone") });
      const many = await fineTune(
        { ...runs, ...options, output: output("many") },
        { queue: { url: server.url, onNote: (note) => void notes.push(note) } },
      );
      return [await adapterOf(alone.directory), await adapterOf(many.directory)];
    }

    test("is one process's to the bit, whatever is trained", async () => {
      for (const name of ["a", "b"]) work(name);
      const { encoder, decoder, tickets: train } = files;
      const labels = { model: encoder, train, text: "message", label: "team", batchSize: 8, tokenBudget: 24 };
      const writes = { model: decoder, train: files.chats, batchSize: 6, tokenBudget: 48 };
      const freezing = { method: "aflora", rank: 2, epochs: 3, contrastive: false, freezeBlocks: "linear" };
      const tried: Record<string, Readonly<Record<string, unknown>>> = {
        "labels, with matrices and blocks that freeze": { ...labels, ...freezing },
        "labels, texts of a class drawn together": { ...labels, contrastive: true },
        "a language model in bytes that computes blocks again": { ...writes, base: "int8", recompute: true },
        "vectors, all texts of a batch compared": { model: encoder, train: files.pairs, batchSize: 8, tokenBudget: 12 },
      };
      for (const [what, options] of Object.entries(tried)) {
        const [alone, many] = await both(options);
        expect(many.equals(alone), what).toBe(true);
      }
      expect(notes.filter((note) => /takes part$/.test(note))).toHaveLength(2 * Object.keys(tried).length);
      expect((await readdir(join(folder, "a", "models"))).length).toBe(2);
      const client = server.client();
      expect(await client.keys("aflora:run*")).toEqual([]);
      client.disconnect();
    });
  },
);
