import type { BaseFormat } from "../src/architectures/base-format.ts";
import { float32 } from "../src/graph/tensor.ts";
import { aflora } from "../src/methods/aflora.ts";
import { webRuntime } from "../src/runtime/runtime-web.ts";
import type { Runtime } from "../src/runtime/session.ts";
import { layOut } from "../src/training/batches/model-inputs.ts";
import { DropoutMasks } from "../src/training/dropout/dropout-masks.ts";
import { objectiveInputs, totalWeight } from "../src/training/objective/objective-inputs.ts";
import { TrainingStep } from "../src/training/step.ts";
import { writeStep } from "../src/training/step-graph.ts";
import { answerPage } from "../test/web/answer.ts";
import { BareProduct } from "./bare-product.ts";
import { kernelTable, type ProfileEvent } from "./kernel-times.ts";
import { adapted, ENCODERS, type EncoderName, median, randomModel, taskOf } from "./random-model.ts";

/** What to measure. */
export interface PageStepRequest {
  model: EncoderName;
  formats: readonly BaseFormat[];
  rows: number;
  length: number;
  rounds: number;
  /** Whether to say where a step's time goes, too. */
  profile: boolean;
}

/** Medians. */
export interface PageStepAnswer {
  threads: number;
  /** Of the bare product. */
  gigaflops: number;
  steps: { format: BaseFormat; milliseconds: number; gigaflops: number }[];
  profiles: string[];
}

const { log } = console;
let written: (line: string) => void = log;
// Before ONNX Runtime is loaded, which keeps the function that it finds.
console.log = (line: string) => written(line);

answerPage(async (request: PageStepRequest): Promise<PageStepAnswer> => {
  const { model: name, formats, rows, length, rounds } = request;
  const runtime = await webRuntime();
  const { hidden_size: hidden, intermediate_size: intermediate, num_hidden_layers: layers } = ENCODERS[name];
  const bare = await BareProduct.float32(runtime, { tokens: rows * length, hidden, intermediate, layers });
  const measured: { format: BaseFormat; run(round: number): Promise<number>; times: number[]; flops: number }[] = [];
  for (const format of formats) {
    const { model, objective, batch } = modelFor(request, format);
    const settings = { objective, tokenBudget: rows * length, dropout: true, seed: 1 } as const;
    const step = await TrainingStep.compile(model, model.weights, runtime, settings);
    const run = async (round: number): Promise<number> => (await step.run(round, batch)).flops;
    measured.push({ format, run, times: [], flops: 0 });
  }
  const speeds: number[] = [];
  // The first round warms up.
  for (let round = 0; round <= rounds; round++) {
    const speed = await bare.measure();
    if (round > 0) speeds.push(speed);
    for (const each of measured) {
      const start = performance.now();
      each.flops = await each.run(round);
      if (round > 0) each.times.push(performance.now() - start);
    }
  }
  const profiles: string[] = [];
  for (const format of request.profile ? formats : []) profiles.push(await profileOf(request, format, runtime));
  return {
    threads: runtime.threads,
    gigaflops: median(speeds),
    steps: measured.map(({ format, times, flops }) => {
      const milliseconds = median(times);
      return { format, milliseconds, gigaflops: flops / milliseconds / 1e6 };
    }),
    profiles,
  };
});

function modelFor({ model: name, rows, length }: PageStepRequest, format: BaseFormat) {
  const model = adapted(randomModel(name, format), aflora);
  const { objective, batchOf } = taskOf(model);
  return { model, objective, batch: batchOf(rows, length) };
}

async function profileOf(request: PageStepRequest, format: BaseFormat, runtime: Runtime): Promise<string> {
  const { model, objective, batch } = modelFor(request, format);
  const step = writeStep(model, objective, { dropout: true });
  const compiled = await runtime.compile(step.outputs, model.weights, { profile: "profile" });
  const laidOut = layOut(step.streams, batch);
  const inputs = {
    ...laidOut.inputs,
    ...new DropoutMasks(step.dropouts, 1).draw(0, laidOut),
    ...objectiveInputs(objective, model.labelCount, batch, totalWeight(batch)),
    penaltyWeight: float32([]),
  };
  for (let round = 0; round < request.rounds; round++) await compiled.run(inputs);
  const events = eventsWritten(() => compiled.endProfiling());
  await compiled.release();
  return kernelTable(`${request.model}, --base ${format}, ${runtime.threads} threads in the page`, events, 1);
}

/** What ONNX Runtime writes while `write` runs: it has no disk in a page, and writes its profile to the console, an event a line. */
function eventsWritten(write: () => void): ProfileEvent[] {
  const events: ProfileEvent[] = [];
  written = (line) => {
    if (line.startsWith("{")) events.push(JSON.parse(line.replace(/,$/, "")) as ProfileEvent);
  };
  write();
  written = log;
  return events;
}
