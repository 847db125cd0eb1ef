/**
 * How far an encoder that aflora reads from an ONNX file is from what ONNX Runtime says of the file itself: the mean over the
 * tokens of a few texts.
 *
 *     npx tsx bench/onnx-agreement.ts MODEL_FOLDER
 */
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { loadEmbedder } from "../src/inference/load-embedder-node.ts";

const TEXTS = ["a text", "My card was charged twice, and nobody answers.", "¿Qué? Ünïcödé, 東京 and 🙂 are texts too."];

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: npx tsx bench/onnx-agreement.ts MODEL_FOLDER");
const session = await InferenceSession.create(join(folder, "onnx/model.onnx"));
const model = await loadEmbedder(folder);
const own = await model.embed(TEXTS);
let [largest, difference] = [0, 0];
for (const [i, text] of TEXTS.entries()) {
  const { inputIds } = model.base.tokenizer.encode(text, undefined, model.description.maxLength);
  const length = inputIds.length;
  const list = (values: readonly number[]) => new Tensor("int64", BigInt64Array.from(values, BigInt), [1, length]);
  const all = {
    input_ids: list([...inputIds]),
    attention_mask: list(new Array(length).fill(1)),
    token_type_ids: list(new Array(length).fill(0)),
  };
  const given = Object.fromEntries(Object.entries(all).filter(([name]) => session.inputNames.includes(name)));
  const hidden = (await session.run(given)).last_hidden_state!.data as Float32Array;
  own[i]!.forEach((value, unit, { length: width }) => {
    let mean = 0;
    for (let token = 0; token < length; token++) mean += hidden[token * width + unit]! / length;
    largest = Math.max(largest, Math.abs(mean));
    difference = Math.max(difference, Math.abs(mean - value));
  });
}
await model.release();
console.log(`vectors differ by at most ${difference.toExponential(1)}; their largest number is ${largest.toFixed(2)}`);
