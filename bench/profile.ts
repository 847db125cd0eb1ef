/**
 * Where a training step's time goes, by ONNX Runtime's profile: microseconds of each kernel, by the part of the step and the
 * op of the graph that it belongs to. Dropout on, one micro-batch.
 *
 *     npm run bench:profile -- [MODEL [BASE [METHOD [ROWSxLENGTH [THREADS]]]]]
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { BASE_FORMATS } from "../src/architectures/base-format.ts";
import { float32 } from "../src/graph/tensor.ts";
import { findMethod } from "../src/methods/methods.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { layOut } from "../src/training/batches/model-inputs.ts";
import { DropoutMasks } from "../src/training/dropout/dropout-masks.ts";
import { objectiveInputs, totalWeight } from "../src/training/objective/objective-inputs.ts";
import { writeStep } from "../src/training/step-graph.ts";
import { oneOf, shapeOf } from "./arguments.ts";
import { kernelTable, type ProfileEvent } from "./kernel-times.ts";
import { adapted, CONFIG_NAMES, randomModel, taskOf } from "./random-model.ts";

const ROUNDS = 12;
const WARM_UP = 2;

const [
  name = "all-MiniLM-L6-v2",
  format = "float32",
  method = "aflora",
  size = "8x64",
  threads = String(availableParallelism()),
] = process.argv.slice(2);
const [rows, length] = shapeOf(size);

const config = oneOf("model", name, CONFIG_NAMES);
const model = adapted(randomModel(config, oneOf("base", format, BASE_FORMATS)), findMethod(method));
const { objective, batchOf } = taskOf(model);
const step = writeStep(model, objective, { dropout: true });
const folder = mkdtempSync(join(tmpdir(), "aflora-profile-"));
const runtime = nodeRuntime({ threads: Number(threads) });
const compiled = await runtime.compile(step.outputs, model.weights, { profile: join(folder, "profile") });
const examples = batchOf(rows, length);
const masks = new DropoutMasks(step.dropouts, 1);
const batch = layOut(step.streams, examples);
const inputs = {
  ...batch.inputs,
  ...masks.draw(0, batch),
  ...objectiveInputs(objective, model.labelCount, examples, totalWeight(examples)),
};
for (let round = 0; round < ROUNDS; round++) await compiled.run({ ...inputs, penaltyWeight: float32([]) });
compiled.endProfiling();
await compiled.release();

const [file] = readdirSync(folder);
const events = JSON.parse(readFileSync(join(folder, file!), "utf8")) as ProfileEvent[];
rmSync(folder, { recursive: true });
console.log(kernelTable(`${name}, --base ${format}, ${method}, ${size} tokens, ${threads} threads`, events, WARM_UP));
