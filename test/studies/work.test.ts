import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { packRun, unpackRun } from "../../src/studies/queue/run-pack.ts";
import { type QueuedTrial, TrialQueue } from "../../src/studies/queue/trial-queue.ts";
import { type WorkDone, type WorkEnd, type WorkOptions, work } from "../../src/studies/queue/work.ts";
import type { TrialEnd } from "../../src/studies/run-study.ts";
import { parseStudy } from "../../src/studies/study-file.ts";
import { planStudy } from "../../src/studies/study-plan.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";
import { noValkey, Valkey } from "../support/valkey.ts";

/** Writes into the run's folder what a trial's process would, and ends as it would. */
type Training = (
  job: Parameters<WorkOptions["run"]>[0],
  onStep: Parameters<WorkOptions["run"]>[1],
) => Promise<TrialEnd>;

/** A worker of this process. */
class Worker {
  readonly notes: string[] = [];
  readonly done: WorkDone[] = [];
  readonly ended: Promise<WorkEnd>;
  #onReady = (): void => {};
  readonly ready = new Promise<void>((resolve) => {
    this.#onReady = resolve;
  });
  readonly #abort = new AbortController();

  constructor(url: string, directory: string, run: Training, limits: Pick<WorkOptions, "trials" | "untilIdle"> = {}) {
    const { signal } = this.#abort;
    const onNote = (note: string) => void this.notes.push(note);
    const onReady = (): void => this.#onReady();
    const onWork = (done: WorkDone) => void this.done.push(done);
    this.ended = work({
      url,
      directory,
      compute: { threads: 1 },
      lostAfter: 3,
      run,
      signal,
      onNote,
      onWork,
      onReady,
      ...limits,
    });
    // Looked at where it is awaited.
    this.ended.catch(() => {});
  }

  says(pattern: RegExp): Promise<void> {
    return expect.poll(() => this.notes.join("\n")).toMatch(pattern) as Promise<void>;
  }

  end(): Promise<WorkEnd> {
    this.#abort.abort();
    return this.ended;
  }
}

