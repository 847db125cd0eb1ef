import { join } from "node:path";
import { Command } from "commander";
import { writeReport } from "../../reports/report.ts";
import { addExamples } from "../help.ts";
import { givenOptions } from "../schema-options.ts";
import { print } from "../terminal/print.ts";

const EXAMPLES = ["aflora report runs/tickets", "aflora report runs/rte-* --output rte.html"];

/** `aflora report` */
export function reportCommand(): Command {
  const command = new Command("report")
    .argument("<dirs...>", "run folders")
    .option(
      "--output <file>",
      "page to write (default: report.html in the run folder; for several runs, in the current folder)",
    );
  return addExamples(command, EXAMPLES).action(async (directories: string[]) => {
    const { output = directories.length === 1 ? join(directories[0]!, "report.html") : "report.html" } = givenOptions<{
      output?: string;
    }>(command);
    await writeReport(directories, output);
    print(`${output}\n`);
  });
}
