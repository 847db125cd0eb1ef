/**
 * How far what aflora reads from an ONNX file is from what ONNX Runtime says of the file itself: of an encoder's folder the mean over
 * the tokens of a few texts, of a file every output, of inputs at random.
 *
 *     npx tsx bench/onnx-agreement.ts MODEL_FOLDER
 *     npx tsx bench/onnx-agreement.ts FILE.onnx [NAME=VALUE ...] [NAME:SIZExSIZE ...]
 *
 * NAME=VALUE gives an input of whole numbers, which is then known before the graph is written; NAME:1x512 gives an input's shape, whose
 * sizes are otherwise those of the file, and 2 where it says none.
 */
import { dirname, join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { type NetworkInput, writeWholeNetwork } from "../src/architectures/onnx/whole-network.ts";
import { fileSource, folderFiles } from "../src/checkpoints/file-source-node.ts";
import { openOnnx } from "../src/checkpoints/onnx/onnx-format.ts";
import { UserError } from "../src/errors.ts";
import { Graph } from "../src/graph/graph.ts";
import { elementsOf, float32, int64, type Tensor as OwnTensor } from "../src/graph/tensor.ts";
import { loadEmbedder } from "../src/inference/load-embedder-node.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { refuse } from "./arguments.ts";
import { Random } from "./random.ts";

const TEXTS = ["a text", "My card was charged twice, and nobody answers.", "¿Qué? Ünïcödé, 東京 and 🙂 are texts too."];

/** Size of an axis of which a file says none. */
const SMALL = 2;
/** Whole numbers at random are below it. */
const MOST = 5;

/** Says how far numbers are from those expected. */
function report(what: string, own: Iterable<number>, expected: Iterable<number>): void {
  const [found, wanted] = [[...own], [...expected]];
  if (found.length !== wanted.length) refuse(`${what}: ${found.length} numbers, and ONNX Runtime has ${wanted.length}`);
  const most = (values: readonly number[]) => values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  const difference = most(found.map((value, i) => value - wanted[i]!));
  console.log(
    `${what}: at most ${difference.toExponential(1)} apart; the largest number is ${most(wanted).toPrecision(3)}`,
  );
}

async function compareEncoder(folder: string): Promise<void> {
  const session = await InferenceSession.create(join(folder, "onnx/model.onnx"));
  const model = await loadEmbedder(folder);
  const own = await model.embed(TEXTS);
  const expected: number[][] = [];
  for (const text of TEXTS) {
    const { inputIds } = model.base.tokenizer.encode(text, undefined, model.description.maxLength);
    const length = inputIds.length;
    const list = (values: readonly number[]) => new Tensor("int64", BigInt64Array.from(values, BigInt), [1, length]);
    const all = {
      input_ids: list([...inputIds]),
      attention_mask: list(new Array(length).fill(1)),
      token_type_ids: list(new Array(length).fill(0)),
    };
    const given = Object.fromEntries(Object.entries(all).filter(([name]) => session.inputNames.includes(name)));
    const { data, dims } = (await session.run(given)).last_hidden_state!;
    const mean = new Array<number>(dims.at(-1)!).fill(0);
    (data as Float32Array).forEach((value, i) => {
      mean[i % mean.length]! += value / length;
    });
    expected.push(mean);
  }
  await model.release();
  report(
    "vectors",
    own.flatMap((vector) => [...vector]),
    expected.flat(),
  );
}

/** What the command line says of a file's inputs. */
interface Given {
  values: Map<string, number>;
  shapes: Map<string, number[]>;
}

function givenOf(settings: readonly string[]): Given {
  const given: Given = { values: new Map(), shapes: new Map() };
  for (const setting of settings) {
    const [, name = "", mark, value = ""] = /^(.+)([=:])(.+)$/.exec(setting) ?? [];
    if (mark === "=" && /^-?\d+$/.test(value)) given.values.set(name, Number(value));
    else if (mark === ":" && /^\d+(x\d+)*$/.test(value)) given.shapes.set(name, value.split("x").map(Number));
    else refuse(`"${setting}" says nothing of an input; give NAME=VALUE or a shape, such as NAME:1x512`);
  }
  return given;
}

/** The inputs of a file: given ones, and others at random. */
function inputsOf({ inputMetadata }: InferenceSession, { values, shapes }: Given): Map<string, OwnTensor> {
  const random = new Random(1);
  const names = inputMetadata.map(({ name }) => name);
  const unknown = [...values.keys(), ...shapes.keys()].find((name) => !names.includes(name));
  if (unknown !== undefined) refuse(`the file has no input "${unknown}"; it has ${names.join(", ")}`);
  return new Map(
    inputMetadata.map((input): [string, OwnTensor] => {
      if (!input.isTensor) return refuse(`input "${input.name}" is no tensor`);
      const { name, type } = input;
      const own = input.shape.map((size) => (typeof size === "number" && size > 0 ? size : SMALL));
      const shape = shapes.get(name) ?? own;
      const size = elementsOf(shape);
      if (type === "float32") return [name, float32(shape, Float32Array.from(random.list(size, -1, 1)))];
      if (type !== "int64") return refuse(`input "${name}" is of ${type}, and only float32 and int64 are drawn`);
      const value = values.get(name);
      const drawn = random.list(size, 0, MOST).map(Math.floor);
      return [name, int64(shape, value === undefined ? drawn : drawn.fill(value))];
    }),
  );
}

async function compareFile(file: string, given: Given): Promise<void> {
  const session = await InferenceSession.create(file, { logSeverityLevel: 3 });
  const inputs = inputsOf(session, given);
  const source = await openOnnx(await fileSource(file), folderFiles(dirname(file)), "");
  const said = new Map(
    [...inputs].map(([name, input]): [string, NetworkInput] => [name, given.values.get(name) ?? input]),
  );
  const { outputs, weights } = writeWholeNetwork(source.network!, new Graph(), said);
  const tensors = new Map<string, OwnTensor>();
  for (const name of weights) tensors.set(name, await source.read(name));
  const compiled = await nodeRuntime().compile(Object.fromEntries(outputs), tensors);
  const own = await compiled.run(Object.fromEntries(inputs));
  await compiled.release();
  const feeds = [...inputs].map(([name, { dtype, data, shape }]) => [name, new Tensor(dtype, data, shape)] as const);
  const expected = await session.run(Object.fromEntries(feeds));
  for (const [name, { data }] of Object.entries(expected)) {
    report(name, Array.from(own[name]!.data, Number), Array.from(data as Float32Array, Number));
  }
}

const [path, ...settings] = process.argv.slice(2);
if (path === undefined) refuse("give an encoder's folder, or an ONNX file");
const compares = path.endsWith(".onnx") ? compareFile(path, givenOf(settings)) : compareEncoder(path);
await compares.catch((error: unknown) => {
  if (error instanceof UserError) refuse(error.message);
  throw error;
});
