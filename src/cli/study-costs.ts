import { prefixed } from "../reports/quantities.ts";
import { estimateFromConfig } from "../studies/config-estimate.ts";
import type { Study } from "../studies/study.ts";
import { bytes, counted, duration, integer, table } from "./terminal/format.ts";
import { print } from "./terminal/print.ts";

/** Prints the hours and memory of a study's trials, from a model's config and sizes of data alone. */
export async function printCosts(study: Study, folder: string, json: boolean): Promise<void> {
  const costs = await estimateFromConfig(study, folder);
  const speeds = Object.entries(study.estimate!.speeds);
  const hoursOf = (flops: number): string[] => speeds.map(([, speed]) => duration(flops / (1e9 * speed)));
  const trials = costs.length * study.seeds.length;
  const flops = study.seeds.length * costs.reduce((sum, cost) => sum + cost.flops, 0);
  const memory = Math.max(...costs.map((cost) => cost.memory));
  if (json) {
    print(
      `${JSON.stringify({ title: study.title, trials, flops, memory, speeds: study.estimate!.speeds, costs }, null, 2)}\n`,
    );
    return;
  }
  const rows = costs.map((cost) => [
    cost.label,
    integer(cost.rows),
    integer(cost.steps),
    integer(cost.trainable),
    prefixed(cost.flops, "FLOP"),
    bytes(cost.memory),
    ...hoursOf(cost.flops),
  ]);
  const hours = hoursOf(flops).map((time, i) => `${time} on ${speeds[i]![0]} (${integer(speeds[i]![1])} GFLOP/s)`);
  const lines = [
    table([
      ["configuration", "rows", "steps", "trainable", "operations", "memory", ...speeds.map(([name]) => name)],
      ...rows,
    ]),
    "",
    `${counted(trials, "trial")}, one after another: about ${hours.join(", ")}; ${bytes(memory)} of memory`,
    "from the model's config and the sizes in the study file: nothing was read or downloaded",
  ];
  print(`${lines.join("\n")}\n`);
}
