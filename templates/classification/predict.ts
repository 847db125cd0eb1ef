import { loadFineTunedModel } from "aflora";

const given = process.argv.slice(2);
const texts = given.length > 0 ? given : ["Please end my contract", "Please do not end my contract"];

const model = (await loadFineTunedModel("runs/wishes")).ofKind("classification");
const predictions = await model.predict(texts);
for (const [i, { label, labels }] of predictions.entries())
  console.log(`${label} ${labels[0]!.probability.toFixed(3)}  ${texts[i]}`);
await model.release();
