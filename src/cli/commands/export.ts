import { Command, Option } from "commander";
import { EXPORT_FORMATS, type ExportOptions } from "../../export/export-adapter-node.ts";
import { PEFT_FORMS, type PeftFormName } from "../../export/peft/write.ts";
import { ONNX_QUANTIZATIONS } from "../../export/quantize-onnx.ts";
import { exportRun, type RunExportReport } from "../../runs/export-run.ts";
import { runOptions } from "../../runs/run-config.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { addExamples } from "../help.ts";
import { addSchemaOptions, givenOptions } from "../schema-options.ts";
import { downloadLine } from "../terminal/download-line.ts";
import { bytes, counted, table } from "../terminal/format.ts";

const EXAMPLES = [
  "aflora export --run runs/tickets --format peft --output tickets-peft",
  "aflora export --run runs/tickets --format merged --output tickets-model",
  "aflora export --run runs/tickets --format onnx --dtype q8 --output tickets-onnx",
  "aflora export --run runs/answers --format gguf --output answers-gguf",
];

interface Given extends Omit<ExportOptions, "as"> {
  run: string;
  as?: PeftFormName;
  json?: boolean;
  device?: DeviceName;
  threads?: number;
  offline?: boolean;
}

/** `aflora export` */
export function exportCommand(): Command {
  const command = new Command("export")
    .description(
      "write a run's model for PEFT, Transformers, Transformers.js or Ollama, and check that it computes the same",
    )
    .requiredOption("--run <dir>", "run folder")
    .addOption(
      new Option(
        "--format <format>",
        "peft: an adapter; merged: a model folder; onnx: a folder for Transformers.js; gguf: an adapter for Ollama and llama.cpp",
      )
        .choices(EXPORT_FORMATS)
        .makeOptionMandatory(),
    )
    .requiredOption("--output <dir>", "folder to write, new or empty")
    .addOption(
      new Option("--dtype <dtype>", "onnx: q8 or q4 writes a model with weights in 8 or 4 bits, too").choices([
        "float32",
        ...ONNX_QUANTIZATIONS,
      ]),
    )
    .addOption(new Option("--as <type>", "peft: AdaLoRA as a LoRA of its remaining ranks").choices(PEFT_FORMS))
    .option("--json", "as JSON");
  addSchemaOptions(command, runOptions.pick({ device: true, threads: true, offline: true }), "Options");
  return addExamples(command, EXAMPLES).action(async () => {
    const { run, json, device, threads, offline, ...options } = givenOptions<Given>(command);
    const report = await exportRun(run, options, { device, threads, offline, onProgress: downloadLine() });
    process.stdout.write(`${json ? JSON.stringify(report, null, 2) : describe(report)}\n`);
  });
}

function describe({
  directory,
  files,
  comparedTexts,
  largestDifference,
  notes,
  ...quantized
}: RunExportReport): string {
  const lines = [
    table([["", ""], ...Object.entries(files).map(([name, size]) => [name, bytes(size)])]).trimStart(),
    "",
    `compared with the run's model on ${counted(comparedTexts, "text")}: outputs differ by at most ${largestDifference.toExponential(1)}`,
  ];
  lines.splice(-1, 0, ...notes.map((note) => `note: ${note}`));
  for (const quantization of ONNX_QUANTIZATIONS) {
    if (!quantized[quantization]) continue;
    const { largestDifference: most, sameLabel, leastCosine } = quantized[quantization];
    const agreement =
      leastCosine === undefined
        ? `${(100 * sameLabel!).toFixed(1)} % have the same likeliest label`
        : `a text's vectors have a cosine of at least ${leastCosine.toFixed(4)}`;
    lines.push(`${quantization}: outputs differ by at most ${most.toFixed(3)}, and ${agreement}`);
  }
  return [...lines, `folder: ${directory}`].join("\n");
}
