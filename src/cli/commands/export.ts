import { Command, Option } from "commander";
import type { ExportReport, OnStage } from "../../export/export-adapter-node.ts";
import { EXPORT_FORMATS, type ExportOptions } from "../../export/export-formats-node.ts";
import { runOptions } from "../../preparation/run-options-node.ts";
import { exportRun } from "../../runs/export-run.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { addExamples } from "../help.ts";
import { addSchemaOptions, givenOptions } from "../schema-options.ts";
import { downloadLine } from "../terminal/download-line.ts";
import { bytes, counted, duration, table } from "../terminal/format.ts";
import { print } from "../terminal/print.ts";
import { ProgressLine } from "../terminal/progress-line.ts";

const EXAMPLES = [
  "aflora export --run runs/tickets --format peft --output tickets-peft",
  "aflora export --run runs/tickets --format merged --output tickets-model",
  "aflora export --run runs/tickets --format onnx --dtype q8 --output tickets-onnx",
  "aflora export --run runs/answers --format gguf --output answers-gguf",
];

const MEGABYTE = 1e6;

interface Asked {
  run: string;
  json?: boolean;
  device?: DeviceName;
  threads?: number;
  offline?: boolean;
}

/** `aflora export` */
export function exportCommand(): Command {
  const command = new Command("export")
    .requiredOption("--run <dir>", "run folder")
    .addOption(
      new Option("--format <format>", EXPORT_FORMATS.all.map(({ name, summary }) => `${name}: ${summary}`).join("; "))
        .choices(EXPORT_FORMATS.names)
        .makeOptionMandatory(),
    )
    .requiredOption("--output <dir>", "folder to write, new or empty")
    .option("--json", "print JSON");
  for (const { name, options } of EXPORT_FORMATS.all) addSchemaOptions(command, options, `Format ${name}`);
  addSchemaOptions(command, runOptions.pick({ device: true, threads: true, offline: true }), "Options");
  return addExamples(command, EXAMPLES).action(async () => {
    const { run, json, device, threads, offline, ...options } = givenOptions<Asked & ExportOptions>(command);
    let line: ProgressLine | undefined;
    const onStage: OnStage = (stage, { bytes: size, seconds } = {}) => {
      line?.end();
      const much = size === undefined ? "" : `, ${bytes(size)} in float32`;
      const left = seconds === undefined ? "" : `, about ${duration(seconds)} left`;
      line = new ProgressLine(`${stage}${much}${left}`, "MB");
    };
    const report = await exportRun(run, options, {
      ...{ device, threads, offline, onStage },
      onProgress: downloadLine(),
      onWriting: (done, of) => line?.at(Math.round(done / MEGABYTE), { of: Math.round(of / MEGABYTE) }),
    }).finally(() => line?.end());
    print(`${json ? JSON.stringify(report, null, 2) : describe(report)}\n`);
  });
}

function describe({ directory, files, comparedTexts, largestDifference, notes, quantized }: ExportReport): string {
  const lines = [
    table([["", ""], ...Object.entries(files).map(([name, size]) => [name, bytes(size)])]).trimStart(),
    "",
    `compared with the run's model on ${counted(comparedTexts, "example")}: outputs differ by at most ${largestDifference.toExponential(1)}`,
  ];
  lines.splice(-1, 0, ...notes.map((note) => `note: ${note}`));
  if (quantized) {
    const { dtype, largestDifference: most, sameLabel, leastCosine } = quantized;
    const agreement =
      leastCosine === undefined
        ? `${(100 * sameLabel!).toFixed(1)} % of answers stay the same`
        : `a text's vectors have a cosine of at least ${leastCosine.toFixed(4)}`;
    lines.push(`${dtype}: outputs differ by at most ${most.toFixed(3)}, and ${agreement}`);
  }
  return [...lines, `folder: ${directory}`].join("\n");
}
