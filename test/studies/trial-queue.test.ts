import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { answers, queueRunner } from "../../src/studies/queue/queue-runner.ts";
import { packRun } from "../../src/studies/queue/run-pack.ts";
import { parseQueuedTrial, type QueuedTrial, TrialQueue } from "../../src/studies/queue/trial-queue.ts";
import type { TrialJob } from "../../src/studies/run-study.ts";
import { noValkey, Valkey } from "../support/valkey.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-trial-queue-"));
});
afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));

const identity = { options: {}, data: "1", model: "2" };
const queued = (id: string, more: Partial<QueuedTrial> = {}): QueuedTrial => ({
  ...{ id, label: "rank 2", identity, config: {} },
  ...more,
});

describe("contents of a queue", () => {
  const id = "0123456789ab";

  test("are trials, whose labels are safe for a terminal", () => {
    const trial = queued(id, { stopAfter: 1.5, reported: { ownSplits: true } });
    expect(parseQueuedTrial(trial)).toEqual(trial);
    // What a terminal would obey is not for it.
    expect(parseQueuedTrial(queued(id, { label: "rank\x1b[2J 2" })).label).toBe("rank [2J 2");
  });

  test.each<[string, unknown]>([
    ["id", queued("../kept")],
    ["id", queued("0123456789abc")],
    ["id", queued("0123456789AB")],
    ["stopAfter", queued(id, { stopAfter: 0 })],
    ["identity.model", { ...queued(id), identity: { options: {}, data: "1" } }],
    ["config", { ...queued(id), config: "rank=2" }],
    ["reported", { ...queued(id), reported: {} }],
    ["data", undefined],
    ["data", { ...queued(id), config: JSON.parse(`{"deep":${"[".repeat(200_000)}${"]".repeat(200_000)}}`) }],
  ])("or is refused: its %s is malformed", (place, trial) => {
    expect(() => parseQueuedTrial(trial)).toThrow(
      `the queue holds something that is not a trial: its ${place} is malformed`,
    );
  });

  test("a pause before the requested epoch is no end", () => {
    const paused = { end: "paused", epochs: 2 } as const;
    for (const [stopAfter, expected] of [
      [1, true],
      [2, true],
      [3, false],
      [undefined, false],
    ] as const) {
      expect(answers(paused, { stopAfter })).toBe(expected);
    }
    for (const end of [{ end: "finished" }, { end: "failed", reason: "" }] as const) {
      expect(answers(end, { stopAfter: undefined })).toBe(true);
    }
  });
});

test.each([
  ["http://127.0.0.1", /begins with redis:\/\/ or rediss:\/\/ \(TLS\), not http:\/\/$/],
  ["here", /takes the address of a Valkey or Redis server, such as redis:\/\/127.0.0.1:6379; not "here"$/],
  ["redis://me:secret@host:port", /not "redis:\/\/\*\*\*@host:port"$/],
])("%s is no address", async (url, message) => {
  await expect(TrialQueue.open(url)).rejects.toThrow(message);
});

test("no server answers, or another kind of server does", async () => {
  const other = createServer((_, response) => response.end("hello")).listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = other.address() as AddressInfo;
  await expect(TrialQueue.open(`redis://127.0.0.1:${port}`)).rejects.toThrow(/no Valkey or Redis server/);
  other.closeAllConnections();
  await new Promise((resolve) => other.close(resolve));
  await expect(TrialQueue.open(`redis://127.0.0.1:${port}`)).rejects.toThrow(
    /^no Valkey or Redis server answers at redis:/,
  );
});

