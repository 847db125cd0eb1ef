/**
 * A training step from each boundary on: AFLoRA with all matrices frozen and none, some or all but one of its blocks frozen, in
 * turn, hidden states kept in 16 bits; beside it, what computing a batch's hidden states costs once.
 *
 *     npm run bench:blocks -- [MODEL [BASE [ROWSxLENGTH [THREADS]]]]
 */
import { availableParallelism } from "node:os";
import { BASE_FORMATS, type BaseFormat } from "../src/architectures/base-format.ts";
import { aflora } from "../src/methods/aflora.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { crossEntropy } from "../src/tasks/losses/objective.ts";
import { BoundaryStates } from "../src/training/frozen-blocks/boundary-states.ts";
import { TrainingStep } from "../src/training/step.ts";
import { trainedByBlock } from "../src/training/step-graph.ts";
import { oneOf, shapeOf } from "./arguments.ts";
import { adapted, batchOf, ENCODER_NAMES, median, randomModel } from "./random-model.ts";

const ROUNDS = 24;
const WARM_UP = 3;
const BUDGET = 512;

const [name = "all-MiniLM-L6-v2", base = "float32", size = "64x11", threads = availableParallelism()] =
  process.argv.slice(2);
const format: BaseFormat = oneOf("base", base, BASE_FORMATS);
const model = adapted(randomModel(oneOf("model", name, ENCODER_NAMES), format), aflora);
const { weights } = model;
const runtime = nodeRuntime({ threads: Number(threads) });
const examples = batchOf(...shapeOf(size));

const trained = trainedByBlock(model);
const frozen = new Set(model.adaptation.freezable);
const states = () => new BoundaryStates(model, weights, runtime, { format: "int16", memory: 1e9, tokenBudget: BUDGET });
const variants = [];
for (let count = 0; count < trained.length; count++) {
  const frozenBlocks = { count, parameters: new Set(trained.slice(0, count).flat()) };
  const trainable = new Set(
    [...model.adaptation.trainable].filter((p) => !frozen.has(p) && !frozenBlocks.parameters.has(p)),
  );
  const boundaryStates = states();
  const settings = { objective: crossEntropy, tokenBudget: BUDGET, dropout: true, seed: 1, boundaryStates };
  const step = await TrainingStep.compile({ ...model, trainable, frozenBlocks }, weights, runtime, settings);
  // The first time compiles the blocks.
  if (count > 0) await boundaryStates.prepare(examples, count);
  const first = states();
  if (count > 0) await first.prepare(examples.slice(0, 1), count);
  const cost = count > 0 ? await timed(() => first.prepare(examples, count)) : undefined;
  await first.release();
  variants.push({ count, step, boundaryStates, cost, seconds: [] as number[], processor: [] as number[], flops: 0 });
}

for (let round = 0; round < ROUNDS; round++) {
  for (const variant of variants) {
    const { wall, processor } = await timed(async () => {
      variant.flops = (await variant.step.run(round, examples)).flops;
    });
    if (round < WARM_UP) continue;
    variant.seconds.push(wall);
    variant.processor.push(processor);
  }
}

console.log(`${name}, ${format}, ${size} tokens, ${runtime.threads} threads, medians of ${ROUNDS - WARM_UP} rounds\n`);
const whole = variants[0]!;
for (const { count, step, boundaryStates, cost, seconds, processor, flops } of variants) {
  const once = cost ? `; hidden states once ${ms(cost.wall)}` : "";
  console.log(
    `${count} of ${trained.length} blocks frozen: ${ms(median(seconds))} a step (${ms(median(processor))} of processors), ` +
      `${(median(seconds) / median(whole.seconds)).toFixed(2)} of the time, ${(flops / whole.flops).toFixed(2)} of the operations${once}`,
  );
  await step.release();
  await boundaryStates.release();
}

async function timed(run: () => Promise<unknown>): Promise<{ wall: number; processor: number }> {
  const [start, used] = [performance.now(), process.cpuUsage()];
  await run();
  const { user, system } = process.cpuUsage(used);
  return { wall: (performance.now() - start) / 1000, processor: (user + system) / 1e6 };
}

function ms(seconds: number): string {
  return `${(seconds * 1000).toFixed(0)} ms`;
}
