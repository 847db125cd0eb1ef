import { Command } from "commander";
import { BUNDLED_MODEL } from "../../base-models/bundled-model.ts";
import { describeModelAt } from "../../base-models/describe-model-node.ts";
import { modelDirectory } from "../../base-models/load-base-model-node.ts";
import { UserError } from "../../errors.ts";
import { totalFlops } from "../../graph/flops.ts";
import { DEFAULT_METHOD, findMethod, parseMethodOptions } from "../../methods/methods.ts";
import { type MethodCosts, methodCosts } from "../../studies/method-cost.ts";
import { addExamples, everydayHelp } from "../help.ts";
import { addMethodOptions, addPaperOptions, givenOptions, numberOption } from "../schema-options.ts";
import { integer, table } from "../terminal/format.ts";
import { print } from "../terminal/print.ts";

const EXAMPLES = [
  "aflora params --model deberta-v3-base/config.json --method aflora --rank 4",
  "aflora params --method lora --target-modules query,value --json",
];

/** `aflora params` */
export function paramsCommand(): Command {
  const command = new Command("params")
    .option("--model <path>", "model folder or config.json (default: the bundled encoder's)")
    .option("--method <name>", "fine-tuning method", DEFAULT_METHOD.name)
    .addOption(numberOption("--sequence-length <n>", "tokens per sequence, for the FLOPs of attention").default(128))
    .addOption(numberOption("--frozen-blocks <n>", "also count with this many blocks frozen (train --freeze-blocks)"))
    .option("--json", "print JSON");
  addMethodOptions(command);
  addPaperOptions(command);
  everydayHelp(command, ["model", "method", "sequenceLength", "frozenBlocks", "json", "rank", "targetModules"]);
  return addExamples(command, EXAMPLES).action(async () => {
    const {
      model = BUNDLED_MODEL,
      method = DEFAULT_METHOD.name,
      sequenceLength = 128,
      frozenBlocks = 0,
      json,
      ...flags
    } = givenOptions<ParamsOptions>(command);
    if (!Number.isInteger(sequenceLength) || sequenceLength < 1) {
      throw new UserError("--sequence-length must be a whole number of tokens, at least 1");
    }
    if (!Number.isInteger(frozenBlocks) || frozenBlocks < 0) {
      throw new UserError("--frozen-blocks must be a whole number of blocks");
    }
    const definition = findMethod(method);
    const options = parseMethodOptions(definition, flags);
    const { description } = await describeModelAt(modelDirectory(model));
    const costs = methodCosts(description, definition, options, sequenceLength, frozenBlocks);
    print(
      json
        ? `${JSON.stringify({ model, method: definition.name, options, ...costs }, null, 2)}\n`
        : `${describe(definition.name, costs)}\n`,
    );
  });
}

interface ParamsOptions {
  model?: string;
  method?: string;
  sequenceLength?: number;
  frozenBlocks?: number;
  json?: boolean;
  [methodOption: string]: unknown;
}

function describe(method: string, { costs, average, head, sequenceLength, adaptedLayers }: MethodCosts): string {
  const names = Object.keys(costs[0]!.modules);
  const whens = costs.map(({ when }) => when);
  const flops = (count: number): string => `${(count / 1e6).toFixed(3)}`;
  return [
    table([
      ["trainable parameters by module", ...whens],
      ...names.map((name) => [name, ...costs.map(({ modules }) => integer(modules[name] ?? 0))]),
      ["in all", ...costs.map(({ trainable }) => integer(trainable))],
    ]),
    "",
    ...(average === undefined ? [] : [`on average over training, by the schedule's curve: ${integer(average)}`]),
    `head, counted apart: ${integer(head)}`,
    "",
    `MFLOP of one training step per token, ${sequenceLength} tokens per sequence:`,
    table([
      ["", ...whens],
      ...(["base", "adapter"] as const).flatMap((part) =>
        (["forward", "backward"] as const).map((pass) => [
          `${part}, ${pass}`,
          ...costs.map(({ flops: of }) => flops(of[part][pass])),
        ]),
      ),
      ["in all", ...costs.map(({ flops: of }) => flops(totalFlops(of)))],
    ]),
    ...(adaptedLayers.adapter > 0
      ? [
          "",
          `of which the adapted linear layers, forward: ${flops(adaptedLayers.base)} the layers themselves, ${flops(adaptedLayers.adapter)} their ${method} adapters`,
        ]
      : []),
  ].join("\n");
}
