import { UserError } from "../errors.ts";

/** Options that earlier versions had, with the values that changed nothing. They gained nothing (docs/blocks.md). */
const REMOVED: Readonly<Record<string, { without: readonly unknown[]; values?: readonly unknown[] }>> = {
  freezeTogether: { without: [false] },
  freezeBlocksThreshold: { without: [] },
  freezeBlocks: { without: [], values: ["autofreeze"] },
};

const isRemoved = ([name, value]: readonly [string, unknown]): boolean => {
  const removed = Object.hasOwn(REMOVED, name) ? REMOVED[name] : undefined;
  return value !== undefined && removed !== undefined && (removed.values?.includes(value) ?? true);
};

/**
 * Splits options that an earlier version may have saved.
 * @returns `options` that this version has, and the `removed` ones that changed something; undefined if there are none
 */
export function withoutRemoved(saved: Readonly<Record<string, unknown>>): {
  options: Record<string, unknown>;
  removed: Record<string, unknown> | undefined;
} {
  const entries = Object.entries(saved);
  const removed = entries.filter((entry) => isRemoved(entry) && !REMOVED[entry[0]]!.without.includes(entry[1]));
  return {
    options: Object.fromEntries(entries.filter((entry) => !isRemoved(entry))),
    removed: removed.length > 0 ? Object.fromEntries(removed) : undefined,
  };
}

/** @throws UserError if an option, or its value, was removed */
export function refuseRemoved(given: Readonly<Record<string, unknown>>): void {
  const found = Object.entries(given).find(isRemoved);
  if (!found) return;
  const [name, value] = found;
  throw new UserError(
    `option "${name}"${REMOVED[name]!.values ? ` no longer has the value "${value}", which` : " was removed: it"} gained nothing; leave it out`,
  );
}
