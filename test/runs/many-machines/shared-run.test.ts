import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { elementsOf, float32, int32, type Tensor } from "../../../src/graph/tensor.ts";
import { messageBytes, readMessage } from "../../../src/runs/many-machines/message.ts";
import {
  keysOf,
  orderSchema,
  RUNS,
  resultSchema,
  shardSchema,
  stateSchema,
} from "../../../src/runs/many-machines/protocol.ts";
import { ServedRun } from "../../../src/runs/many-machines/served-run.ts";
import { connect } from "../../../src/runs/many-machines/server.ts";
import { readRunRecords } from "../../../src/runs/read-run.ts";
import { nodeRuntime } from "../../../src/runtime/runtime-node.ts";
import { type WorkEnd, work as workOn } from "../../../src/studies/queue/work.ts";
import type { StepRecord } from "../../../src/training/training-records.ts";
import { fineTune } from "../../support/fine-tune.ts";
import { questions, writeTinyLanguageModel } from "../../support/tiny-language-model.ts";
import { tickets, writeCsv, writeTinyModel } from "../../support/tiny-model.ts";
import { noValkey, Valkey } from "../../support/valkey.ts";
import { Hostile } from "./hostile.ts";

/** `AFLORA_HOSTILE=2000 npx vitest run shared-run.test` tries more. */
const HOSTILE = Number(process.env.AFLORA_HOSTILE ?? 100);

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
    let abort = new AbortController();
    const workers: Promise<WorkEnd>[] = [];
    afterEach(async () => {
      abort.abort();
      await Promise.all(workers.splice(0));
      abort = new AbortController();
      notes.length = 0;
    });
    function work(name: string): void {
      const onNote = (note: string) => void notes.push(`${name}: ${note}`);
      const { signal } = abort;
      const options = { url: server.url, directory: join(folder, name), compute: { threads: 1 }, signal, onNote };
      workers.push(workOn({ ...options, lostAfter: 30, run: async () => ({ failed: "there are no trials" }) }));
    }

    let count = 0;
    const steps: StepRecord[] = [];
    const runs = { method: "lora", rank: 2, epochs: 1, threads: 1, seed: 3, patience: 9 } as const;
    /** Trains here and on two workers. @returns the adapters */
    async function both(options: Readonly<Record<string, unknown>>): Promise<[Buffer, Buffer]> {
      const output = (name: string) => join(folder, `${name}-${++count}`);
      const alone = await fineTune({ ...runs, ...options, output: output("alone") });
      const many = await fineTune(
        { ...runs, ...options, output: output("many") },
        { queue: { url: server.url, onNote: (note) => void notes.push(note) } },
      );
      steps.push(...(await readRunRecords(many.directory)).steps);
      return [await adapterOf(alone.directory), await adapterOf(many.directory)];
    }

    test("equals a run of one process to the bit, whatever is trained", async () => {
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
      const shares = steps.flatMap(({ workers = [] }) => workers);
      expect(shares.length).toBeGreaterThan(0);
      for (const { computing, bytes } of shares) expect(Math.min(computing, bytes)).toBeGreaterThan(0);
      expect(notes.filter((note) => /takes part$/.test(note)).length).toBeGreaterThanOrEqual(Object.keys(tried).length);
      const fetched = await Promise.all(
        ["a", "b"].map((name) => readdir(join(folder, name, "models")).catch(() => [])),
      );
      expect(new Set(fetched.flat()).size).toBe(2);
      const client = server.client();
      expect(await client.keys("aflora:run*")).toEqual([]);
      client.disconnect();
    });

    test("whose workers each take several steps equals one process's run with replicas in turn, to the bit", async () => {
      for (const name of ["a", "b"]) work(name);
      const { encoder, tickets: train } = files;
      const labels = { model: encoder, train, text: "message", label: "team", batchSize: 8, tokenBudget: 24 };
      const freezing = { method: "aflora", epochs: 4, contrastive: false, freezeInterval: 2 };
      const tried: Record<string, Readonly<Record<string, unknown>>> = {
        "labels, with matrices that freeze": { ...labels, ...freezing, replicas: 3 },
        "vectors, the texts of a replica's part compared": { model: encoder, train: files.pairs, batchSize: 8 },
      };
      for (const [what, options] of Object.entries(tried)) {
        const before = steps.length;
        const [alone, many] = await both({ ...options, localSteps: 3 });
        expect(many.equals(alone), what).toBe(true);
        const shards = steps.slice(before).flatMap(({ workers = [] }) => workers.map((worker) => worker.shards));
        const rounds = steps.slice(before).filter(({ workers = [] }) => workers.length > 0);
        // Some are this machine's: the first of each worker is compared.
        expect(
          shards.reduce((sum, each) => sum + each, 0),
          what,
        ).toBeGreaterThan(0);
        expect(rounds.length, what).toBeLessThan(steps.length - before);
        if (what.includes("freeze")) expect(steps.at(-1)!.frozen, what).toBeGreaterThan(0);
      }
    });

    test("is not harmed by other data on the server", async () => {
      const client = server.client();
      const [hostile, zeros] = ["f".repeat(32), "e".repeat(32)];
      const answered = new Set<string>();
      let end = false;
      /** Answers each shard that lies there, before a worker does. */
      const write = async (): Promise<void> => {
        while (!end) {
          const [id] = await client.smembers(RUNS);
          if (id === undefined) continue;
          const keys = keysOf(id);
          for (const bytes of await client.lrangeBuffer(keys.shards, 0, -1)) {
            const { shard } = readMessage(bytes, shardSchema)!.facts;
            if (answered.has(shard)) continue;
            answered.add(shard);
            const loss = (value: number) => new Map([["loss", float32([], Float32Array.of(value))]]);
            const values = (await client.getBuffer(keys.state(0)))!;
            const { facts, tensors } = readMessage(values, stateSchema)!;
            const gradients = [...tensors]
              .filter(([name]) => /\.[AB]$/.test(name) || facts.trainedHead.includes(name))
              .map(([name, { shape }]) => [`gradient:${name}`, float32(shape)] as const);
            await client.rpush(
              keys.results,
              Buffer.from("nothing that is meant"),
              messageBytes({ worker: hostile, name: "a\u001b[31m", shard }, loss(Number.NaN)),
              messageBytes({ worker: zeros, name: "zeros", shard }, new Map([...loss(1), ...gradients])),
              messageBytes({ worker: zeros, name: "zeros", shard: `9.${shard}` }, loss(1)),
            );
          }
        }
      };
      const writing = write();
      work("honest");
      const { encoder: model, tickets: train } = files;
      const labels = { model, train, text: "message", label: "team", batchSize: 8, tokenBudget: 24 };
      const [alone, many] = await both({ ...labels, contrastive: false, headStart: "new" });
      end = true;
      await writing;
      client.disconnect();
      expect(many.equals(alone)).toBe(true);
      const said = notes.join("\n");
      expect(said).toMatch(/^a \[31m is refused: its result "gradient:.*" should be float32 \[/m);
      expect(said).toMatch(/^zeros is refused: its results are not bit-identical to this machine's/m);
    });

    test(`hostile messages, ${HOSTILE} each to a run and to a worker, harm neither`, async () => {
      const client = server.client();
      const { encoder: model, tickets: train } = files;
      const labels = { model, train, text: "message", label: "team", batchSize: 8, tokenBudget: 24, epochs: 3 };
      const training = both({ ...labels, contrastive: false, headStart: "new" });
      await expect.poll(() => client.scard(RUNS)).toBe(1);
      const id = (await client.smembers(RUNS))[0]!;
      const keys = keysOf(id);
      await expect.poll(() => client.llen(keys.shards)).toBeGreaterThan(0);
      const hostile = new Hostile(7);

      const order = orderSchema.parse(JSON.parse((await client.get(keys.order))!));
      const served = await ServedRun.open(id, client, order, { place: model, runtime: nodeRuntime({ threads: 1 }) });
      const bytes = (await client.lindexBuffer(keys.shards, 0))!;
      const compute = async (shard: Buffer) => {
        const message = readMessage(shard, shardSchema);
        return message && (await served.compute(message.facts, message.tensors));
      };
      const { results } = (await compute(bytes))!;
      for (let i = 0; i < HOSTILE; i++) {
        const refusal = await compute(hostile.shard(bytes)).then(
          () => new Error("none"),
          (error: unknown) => error,
        );
        expect(refusal).toBeInstanceOf(Error);
      }
      expect((await compute(bytes))!.results).toEqual(results);
      await served.release();

      const shapes = new Map(Object.entries(results).map(([name, { shape }]) => [name, shape]));
      for (let i = 0; i < HOSTILE; i++) {
        const first = await client.lindexBuffer(keys.shards, 0);
        const { shard } = readMessage(first ?? bytes, shardSchema)!.facts;
        await client.rpush(keys.results, hostile.result(shard, shapes));
      }
      work("honest");
      const [alone, many] = await training;
      expect(many.equals(alone)).toBe(true);
      expect(notes.filter((note) => /\p{Cc}/u.test(note))).toEqual([]);
      expect(Math.max(...notes.map(({ length }) => length))).toBeLessThan(2000);
      client.disconnect();
    });

    test("a worker that is refused after it was trusted is told and stops, and notes on workers are limited", async () => {
      const client = server.client();
      const { encoder: model, tickets: train } = files;
      const labels = { model, train, text: "message", label: "team", batchSize: 8, tokenBudget: 24, epochs: 2 };
      const training = both({ ...labels, contrastive: false, headStart: "new" });
      await expect.poll(() => client.scard(RUNS)).toBe(1);
      const id = (await client.smembers(RUNS))[0]!;
      const keys = keysOf(id);
      const order = orderSchema.parse(JSON.parse((await client.get(keys.order))!));
      const served = await ServedRun.open(id, client, order, { place: model, runtime: nodeRuntime({ threads: 1 }) });
      const worker = "7".repeat(32);
      const verdicts: { trusted: boolean; refused?: string }[] = [];
      for (const asks of [true, false]) {
        const [, bytes] = (await client.blpopBuffer(keys.shards, 10))!;
        const { facts, tensors } = readMessage(bytes, shardSchema)!;
        const { results } = (await served.compute(facts, tensors))!;
        // A trusted worker's results are not computed again, unless a number of them is none.
        if (!asks) results.loss!.data[0] = Number.NaN;
        const said = { worker, name: "turncoat", shard: facts.shard, asks };
        await client.rpush(keys.results, messageBytes(said, new Map(Object.entries(results))));
        verdicts.push(JSON.parse((await client.blpop(keys.verdict(worker), 10))![1]));
      }
      await served.release();
      expect(verdicts).toEqual([{ trusted: true }, { trusted: true, refused: expect.stringMatching(/^its results /) }]);
      for (let i = 0; i < 300; i++) {
        const said = { worker: i.toString(16).padStart(32, "0"), name: `worker ${i}`, leaves: "it has no time" };
        await client.rpush(keys.results, messageBytes(said));
      }
      const monitor = await client.monitor();
      // Again and again: the coordinator's own verdict may replace one.
      monitor.on("monitor", async (_: string, [command, key]: string[]) => {
        if (command?.toLowerCase() !== "blpop" || !key?.includes(":verdict:") || key.includes(worker)) return;
        await client.rpush(key, JSON.stringify({ trusted: false, refused: "enough of you" }));
      });
      work("honest");
      await expect.poll(() => notes.join("\n")).toMatch(/honest: run .*: left to others: enough of you/);
      monitor.disconnect();
      work("other");
      const [alone, many] = await training;
      expect(many.equals(alone)).toBe(true);
      expect(notes).toContain("more notes on workers are left out");
      expect(notes.filter((note) => note.includes("it has no time")).length).toBeLessThan(100);
      client.disconnect();
    });

    test("a server that is full is named, and no connection to it stays open", async () => {
      const directory = join(folder, "full");
      await mkdir(directory);
      const full = await Valkey.start(directory, ["--maxmemory", "1"]);
      const given = { ...runs, model: files.encoder, train: files.tickets, text: "message", label: "team" };
      const run = fineTune({ ...given, output: join(folder, "full-run") }, { queue: { url: full.url } });
      await expect(run).rejects.toThrow(/^the queue's server at redis:\S+ is full; give it more memory/);
      const client = full.client();
      await expect
        .poll(
          async () =>
            String(await client.client("LIST"))
              .trim()
              .split("\n").length,
        )
        .toBe(1);
      client.disconnect();
      await full.stop();
    });

    test("a password that the server changes meanwhile is noted, and the connection waits for the old one", async () => {
      const directory = join(folder, "secret");
      await mkdir(directory);
      const secret = await Valkey.start(directory, ["--requirepass", "one"]);
      const url = `redis://:one@127.0.0.1:${secret.port}`;
      const said: string[] = [];
      const { client, address } = await connect(url, (note) => void said.push(note));
      const other = client.duplicate({ password: "one" });
      await client.config("SET", "requirepass", "two");
      await client.call("CLIENT", "KILL", "ID", String(await client.client("ID")), "SKIPME", "no").catch(() => {});
      await expect.poll(() => said).toEqual([expect.stringContaining(`${address} no longer accepts the password`)]);
      await other.config("SET", "requirepass", "one");
      expect(await client.ping()).toBe("PONG");
      for (const each of [client, other]) each.disconnect();
      await secret.stop();
    });

    test("with mixed processors, accepts results that differ by rounding, and none that differ by more", async () => {
      const client = server.client();
      const { encoder: model, tickets: train } = files;
      const labels = {
        model,
        train,
        text: "message",
        label: "team",
        batchSize: 8,
        tokenBudget: 24,
        contrastive: false,
      };
      const output = join(folder, `mixed-${++count}`);
      const queue = { url: server.url, mixedProcessors: true, onNote: (note: string) => void notes.push(note) };
      const run = fineTune({ ...runs, ...labels, output }, { queue });
      let ended = false;
      const training = run.finally(() => {
        ended = true;
      });
      await expect.poll(() => client.scard(RUNS)).toBe(1);
      const id = (await client.smembers(RUNS))[0]!;
      const keys = keysOf(id);
      const order = orderSchema.parse(JSON.parse((await client.get(keys.order))!));
      const served = await ServedRun.open(id, client, order, { place: model, runtime: nodeRuntime({ threads: 1 }) });
      const waiting = client.duplicate();
      for (let i = 0; !ended; i++) {
        const bytes = (await waiting.blpopBuffer(keys.shards, 1))?.[1];
        if (!bytes) continue;
        const { facts, tensors } = readMessage(bytes, shardSchema)!;
        const results = Object.entries((await served.compute(facts, tensors))!.results);
        const worker = (i === 0 ? "1" : "2").repeat(32);
        const factor = i === 0 ? 1.01 : 1 + 2 ** -20;
        const changed = results.map(([output, { shape, data }]) => {
          return [
            output,
            float32(
              shape,
              (data as Float32Array).map((value) => value * factor),
            ),
          ] as const;
        });
        const name = i === 0 ? "far" : "near";
        await client.rpush(keys.results, messageBytes({ worker, name, shard: facts.shard }, new Map(changed)));
      }
      await served.release();
      waiting.disconnect();
      client.disconnect();
      expect((await training).result).toBeDefined();
      expect(notes).toContainEqual(
        expect.stringMatching(/^far is refused: its results are not bit-identical to this machine's/),
      );
      expect(notes).toContain(
        "near takes part, and rounds differently from this machine: the adapter is not bit-identical to that of one machine",
      );
    });

    test("a worker leaves shards that it cannot compute to others, and reads no path from the server", async () => {
      const client = server.client();
      const task = { name: "custom", kind: "classification", labels: ["a", "b"], metrics: ["accuracy"] };
      const adapter = { format: "aflora-adapter", modelType: "bert", method: "lora", methodOptions: {}, maxLength: 16 };
      const order = { contrastive: false, dropout: true, tokenBudget: 64, seed: 1, threads: 1 };
      const offered: [why: RegExp, order: object][] = [
        [/its order is malformed \(adapter\); use the same version/, { ...order }],
        [
          /its order is malformed \(files\.\.\.\/model\)/,
          { ...order, ...described("x"), files: { "../model": { size: 1, sha256: "" } } },
        ],
        [/its base model is neither of the hub nor sent with it/, { ...order, ...described(files.encoder) }],
      ];
      function described(model: string) {
        return { adapter: { ...adapter, model, task } };
      }
      for (const [i, [, each]] of offered.entries()) {
        const id = String(i).repeat(32);
        await client.set(keysOf(id).order, JSON.stringify(each));
        await client.sadd(RUNS, id);
      }
      work("careful");
      for (const [i, [why]] of offered.entries()) {
        await expect
          .poll(() => notes.join("\n"))
          .toMatch(new RegExp(`careful: run ${String(i).repeat(12)}: left to others: .*${why.source}`));
        const id = String(i).repeat(32);
        const told = await client.blpopBuffer(keysOf(id).results, 60);
        expect(readMessage(told![1], resultSchema)!.facts.leaves).toMatch(why);
      }
      await client.flushall();
      client.disconnect();
    });
  },
);

test("bytes that are no message are refused without harm", () => {
  const encoding = { inputIds: Int32Array.of(1, 2), tokenTypeIds: Int32Array.of(0, 0) };
  const examples = [{ index: 1, encoding }];
  const facts = { shard: "0.1.step.0", state: 0, step: 1, part: "step", examples };
  const tensors = new Map<string, Tensor<"float32" | "int32">>([
    ["targets", float32([2, 2], Float32Array.of(1, 0, 0, 1))],
    ["rows", int32([1], Int32Array.of(7))],
  ]);
  const bytes = messageBytes(facts, tensors);
  expect(readMessage(bytes, shardSchema)).toEqual({ facts, tensors });
  let seed = 1;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  let refused = 0;
  for (let i = 0; i < 2000; i++) {
    const changed = Buffer.from(bytes.subarray(0, i % 3 === 0 ? random(bytes.length) : bytes.length));
    for (let flips = random(4) + 1; flips > 0 && changed.length > 0; flips--)
      changed[random(changed.length)] = random(256);
    const read = readMessage(changed, shardSchema);
    if (!read) refused++;
    for (const { shape, data } of read?.tensors.values() ?? []) expect(data.length).toBe(elementsOf(shape));
  }
  expect(refused).toBeGreaterThan(1000);
});
