import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { UserError } from "../../src/errors.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { loadTask } from "../../src/preparation/load-task-node.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import type { RunEvent, RunStart } from "../../src/runs/fine-tune-events.ts";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { comparison } from "../../src/studies/compare.ts";
import { planStudy } from "../../src/studies/study-plan.ts";
import { fineTune } from "../support/fine-tune.ts";
import { COMMIT, LocalHub } from "../support/local-hub.ts";
import { on, together } from "../support/on-event.ts";
import { runtime } from "../support/runtime.ts";
import { writeTinyFamily } from "../support/tiny-family.ts";

const QUICK = { threads: 1, epochs: 1, method: "lora" };
const TOKEN = "hf_a_secret";
const parquet = (name: string) => readFile(fileURLToPath(new URL(`../fixtures/parquet/${name}`, import.meta.url)));

let home: string;
let hub: LocalHub;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-hub-runs-"));
});
afterAll(() => rm(home, { recursive: true }));

beforeEach(async () => {
  hub = new LocalHub();
  await hub.start();
  const folder = await writeTinyFamily(join(home, "bert"), "bert-1", { blocks: 1 });
  const names = ["config.json", "tokenizer.json", "model.safetensors"];
  const files = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))])),
  );
  const cola = ["train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001"];
  const glue = Object.fromEntries(
    await Promise.all(
      cola.map(async (part) => [`cola/${part}.parquet`, await parquet(`cola-${part}.parquet`)] as const),
    ),
  );
  hub.repositories.push(
    { kind: "model", name: "owner/tiny", files, large: ["model.safetensors"], revisions: ["v1"], token: TOKEN },
    { kind: "dataset", name: "owner/glue", files: glue },
    { kind: "dataset", name: "owner/tagged", files: { "train.parquet": await parquet("tagged-train.parquet") } },
  );
  for (const name of ["HF_HUB_CACHE", "HF_HUB_OFFLINE"]) vi.stubEnv(name, undefined);
  vi.stubEnv("HF_TOKEN", TOKEN);
  vi.stubEnv("HF_ENDPOINT", hub.endpoint);
  vi.stubEnv("HF_HOME", await mkdtemp(join(home, "cache-")));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.stop();
});

const output = () => mkdtemp(join(home, "run-"));
const json = async (...path: string[]) => JSON.parse(await readFile(join(...path), "utf8"));
const data = { dataset: "owner/glue", datasetConfig: "cola" };

test("a model and a data set by their hub ids; the run records the commits and works without the hub", async () => {
  const directory = await output();
  const fetched = new Set<string>();
  const { result } = await fineTune(
    { ...QUICK, ...data, model: "owner/tiny@v1", output: directory },
    { onDownload: ({ file }) => void fetched.add(file) },
  );
  expect(result).toMatchObject({ model: "owner/tiny", task: "cola" });
  expect(Object.keys(result!.metrics)).toEqual(["matthews_correlation"]);
  expect([...fetched]).toContain("model.safetensors");
  expect([...fetched].filter((name) => name.endsWith(".parquet"))).toHaveLength(3);

  const model = { model: "owner/tiny", revision: COMMIT };
  expect(await json(directory, "config.json")).toMatchObject({ ...model, ...data });
  expect(await json(directory, "adapter", "adapter.json")).toMatchObject(model);
  for (const entry of await readdir(home, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) expect(await readFile(join(entry.parentPath, entry.name), "latin1")).not.toContain(TOKEN);
  }

  // From here on there is no hub.
  await hub.stop();
  const [evaluation] = await evaluateRun(directory, { threads: 1, offline: true });
  expect(evaluation!.metrics).toMatchObject(result!.metrics);
  const again = await fineTune({ ...QUICK, ...data, model: "owner/tiny@v1", offline: true, output: await output() });
  expect(again.result!.metrics).toEqual(result!.metrics);
  // A commit never changes, so that the cache will do without being told.
  const tagger = await loadFineTunedModel(directory, runtime);
  expect((await tagger.predict(["ab cd"]))[0]!.labels).toHaveLength(2);
  await tagger.release();
  await expect(evaluateRun(directory, { threads: 1 })).rejects.toThrow(/cannot reach .*use option "offline"/);
});

