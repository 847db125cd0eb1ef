import { UserError } from "../errors.ts";

/** Upper limit on the size of a JSON file, in bytes: ten times the largest tokenizer.json. */
const MAX_JSON = 2 ** 28;

/** @throws UserError if a JSON file exceeds the upper limit. */
export function refuseLargeJson(size: number, location: string): void {
  if (size <= MAX_JSON) return;
  throw new UserError(
    `${location} has ${(size / 1e6).toFixed(0)} MB, and a JSON file of a model, an adapter or a run has ${(MAX_JSON / 1e6).toFixed(0)} at most; is it the right file?`,
  );
}

/** Parses JSON. @param location for error messages. @throws UserError if the text is not JSON, or nests too deeply. */
export function parseJson(text: string, location: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${location} is not valid JSON: ${(error as Error).message}`);
  }
  if (isDeep(value)) {
    throw new UserError(
      `${location} has values nested more than ${MAX_DEPTH} deep, deeper than in any model, adapter or run; is it the right file?`,
    );
  }
  return value;
}

/** Deepest nesting of values, so that recursive readers end. */
export const MAX_DEPTH = 100;

/** Whether values are nested more than `left` levels deep. */
export function isDeep(value: unknown, left = MAX_DEPTH): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (left === 0) return true;
  return (Array.isArray(value) ? value : Object.values(value)).some((each) => isDeep(each, left - 1));
}