describe.skipIf(noValkey !== undefined)(
  noValkey === undefined ? "a worker of a Valkey server" : `skipped: ${noValkey}`,
  () => {
    let folder: string;
    let server: Valkey;
    let queue: TrialQueue;
    let trial: QueuedTrial;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "aflora-work-"));
      const model = await writeTinyModel(join(folder, "model"));
      const train = await writeCsv(join(folder, "tickets.csv"), tickets());
      const validation = await writeCsv(join(folder, "held.csv"), tickets(1));
      const options = { model, train, validation, text: "message", label: "team", epochs: 2, threads: 1 };
      const plan = await planStudy(parseStudy({ options, vary: { rank: [2] }, seeds: [8] }, "made up"));
      const { id, identity, config, reported } = plan.configurations[0]!.trials[0]!;
      trial = { id, label: "rank 2", identity, config, reported };
      const store = join(folder, "valkey");
      await mkdir(store);
      server = await Valkey.start(store);
      queue = await TrialQueue.open(server.url);
    });
    afterAll(async () => {
      await queue.close();
      await server.stop();
      await rm(folder, { recursive: true, maxRetries: 10 });
    });

    const workers: Worker[] = [];
    afterEach(async () => {
      await Promise.allSettled(workers.splice(0).map((each) => each.end()));
      const client = server.client();
      await client.flushall();
      client.disconnect();
    });
    const never: Training = () => {
      throw new Error("there is nothing to train");
    };
    const start = (name: string, run: Training = never, limits = {}): Worker => {
      const one = new Worker(server.url, join(folder, name), run, limits);
      workers.push(one);
      return one;
    };
    const endOf = async (id: string) => (await queue.ends()).get(id);
    /** What was handed in is off the queue a moment later. */
    const isGone = () => expect.poll(() => queue.has(trial)).toBe(false);

    /** Leaves a file in the run's folder. */
    async function leaves(directory: string, name: string, text: string): Promise<void> {
      await mkdir(join(directory, name, ".."), { recursive: true });
      await writeFile(join(directory, name), text);
    }

    test("reports a trial's progress, and hands in its result", async () => {
      await queue.add(trial);
      let said = false;
      const one = start("finished", async ({ directory, config, resume, stopAfter }, onStep) => {
        expect([config.rank, config.threads, config.output, resume, stopAfter]).toEqual([
          ...[2, 1, directory, false, undefined],
        ]);
        await leaves(directory, "config.json", JSON.stringify({ rank: 2 }));
        for (const step of [1, 2]) onStep(step, 9);
        await expect.poll(async () => (await queue.progress()).get(trial.id)).toMatchObject({ step: 1, totalSteps: 9 });
        said = true;
        return "finished";
      });
      await one.says(/^[0-9a-f]{12}: rank 2\n[0-9a-f]{12}: finished$/m);
      expect(said).toBe(true);
      expect(await endOf(trial.id)).toEqual({ end: "finished" });
      const to = join(folder, "handed-in");
      await unpackRun((await queue.result(trial.id))!, to);
      expect(await readFile(join(to, "config.json"), "utf8")).toBe('{"rank":2}');
      await isGone();
      // It is done: nobody trains it again.
      await queue.add(trial);
      await isGone();
      expect(one.notes).toHaveLength(2);
      await one.end();
    });

    test("ends by itself when nothing is left to do, and counts what it did", async () => {
      await queue.add(trial);
      const one = start(
        "idle",
        async ({ directory }, onStep) => {
          await leaves(directory, "config.json", "{}");
          for (const step of [7, 8, 10]) onStep(step, 10);
          return "finished";
        },
        { untilIdle: 1 },
      );
      expect(await one.ended).toBe("idle");
      expect(one.done).toEqual([{ steps: 1 }, { steps: 1 }, { steps: 2 }, { trial: "finished" }]);
      expect(await endOf(trial.id)).toEqual({ end: "finished" });
    });

    test("ends after its number of trials, and leaves the others on the queue", async () => {
      const second = { ...trial, id: "0123456789ab" };
      await queue.add(trial);
      await queue.add(second);
      const one = start(
        "counted",
        async ({ directory }) => {
          await leaves(directory, "config.json", "{}");
          return "finished";
        },
        { trials: 1 },
      );
      expect(await one.ended).toBe("trials");
      expect(await endOf(trial.id)).toEqual({ end: "finished" });
      expect(await queue.has(second)).toBe(true);
      expect(await endOf(second.id)).toBeUndefined();
    });

    test("does not take a missing server for an empty queue", async () => {
      const store = join(folder, "gone");
      await mkdir(store);
      const gone = await Valkey.start(store);
      const one = new Worker(gone.url, join(folder, "gone-work"), never, { untilIdle: 1 });
      await one.ready;
      await gone.stop();
      await expect(one.ended).rejects.toThrow(/server at redis:.* does not answer/);
    });

    test("hands in a pause, and why a trial failed", async () => {
      await queue.add({ ...trial, stopAfter: 1 });
      const ends: TrialEnd[] = ["paused", { failed: "out of memory" }];
      const one = start("paused", async ({ directory }) => {
        await leaves(directory, "metrics.jsonl", "");
        return ends.shift()!;
      });
      await one.says(/: paused$/m);
      expect(await endOf(trial.id)).toEqual({ end: "paused", epochs: 1 });
      await queue.add(trial);
      await one.says(/: failed: out of memory$/m);
      expect(await endOf(trial.id)).toEqual({ end: "failed", reason: "out of memory" });
      await one.end();
    });

    test("gives a trial back when it must end, with its checkpoint for the next worker", async () => {
      await queue.add(trial);
      let release = (): void => {};
      const ending = new Promise<void>((resolve) => {
        release = resolve;
      });
      const one = start("given-back", async ({ directory }) => {
        await leaves(directory, "checkpoints/step-1.safetensors", "weights");
        await ending;
        return "interrupted";
      });
      await one.says(/: rank 2$/m);
      const ended = one.end();
      release();
      await ended;
      expect(one.notes.at(-1)).toBe(`${trial.id}: given back`);
      expect(await queue.has(trial)).toBe(true);
      expect(await queue.counts()).toEqual({ waiting: 1, active: 0 });
      const to = join(folder, "of-another");
      await unpackRun((await queue.result(trial.id))!, to);
      expect(await readFile(join(to, "checkpoints/step-1.safetensors"), "utf8")).toBe("weights");
    });

    test("is too late if another worker has taken the trial since", async () => {
      await queue.add(trial);
      const one = start("late", async ({ directory }) => {
        await leaves(directory, "config.json", "{}");
        await queue.takeFence(trial.id);
        return "finished";
      });
      await one.says(/: result refused: another worker has taken the trial since$/m);
      expect(await endOf(trial.id)).toBeUndefined();
      expect(await queue.result(trial.id)).toBeUndefined();
      await one.end();
    });

    test("hands in as failed a trial that works nowhere or cannot be resumed, and survives", async () => {
      const one = start("failed");
      for (const [named, options] of Object.entries({
        rank: { rank: "many" },
        method: { method: "none" },
        unknown: { unknown: 1 },
        epochs: { epochs: -1 },
        batchSize: { batchSize: 0 },
        learningRate: { learningRate: "fast" },
        kind: { kind: "none" },
        validationSplit: { validationSplit: 2 },
        maxTrainSamples: { maxTrainSamples: 0.5 },
        device: { device: "abacus" },
        task: { task: "cola" },
        train: { train: undefined },
        data: { data: "glue" },
        datasetConfig: { datasetConfig: "cola" },
        checkpointEvery: { checkpointEvery: "often" },
        preset: { preset: "paper" },
        adapter: { adapter: "" },
        offline: { offline: "no" },
      })) {
        await queue.add({ ...trial, config: { ...trial.config, ...options } });
        await expect
          .poll(() => endOf(trial.id), { message: named })
          .toMatchObject({
            end: "failed",
            reason: expect.stringContaining(named === "task" ? "either a task" : named),
          });
        await queue.forget(trial.id);
        await isGone();
      }
      await queue.putResult(trial.id, Buffer.from("nothing"));
      await queue.add(trial);
      await one.says(/: failed: .*not a packed run/);
      expect(await endOf(trial.id)).toMatchObject({ end: "failed", reason: expect.stringMatching(/packed run/) });
      await one.end();
    });

    test("refuses a trial with another's name or with a path as its name, and touches nothing", async () => {
      const kept = join(folder, "kept");
      await leaves(kept, "file", "stays");
      await queue.putResult("../kept", await packRun(join(folder, "model")));
      await queue.add({ ...trial, id: "../kept" });
      const one = start("named");
      await one.says(/the queue holds something that is not a trial: its id is malformed/);
      await queue.add({ ...trial, id: "0123456789ab" });
      await expect(one.ended).rejects.toThrow(/^trial 0123456789ab \(rank 2\) has another name in this version/);
      expect(existsSync(join(kept, "file"))).toBe(true);
      expect(existsSync(join(folder, "named"))).toBe(false);
    });

    test.each([
      ["data", "the data"],
      ["model", "the model's files"],
    ])("refuses a trial where its copy of the %s differs, which stays on the queue", async (part, called) => {
      const other = { ...trial, identity: { ...trial.identity, [part]: "another" } };
      await queue.add(other);
      await expect(start("differs").ended).rejects.toThrow(
        `${called} of trial ${trial.id} (rank 2) differ on this machine from where the study was planned`,
      );
      expect(await queue.has(other)).toBe(true);
      expect((await queue.counts()).waiting).toBe(1);
    });

    test("resumes a run of another worker whose files were elsewhere", async () => {
      const left = join(folder, "left");
      const [train, validation, model] = ["tickets.csv", "held.csv", "model"].map((name) => join("/there", name));
      const config = { ...trial.identity.options, train, validation, model, output: "/there/run" };
      const examples = { train: 1, validation: {}, sha256: { all: "", validation: "" } };
      await leaves(left, "config.json", JSON.stringify(config));
      await leaves(left, "data.json", JSON.stringify({ files: { [train!]: "" }, examples }));
      await leaves(left, "checkpoints/step-1.safetensors", "weights");
      await queue.putResult(trial.id, await packRun(left));
      await queue.add(trial);
      const one = start("gone-on", async ({ directory, resume }) => {
        expect(resume).toBe(true);
        const here = JSON.parse(await readFile(join(directory, "config.json"), "utf8"));
        expect([here.model, here.output]).toEqual([join(folder, "model"), directory]);
        return "finished";
      });
      await one.says(/: finished$/m);
      await one.end();
    });
  },
);
