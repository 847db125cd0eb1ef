import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fineTune } from "../../src/fine-tune.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { reliability } from "../../src/tasks/metrics/calibration.ts";
import { softmax } from "../../src/tasks/probabilities.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-calibration-"));
});
afterAll(() => rm(home, { recursive: true }));

test("predictions with a run's adapter have probabilities calibrated on its validation examples", async () => {
  const model = await writeTinyModel(join(home, "model"));
  const rows = tickets(4);
  // Every third label is wrong, so that no model is right as often as it could be sure.
  const held = rows.map(({ message, team }, i) => ({ message, team: i % 3 === 0 ? "bug" : team }));
  const train = await writeCsv(join(home, "train.csv"), rows);
  const validation = await writeCsv(join(home, "held.csv"), held);
  const data = { model, train, validation, text: "message", label: "team", threads: 1 };
  const { result } = await fineTune({
    ...data,
    method: "lora",
    epochs: 12,
    learningRate: 0.01,
    output: join(home, "run"),
  });
  const { temperature, before, after } = result!.calibration!;
  expect(Math.abs(Math.log(temperature))).toBeGreaterThan(0.2);
  const description = JSON.parse(await readFile(join(home, "run/adapter/adapter.json"), "utf8"));
  expect(description.temperature).toBe(temperature);

  const loaded = (await loadFineTunedModel(join(home, "run"), runtime)).ofKind("classification");
  const { labels } = loaded.description.task;
  const examples = held.map(({ message }, index) => ({ index, text: message }));
  const logits = await loaded.logits(examples);
  // Below a threshold the answer stays open, with the probabilities as they were.
  const texts = held.map(({ message }) => message);
  const plain = (await loaded.predict(texts)).map(({ label, labels: [best] }) => ({ label, sure: best!.probability }));
  const middle = plain.map(({ sure }) => sure).sort()[plain.length >> 1]!;
  expect(loaded.requireConfidence(String(middle))).toBe(middle);
  const found = await loaded.predict(texts);
  expect(found.map(({ label }) => label)).toEqual(plain.map(({ label, sure }) => (sure < middle ? "unsure" : label)));
  const open = found.find(({ label }) => label === "unsure")!;
  expect(loaded.kind.lineOf(open)).toMatch(/^unsure \((billing|bug|delivery) 0\.\d{3}\)$/);
  const threshold = loaded.requireConfidence("auto:precision=0.6");
  const kept = plain.map((each, i) => ({ ...each, team: held[i]!.team })).filter(({ sure }) => sure >= threshold);
  expect(kept.filter(({ label, team }) => label === team).length / kept.length).toBeGreaterThanOrEqual(0.6);
  expect(() => loaded.requireConfidence("auto:precision=0.999")).toThrow("no threshold shows that");
  for (const wrong of ["", "2", "auto", "auto:recall=0.9"]) {
    expect(() => loaded.requireConfidence(wrong)).toThrow('option "threshold" takes a probability');
  }
  await loaded.release();
  const of = (factor: number) => {
    const shares = logits.map((row) => softmax(row.map((logit) => factor * logit)));
    const best = shares.map((each) => Math.max(...each));
    const right = shares.map((each, i) => labels[each.indexOf(best[i]!)] === held[i]!.team);
    const loss = shares.reduce((sum, each, i) => sum - Math.log(each[labels.indexOf(held[i]!.team)]!), 0);
    // As the fit weighs it: few rows that are all right say nothing of a temperature.
    const cost = loss + Math.log(factor / temperature) ** 2;
    return { bins: reliability(best, right), cost };
  };
  const numbers = (bins: typeof before) => bins.map(({ count, confidence, accuracy }) => [count, confidence, accuracy]);
  const near = (bins: typeof before) => numbers(bins).map((bin) => bin.map((value) => expect.closeTo(value, 4)));
  expect(numbers(of(1).bins)).toEqual(near(after));
  expect(numbers(of(temperature).bins)).toEqual(near(before));
  for (const other of [0.8, 1.25, temperature]) expect(of(1).cost).toBeLessThan(of(other).cost);
  expect(await readFile(join(home, "run/report.html"), "utf8")).toContain("Calibration of the probabilities");
});

test("texts unlike those of all classes are none of these, compared with validation examples", async () => {
  const model = await writeTinyModel(join(home, "model"));
  const known = tickets(12).filter(({ team }) => team !== "bug");
  const data = {
    model,
    train: await writeCsv(join(home, "known.csv"), known),
    validation: await writeCsv(join(home, "known-held.csv"), known),
    text: "message",
    label: "team",
    threads: 1,
  };
  const output = join(home, "none");
  await fineTune({ ...data, method: "lora", epochs: 8, learningRate: 0.01, output });
  const loaded = (await loadFineTunedModel(output, runtime)).ofKind("classification");
  const texts = known.map(({ message }) => message);
  const plain = await loaded.predict(texts);
  const limit = loaded.allowNoneOfThese(0.1);
  const found = await loaded.predict(texts);
  // The answers are the same beside that.
  expect(found.map(({ labels }) => labels)).toEqual(plain.map(({ labels }) => labels));
  const isNone = found.map(({ label }) => label === "none of these");
  expect(isNone).toEqual(found.map(({ novelty }) => novelty! > limit));
  expect(isNone.filter(Boolean).length / isNone.length).toBeLessThanOrEqual(0.1);
  const others = tickets(12).flatMap(({ message, team }) => (team === "bug" ? [message] : []));
  const mean = (all: readonly { novelty?: number }[]) =>
    all.reduce((sum, { novelty }) => sum + novelty!, 0) / all.length;
  expect(mean(await loaded.predict(others))).toBeGreaterThan(mean(found) + 1);
  expect(() => loaded.allowNoneOfThese(0.001)).toThrow("validation examples show no share below");
  expect(() => loaded.allowNoneOfThese(5)).toThrow("takes a share of the known texts");
  await loaded.release();
  const small = await fineTune({
    ...data,
    validation: undefined,
    method: "lora",
    epochs: 1,
    output: join(home, "small"),
  });
  const few = await loadFineTunedModel(join(small.directory), runtime);
  expect(() => few.allowNoneOfThese(0.1)).toThrow("train it with at least 20 validation examples");
  await few.release();
});
