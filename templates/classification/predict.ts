import { loadFineTunedModel } from "aflora";

const given = process.argv.slice(2);
const texts = given.length > 0 ? given : ["My card was charged twice", "Where is my parcel?"];

const model = (await loadFineTunedModel("runs/tickets")).ofKind("classification");
for (const { label, labels } of await model.predict(texts)) console.log(label, labels);
await model.release();
