import { readBaseModel } from "../../src/base-models/base-model.ts";
import { urlFiles } from "../../src/checkpoints/model-files.ts";
import { parseTable } from "../../src/datasets/parse-table.ts";
import { taskOfTable } from "../../src/datasets/table-task.ts";
import { UserError } from "../../src/errors.ts";
import { float32 } from "../../src/graph/tensor.ts";
import { findMethod } from "../../src/methods/methods.ts";
import { withDefaults } from "../../src/preparation/defaults.ts";
import { encodeTask } from "../../src/preparation/encoded-task.ts";
import { fasterOf } from "../../src/preparation/fastest-device.ts";
import { fineTuneInPage } from "../../src/preparation/fine-tune-in-page.ts";
import { FineTuning } from "../../src/preparation/fine-tuning.ts";
import { methodStart } from "../../src/preparation/stages/method-start.ts";
import { partOptions, trainingOptions } from "../../src/preparation/training-options.ts";
import { cpu } from "../../src/runtime/devices/cpu.ts";
import { webgpu } from "../../src/runtime/devices/webgpu.ts";
import { webRuntime } from "../../src/runtime/runtime-web.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { crossEntropy } from "../../src/tasks/losses/objective.ts";
import { holdOut } from "../../src/tasks/split.ts";
import { layOut } from "../../src/training/batches/model-inputs.ts";
import { DropoutMasks } from "../../src/training/dropout/dropout-masks.ts";
import { objectiveInputs, totalWeight } from "../../src/training/objective/objective-inputs.ts";
import { GRADIENT, writeStep } from "../../src/training/step-graph.ts";
import { on } from "../support/on-event.ts";
import { exampleOf, LABELS, randomModel } from "../support/random-model.ts";
import { answerPage } from "./answer.ts";

/** What the page asks for. */
export interface WebGpuRequest {
  /** What to take a step of, by name: a config.json, and the method. */
  cases: Record<string, { config: unknown; method: string }>;
  /** Address of a model's folder, with a slash at its end. */
  model: string;
  /** CSV with a column `message` and a column `team`. */
  data: string;
}

export interface WebGpuAnswer {
  /** Whether there is a graphics card, not imitated. */
  card: boolean;
  /** Of each case. */
  steps: Record<string, StepFacts>;
  /** Losses of a run by device. */
  losses: { cpu: number[]; webgpu: number[] };
  /** Of two devices the faster, whichever is named first, and of one that cannot be used the other. */
  chosen: Record<"first" | "second" | "only", { device: string; note: string | undefined }>;
  /** What is said where the device goes away in the middle of a run. */
  lost: string;
}

/** A step on WebGPU beside Wasm's. */
export interface StepFacts {
  losses: { cpu: number; webgpu: number };
  /** The farthest that a gradient is from Wasm's, relative to its largest element. */
  farthest: number;
  /** Ops of the step that computed numbers on the CPU. */
  onCpu: string[];
}

interface ProfileEvent {
  args?: { provider?: string; op_name?: string; output_type_shape?: Record<string, number[]>[] };
}

const examples = [7, 3, 12, 7].map(exampleOf);

const { log } = console;
let written: (line: string) => void = log;
// Before ONNX Runtime is loaded, which keeps the function that it finds.
console.log = (line: string) => written(line);

