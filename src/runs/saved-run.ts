import { opt, UserError } from "../errors.ts";
import type { DataFingerprint } from "../preparation/data-fingerprint-node.ts";
import {
  flatOptions,
  MAY_DIFFER,
  type RunConfig,
  resolveConfig,
  withAbsolutePaths,
} from "../preparation/run-options-node.ts";
import { readRunRecords } from "./read-run.ts";

/** Options of a run to resume. Options given again must be equal, except those that say where and how to compute. */
export async function savedRun(
  given: Readonly<Record<string, unknown>>,
): Promise<{ config: RunConfig; dataFingerprint: DataFingerprint; stepsRecorded: number }> {
  if (typeof given.output !== "string")
    throw new UserError(`which run should continue? Name its folder with ${opt("resume")} DIR`);
  const { config, dataFingerprint, steps, result } = await readRunRecords(given.output);
  if (result)
    throw new UserError(`the run in ${given.output} has finished; nothing is left to resume`, { code: "invalid-run" });
  const saved = flatOptions(withAbsolutePaths(config));
  const asked = Object.entries(given).filter(([, value]) => value !== undefined);
  const again = resolveConfig({ ...saved, ...Object.fromEntries(asked), method: saved.method });
  const resolved = withAbsolutePaths(again);
  const found = flatOptions(resolved);
  for (const [key, value] of asked) {
    const [before, now] = [saved[key], key === "method" ? value : found[key]].map((each) => JSON.stringify(each));
    if (before !== now && !MAY_DIFFER.includes(key)) {
      throw new UserError(
        `${opt("resume")}: the run in ${given.output} has ${key} ${before ?? "unset"}, not ${now}; leave the option out or start a new run`,
      );
    }
  }
  return { config: resolved, dataFingerprint, stepsRecorded: steps.length };
}
