/**
 * How many wrong labels `aflora check` finds: of 1,000 rows of AG News one label in twenty is changed, in each of several draws. What
 * it lists that was not changed may be wrong in the data, too.
 *
 *     npm run bench:check -- [AGNEWS [DRAWS]]
 */
import { join } from "node:path";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { loadEmbedder } from "../src/inference/load-embedder-node.ts";
import { unitVectors } from "../src/inference/retrieval/embed-texts.ts";
import { doubtfulLabels } from "../src/labels/check-labels.ts";
import { readLabelledTexts } from "../src/labels/labelled-texts-node.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";

const ROWS = 1000;
const EVERY = 20;

const [folder = "../shared/data/agnews", draws = "3"] = process.argv.slice(2);
const { texts, classes, labels } = await readLabelledTexts(join(folder, "train.csv"));
const runtime = nodeRuntime();
const encoder = await loadEmbedder(undefined, runtime);
const vectors = await unitVectors(encoder, texts.slice(0, Number(draws) * ROWS));
await encoder.release();
const random = xoroshiro128plus(1);
for (let draw = 0; draw < Number(draws); draw++) {
  const from = draw * ROWS;
  const own = classes.slice(from, from + ROWS);
  const changed = new Set(Array.from({ length: ROWS / EVERY }, (_, i) => i * EVERY + uniformInt(random, 0, EVERY - 1)));
  for (const row of changed) own[row] = (own[row]! + uniformInt(random, 1, labels.length - 1)) % labels.length;
  const found = await doubtfulLabels(vectors.slice(from, from + ROWS), own, labels.length, runtime);
  const hits = found.filter(({ row }) => changed.has(row)).length;
  const first = found.slice(0, changed.size).filter(({ row }) => changed.has(row)).length;
  console.log(
    `${changed.size} labels changed: ${found.length} rows listed, ${hits} of them changed; ${first} among the first ${changed.size}`,
  );
}
