/**
 * How many labels it takes to reach what random ones reach: rows of AG News that `aflora suggest` picks, 20 at a time, beside rows in
 * random order, both learned by the linear head on the bundled encoder's frozen vectors; and what names and descriptions of the
 * labels come to without any. Each draw takes a pool of 2,000 of the training rows.
 *
 *     npm run bench:suggest -- [AGNEWS [DRAWS]]
 *
 * AGNEWS is a folder with train.csv and test.csv (text, label; ../shared/data/agnews).
 */
import { join } from "node:path";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { loadEmbedder } from "../src/inference/load-embedder-node.ts";
import { unitVectors } from "../src/inference/retrieval/embed-texts.ts";
import { classifyByLabels } from "../src/labels/classify-by-labels.ts";
import { fitClassifier, type VectorClassifier } from "../src/labels/frozen-classifier.ts";
import { labelsOfList } from "../src/labels/named-labels.ts";
import { doubtOf, suggestRows } from "../src/labels/suggest-rows.ts";
import { readTextRows } from "../src/labels/text-rows-node.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { spreadOf } from "../src/studies/statistics.ts";
import { argmax } from "../src/tasks/probabilities.ts";
import { columnOf, labelNameOf } from "../src/tasks/rows.ts";

const POOL = 2000;
const STEP = 20;
const COUNTS = [20, 40, 60, 80, 100, 120, 200];
const RANDOM_LABELS = 200;

const [folder = "../shared/data/agnews", draws = "5"] = process.argv.slice(2);
const runtime = nodeRuntime();
const encoder = await loadEmbedder(undefined, runtime);
const read = async (name: string) => {
  const { table, texts } = await readTextRows(join(folder, name));
  return {
    texts,
    labels: columnOf(table, "label").map((cell) => labelNameOf(cell)),
    vectors: await unitVectors(encoder, texts),
  };
};
const [train, test] = [await read("train.csv"), await read("test.csv")];
const names = [...new Set(train.labels)].sort();

const share = (hits: readonly boolean[]): number => hits.filter(Boolean).length / hits.length;
const described = labelsOfList(
  "World=politics and international events,Sports=games and teams and players,Business=companies and markets and money,Sci/Tech=software and internet and science",
);
for (const [how, labels] of Object.entries({ names, "names with descriptions": described })) {
  const found = await classifyByLabels(encoder, labels, test.texts);
  console.log(
    `without labels, by ${how}: accuracy ${share(found.map(([best], i) => best!.label === test.labels[i])).toFixed(3)}`,
  );
}
await encoder.release();

const classOf = train.labels.map((label) => names.indexOf(label));
function learned(rows: readonly number[]): Promise<VectorClassifier> {
  const vectors = rows.map((row) => train.vectors[row]!);
  return fitClassifier(
    vectors,
    rows.map((row) => classOf[row]!),
    names.length,
    runtime,
  );
}
const accuracyOf = (classifier: VectorClassifier): number =>
  share(test.vectors.map((vector, i) => names[argmax(classifier(vector))] === test.labels[i]));

function randomOrder(seed: number): number[] {
  const random = xoroshiro128plus(seed);
  const order = [...train.vectors.keys()];
  for (let i = order.length - 1; i > 0; i--) {
    const j = uniformInt(random, 0, i);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

const curves: Record<"random" | "suggested", number[][]> = { random: [], suggested: [] };
for (let draw = 1; draw <= Number(draws); draw++) {
  const pool = randomOrder(draw).slice(0, POOL);
  const random: number[] = [];
  for (const count of COUNTS) random.push(accuracyOf(await learned(pool.slice(0, count))));
  curves.random.push(random);
  const [labelled, curve]: [number[], number[]] = [[], []];
  let classifier: VectorClassifier | undefined;
  while (labelled.length < Math.max(...COUNTS.filter((count) => count < RANDOM_LABELS))) {
    const rest = pool.filter((row) => !labelled.includes(row));
    const vectors = rest.map((row) => train.vectors[row]!);
    const picked = suggestRows(vectors, STEP, classifier && vectors.map((vector) => doubtOf(classifier!(vector))));
    labelled.push(...picked.map((place) => rest[place]!));
    classifier = await learned(labelled);
    if (COUNTS.includes(labelled.length)) curve.push(accuracyOf(classifier));
  }
  curves.suggested.push(curve);
}
console.log(`labels     ${COUNTS.map((count) => String(count).padStart(13)).join("")}`);
for (const [how, all] of Object.entries(curves)) {
  const cells = all[0]!.map((_, i) => {
    const { mean, deviation = 0 } = spreadOf(all.map((curve) => curve[i]!));
    return `${mean.toFixed(3)} ± ${deviation.toFixed(3)}`.padStart(15);
  });
  console.log(`${how.padEnd(9)}${cells.join("")}`);
}
