import fc from "fast-check";
import { expect, it } from "vitest";
import { holdOut, sampleExamples, splitExamples } from "../../src/tasks/split.ts";

it("takes its share of every class to within one example, and never the whole class", () => {
  const cases = fc.tuple(
    fc.array(fc.nat({ max: 5 }), { minLength: 60, maxLength: 200 }),
    fc.double({ min: 0.1, max: 0.9, noNaN: true }),
    fc.nat(),
  );
  fc.assert(
    fc.property(cases, ([labels, fraction, seed]) => {
      const examples = labels.map((label, index) => ({ index, text: `${index}`, label }));
      const { train, held } = splitExamples(examples, fraction, seed, { stratum: ({ label }) => label! });
      for (const part of [train, held]) {
        expect(part.map(({ index }) => index)).toEqual([...[...part].keys()]);
        const texts = part.map(({ text }) => Number(text));
        expect(texts).toEqual(texts.toSorted((a, b) => a - b));
      }
      expect(new Set([...train, ...held].map(({ text }) => text)).size).toBe(labels.length);
      for (const label of new Set(labels)) {
        const of = (part: typeof train) => part.filter((example) => example.label === label).length;
        expect(of(train)).toBeGreaterThan(0);
        const share = (of(train) + of(held)) * fraction;
        expect(Math.abs(of(held) - share)).toBeLessThanOrEqual(1 + 1e-9);
      }
    }),
  );
});

it("treats all examples equally if there are no classes", () => {
  const examples = Array.from({ length: 50 }, (_, index) => ({ index, text: `${index}`, label: index / 3 }));
  const { train, held } = splitExamples(examples, 0.3, 1);
  expect([train.length, held.length]).toEqual([35, 15]);
});

it("takes nothing from classes with one example, however many there are", () => {
  const label = (index: number) => Math.max(0, index - 20);
  const examples = Array.from({ length: 100 }, (_, index) => ({ index, text: `${index}`, label: label(index) }));
  const { held } = splitExamples(examples, 0.2, 3, { stratum: ({ label }) => label! });
  expect(held.every((example) => example.label === 0)).toBe(true);
});

it("samples the same examples for every run, stratified by class, or all if there are no more", () => {
  const train = Array.from({ length: 100 }, (_, index) => ({ index, text: `${index}`, label: Number(index >= 80) }));
  const task = {
    name: "custom",
    kind: "classification",
    labels: ["a", "b"],
    metrics: ["accuracy"],
    train,
    validation: [],
  };
  const sample = sampleExamples(task, 20).train;
  expect(sampleExamples(task, 20).train).toEqual(sample);
  expect(sample.filter(({ label }) => label === 1)).toHaveLength(4);
  expect(sample).toHaveLength(20);
  expect(sampleExamples(task, 100)).toBe(task);
  expect(sampleExamples(task, undefined)).toBe(task);
});

it("holds out at least one example of each class that is not tiny", () => {
  const train = Array.from({ length: 32 }, (_, index) => ({ index, text: `${index}`, label: Math.min(4, index >> 3) }));
  const labels = ["a", "b", "c", "d"];
  const { validation } = holdOut(
    { name: "custom", kind: "classification", labels, metrics: [], train, validation: [] },
    0.1,
    42,
  );
  expect(validation[0]!.examples.map(({ label }) => label)).toEqual([0, 1, 2, 3]);
  const few = {
    name: "custom",
    kind: "classification",
    labels,
    metrics: [],
    train: train.filter((_, i) => i % 2 === 0),
    validation: [],
  };
  expect(holdOut(few, 0.1, 42).validation[0]!.examples.length).toBe(2);
});

it("keeps examples with the same texts together, and trains on texts of several classes", () => {
  const rows = Array.from({ length: 300 }, (_, i) => ({ text: `text ${i % 100}`, label: i % 2 }));
  const contradicted = [0, 1].map((label) => ({ text: " both\tclasses", label }));
  const train = [...rows, ...contradicted].map((example, index) => ({ index, ...example }));
  const task = { name: "custom", kind: "classification", labels: ["a", "b"], metrics: [], train, validation: [] };
  for (const seed of [1, 2, 3]) {
    const split = holdOut(task, 0.1, seed);
    const held = new Set(split.validation[0]!.examples.map(({ text }) => text));
    expect(held.size).toBe(10);
    expect(split.validation[0]!.examples).toHaveLength(30);
    // A tenth of the rows, though not of the distinct texts.
    expect(holdOut({ ...task, train: train.slice(0, 110) }, 0.1, seed).validation[0]!.examples.length).toBeGreaterThan(
      9,
    );
    expect(split.train.some(({ text }) => held.has(text))).toBe(false);
    expect(held.has(" both\tclasses")).toBe(false);
  }
});
