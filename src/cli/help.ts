import { type Command, Help } from "commander";

/**
 * What a user types to start aflora: `npx aflora` where npm started it (npx, or a script of package.json), whose
 * command is not on the path, else `aflora`.
 */
export const STARTED_AS = process.env.npm_command === undefined ? "aflora" : "npx aflora";

/** `learningRate` → `learning-rate` */
export const kebabCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Adds command lines to a command's help, without the program's name, and a note below them. */
export function addExamples(command: Command, lines: readonly string[], note?: string): Command {
  // Not the method of that name.
  const shown = lines.map((line) => `  $ ${line.replace(/(?<!--\S+ )aflora /g, `${STARTED_AS} `)}\n`).join("");
  return command.addHelpText("after", `\nExamples:\n${shown}${note === undefined ? "" : `\n${note}\n`}`);
}

/** Shows these options alone in a command's help, by their names in camel case; all of them with `--help-all`. */
export function everydayHelp(command: Command, everyday: readonly string[]): void {
  let all = false;
  command.option("--help-all", "show every option").on("option:help-all", () => {
    all = true;
    command.help();
  });
  const shown = new Set(["helpAll", "help", ...everyday]);
  command.configureHelp({
    visibleOptions: (of) =>
      Help.prototype.visibleOptions.call(new Help(), of).filter((option) => all || shown.has(option.attributeName())),
  });
}
