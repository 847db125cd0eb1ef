import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Adapter } from "../../src/base-models/adapter.ts";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { float32 } from "../../src/graph/tensor.ts";
import { AdapterHost } from "../../src/inference/adapter-host.ts";
import { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import { lora } from "../../src/methods/lora.ts";
import { registerMethod } from "../../src/methods/methods.ts";
import { runtime } from "../support/runtime.ts";
import { EXAMPLES, tinyAdapter } from "../support/tiny-adapter.ts";
import { writeTinyFamily } from "../support/tiny-family.ts";

let directory: string;
let model: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-host-"));
  model = await writeTinyFamily(join(directory, "model"), "bert-1", { blocks: 1 });
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** An adapter, and its logits without others. */
async function alone(...given: Parameters<typeof tinyAdapter>): Promise<{ adapter: Adapter; logits: Float32Array[] }> {
  const { base, adapter } = await tinyAdapter(...given);
  const tuned = await FineTunedModel.adapt(base, adapter, runtime);
  const logits = await tuned.logits(EXAMPLES);
  await tuned.release();
  return { adapter, logits };
}

/** The same kind of adapter with other values. */
function negated({ description, parameters }: Adapter): Adapter {
  return {
    description,
    parameters: new Map(
      [...parameters].map(([name, { shape, data }]) => [
        name,
        float32(
          shape,
          data.map((x) => -x),
        ),
      ]),
    ),
  };
}

test("adapters of one kind share a graph, and each has the outputs that it has alone, in any order", async () => {
  const one = await alone(model, "aflora", { rank: 4 });
  const score = { name: "score", kind: "regression" as const, labels: [], metrics: ["pearson" as const] };
  const other = await alone(model, "lora", { rank: 2 }, score);
  const host = new AdapterHost(await loadBaseModel(model), runtime);
  await host.add("one", one.adapter);
  await host.add("turned", negated(one.adapter));
  expect(host.compiledGraphs).toBe(1);
  await host.add("other", other.adapter);
  expect(host.compiledGraphs).toBe(2);
  expect(host.names).toEqual(["one", "turned", "other"]);

  const turned = await host.use("turned").logits(EXAMPLES);
  expect(await host.use("one").logits(EXAMPLES)).toEqual(one.logits);
  expect(await host.use("other").logits(EXAMPLES)).toEqual(other.logits);
  expect(turned).not.toEqual(one.logits);
  expect(await host.use("turned").logits(EXAMPLES)).toEqual(turned);
  const [value] = await host.use("other").predict(["a text"]);
  expect(value!.value).toBeTypeOf("number");

  await host.remove("one");
  expect(() => host.use("one")).toThrow(/there is no adapter "one".*\(adapters: turned, other\)/);
  await host.release();
});

test("the base model's arrays exist once, for any number of adapters", async () => {
  const { adapter } = await alone(model, "lora", { rank: 2 });
  const host = new AdapterHost(await loadBaseModel(model), runtime);
  for (let i = 0; i < 5; i++) await host.add(`adapter ${i}`, i % 2 ? adapter : negated(adapter));
  const embeddings = host.names.map((name) => host.use(name).base.weights.get("embeddings.word_embeddings.weight"));
  expect(new Set(embeddings).size).toBe(1);
  expect(host.compiledGraphs).toBe(1);
  await host.release();
});

test("an adapter that does not fit is refused, and the others remain", async () => {
  const wide = await writeTinyFamily(join(directory, "wide"), "bert-2");
  const { adapter } = await alone(wide, "lora", { rank: 2 });
  const fits = await alone(model, "lora", { rank: 2 });
  const host = new AdapterHost(await loadBaseModel(model), runtime);
  await host.add("fits", fits.adapter);
  await expect(host.add("wide", adapter)).rejects.toThrow(/does not fit base model .*: ".*" should be \[/);
  expect(await host.use("fits").logits(EXAMPLES)).toEqual(fits.logits);
  await host.release();
});

test("an adapter without a head gets that of the checkpoint", async () => {
  const task = { name: "own", kind: "classification" as const, labels: ["0", "1", "2"], metrics: [] };
  const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 }, task);
  const own = [...adapter.parameters].filter(([name]) => base.trace.weights.get(name)?.part !== "head");
  const headless = { ...adapter, parameters: new Map(own) };
  const tuned = await FineTunedModel.adapt(base, headless, runtime);
  const expected = await tuned.logits(EXAMPLES);
  await tuned.release();
  const host = new AdapterHost(await loadBaseModel(model), runtime);
  await host.add("headless", headless);
  expect(await host.use("headless").logits(EXAMPLES)).toEqual(expected);
  await host.release();
});