describe.skipIf(noValkey !== undefined)(
  noValkey === undefined ? "with a Valkey server" : `skipped: ${noValkey}`,
  () => {
    let server: Valkey;
    let queue: TrialQueue;
    beforeAll(async () => {
      const store = join(folder, "valkey");
      await mkdir(store);
      server = await Valkey.start(store);
      queue = await TrialQueue.open(server.url);
    });
    afterAll(async () => {
      await queue.close();
      await server.stop();
    });

    test("a late result is refused: another worker has taken the trial since", async () => {
      const late = await queue.takeFence("fenced");
      const now = await queue.takeFence("fenced");
      expect([await queue.isCurrent("fenced", late), await queue.isCurrent("fenced", now)]).toEqual([false, true]);
      const client = server.client();
      expect(await client.ttl("aflora:fence:fenced")).toBeGreaterThan(24 * 3600);
      client.disconnect();
      await queue.reportProgress("fenced", { worker: "me", label: "\x07rank 2", step: 1, totalSteps: 2, at: 3 });
      expect((await queue.progress()).get("fenced")).toMatchObject({ label: " rank 2", step: 1, totalSteps: 2 });
      expect(await queue.accept("fenced", late, { end: "failed", reason: "late" }, Buffer.from("run"))).toBe(false);
      expect((await queue.ends()).has("fenced")).toBe(false);
      expect(await queue.result("fenced")).toBeUndefined();
      expect(await queue.accept("fenced", now, { end: "failed", reason: "in time" })).toBe(true);
      expect((await queue.ends()).get("fenced")).toEqual({ end: "failed", reason: "in time" });
      expect((await queue.progress()).has("fenced")).toBe(false);
      await queue.forget("fenced");
      expect((await queue.ends()).has("fenced")).toBe(false);
    });

    test("a study's run is stored only if none is stored; it stays for the next worker", async () => {
      await queue.putResult("laid", Buffer.from("a worker's"));
      await queue.putResult("laid", Buffer.from("the study's"), { replace: false });
      expect((await queue.result("laid"))!.toString()).toBe("a worker's");
      await queue.putResult("laid", Buffer.from("another worker's"));
      await queue.forget("laid", { keepRun: true });
      expect((await queue.result("laid"))!.toString()).toBe("another worker's");
      await queue.forget("laid");
      expect(await queue.result("laid")).toBeUndefined();
    });

    test("another program's entry under the same name is ignored", async () => {
      const client = server.client();
      await client.hset("aflora:ends", "a", "no JSON", "b", '{"end":"unknown"}', "c", '{"end":"finished"}');
      expect(await queue.ends()).toEqual(new Map([["c", { end: "finished" }]]));
      await client.del("aflora:ends");
      client.disconnect();
    });

    test("a server that may evict keys, one that is full, and one that requires a password", async () => {
      const client = server.client();
      await client.config("SET", "maxmemory-policy", "allkeys-lru");
      await expect(TrialQueue.open(server.url)).rejects.toThrow(
        /^the server at redis:\S+ may evict data \(maxmemory-policy allkeys-lru\); set maxmemory-policy noeviction$/,
      );
      await client.config("SET", "maxmemory-policy", "noeviction");
      const fence = await queue.takeFence("full");
      await client.config("SET", "maxmemory", "1mb");
      for (const store of [
        () => queue.add(queued("00000000000f")),
        () => queue.putResult("full", Buffer.from("run")),
        () => queue.accept("full", fence, { end: "finished" }),
      ]) {
        await expect(store()).rejects.toThrow(/^the queue's server at redis:\/\/127\.0\.0\.1:\d+ is full/);
      }
      await client.config("SET", "maxmemory", "0");
      await client.config("SET", "requirepass", "secret");
      const error = await TrialQueue.open(`redis://:wrong@127.0.0.1:${server.port}`).catch(
        ({ message }: Error) => message,
      );
      expect(error).toMatch(/wants another password/);
      expect(error).not.toContain("wrong");
      await client.config("SET", "requirepass", "");
      client.disconnect();
    });

    describe("a study", () => {
      const abort = new AbortController();
      /** One for all: they look together. */
      const run = (id: string, more: Partial<TrialJob> = {}) =>
        queueRunner(
          queue,
          abort.signal,
        )({
          trial: { id, seed: 5, identity, config: {}, reported: undefined },
          label: "rank 2",
          directory: join(folder, id),
          config: { train: join(folder, "train.csv"), output: join(folder, id) },
          resume: false,
          reported: undefined,
          ...more,
        });
      const isThere = (id: string, stopAfter?: number) =>
        expect.poll(() => queue.has(queued(id, { stopAfter }))).toBe(true);

      /** A run's folder as a worker leaves it elsewhere. */
      async function packed(name: string): Promise<Buffer> {
        const directory = join(folder, `of-worker-${name}`);
        await mkdir(directory);
        const config = { train: "/there/train.csv", output: "/there/run", name };
        await writeFile(join(directory, "config.json"), JSON.stringify(config));
        return packRun(directory);
      }
      const configOf = async (id: string): Promise<object> =>
        JSON.parse(await readFile(join(folder, id, "config.json"), "utf8"));

      test("gets what a worker hands in, with this machine's paths, and leaves nothing on the server", async () => {
        const id = "00000000000a";
        const ended = run(id);
        await isThere(id);
        const token = await queue.takeFence(id);
        expect(await queue.accept(id, token, { end: "finished" }, await packed("finished"))).toBe(true);
        expect(await ended).toBe("finished");
        const [train, output] = [join(folder, "train.csv"), join(folder, id)];
        expect(await configOf(id)).toEqual({ train, output, name: "finished" });
        expect([(await queue.ends()).has(id), await queue.result(id)]).toEqual([false, undefined]);
      });

      test("learns why a trial failed, and tries it again from its checkpoint", async () => {
        const id = "00000000000b";
        const fence = await queue.takeFence(id);
        await queue.accept(id, fence, { end: "failed", reason: "before" }, Buffer.from("left"));
        const ended = run(id);
        await isThere(id);
        expect((await queue.result(id))!.toString()).toBe("left");
        await queue.accept(id, await queue.takeFence(id), { end: "failed", reason: "out of memory" });
        expect(await ended).toEqual({ failed: "out of memory" });
        expect(await queue.result(id)).toBeUndefined();
      });

      test("takes another study's result, but no earlier pause", async () => {
        const [done, paused] = ["00000000000c", "00000000000d"];
        await queue.accept(done, await queue.takeFence(done), { end: "finished" }, await packed("done"));
        expect(await run(done)).toBe("finished");
        expect(await queue.has(queued(done))).toBe(false);
        await queue.accept(paused, await queue.takeFence(paused), { end: "paused", epochs: 1 }, await packed("early"));
        const ended = run(paused, { stopAfter: 2 });
        await isThere(paused, 2);
        await queue.accept(paused, await queue.takeFence(paused), { end: "paused", epochs: 2 }, await packed("late"));
        expect(await ended).toBe("paused");
        expect(await configOf(paused)).toMatchObject({ name: "late" });
      });

      test("stores its run for the next worker, and leaves the trial on the queue when it is ended", async () => {
        const id = "00000000000e";
        await mkdir(join(folder, id, "checkpoints"), { recursive: true });
        await writeFile(join(folder, id, "checkpoints", "step-2.safetensors"), "weights");
        const ended = run(id);
        await isThere(id);
        expect(await queue.result(id)).toBeDefined();
        abort.abort();
        expect(await ended).toBe("interrupted");
        expect(await queue.has(queued(id))).toBe(true);
      });
    });
  },
);
