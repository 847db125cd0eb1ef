import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { openAdapter } from "../../src/base-models/open-adapter-node.ts";
import { UserError } from "../../src/errors.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { pushRun } from "../../src/runs/push-run.ts";
import { afloraHere } from "../support/aflora.ts";
import { fineTune } from "../support/fine-tune.ts";
import { LocalHub } from "../support/local-hub.ts";
import { writeTinyFamily } from "../support/tiny-family.ts";
import { tickets, writeCsv } from "../support/tiny-model.ts";

const TOKEN = "hf_a_writer";
const BASE = ["config.json", "tokenizer.json", "model.safetensors"];

let home: string;
let hub: LocalHub;
let run: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-push-"));
  const model = await writeTinyFamily(join(home, "bert"), "bert-1", { blocks: 1 });
  hub = new LocalHub();
  await hub.start();
  hub.writer = TOKEN;
  const files = Object.fromEntries(
    await Promise.all(BASE.map(async (name) => [name, await readFile(join(model, name))])),
  );
  hub.repositories.push({ kind: "model", name: "owner/tiny", files, large: [BASE[2]!], tags: ["license:apache-2.0"] });
  useHub();
  const train = await writeCsv(join(home, "tickets.csv"), tickets(1));
  const data = { train, validation: train, text: "message", label: "team" };
  const options = { method: "lora", epochs: 2, learningRate: 1e-2, headFeatures: "family", threads: 1 };
  run = join(home, "run");
  await fineTune({ ...data, ...options, model: "owner/tiny", output: run });
  await fineTune({ ...data, ...options, model, output: join(home, "local") });
});
afterAll(async () => {
  await hub.stop();
  await rm(home, { recursive: true });
});

