// A program that uses the library, run by whichever runtime the test names: predicts with the run folder that it is given.
import { loadFineTunedModel, nodeRuntime } from "../../src/index.ts";

const model = (await loadFineTunedModel(process.argv[2]!, nodeRuntime({ threads: 1 }))).ofKind("classification");
const { label } = await model.predict("my card was charged twice");
await model.release();
console.log(label);
