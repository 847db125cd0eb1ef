import { type Command, Help } from "commander";
import { showOptions } from "../errors.ts";

/**
 * Command that starts aflora: `npx aflora` if npm started it (npx, or a script of package.json), because it is not on the path then;
 * otherwise `aflora`.
 */
export const STARTED_AS = process.env.npm_command === undefined ? "aflora" : "npx aflora";

/** Converts `learningRate` to `learning-rate`. */
export const kebabCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The flag of an option. */
export const flagOf = (name: string): string => `--${kebabCase(name)}`;

/** Names the options in a message of the library as flags. */
export const inFlags = (message: string): string => showOptions(message, flagOf);

/** Adds example command lines, without the program's name, and a note to a command's help. */
export function addExamples(command: Command, lines: readonly string[], note?: string): Command {
  // Matches the program's name, but not a method of that name.
  const shown = lines.map((line) => `  $ ${line.replace(/(?<!--\S+ )aflora /g, `${STARTED_AS} `)}\n`).join("");
  return command.addHelpText("after", `\nExamples:\n${shown}${note === undefined ? "" : `\n${note}\n`}`);
}

/** Shows only these options in a command's help, by their names in camel case. `--help-all` shows all. */
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
