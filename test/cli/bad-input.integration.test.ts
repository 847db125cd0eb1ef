import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Aflora, aflora, afloraHere } from "../support/aflora.ts";
import { fineTune } from "../support/fine-tune.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-bad-input-"));
  const at = (name: string): string => join(home, name);
  const write = (name: string, text: string): Promise<void> => writeFile(at(name), text);
  const model = await writeTinyModel(at("model"));
  const train = await writeCsv(at("tickets.csv"), tickets());
  await fineTune({ model, train, text: "message", label: "team", epochs: 1, threads: 1, output: at("run") });

  await write("empty.csv", "");
  await write("header.csv", "message,team\n");
  await write("short.csv", "message,team\nmy card,billing\nthe app\n");
  await write("one-class.csv", "message,team\nmy card,billing\nthe bill,billing\n");
  await write("unknown.csv", "message,team\nmy card,billing\nmy parcel,delivrey\n");
  await write("unknown-key.yaml", "epohcs: 3\n");
  await write("other-method.json", '{ "method": "lora", "freezeInterval": 5 }');
  await write("no-number.yaml", "learningRate: fast\n");
  await write("list.yaml", "- epochs\n");
  await write("broken.yaml", "epochs: [3\n");

  await writeTinyModel(at("no-weights"));
  await rm(at("no-weights/model.safetensors"));
  await writeTinyModel(at("truncated"));
  const weights = await readFile(at("truncated/model.safetensors"));
  await writeFile(at("truncated/model.safetensors"), weights.subarray(0, weights.length - 1000));
  const config = JSON.parse(await readFile(at("model/config.json"), "utf8"));
  await writeTinyModel(at("wrong-shape"));
  await write("wrong-shape/config.json", JSON.stringify({ ...config, intermediate_size: 65 }));
  await writeTinyModel(at("unsupported"));
  await write("unsupported/config.json", JSON.stringify({ ...config, model_type: "mamba" }));
});
afterAll(() => rm(home, { recursive: true }));

const TRAIN = "train --model model --train tickets.csv --text message --label team --output out";

