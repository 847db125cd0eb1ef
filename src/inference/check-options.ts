import type { z } from "zod";
import { inWords, UserError } from "../errors.ts";

/**
 * Options through a schema.
 * @throws UserError naming the option that is malformed.
 */
export function checkOptions<Schema extends z.ZodType>(schema: Schema, given: object): z.output<Schema> {
  const result = schema.safeParse(given, { error: inWords });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`option "${issue!.path.join(".")}": ${issue!.message}`);
}
