import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readFinishedRun } from "../../src/runs/read-run.ts";
import { queueRunner } from "../../src/studies/queue/queue-runner.ts";
import { TrialQueue } from "../../src/studies/queue/trial-queue.ts";
import { runStudy } from "../../src/studies/run-study.ts";
import type { StudyPlan } from "../../src/studies/study.ts";
import { parseStudy } from "../../src/studies/study-file.ts";
import { planStudy } from "../../src/studies/study-plan.ts";
import { Aflora, aflora, afloraHere } from "../support/aflora.ts";
import { appearance } from "../support/appearance.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";
import { noValkey, Valkey } from "../support/valkey.ts";
import { hereRunner } from "./here-runner.ts";

let folder: string;
let options: Record<string, unknown>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-queue-"));
  const model = await writeTinyModel(join(folder, "model"));
  const train = await writeCsv(join(folder, "tickets.csv"), tickets());
  const validation = await writeCsv(join(folder, "held.csv"), tickets(1));
  options = { model, train, validation, text: "message", label: "team", epochs: 12, batchSize: 8, threads: 1 };
  options.headStart = "new";
});

/** Also those of a test that failed. */
const started: Aflora[] = [];
afterAll(async () => {
  for (const each of started) each.process.kill("SIGKILL");
  await Promise.all(started.map(({ ended }) => ended));
  await rm(folder, { recursive: true, force: true, maxRetries: 10 });
});

const planOf = (more: Record<string, unknown> = {}): Promise<StudyPlan> =>
  planStudy(
    parseStudy({ options, vary: { rank: [2, 4], learningRate: [0.001, 0.03] }, seeds: [1, 2, 3], ...more }, "made up"),
  );

const onQueue = (queue: TrialQueue, signal = new AbortController().signal) => queueRunner(queue, signal);

const worker = (url: string, directory: string, cwd = folder, more: readonly string[] = []): Aflora => {
  const args = ["work", "--queue", url, "--dir", directory, "--threads", "1", "--lost-after", "3", ...more];
  const one = new Aflora(args, cwd);
  started.push(one);
  return one;
};

/** Takes a trial when it has said so. */
const hasBegun = (of: Aflora): Promise<RegExpExecArray> => of.says(/^[0-9a-f]{12}: rank/m);

const bytesOf = (directory: string): Promise<Buffer> => readFile(join(directory, "adapter/adapter.safetensors"));

