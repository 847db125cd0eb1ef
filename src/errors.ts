import type { z } from "zod";

/** Kinds of mistakes (docs/stability.md). An error without another code has the first. */
export const USER_ERROR_CODES = [
  "invalid-option",
  "file-not-found",
  "invalid-data",
  "invalid-model",
  "invalid-run",
  "network",
  "cannot-write",
  "missing-package",
] as const;

/** Code of a kind of mistake. */
export type UserErrorCode = (typeof USER_ERROR_CODES)[number];

/**
 * A mistake that the user can fix. The message is one sentence that names the problem, its place, and what to do. The
 * command line prints only the message and exits with code 2.
 */
export class UserError extends Error {
  override name = "UserError";
  #code: UserErrorCode | undefined;

  /** Without a code, the error has that of its cause, or of the part of aflora that it passes (`withCode`). */
  constructor(message: string, { code, cause }: { code?: UserErrorCode; cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    const isMissing = MISSING.includes((cause as { code?: string } | undefined)?.code ?? "");
    this.#code = code ?? (cause instanceof UserError ? cause.#code : isMissing ? "file-not-found" : undefined);
  }

  /** Kind of the mistake, for programs. Messages may change, codes stay. */
  get code(): UserErrorCode {
    return this.#code ?? USER_ERROR_CODES[0];
  }

  /** Sets the code of an error that has none. */
  classify(code: UserErrorCode): void {
    this.#code ??= code;
  }
}

/** System's codes of a file or folder that is not there. */
const MISSING = ["ENOENT", "ENOTDIR"];

/** Waits for a result, and gives errors of the user that have no code yet this one. */
export async function withCode<Value>(code: UserErrorCode, result: Promise<Value>): Promise<Value> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof UserError) error.classify(code);
    throw error;
  }
}

/**
 * Names an option in a message as programs know it: `option "maxLength"`. A surface with other names, such as the command line, shows
 * this form by them ({@link showOptions}).
 */
export const opt = (name: string): string => `option "${name}"`;

/** Shows the options that {@link opt} named in a message by other names, such as `--max-length`. */
export const showOptions = (message: string, show: (name: string) => string): string =>
  message.replace(/option "(\w+)"/g, (_, name: string) => show(name));

/** Returns the closest of `candidates` to `word`, as `; did you mean "x"?`, or "" if none is close. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  let best = "";
  // If all letters would have to change, the word is not a misspelling.
  let bestDistance = Math.min(Math.max(2, Math.floor(word.length / 3)) + 1, word.length);
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best ? `; did you mean "${best}"?` : "";
}

/** Levenshtein distance between two words. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

/** Names of a schema's types in error messages. */
const TYPES: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  record: "an object",
};

/**
 * Describes a schema's error in plain words, as an error map for `safeParse`. The text continues a message after a
 * colon: `option "rank": it must be above 0, not -1`. A schema's own messages take precedence.
 */
export function inWords(issue: z.core.$ZodRawIssue): string {
  if (issue.input === undefined) return "it is missing";
  const text = JSON.stringify(issue.input);
  const not = `not ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`;
  switch (issue.code) {
    case "invalid_type":
      return `it must be ${TYPES[issue.expected] ?? `an ${issue.expected}`}, ${not}`;
    case "invalid_value":
      return `it must be ${issue.values.map((value) => JSON.stringify(value)).join(" or ")}, ${not}`;
    case "too_small":
      if (issue.origin !== "number" && issue.origin !== "int") return "it must not be empty";
      return `it must be ${issue.inclusive ? "at least" : "above"} ${issue.minimum}, ${not}`;
    case "too_big":
      return `it must be ${issue.inclusive ? "at most" : "below"} ${issue.maximum}, ${not}`;
    case "unrecognized_keys":
      return `it has unknown keys: ${issue.keys.map((key) => `"${key}"`).join(", ")}`;
    default:
      return `it has an unknown form: ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`;
  }
}

/**
 * Parses options with a schema.
 * @param whose text after the option's name, such as ` of method "aflora"`
 * @throws UserError naming the option that is malformed.
 */
export function checkOptions<Schema extends z.ZodType>(schema: Schema, given: object, whose = ""): z.output<Schema> {
  const result = schema.safeParse(given, { error: inWords });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`${opt(issue!.path.join("."))}${whose}: ${issue!.message}`);
}