test("a resumed run and an evaluation read the commit of the data set that the run began with", async () => {
  const folder = await writeTinyFamily(join(home, "resumed"), "bert-1", { blocks: 1 });
  const directory = await output();
  const abort = new AbortController();
  const given = { ...QUICK, ...data, model: folder, batchSize: 8, output: directory };
  const began: RunStart[] = [];
  const onStart = on<RunEvent, "start">("start", (start) => void began.push(start));
  const onStep = on("step", () => abort.abort());
  await fineTune(given, { signal: abort.signal, onEvent: together<RunEvent>(onStart, onStep) });
  expect((await readRunRecords(directory)).dataFingerprint).toMatchObject({
    revision: COMMIT,
    examples: { train: 24, validation: { validation: 12 } },
  });

  const repository = hub.repositories.find(({ name }) => name === "owner/glue")!;
  const { "cola/train-00000-of-00002.parquet": _, ...fewer } = repository.files;
  repository.history = { [COMMIT]: repository.files };
  Object.assign(repository, { commit: COMMIT.replaceAll("0", "f"), files: fewer });
  expect((await loadTask(began[0]!.config)).train.length).toBeLessThan(began[0]!.task.train.length);

  const { result } = await fineTune({ output: directory }, { resume: true, onEvent: onStart });
  expect(result!.steps).toBe(3);
  expect(began[1]!.task).toEqual(began[0]!.task);
  repository.files = { "cola/train.parquet": fewer["cola/train-00001-of-00002.parquet"]! };
  expect(await evaluateRun(directory, { threads: 1 })).toMatchObject([{ split: "validation", examples: 12 }]);
});

test("the published settings also apply to GLUE tasks from the hub", async () => {
  const directory = await output();
  await fineTune({ ...QUICK, ...data, model: "owner/tiny", method: "aflora", output: directory });
  expect(await json(directory, "config.json")).toMatchObject({ learningRate: 1e-2, headLearningRate: 4e-2 });
});

test("columns and kind apply to a data set of the hub", async () => {
  const options = { dataset: "owner/tagged", text: "tokens", label: "ner_tags", validationSplit: 0.4, batchSize: 2 };
  const { result } = await fineTune({ ...QUICK, ...options, model: "owner/tiny", output: await output() });
  expect(Object.keys(result!.metrics)).toEqual(["f1", "precision", "recall", "accuracy"]);
});

test("a search for learning rates needs a data set with a validation split", async () => {
  const { "cola/validation-00000-of-00001.parquet": _, ...unsplit } = hub.repositories[1]!.files;
  hub.repositories.push({ kind: "dataset", name: "owner/unsplit", files: unsplit });
  const plan = (dataset: string) => {
    const options = { ...data, dataset, model: "owner/tiny@v1", threads: 1, epochs: 1 };
    return planStudy(comparison({ methods: ["lora"], seeds: [1], ranks: [4], options, trials: 2 }));
  };
  await expect(plan("owner/unsplit")).rejects.toThrow(
    /give option "validation" FILE, or a data set with a validation split/,
  );
  expect((await plan("owner/glue")).configurations).toHaveLength(1);
});

test("missing models and data sets are refused, and nothing is written", async () => {
  const refused = async (options: Record<string, unknown>, message: RegExp) => {
    const directory = join(home, "nothing");
    const error = await fineTune({ ...QUICK, output: directory, ...options }).catch((each) => each);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain(TOKEN);
    expect(await readdir(home)).not.toContain("nothing");
  };
  await refused({ ...data, model: "owner/none" }, /there is no model owner\/none/);
  await refused({ ...data, model: "owner/tiny@v2" }, /has no revision "v2"/);
  await refused({ ...data, model: "owner/tiny", revision: "v3" }, /has no revision "v3"/);
  await refused({ ...data, model: "owner/other", offline: true }, /not in the cache/);
  await refused({ dataset: "owner/none", model: "owner/tiny" }, /there is no data set owner\/none/);
  await refused({ ...data, validation: "some.csv" }, /option "validation" requires option "train"/);
  await refused({ train: "some.csv", datasetConfig: "cola" }, /option "datasetConfig" requires option "dataset"/);
  await refused({ ...data, train: "some.csv" }, /give either a task .*option "dataset" OWNER\/NAME/);
});
