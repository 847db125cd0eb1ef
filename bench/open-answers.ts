/**
 * How well a classifier knows when not to answer, on all AG News rows that took no part: its expected calibration error, the precision of
 * what `--threshold auto:precision=0.95` answers, and how well `--none-of-these` tells a class that was left out of training (AUROC).
 *
 *     npm run bench:open-answers -- [AGNEWS [ROWS_PER_CLASS [head]]]
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fineTune } from "../src/fine-tune.ts";
import { loadFineTunedModel } from "../src/inference/load-fine-tuned-model-node.ts";
import { readLabelledTexts } from "../src/labels/labelled-texts-node.ts";
import { runtimeFor } from "../src/runtime/runtime-for-node.ts";
import { calibrationError, reliability } from "../src/tasks/metrics/calibration.ts";

const [folder = "../shared/data/agnews", perClass = "500", method] = process.argv.slice(2);
const [train, held] = await Promise.all(
  ["train.csv", "test.csv"].map(async (file) => {
    const { texts, classes, labels } = await readLabelledTexts(join(folder, file));
    return texts.map((text, i) => ({ text, label: labels[classes[i]!]! }));
  }),
);
const labels = [...new Set(train!.map(({ label }) => label))].sort();
const ofClass = (own: string) => train!.filter(({ label }) => label === own);
/** The more rows, the less of a calibration error is chance. */
const others = [...held!, ...labels.flatMap((own) => ofClass(own).slice(Number(perClass)))];
const home = await mkdtemp(join(tmpdir(), "aflora-open-answers-"));

/** A model of some classes, of each the first rows. */
async function trainedOn(classes: readonly string[]) {
  const rows = classes.flatMap((own) => ofClass(own).slice(0, Number(perClass)));
  const file = join(home, "train.jsonl");
  await writeFile(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const output = join(home, "run");
  await fineTune({ train: file, output, ...(method === "head" && { method }) }, { overwrite: true });
  return (await loadFineTunedModel(output, runtimeFor({}))).ofKind("classification");
}

/** The chance that one of those has a higher value than one of these. */
function auroc(these: readonly number[], those: readonly number[]): number {
  const wins = those.map((high) => these.reduce((sum, low) => sum + (high > low ? 1 : high === low ? 0.5 : 0), 0));
  return wins.reduce((sum, each) => sum + each, 0) / (these.length * those.length);
}

const texts = others.map(({ text }) => text);
const whole = await trainedOn(labels);
const likeliest = await whole.predict(texts);
const right = likeliest.map(({ label }, i) => label === others[i]!.label);
const bins = reliability(
  likeliest.map(({ labels: [first] }) => first!.probability),
  right,
);
console.log(
  `accuracy ${(right.filter(Boolean).length / right.length).toFixed(3)}, expected calibration error ${calibrationError(bins).toFixed(3)}`,
);
whole.requireConfidence("auto:precision=0.95");
const answers = await whole.predict(texts);
const said = answers.flatMap(({ label }, i) => (label === "unsure" ? [] : [label === others[i]!.label]));
console.log(
  `precision ${(said.filter(Boolean).length / said.length).toFixed(3)} of the ${said.length} of ${texts.length} that are answered`,
);
await whole.release();

for (const left of labels) {
  const model = await trainedOn(labels.filter((label) => label !== left));
  model.allowNoneOfThese(0.05);
  const found = await model.predict(texts);
  const of = (isLeft: boolean) => found.filter((_, i) => (others[i]!.label === left) === isLeft);
  const scores = (isLeft: boolean) => of(isLeft).map(({ novelty }) => novelty!);
  const refused = (isLeft: boolean) =>
    `${((100 * of(isLeft).filter(({ label }) => label === "none of these").length) / of(isLeft).length).toFixed(0)} %`;
  console.log(
    `without ${left}: AUROC ${auroc(scores(false), scores(true)).toFixed(3)}; none of these: ${refused(true)} of it, ${refused(false)} of the others`,
  );
  await model.release();
}
await rm(home, { recursive: true });