test("a kind of adapter that failed to compile can be added later", async () => {
  let broken = true;
  const breaking: typeof lora = {
    ...lora,
    name: "breaks-once",
    adapt(options, modules) {
      const adaptation = lora.adapt(options, modules);
      return {
        ...adaptation,
        adapt(...given) {
          if (broken) throw new Error("no memory");
          return adaptation.adapt!(...given);
        },
      };
    },
  };
  registerMethod(breaking);
  broken = false;
  const { adapter, logits } = await alone(model, "breaks-once", { rank: 2 });
  broken = true;
  const host = new AdapterHost(await loadBaseModel(model), runtime);
  await expect(host.add("one", adapter)).rejects.toThrow("no memory");
  expect([host.compiledGraphs, host.names]).toEqual([0, []]);
  broken = false;
  await host.add("one", adapter);
  expect(await host.use("one").logits(EXAMPLES)).toEqual(logits);
  await host.release();
});

test("a host that is released while adapters are added frees compiled graphs and refuses the adapters", async () => {
  const [{ adapter }, other] = [await alone(model, "lora", { rank: 2 }), await alone(model, "lora", { rank: 3 })];
  const host = new AdapterHost(await loadBaseModel(model), runtime);
  const adding = [host.add("one", adapter), host.add("two", negated(adapter)), host.add("three", other.adapter)];
  const added = Promise.allSettled(adding);
  // Waits until the first graph is being compiled.
  while (host.compiledGraphs === 0) await new Promise((resolve) => setImmediate(resolve));
  await host.release();
  for (const each of await added) {
    const message = /^the host was released, and adapter "\w+" was not added/;
    expect(each).toMatchObject({ status: "rejected", reason: { message: expect.stringMatching(message) } });
  }
  expect([host.compiledGraphs, host.names]).toEqual([0, []]);
  await host.release();
});

test("a graph is released with the last adapter that uses it, whether removed or replaced", async () => {
  const { adapter, logits } = await alone(model, "lora", { rank: 2 });
  const other = await alone(model, "lora", { rank: 3 });
  const host = new AdapterHost(await loadBaseModel(model), runtime);
  await host.add("one", adapter);
  await host.add("two", negated(adapter));
  const [one, two] = [host.use("one"), host.use("two")];
  await host.remove("two");
  expect(host.compiledGraphs).toBe(1);
  expect(await one.logits(EXAMPLES)).toEqual(logits);
  await host.add("one", negated(adapter), { replace: true });
  await host.add("one", adapter, { replace: true });
  expect(await host.use("one").logits(EXAMPLES)).toEqual(logits);
  await host.add("one", other.adapter, { replace: true });
  expect(host.compiledGraphs).toBe(1);
  await expect(two.logits(EXAMPLES)).rejects.toThrow();
  expect(await host.use("one").logits(EXAMPLES)).toEqual(other.logits);
  await host.remove("one");
  expect(host.compiledGraphs).toBe(0);
  await host.release();
});

test("an existing name is replaced only on request, even if another adapter takes it meanwhile", async () => {
  const { adapter, logits } = await alone(model, "lora", { rank: 2 });
  const host = new AdapterHost(await loadBaseModel(model), runtime);
  const taken = /^there is an adapter "one" already; give the new one another name, or \{ replace: true \}/;
  const added = await Promise.allSettled([host.add("one", adapter), host.add("one", adapter)]);
  expect(added.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  expect(added.find(({ status }) => status === "rejected")).toMatchObject({
    reason: { message: expect.stringMatching(taken) },
  });
  await expect(host.add("one", negated(adapter))).rejects.toThrow(taken);
  expect(await host.use("one").logits(EXAMPLES)).toEqual(logits);
  await host.remove("one");
  expect(host.compiledGraphs).toBe(0);
  await host.release();
});
