import { UserError } from "../../../errors.ts";

/** A JSON schema that is no `true` or `false`. */
export type Schema = Readonly<Record<string, unknown>>;

export const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"] as const;
export type TypeName = (typeof TYPES)[number];

export function refused(path: string, why: string): UserError {
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  return new UserError(`the JSON schema's ${shown} ${why}`);
}

export function isOfType(value: unknown, type: TypeName): boolean {
  switch (type) {
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    case "null":
      return value === null;
    default:
      return typeof value === type;
  }
}

/** Resolves a JSON pointer. @see https://www.rfc-editor.org/rfc/rfc6901 */
export function resolvePointer(document: unknown, pointer: string, path: string): unknown {
  const keys = pointer.split("/").slice(1);
  let value = document;
  for (const key of keys.map((each) => each.replaceAll("~1", "/").replaceAll("~0", "~"))) {
    const within = typeof value === "object" && value !== null && Object.hasOwn(value, key);
    if (!within) throw refused(path, `points to ${pointer}, which does not exist`);
    value = (value as Schema)[key];
  }
  return value;
}
