import { spawnSync } from "node:child_process";
import { didYouMean } from "../src/errors.ts";

/** Ends a bench that was called with what it cannot use: one sentence, exit code 2. */
export function refuse(message: string): never {
  console.error(`error: ${message}`);
  process.exit(2);
}

/** An argument that names one of several. @param what it names, for the message */
export function oneOf<Name extends string>(what: string, given: string, known: readonly Name[]): Name {
  const found = known.find((name) => name === given);
  if (found !== undefined) return found;
  return refuse(`unknown ${what} "${given}"${didYouMean(given, known)} (known: ${known.join(", ")})`);
}

/** Texts of a batch and tokens of each, from `8x64`. */
export function shapeOf(given: string): [rows: number, length: number] {
  const [, rows, length] = /^([1-9]\d*)x([1-9]\d*)$/.exec(given) ?? [];
  if (rows === undefined) refuse(`"${given}" is no size of a batch; give texts and tokens of each, such as 8x64`);
  return [Number(rows), Number(length)];
}

/** A Python interpreter, which must be there. */
export function pythonOf(given = "python3"): string {
  const { error } = spawnSync(given, ["--version"]);
  if (error) refuse(`cannot start ${given}: ${error.message}; give a Python interpreter`);
  return given;
}
