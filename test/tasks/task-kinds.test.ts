import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { loadAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { UserError } from "../../src/errors.ts";
import type { Tokenizer } from "../../src/inputs/tokenizer.ts";
import { BUILT_IN_KINDS } from "../../src/tasks/built-in-kinds.ts";
import type { Example } from "../../src/tasks/example.ts";
import { trainingExamples } from "../../src/tasks/examples.ts";
import { tokenClassification } from "../../src/tasks/kinds/token-classification.ts";
import { lowerIsBetter } from "../../src/tasks/metrics/metric-direction.ts";
import type { TaskKind } from "../../src/tasks/task-kind.ts";
import { findTaskKind, recognizeHead, registerTaskKind, TASK_KINDS } from "../../src/tasks/task-kinds.ts";
import { ordinalRegression } from "./ordinal-regression.ts";

const SOURCE = fileURLToPath(new URL("../../src", import.meta.url));
const KINDS =
  "(task kinds: classification, regression, multi-label, token-classification, image-classification, audio-classification, language-model, sequence-to-sequence, preference, reward, reward-learning, embedding, image-embedding, reranker)";

test("no source file outside of tasks/ names a kind", async () => {
  // OpenAI's shapes say what an object is in words of their own, and an option has the name of a kind.
  const named = new RegExp(`(?<!object: |opt\\()["'\`](${TASK_KINDS.names.join("|")})["'\`]`);
  const places: string[] = [];
  for (const entry of await readdir(SOURCE, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const file = relative(SOURCE, path);
    if (!entry.isFile() || /^tasks[/\\]/.test(file)) continue;
    const lines = (await readFile(path, "utf8")).split("\n");
    lines.forEach((line, i) => {
      if (named.test(line)) places.push(`${file}:${i + 1}: ${line.trim()}`);
    });
  }
  expect(places).toEqual([]);
});

test("a built-in kind is listed under its name, by which types know its predictions", () => {
  expect(Object.values(BUILT_IN_KINDS).map(({ name }) => name)).toEqual(Object.keys(BUILT_IN_KINDS));
});

describe("the registry", () => {
  test("an unknown name is refused with the closest one", () => {
    expect(() => findTaskKind("regresion")).toThrow(
      new UserError(`unknown task kind "regresion"; did you mean "regression"? ${KINDS}`),
    );
  });

  test("a name that is taken is refused, and a metric that would get a second direction", () => {
    const named = (name: string, metrics: TaskKind["metrics"]): TaskKind => ({ ...ordinalRegression, name, metrics });
    expect(() => registerTaskKind(named("multi-label", {}))).toThrow(
      new UserError('task kind "multi-label" already exists; give the new one another name'),
    );
    const accuracy = { higherIsBetter: false, compute: () => 0 };
    expect(() => registerTaskKind(named("upside-down", { accuracy }))).toThrow(
      new UserError(
        'task kind "upside-down": a higher value of the metric "accuracy" is better in "classification"; give it another name',
      ),
    );
  });

  test("an adapter of a kind that is not known is refused in a sentence", async () => {
    const folder = await mkdtemp(join(tmpdir(), "aflora-kinds-"));
    const description = {
      format: "aflora-adapter",
      model: "all-MiniLM-L6-v2",
      modelType: "bert",
      method: "lora",
      methodOptions: {},
      task: { name: "custom", kind: "ranking", labels: [], metrics: [] },
      maxLength: 64,
    };
    await writeFile(join(folder, "adapter.json"), JSON.stringify(description));
    await expect(loadAdapter(folder)).rejects.toThrow(
      new UserError(`${join(folder, "adapter.json")}: unknown task kind "ranking" ${KINDS}`),
    );
    await rm(folder, { recursive: true });
  });
});

test("targets of very many classes are made when they are looked at, not kept", () => {
  const encoding = { inputIds: Int32Array.of(1), tokenTypeIds: Int32Array.of(0), cut: false };
  const tokenizer = { encode: () => encoding } as unknown as Tokenizer;
  const targetsOf = (count: number) => {
    const labels = Array.from({ length: count }, (_, i) => `class ${i}`);
    const examples = [{ index: 0, text: "a", label: count - 1 }];
    const [example] = trainingExamples({ kind: "classification", labels, options: {} }, examples, tokenizer, 8);
    return [example!.targets.data, example!.targets.data];
  };
  const [once, again] = targetsOf(10_000);
  expect(once!.every((value, i) => value === again![i])).toBe(true);
  expect(once).not.toBe(again);
  expect([once!.length, once!.indexOf(1), once!.lastIndexOf(1)]).toEqual([10_000, 9999, 9999]);
  const [kept, same] = targetsOf(10);
  expect(kept).toBe(same);
});

test("a metric's direction is its kind's, also with a split's name behind it", () => {
  for (const name of ["mean_squared_error", "mean_squared_error_dev", "loss"]) expect(lowerIsBetter(name)).toBe(true);
  for (const name of ["accuracy", "f1_mismatched", "pearson", "unheard_of"]) expect(lowerIsBetter(name)).toBe(false);
});

test.each([
  ["sequence", 1, null, "regression", 0],
  ["sequence", 1, "multi_label_classification", "regression", 0],
  ["sequence", 3, "multi_label_classification", "multi-label", 3],
  ["sequence", 3, null, "classification", 3],
  ["token", 3, null, "token-classification", 3],
] as const)("a %s head of %i outputs, problem type %s, is for %s", (head, outputs, problemType, kind, labels) => {
  const found = recognizeHead(head, ["a", "b", "c"].slice(0, outputs), problemType);
  expect([found.kind.name, found.labels.length]).toEqual([kind, labels]);
});

describe("what logits say", () => {
  const says = (name: string, labels: string[], ...logits: number[]) => {
    const encoded = { index: 0, encoding: { inputIds: new Int32Array(3), tokenTypeIds: new Int32Array(3) } };
    const given = [labels, { index: 0, text: "x" }, encoded, Float32Array.from(logits)] as const;
    const kind = findTaskKind(name);
    return [kind.predict(...given), kind.lineOf(kind.describe(...given))];
  };

  test("of a class the largest, of labels those above one half, of a real number itself", () => {
    expect(says("classification", ["a", "b", "c"], -1, 3, 2)).toEqual([
      { label: 1, probability: expect.closeTo(0.721, 3) },
      "b 0.721",
    ]);
    expect(says("multi-label", ["a", "b", "c"], 0.1, -3, 2)).toEqual([{ labels: [0, 2] }, "c 0.881, a 0.525"]);
    expect(says("multi-label", ["a"], -1)).toEqual([{ labels: [] }, "none"]);
    expect(says("regression", [], 2.5)).toEqual([{ label: 2.5 }, "2.5000"]);
  });

  test("a word is what its first token says; a word that was not read is outside", () => {
    const example: Example = { index: 7, text: "a b c d", words: ["a", "b", "c", "d"], labels: [1, 2, 0, 2] };
    const encoding = {
      inputIds: new Int32Array(5),
      tokenTypeIds: new Int32Array(5),
      // Two tokens of word 0, none of word 1, one of word 2; word 3 was cut off.
      wordIds: Int32Array.of(-1, 0, 0, 2, -1),
    };
    const tokenizer = {
      padTokenId: 0,
      specialTokens: {},
      chatTemplate: undefined,
      encode: () => encoding,
      encodeWords: () => encoding,
      idsOf: () => [],
      decode: () => "",
      tokenBytes: () => [],
    };
    const labels = ["B-X", "I-X", "O"];
    const encoded = tokenClassification.encode(example, tokenizer, 5);
    expect(encoded).toEqual({ index: 7, encoding, rows: Int32Array.of(1, 3) });
    expect(tokenClassification.targets(example, encoded, labels, [2, 3, 4])).toEqual({
      targets: { dtype: "float32", shape: [2, 3], data: Float32Array.of(0, 1, 0, 1, 0, 0) },
      weights: Float32Array.of(3, 2),
    });
    const logits = Float32Array.of(0, 1, 0, 1, 0, 0);
    expect(tokenClassification.predict(labels, example, encoded, logits)).toEqual({ labels: [1, 2, 0, 2] });
    const shown = tokenClassification.describe(labels, example, encoded, logits);
    expect(tokenClassification.lineOf(shown)).toBe("a [X 0.576], c [X 0.576]");
  });
});
