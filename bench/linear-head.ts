/**
 * The linear head beside scikit-learn's LogisticRegressionCV: the same vectors, folds and penalties, each in a process of its own, timed
 * in turn, with the accuracy of both on other rows.
 *
 *     npm run bench:linear-head -- PYTHON [--sets 77x12,4x500,150x100,2x50000] [--rounds 3] [--threads 2] [--data ../shared/data]
 *
 * PYTHON is an interpreter with numpy and scikit-learn. Vectors of 77x12 (classes and rows of each) are those of BANKING77 by the bundled
 * encoder, those of 4x500 are AG News's; the others are drawn. "aflora" is what `train` does: it chooses the penalty on a part of the rows if
 * there are many. "aflora, all rows" compares the penalties on all rows, as scikit-learn does.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { loadEmbedder } from "../src/inference/load-embedder-node.ts";
import { readLabelledTexts } from "../src/labels/labelled-texts-node.ts";
import { Turns } from "../src/runtime/turns.ts";
import { canonicalOrder } from "../src/training/linear-head/feature-rows.ts";
import { drawFolds } from "../src/training/linear-head/folds.ts";
import { oneOf, pythonOf } from "./arguments.ts";
import { Contestant, inTurn } from "./contestant.ts";
import { type HeadSet, headRows } from "./head-set.ts";
import { median } from "./random-model.ts";

const PENALTIES = [10, 10 ** 0.5, 1, 10 ** -0.5, 0.1];
const WIDTH = 384;
const OTHER_ROWS = 3000;

interface Vectors {
  vectors: readonly Float32Array[];
  classes: readonly number[];
}

/** Vectors of the first rows of each class of a file. @param label column of the classes */
async function embedded(file: string, label: string, most = Number.POSITIVE_INFINITY): Promise<Vectors> {
  const { texts, classes } = await readLabelledTexts(file, { label });
  const seen = new Map<number, number>();
  const chosen = texts.flatMap((_, row) => {
    const count = seen.get(classes[row]!) ?? 0;
    seen.set(classes[row]!, count + 1);
    return count < most ? [row] : [];
  });
  const encoder = await loadEmbedder();
  const vectors = await encoder.embed(chosen.map((row) => texts[row]!));
  await encoder.release();
  return { vectors, classes: chosen.map((row) => classes[row]!) };
}

/** Vectors about a centre for each class, in directions of falling weight as those of encoders. */
function drawn(outputs: number, rows: number, apart: number): { train: Vectors; other: Vectors } {
  const random = xoroshiro128plus(1);
  // The sum of four uniform numbers is near enough to a normal one.
  const next = (): number => {
    let sum = -2;
    for (let i = 0; i < 4; i++) sum += uniformFloat64(random);
    return sum;
  };
  const centres = Array.from({ length: outputs }, () => Float32Array.from({ length: WIDTH }, () => apart * next()));
  const vectorOf = (k: number): Float32Array => centres[k]!.map((each, j) => (each + next()) / Math.sqrt(1 + j / 16));
  const some = (count: number): Vectors => {
    const classes = Array.from({ length: count }, (_, row) => row % outputs);
    return { vectors: classes.map(vectorOf), classes };
  };
  return { train: some(outputs * rows), other: some(OTHER_ROWS) };
}

const SETS = {
  "77x12": async (data: string) => ({
    train: await embedded(join(data, "banking77/train.csv"), "category", 12),
    other: await embedded(join(data, "banking77/test.csv"), "category"),
  }),
  "4x500": async (data: string) => ({
    train: await embedded(join(data, "agnews/train.csv"), "label", 500),
    other: await embedded(join(data, "agnews/test.csv"), "label"),
  }),
  "150x100": async () => drawn(150, 100, 0.35),
  "2x50000": async () => drawn(2, 50_000, 0.05),
} as const;
type SetName = keyof typeof SETS;

async function writeSet(folder: string, name: SetName, data: string): Promise<string> {
  const outputs = Number(name.split("x")[0]);
  const { train, other } = await SETS[name](data);
  const write = async (part: string, vectors: readonly Float32Array[]): Promise<string> => {
    const path = join(folder, `${name}-${part}.float32`);
    await writeFile(
      path,
      Buffer.concat(vectors.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength))),
    );
    return path;
  };
  const own = { width: train.vectors[0]!.length, outputs, penalties: PENALTIES };
  const [features, others] = [await write("train", train.vectors), await write("other", other.vectors)];
  const rows = headRows({ ...own, features, classes: train.classes });
  const order = await canonicalOrder(rows, new Turns());
  const [byPlace] = drawFolds(order, { strata: train.classes }, { folds: 5, draws: 1 });
  const folds = new Array<number>(rows.rows);
  order.forEach((row, place) => {
    folds[row] = byPlace![place]!;
  });
  const set: HeadSet = {
    ...own,
    features,
    classes: [...train.classes],
    folds,
    others,
    otherClasses: [...other.classes],
  };
  const path = join(folder, `${name}.json`);
  await writeFile(path, JSON.stringify(set));
  return path;
}

const text = { type: "string" } as const;
const { values, positionals } = parseArgs({
  options: {
    sets: { ...text, default: Object.keys(SETS).join(",") },
    rounds: { ...text, default: "3" },
    threads: { ...text, default: String(availableParallelism()) },
    data: { ...text, default: "../shared/data" },
  },
  allowPositionals: true,
});
const python = pythonOf(positionals[0]);
const { threads } = values;
const pathOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "aflora-linear-head-"));
console.log(`| classes x rows | | seconds | beside scikit-learn | accuracy on other rows |\n|${" --- |".repeat(5)}`);
for (const name of values.sets.split(",")) {
  const set = await writeSet(folder, oneOf("set", name, Object.keys(SETS) as SetName[]), values.data);
  const own = [...process.execArgv, pathOf("peer-linear-head.ts"), set, threads];
  const theirs = new Contestant("scikit-learn", python, [pathOf("../oracle/linear_head_speed.py"), set, threads]);
  const all = [
    new Contestant("aflora", process.execPath, [...own, "part"]),
    new Contestant("aflora, all rows", process.execPath, [...own, "all"]),
    theirs,
  ];
  await inTurn(all, Number(values.rounds), 1);
  for (const { name: who, seconds, score } of all) {
    const ratio = median(seconds.map((each, round) => each / theirs.seconds[round]!));
    const cells = [name, who, median(seconds).toFixed(2), ratio.toFixed(2), score?.toFixed(3) ?? ""];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
await rm(folder, { recursive: true });
