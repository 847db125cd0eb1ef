/**
 * Our training step beside PyTorch's on the same shapes, each in a process of its own, all timed in turn: dropout on, random
 * weights.
 *
 *     npm run bench:peer -- PYTHON [MODEL [ROWSxLENGTH [METHOD]]]
 *     npm run bench:peer -- --epoch [--eager] PYTHON [DATA [ROUNDS [TASKS]]]
 *
 * PYTHON is an interpreter with oracle/requirements.txt installed, METHOD aflora (r = 4) or lora (r = 8; in PyTorch through peft).
 * `--epoch` times whole epochs instead, from data to metric; DATA is a folder with GLUE's official files in `glue` and AG News in
 * `agnews` (../shared/data), ROUNDS how often each goes (3), TASKS are parted by commas (cola,rte,sst2,agnews). `--eager` leaves out
 * PyTorch's slow variants: compiled, and padded to 256 tokens.
 */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BASE_FORMATS } from "../src/architectures/base-format.ts";
import { oneOf, pythonOf, refuse, shapeOf } from "./arguments.ts";
import { Contestant, inTurn, ROUNDS, tableOf } from "./contestant.ts";
import { compareEpochs, EPOCH_TASKS } from "./peer-epochs.ts";
import { CONFIGS, ENCODER_NAMES, type EncoderName } from "./random-model.ts";

async function compareSteps(
  python: string,
  name: EncoderName,
  rows: number,
  length: number,
  method: string,
): Promise<void> {
  const sizes = [rows, length, availableParallelism()].map(String);
  const own = fileURLToPath(new URL("peer-step.ts", import.meta.url));
  const script = fileURLToPath(new URL("../oracle/step_speed.py", import.meta.url));
  const ours = BASE_FORMATS.map(
    (format) =>
      new Contestant(`aflora, ${format}`, process.execPath, [
        ...[...process.execArgv, own],
        ...[name, method, format, ...sizes],
      ]),
  );
  const theirs = ["float32", "bfloat16"].flatMap((precision) =>
    ["eager", "compiled"].map(
      (mode) =>
        new Contestant(`PyTorch, ${precision}, ${mode}`, python, [
          ...[script, JSON.stringify(CONFIGS[name]), ...sizes],
          ...[method, precision, mode],
        ]),
    ),
  );
  await inTurn([...ours, ...theirs]);
  console.log(
    `\n${name}, ${method}, ${rows} x ${length} tokens (${sizes[2]} threads, medians of ${ROUNDS} rounds, ratios with their range)`,
  );
  console.log(tableOf([...ours, ...theirs], ours, rows * length));
}

const METHODS = ["aflora", "lora"] as const;

const { values, positionals } = parseArgs({
  options: { epoch: { type: "boolean" }, eager: { type: "boolean", default: false } },
  allowPositionals: true,
});
const [given, ...rest] = positionals;
const python = pythonOf(given);
if (values.epoch) {
  const [data = "../shared/data", rounds = "3", tasks = EPOCH_TASKS.join(",")] = rest;
  if (!/^[1-9]\d*$/.test(rounds)) refuse(`"${rounds}" is no number of rounds`);
  const chosen = tasks.split(",").map((task) => oneOf("task", task, EPOCH_TASKS));
  await compareEpochs(python, data, Number(rounds), chosen, values.eager);
} else {
  const [model, size, method = "aflora"] = rest;
  const models = model === undefined ? ENCODER_NAMES : [oneOf("model", model, ENCODER_NAMES)];
  const shapes = (size === undefined ? ["8x64", "4x256"] : [size]).map(shapeOf);
  const chosen = oneOf("method", method, METHODS);
  for (const name of models) {
    for (const [rows, length] of shapes) await compareSteps(python, name, rows, length, chosen);
  }
}