answerPage(async ({ cases, model, data }: WebGpuRequest): Promise<WebGpuAnswer> => {
  const runtimes = {
    cpu: await webRuntime({ threads: 1 }),
    webgpu: await webRuntime({ device: "webgpu", threads: 1 }),
  };
  const steps: Record<string, StepFacts> = {};
  for (const [name, { config, method }] of Object.entries(cases)) {
    const cpu = await stepOn(runtimes.cpu, config, method);
    const webgpu = await stepOn(runtimes.webgpu, config, method);
    steps[name] = {
      losses: { cpu: cpu.loss, webgpu: webgpu.loss },
      farthest: Math.max(...cpu.gradients.map((gradient, i) => distance(webgpu.gradients[i]!, gradient))),
      onCpu: webgpu.onCpu,
    };
  }

  const losses = { cpu: [] as number[], webgpu: [] as number[] };
  const options = { text: "message", label: "team", epochs: 1, batchSize: 8, learningRate: 0.01 };
  for (const device of ["cpu", "webgpu"] as const) {
    await fineTuneInPage(
      { ...options, model, train: { name: "tickets.csv", text: data } },
      { runtime: runtimes[device], onEvent: on("step", ({ loss }) => void losses[device].push(loss)) },
    );
  }

  const task = holdOut(
    taskOfTable(parseTable(data, "tickets.csv", "csv"), { text: "message", label: "team" }, {}),
    0.1,
    1,
  );
  const { options: training, method } = partOptions(trainingOptions, "aflora", { batchSize: 8 });
  const settings = withDefaults(training, findMethod(method.name), {});
  const base = await readBaseModel(urlFiles(model), task, 1);
  const encoded = await encodeTask(task, base, settings);
  const read = { task, base, encoded, method, settings, runtime: runtimes.cpu, initial: new Map(), notes: [] };
  const fineTuning = new FineTuning(await methodStart.run(read, {}));
  const chosenOf = async (...devices: Parameters<typeof fasterOf> extends [unknown, ...infer Rest] ? Rest : never) => {
    const { runtime, note } = await fasterOf(fineTuning, ...devices);
    return { device: runtime.device.name, note };
  };
  const chosen = {
    first: await chosenOf(runtimes.cpu, webgpu, async () => runtimes.webgpu),
    second: await chosenOf(runtimes.webgpu, cpu, async () => runtimes.cpu),
    only: await chosenOf(runtimes.cpu, webgpu, () => Promise.reject(new Error("the device is lost"))),
  };
  return { card: await webgpu.page!.isAvailable(), steps, losses, chosen, lost: await lost(runtimes.webgpu) };
});

/** What a run is told whose device goes away. */
async function lost(runtime: Runtime): Promise<string> {
  const compiled = await runtime.probe();
  const { env } = await import("onnxruntime-web/webgpu");
  const device = await (env.webgpu as { device: Promise<{ destroy(): void }> }).device;
  device.destroy();
  return compiled.run({ x: float32([1]) }).then(
    () => "nothing",
    (error: unknown) => (error instanceof UserError ? error.message : `no sentence: ${error}`),
  );
}

async function stepOn(
  runtime: Runtime,
  config: unknown,
  method: string,
): Promise<{ loss: number; gradients: Float32Array[]; onCpu: string[] }> {
  const { model, weights } = randomModel(config, method, LABELS);
  const step = writeStep(model, crossEntropy, { dropout: true });
  const compiled = await runtime.compile(step.outputs, weights, { profile: "profile" });
  const laidOut = layOut(step.streams, examples);
  const results = await compiled.run({
    ...laidOut.inputs,
    ...new DropoutMasks(step.dropouts, 1).draw(0, laidOut),
    ...objectiveInputs(crossEntropy, LABELS, examples, totalWeight(examples)),
    penaltyWeight: float32([]),
  });
  const onCpu = new Set<string>();
  // ONNX Runtime has no disk in a page, and writes its profile to the console, an event a line.
  written = (line) => {
    if (!line.startsWith("{")) return;
    const { args = {} } = JSON.parse(line.replace(/,$/, "")) as ProfileEvent;
    const { provider, op_name: op, output_type_shape: outputs = [] } = args;
    // Sizes of tensors and places in them are the CPU's, on purpose.
    const floats = outputs.some((output) => "float" in output);
    if (provider === "CPUExecutionProvider" && floats) onCpu.add(op!);
  };
  compiled.endProfiling();
  written = log;
  await compiled.release();
  const gradients = Object.entries(results).filter(([name]) => name.startsWith(GRADIENT));
  return {
    loss: (results.loss!.data as Float32Array)[0]!,
    gradients: gradients.map(([, { data }]) => data as Float32Array),
    onCpu: [...onCpu].sort(),
  };
}

function distance(found: Float32Array, expected: Float32Array): number {
  // A key's bias changes no probability: its gradient is 0 but for rounding.
  const scale = Math.max(1e-6, ...expected.map(Math.abs));
  return Math.max(...expected.map((value, i) => Math.abs(value - found[i]!))) / scale;
}
