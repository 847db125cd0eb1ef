import { UserError } from "../errors.ts";

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/**
 * Reads a time such as `30s`, `10m` or `1h`.
 * @returns seconds
 * @throws UserError if the text is not a time
 */
export function parseDuration(flag: string, text: string): number {
  const [, number, unit] = /^(\d{1,6}(?:\.\d+)?)([smh])$/.exec(text) ?? [];
  if (number !== undefined) return Number(number) * SECONDS[unit!]!;
  throw new UserError(`${flag} takes a time such as 30s, 10m or 1h, not "${text}"`);
}