/** What is wrong, the command line, and the one sentence on stderr. */
const cases: [what: string, command: string, sentence: string | RegExp][] = [
  ["a missing file", `${TRAIN} --train nowhere.csv`, "no such file: nowhere.csv"],
  [
    "a missing column",
    `${TRAIN} --text mesage`,
    'tickets.csv has no column "mesage"; it has message, team; did you mean "message"?',
  ],
  [
    "columns that nobody named",
    "train --model model --train tickets.csv --output out",
    'tickets.csv has no column "text"; it has message, team; name yours, such as --text message --label team',
  ],
  [
    "a folder in a file's place",
    "check --train model",
    "model is a folder, but a file of texts is needed; only models of pictures or sounds read folders",
  ],
  ["an empty file", `${TRAIN} --train empty.csv`, "empty.csv is empty"],
  ["a file with a header only", `${TRAIN} --train header.csv`, "header.csv has no rows, only a header"],
  ["a row with too few fields", `${TRAIN} --train short.csv`, /^short\.csv, line 3: .*1 field/],
  [
    "a label column with one class",
    `${TRAIN} --train one-class.csv`,
    'one-class.csv: column "team" holds one label only, "billing"; there is nothing to learn',
  ],
  [
    "an unknown label at evaluation",
    "evaluate --run run --validation unknown.csv",
    'unknown.csv, line 3: unknown label "delivrey" in column "team"; the task\'s labels are billing, bug, delivery; did you mean "delivery"?',
  ],
  [
    "a project in a file",
    "init chat tickets.csv",
    "tickets.csv is a file; name a new folder, as in aflora init chat my-project",
  ],
  ["a missing model folder", `${TRAIN} --model ./nowhere`, /nowhere/],
  [
    "a model folder without weights",
    `${TRAIN} --model ./no-weights`,
    /no-weights has no weights: expected one of model\.safetensors/,
  ],
  ["a truncated safetensors file", `${TRAIN} --model ./truncated`, /truncated[\\/]model\.safetensors/],
  [
    "a tensor of the wrong shape",
    `${TRAIN} --model ./wrong-shape`,
    /wrong-shape[\\/]model\.safetensors: tensor "bert\.encoder\.layer\.0\.intermediate\.dense\.weight" is \[64, 32\], but config\.json calls for \[65, 32\]/,
  ],
  [
    "an unsupported architecture",
    `${TRAIN} --model ./unsupported`,
    /config.json: unknown model_type "mamba".*\(model_types: bert, roberta, .*modernbert, llama/,
  ],
  [
    "an export below a file",
    "export --run run --format peft --output tickets.csv/peft",
    /^cannot write .*tickets\.csv.*: its folder is a file; choose another place$/,
  ],
  ["an existing run folder", `${TRAIN} --output run`, /run already holds a run; --overwrite replaces it/],
  [
    "a run to resume in another folder",
    "train --resume run --output out",
    "--resume continues the run in its own folder, run; leave --output out",
  ],
  [
    "a run to resume and to replace",
    "train --resume run --overwrite",
    "--resume continues a run and --overwrite replaces it; leave one of them out",
  ],
  ["rank 0", `${TRAIN} --rank 0`, '--rank of method "lora": it must be above 0, not 0'],
  [
    "a learning rate that is no number",
    `${TRAIN} --learning-rate fast`,
    '--learning-rate must be a number, not "fast"',
  ],
  ["a learning rate of 0", `${TRAIN} --learning-rate 0`, "--learning-rate: it must be above 0, not 0"],
  [
    "a learning rate in a file that is no number",
    `${TRAIN} --config no-number.yaml`,
    'option "learningRate": it must be a number, not "fast"',
  ],
  ["half an epoch", `${TRAIN} --epochs 0.5`, "--epochs: it must be a whole number, not 0.5"],
  ["an unknown command", "trian", "unknown command 'trian'; did you mean train?"],
  ["an unknown flag", `${TRAIN} --epohcs 3`, "unknown option '--epohcs'; did you mean --epochs?"],
  [
    "an unknown config key",
    `${TRAIN} --config unknown-key.yaml`,
    'unknown option "epohcs" of method "lora"; did you mean "epochs"?',
  ],
  [
    "a config key of another method",
    `${TRAIN} --config other-method.json`,
    'option "freezeInterval" belongs to aflora, not to method "lora"',
  ],
  ["an unknown method", `${TRAIN} --method aflroa`, /^unknown method "aflroa"; did you mean "aflora"\?/],
  ["a missing config file", `${TRAIN} --config nowhere.yaml`, "no such file: nowhere.yaml"],
  ["a config file of another kind", `${TRAIN} --config list.yaml`, 'list.yaml must hold options, such as "epochs: 3"'],
  ["a broken config file", `${TRAIN} --config broken.yaml`, /^broken\.yaml is neither JSON nor YAML/],
  ["no data", "train --output out", /^give either a task/],
  ["an unknown task", "train --task cols --data . --output out", /unknown task "cols".*did you mean "cola"\?/],
  ["a task's missing files", "train --task cola --data nowhere --output out", /nowhere/],
  ["an unknown device", `${TRAIN} --device abacus`, '--device: it must be "cpu" or "webgpu" or "cuda", not "abacus"'],
  ["a folder that is no run", "predict --run no-weights text", /^no-weights /],
  ["no threads", "predict --run run --threads 0 text", "--threads: it must be above 0, not 0"],
  ["threads that are no number", "evaluate --run run --threads many", '--threads must be a number, not "many"'],
  ["a share that is no number", "study --vary rank=1,2 --hold-out half", '--hold-out must be a number, not "half"'],
  ["a count that is no number", "embed --dimensions many text", '--dimensions must be a number, not "many"'],
  ["texts and a file", "predict --run run --file tickets.csv text", "give texts or --file, not both"],
  [
    "no server that labels",
    "label --labels a,b --file tickets.csv --output labelled.csv",
    /^which server should label the rows\? Give --endpoint http:\S+ for Ollama .*, or --endpoint https:\S+ for OpenAI/,
  ],
  ["no run", "evaluate", "required option '--run <dir>' not specified"],
];

const errorsIn = (stderr: string): string[] => [...stderr.matchAll(/^error: (.*)$/gm)].map(([, message]) => message!);

describe("one clear sentence and exit code 2, and nothing written", () => {
  test.each(cases)("%s", async (_, command, sentence) => {
    const { code, stdout, stderr } = await afloraHere(command.split(" "), home);
    // Before it, a command may say what it reads.
    const [message, ...more] = errorsIn(stderr);
    expect(more).toEqual([]);
    expect(stderr.endsWith(`error: ${message}\n`)).toBe(true);
    if (typeof sentence === "string") expect(message).toBe(sentence);
    else expect(message).toMatch(sentence);
    expect([code, stdout]).toEqual([2, ""]);
    expect(existsSync(join(home, "out"))).toBe(false);
  });

  test("nothing to label on stdin", async () => {
    const { code, stdout, stderr } = await aflora(["predict", "--run", "run"], home);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toBe("reading run\nerror: nothing to label: give texts, --file FILE, or text on stdin\n");
  });

  test("--verbose adds the stack trace", async () => {
    const { code, stderr } = await aflora([...TRAIN.split(" "), "--train", "nowhere.csv", "--verbose"], home);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: no such file: nowhere\.csv\nUserError: .*\n +at /m);
  });
});

test("a NaN loss: step and batch are named", async () => {
  const flags = "--output exploded --batch-size 8 --learning-rate 1e30 --head-learning-rate 1e30 --warmup-ratio 0";
  const { code, stderr } = await aflora(`${TRAIN} ${flags} --threads 1`.split(" "), home);
  expect(code).toBe(2);
  expect(stderr).toMatch(
    /\nerror: the .* is (NaN|Infinity) at step \d+ \(epoch 1, batch \d of 5\); lower the learning rate\n$/,
  );
});

// A limit on the size of files does what a full disk does, in a place that a test can choose.
test.skipIf(process.platform === "win32")("a checkpoint that cannot be written whole is not left in part", async () => {
  const args = `${TRAIN} --output full --batch-size 41 --threads 1`.split(" ");
  const { code, stderr } = await new Aflora(args, home, { shell: "ulimit -f 16" }).ended;
  expect(stderr).toMatch(/\nerror: cannot write .*full\/checkpoints\/step-0\.safetensors: .*\n$/);
  expect(code).toBe(2);
  expect(await readdir(join(home, "full", "checkpoints"))).toEqual([]);
});
