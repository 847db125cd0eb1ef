import { UserError } from "../errors.ts";

/** Most bytes of a JSON file, of whatever role: the largest tokenizer.json has a tenth. */
const MAX_JSON = 2 ** 28;

/** @throws UserError where a JSON file is larger than any that is meant. */
export function refuseLargeJson(size: number, location: string): void {
  if (size <= MAX_JSON) return;
  throw new UserError(
    `${location} has ${(size / 1e6).toFixed(0)} MB, and a JSON file of a model, an adapter or a run has ${(MAX_JSON / 1e6).toFixed(0)} at most; is it the right file?`,
  );
}

/** @param location for error messages. @throws UserError where the text is not JSON, or its values are nested too deep. */
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

/** Most values within each other: whoever reads them by calling itself comes to an end. */
export const MAX_DEPTH = 100;

/** Whether values are nested deeper than anyone means to. */
export function isDeep(value: unknown, left = MAX_DEPTH): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (left === 0) return true;
  return (Array.isArray(value) ? value : Object.values(value)).some((each) => isDeep(each, left - 1));
}
