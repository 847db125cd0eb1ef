import { readFileSync } from "node:fs";
import { loadFineTunedModel } from "aflora";

const query = process.argv[2] ?? "how do I open Maple";
const documents = readFileSync("documents.txt", "utf8").trim().split("\n");

const model = await loadFineTunedModel("runs/search");
const [wanted, ...vectors] = await model.embed([query, ...documents]);
await model.release();

// Vectors have length 1, so that their product is the cosine.
const found = documents.map((text, i) => ({
  text,
  cosine: vectors[i]!.reduce((sum, x, j) => sum + x * wanted![j]!, 0),
}));
for (const { text, cosine } of found.sort((a, b) => b.cosine - a.cosine).slice(0, 3))
  console.log(cosine.toFixed(3), text);
