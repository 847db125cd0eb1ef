import { aflora } from "../src/methods/aflora.ts";
import type { BaseFormat } from "../src/models/base-format.ts";
import { webRuntime } from "../src/runtime/runtime-web.ts";
import { crossEntropy } from "../src/tasks/objective.ts";
import { TrainingStep } from "../src/training/step.ts";
import { answerPage } from "../test/web/answer.ts";
import { BareProduct } from "./bare-product.ts";
import { adapted, batchOf, CONFIGS, type ConfigName, median, randomModel } from "./random-model.ts";

/** What to measure. */
export interface PageStepRequest {
  model: ConfigName;
  formats: readonly BaseFormat[];
  rows: number;
  length: number;
  rounds: number;
}

/** Medians. */
export interface PageStepAnswer {
  threads: number;
  /** Of the bare product. */
  gigaflops: number;
  steps: { format: BaseFormat; milliseconds: number; gigaflops: number }[];
}

answerPage(async ({ model: name, formats, rows, length, rounds }: PageStepRequest): Promise<PageStepAnswer> => {
  const runtime = await webRuntime();
  const { hidden_size: hidden, intermediate_size: intermediate, num_hidden_layers: layers } = CONFIGS[name];
  const bare = await BareProduct.compile(runtime, { tokens: rows * length, hidden, intermediate, layers });
  const batch = batchOf(rows, length);
  const measured: { format: BaseFormat; step: TrainingStep; times: number[]; flops: number }[] = [];
  for (const format of formats) {
    const random = randomModel(name, format);
    const model = { ...adapted(random, aflora), format };
    const weights = new Map([...model.weights, ...random.quantized]);
    const settings = { objective: crossEntropy, tokenBudget: rows * length, dropout: true, seed: 1 } as const;
    const step = await TrainingStep.compile(model, weights, runtime, settings);
    measured.push({ format, step, times: [], flops: 0 });
  }
  const speeds: number[] = [];
  // The first round warms up.
  for (let round = 0; round <= rounds; round++) {
    const speed = await bare.measure();
    if (round > 0) speeds.push(speed);
    for (const each of measured) {
      const start = performance.now();
      each.flops = (await each.step.run(round, batch)).flops;
      if (round > 0) each.times.push(performance.now() - start);
    }
  }
  return {
    threads: runtime.threads,
    gigaflops: median(speeds),
    steps: measured.map(({ format, times, flops }) => {
      const milliseconds = median(times);
      return { format, milliseconds, gigaflops: flops / milliseconds / 1e6 };
    }),
  };
});
