import { Command } from "commander";
import { runOptions } from "../../preparation/run-options-node.ts";
import { formatsToPush, pushRun } from "../../runs/push-run.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { addExamples } from "../help.ts";
import { addSchemaOptions, givenOptions } from "../schema-options.ts";
import { downloadLine } from "../terminal/download-line.ts";
import { bytes } from "../terminal/format.ts";
import { print, say } from "../terminal/print.ts";

const EXAMPLES = [
  "aflora push runs/tickets your-name/tickets",
  "aflora push runs/tickets your-name/tickets --format peft,onnx --dtype q8 --public",
  "aflora push runs/tickets your-name/tickets-model --format merged --license mit",
];

const NOTE = `Needs HF_TOKEN: a token of your account on the hub that may write (its settings, Access Tokens).
The repository gets a model card with scores, counts of the data and how to load it; never your texts.
If the connection fails, run the same command again: large files that arrived are not sent again.`;

interface Given {
  format?: string;
  public?: boolean;
  license?: string;
  json?: boolean;
  device?: DeviceName;
  threads?: number;
}

/** `aflora push` */
export function pushCommand(): Command {
  const formats = formatsToPush();
  const command = new Command("push")
    .argument("<run>", "run folder")
    .argument("<repository>", "owner/name on the hub; created if it is missing, private unless --public")
    .option(
      "--format <list>",
      `formats, separated by commas (default: peft): ${formats.map(({ name, summary }) => `${name}, ${summary}`).join("; ")}`,
    )
    .option("--public", "let everyone see the repository")
    .option("--license <id>", "licence of the repository, such as mit (default: that of the base model)")
    .option("--json", "print JSON");
  for (const { name, options } of formats) addSchemaOptions(command, options, `Format ${name}`);
  addSchemaOptions(command, runOptions.pick({ device: true, threads: true }), "Options");
  return addExamples(command, EXAMPLES, NOTE).action(async (run: string, repository: string) => {
    const { format, public: isPublic, license, json, device, threads, ...formatOptions } = givenOptions<Given>(command);
    const asked = { formats: format?.split(","), formatOptions, isPublic, license };
    const report = await pushRun(run, repository, asked, {
      device,
      threads,
      onProgress: downloadLine(),
      onStage: (stage) => say(`${stage}\n`),
    });
    const { files, notes, bytesSent, url } = report;
    const lines = [
      ...notes.map((note) => `note: ${note}`),
      `${files.join(", ")}`,
      `large files: ${bytes(bytesSent)} sent; ${isPublic ? "public" : "private"} repository: ${url}`,
    ];
    print(`${json ? JSON.stringify(report, null, 2) : lines.join("\n")}\n`);
  });
}