function useHub(): void {
  for (const name of ["HF_HUB_CACHE", "HF_HUB_OFFLINE"]) vi.stubEnv(name, undefined);
  vi.stubEnv("HF_HOME", join(home, "cache"));
  vi.stubEnv("HF_ENDPOINT", hub.endpoint);
  vi.stubEnv("HF_TOKEN", TOKEN);
}
beforeEach(() => {
  useHub();
  hub.received.length = 0;
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const hosted = (name: string) => hub.repositories.find((each) => each.name === name)!;
const uploads = () => hub.received.filter(({ path }) => path.startsWith("/objects/")).length;
const quick = { threads: 1 };

test("a pushed run is private, has a card, and answers on another machine as the run does", async () => {
  const formatOptions = { dtype: "q8" };
  const report = await pushRun(run, "me/tickets", { formats: ["onnx", "peft"], formatOptions }, quick);
  expect(report).toMatchObject({ url: `${hub.endpoint}/me/tickets`, notes: [] });
  const { private: isPrivate, files } = hosted("me/tickets");
  expect(isPrivate).toBe(true);
  expect(report.files).toEqual(Object.keys(files).sort());
  expect(report.files).toEqual(
    expect.arrayContaining(["README.md", "adapter.json", "adapter_config.json", "onnx/model_quantized.onnx"]),
  );

  const card = files["README.md"]!.toString();
  expect(card).toMatch(
    /^---\nbase_model: owner\/tiny\nbase_model_relation: adapter\nlibrary_name: peft\nlicense: apache-2.0\npipeline_tag: text-classification\n/,
  );
  const { metrics, errors } = JSON.parse(await readFile(join(run, "result.json"), "utf8"));
  expect(card).toContain(`| accuracy | ${metrics.accuracy.toFixed(4)} ± ${errors.accuracy.toFixed(4)} |`);
  expect(card).toContain("Trained on 15 examples; measured on 15 examples (validation)");
  expect(card).toContain("Labels in order: billing, bug, delivery.");
  expect(card).toContain('npx aflora predict --run me/tickets "a text"');
  expect(card).toContain('PeftModel.from_pretrained(base, "me/tickets")');
  expect(card).toContain('import { pipeline } from "@huggingface/transformers";');
  expect(card).toContain('await pipeline("text-classification", "me/tickets", { dtype: "fp32" })');
  expect(card).not.toMatch(/path\/of|NAME_OF|localModelPath/);
  // Neither the rows nor the places of this machine.
  for (const content of Object.values(files)) {
    expect(content.toString("latin1")).not.toContain(home);
    expect(content.toString("latin1")).not.toContain("my parcel");
  }
  const toStorage = hub.received.filter(({ host }) => host === "storage");
  expect(toStorage.map(({ headers }) => headers.authorization)).toEqual(toStorage.map(() => undefined));

  vi.stubEnv("HF_HOME", join(home, "another-machine"));
  const [own, pushed] = await Promise.all([run, "me/tickets"].map((name) => loadFineTunedModel(name, quick)));
  const answers = await Promise.all([own, pushed].map((model) => model!.predict("my parcel is late")));
  expect(answers[1]).toEqual(answers[0]);
  await Promise.all([own, pushed].map((model) => model!.release()));
});

test("what an interrupted push had sent is not sent again", async () => {
  hub.objects.clear();
  hub.uploadsUntilDrop = 1;
  const asked = { formats: ["merged", "onnx"], isPublic: true };
  await expect(pushRun(run, "me/whole", asked, quick)).rejects.toThrow(
    /^the connection to http.* failed \(.+\); run the same command again: large files that arrived are not sent again$/,
  );
  const before = hub.objects.size;
  expect(Object.keys(hosted("me/whole").files)).toEqual([]);
  expect(before).toBe(1);

  hub.uploadsUntilDrop = Number.POSITIVE_INFINITY;
  hub.received.length = 0;
  const { files, bytesSent } = await pushRun(run, "me/whole", asked, quick);
  expect([uploads(), hub.objects.size]).toEqual([1, 2]);
  expect(bytesSent).toBeGreaterThan(0);
  expect(files).toEqual(expect.arrayContaining(["model.safetensors", "onnx/model.onnx"]));
  expect(hosted("me/whole").private).toBe(false);

  hub.received.length = 0;
  expect(await pushRun(run, "me/whole", asked, quick)).toMatchObject({ bytesSent: 0 });
  expect(uploads()).toBe(0);
  const model = await loadFineTunedModel("me/whole", quick);
  expect(model.description.task.labels).toEqual(["billing", "bug", "delivery"]);
  await model.release();
});

test.each([
  ["me", {}, /"me" is not the name of a repository on the hub; give owner\/name$/],
  ["me/a", { formats: ["gguf"] }, /"gguf" is no format to push; give peft, merged, onnx/],
  [
    "me/a",
    { formatOptions: { dtype: "q8" } },
    /option "dtype" belongs to the format onnx, which option "format" does not name/,
  ],
  ["owner/tiny", {}, /owner\/tiny exists and is public; give option "public" to push to it, or choose another name/],
  ["owner/tiny", { isPublic: true }, undefined],
] as const)("to %s with %j", async (repository, options, message) => {
  const pushing = pushRun(run, repository, options, quick);
  await (message ? expect(pushing).rejects.toThrow(message) : expect(pushing).resolves.toBeDefined());
});

test("refusals, and a hub that does not answer, are one sentence", async () => {
  const failure = async (directory = run, timeout?: number): Promise<string> => {
    const error = await pushRun(directory, "me/b", {}, { ...quick, timeout }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).message;
  };
  expect(await failure(join(home, "local"))).toMatch(/bert on this machine, so that others could not load its adapter/);
  hub.silent = true;
  expect(await failure(run, 0.3)).toMatch(/the connection to .* failed \(.* 0.3 seconds\); run the same command again/);
  hub.silent = false;
  vi.stubEnv("HF_TOKEN", "hf_a_reader");
  expect(await failure()).toMatch(/the token in HF_TOKEN may not write to me\/b; give it that right at/);
  vi.stubEnv("HF_TOKEN", "");
  expect(await failure()).toMatch(/takes models only from its users: set HF_TOKEN to a token that may write/);
  const { code, stderr } = await afloraHere(["push", run, "me/b", "--format", "peft,onnx"], home);
  expect([code, stderr]).toEqual([2, expect.stringMatching(/^error: .*set HF_TOKEN to a token/)]);
});

test("a misspelled run is looked for on the hub only if there is no such folder beside it", async () => {
  await expect(openAdapter("nobody/nothing")).rejects.toThrow(
    /^there is no folder nobody\/nothing here, and as a name on the hub: there is no model nobody\/nothing/,
  );
  const asked = hub.received.length;
  await expect(openAdapter("src/nothing")).rejects.toThrow(/src\/nothing is not an adapter folder/);
  expect(hub.received.length).toBe(asked);
});
