import { readFile } from "node:fs/promises";
import { UserError } from "../errors.ts";

/**
 * Reads a JSON or YAML file of options. Keys may contain dashes or underscores.
 * @throws UserError if the file cannot be read, or holds anything other than options
 */
export async function readConfigFile(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      throw new UserError(`no such file: ${path}`, { code: "file-not-found" });
    throw new UserError(`cannot read config file ${path}: ${(error as Error).message}`);
  }
  const { parse } = await import("yaml");
  let options: unknown;
  try {
    options = parse(text);
  } catch (error) {
    throw new UserError(`${path} is neither JSON nor YAML: ${(error as Error).message.split("\n")[0]}`);
  }
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new UserError(`${path} must hold options, such as "epochs: 3"`);
  }
  // An editor reads it.
  const { $schema, ...own } = camelKeys(options);
  return own;
}

/** Entries of an object with names in camel case; none if it is no object. */
export const camelKeys = (options: unknown): Record<string, unknown> =>
  Object.fromEntries(Object.entries(options ?? {}).map(([name, value]) => [camelCase(name), value]));

/** Converts `learning-rate` or `learning_rate` to `learningRate`. */
export const camelCase = (name: string): string =>
  name.replace(/[-_](\w)/g, (_, letter: string) => letter.toUpperCase());