describe.skipIf(noValkey !== undefined)(
  noValkey === undefined ? "with a Valkey server" : `skipped: ${noValkey}`,
  () => {
    let server: Valkey;
    let store: string;
    beforeAll(async () => {
      store = join(folder, "valkey");
      await mkdir(store);
      server = await Valkey.start(store);
    });
    afterAll(() => server.stop());

    test("4 trials, three workers, of which one is killed twice, and the server restarted: 4 results, those of one process to the bit", async () => {
      const plan = await planOf({ seeds: [1] });
      const alone = await runStudy(plan, join(folder, "alone"), hereRunner);
      const queue = await TrialQueue.open(server.url);
      const shared = join(folder, "work");
      const first = worker(server.url, shared);
      const others = [worker(server.url, shared), worker(server.url, shared)];
      const output = join(folder, "many");
      const ended: string[] = [];
      const study = runStudy(plan, output, onQueue(queue), { onEnd: ({ id }) => ended.push(id) }, Infinity);

      await hasBegun(first);
      first.process.kill("SIGKILL");
      const again = worker(server.url, shared);
      await hasBegun(again);
      again.process.kill("SIGKILL");
      await server.restart();

      const { trials } = await study;
      expect(trials.map(({ status }) => status)).toEqual(Array(4).fill("finished"));
      expect(ended).toHaveLength(4);
      expect(new Set(ended).size).toBe(4);
      for (const [i, { trial, directory, reported }] of trials.entries()) {
        expect(trial.id).toBe(alone.trials[i]!.trial.id);
        expect(await bytesOf(directory)).toEqual(await bytesOf(alone.trials[i]!.directory));
        expect((await readFinishedRun(directory)).result.metrics).toEqual(
          (await readFinishedRun(alone.trials[i]!.directory)).result.metrics,
        );
        expect(reported).toEqual(alone.trials[i]!.reported);
      }
      expect(await queue.ends()).toEqual(new Map());
      for (const each of others) {
        each.process.kill("SIGTERM");
        expect((await each.ended).code).toBe(130);
      }
      await queue.close();
    });

    test("SIGTERM gives the trial back, which --status shows; the next worker may have model and data in another folder", async () => {
      const places = await Promise.all(
        ["here", "there"].map(async (name) => {
          const place = join(folder, name);
          await mkdir(place);
          for (const each of ["model", "tickets.csv", "held.csv"]) {
            await cp(join(folder, each), join(place, each), { recursive: true });
          }
          return place;
        }),
      );
      const [here, there] = places as [string, string];
      const relative = { ...options, model: "model", train: "tickets.csv", validation: "held.csv", epochs: 60 };
      const file = { title: "Moved", options: relative, vary: { rank: [8] }, seeds: [5] };
      await writeFile(join(here, "moved.yaml"), JSON.stringify(file));
      const study = new Aflora(["study", "moved.yaml", "--queue", server.url], here);
      started.push(study);
      const first = worker(server.url, join(there, "work"), there);
      const id = (await hasBegun(first))[0].slice(0, 12);
      await appearance(join(there, "work", id, "checkpoints"));
      first.process.kill("SIGTERM");
      const given = await first.ended;
      expect(given.stderr).toMatch(/: given back/);
      expect(given.code).toBe(130);
      expect((await aflora(["study", "moved.yaml", "--queue", server.url, "--status"], here)).stdout).toMatch(
        /1 trial: 0 finished in .*\nthe queue at redis:\/\/127\.0\.0\.1:\d+: 1 waiting, 0 with a worker/,
      );
      // Nothing is read where the first one had it.
      await rm(join(there, "tickets.csv"));
      await rm(join(there, "model"), { recursive: true });
      const second = worker(server.url, join(here, "work"), here);
      const { code, stderr } = await study.ended;
      expect(stderr).not.toMatch(/failed/);
      expect(code).toBe(0);
      const { config, dataFingerprint } = await readFinishedRun(join(here, "runs/moved/trials", id));
      expect(config.source).toEqual({ train: join(here, "tickets.csv") });
      expect(config.run.model).toBe(join(here, "model"));
      expect(Object.keys(dataFingerprint.files!)).toEqual([join(here, "tickets.csv")]);
      second.process.kill("SIGTERM");
      await second.ended;
    });

    test("Ctrl-C ends a study whose server has disappeared", async () => {
      const gone = await mkdtemp(join(folder, "gone-"));
      const other = await Valkey.start(gone);
      const flags = ["--train", "tickets.csv", "--text", "message", "--label", "team", "--model", "model"];
      const study = new Aflora(
        ["study", "--vary", "rank=2", "--queue", other.url, "--output", "unserved", ...flags],
        folder,
      );
      started.push(study);
      await study.says(/trials are on the queue/);
      await study.says(/no worker is connected; start one with aflora work --queue redis:/);
      await other.stop();
      // It looks for the server again where that was.
      const empty = createServer((socket) => socket.destroy()).listen(other.port, "127.0.0.1");
      await once(empty, "connection");
      empty.close();
      study.process.kill("SIGINT");
      const { code, stderr } = await study.ended;
      expect(stderr).toMatch(/interrupted; run the same command again to continue/);
      expect(code).toBe(130);
    });

    test("a worker that finds its server gone says so, and ends with exit code 2", async () => {
      const gone = await mkdtemp(join(folder, "gone-"));
      const other = await Valkey.start(gone);
      const one = worker(other.url, join(gone, "work"), folder, ["--until-idle", "1s", "--metrics", "0"]);
      await one.says(/waiting for trials and runs at/);
      await other.stop();
      const { code, stderr } = await one.ended;
      expect(stderr).toMatch(
        /\nerror: the queue's server at redis:\S+ does not answer; start it, or check the address\n$/,
      );
      expect(code).toBe(2);
    });

    test("halving: the next worker of a trial resumes from the run of the one before", async () => {
      const vary = { learningRate: [0.001, 0.01, 0.03] };
      const plan = await planOf({
        vary,
        seeds: [1],
        search: "halving",
        reduction: 3,
        options: { ...options, epochs: 6 },
      });
      const queue = await TrialQueue.open(server.url);
      // Folders of their own: nothing is reached but through the server.
      const workers = ["a", "b"].map((name) => worker(server.url, join(folder, `work-${name}`)));
      const { trials } = await runStudy(plan, join(folder, "halved"), onQueue(queue), {}, Infinity);
      const alone = await runStudy(plan, join(folder, "halved-alone"), hereRunner);
      expect(trials.map(({ status }) => status)).toEqual(alone.trials.map(({ status }) => status));
      const winner = trials.findIndex(({ status }) => status === "finished");
      expect(await bytesOf(trials[winner]!.directory)).toEqual(await bytesOf(alone.trials[winner]!.directory));
      for (const each of workers) {
        each.process.kill("SIGTERM");
        await each.ended;
      }
      await queue.close();
    });
  },
);

test("a study without a server reports it, and writes nothing", async () => {
  const study = ["study", "--vary", "rank=2,4", "--train", "tickets.csv", "--text", "message", "--label", "team"];
  const given = [...study, "--model", "model", "--output", "none", "--queue", "redis://127.0.0.1:9"];
  const { code, stderr } = await afloraHere(given, folder);
  expect(stderr).toMatch(/^error: no Valkey or Redis server answers at .*\n$/m);
  expect(code).toBe(2);
  expect(existsSync(join(folder, "none"))).toBe(false);
});
