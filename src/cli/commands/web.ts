import { Command } from "commander";
import { z } from "zod";
import { checkOptions } from "../../errors.ts";
import { servePage, writePage } from "../../serving/page-server.ts";
import { addExamples } from "../help.ts";
import { portOption } from "../port-option.ts";
import { addSchemaOptions, givenOptions } from "../schema-options.ts";
import { print, say } from "../terminal/print.ts";
import { untilStopSignal } from "../terminal/stop-signals.ts";

const EXAMPLES = ["aflora web", "aflora web --output site"];

const NOTE = `The page trains in the browser: texts never leave it. The browser keeps an unfinished run for this
address: use the same port again to resume it. --output writes the page as static files for any web
host; if the host ignores the _headers file, configure these headers there (docs/page.md).`;

const webOptions = z.object({
  port: portOption(8081),
  output: z.string().min(1).optional().describe("write the page into this new folder instead of serving it"),
});

/** `aflora web` */
export function webCommand(): Command {
  const command = new Command("web");
  addSchemaOptions(command, webOptions, "Options");
  return addExamples(command, EXAMPLES, NOTE).action(async () => {
    const { port, output } = checkOptions(webOptions, givenOptions(command));
    if (output !== undefined) {
      await writePage(output);
      print(`${output}\n`);
      return;
    }
    const server = await servePage({ port });
    say(`the page is at ${server.url} until Ctrl-C\n`);
    await untilStopSignal();
    await server.close();
  });
}
