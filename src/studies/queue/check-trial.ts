import { UserError } from "../../errors.ts";
import { loadTask } from "../../preparation/load-task-node.ts";
import { parseOptions, resolveConfig, withAbsolutePaths } from "../../preparation/run-options-node.ts";
import { namesCode } from "../../tasks/reward-functions.ts";
import { RunChecker } from "../check-run.ts";
import { Identifier, type TrialIdentity, trialId } from "../trial-identity.ts";
import { NO_CODE } from "./run-pack.ts";
import type { QueuedTrial } from "./trial-queue.ts";

/** Why a trial's options are invalid on every machine; undefined if they are valid. */
export function whyInvalid({ config }: QueuedTrial): string | undefined {
  try {
    return namesCode(parseOptions(config).run.taskOptions) ? NO_CODE : undefined;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message;
  }
}

/**
 * Checks that this machine has the data, model and version that the study was planned with.
 * @param compute options for computing on this machine
 */
export async function refuseOtherCopies(trial: QueuedTrial, compute: Readonly<Record<string, unknown>>): Promise<void> {
  const given = { ...trial.config, ...compute };
  const asGiven = resolveConfig(given);
  const task = await loadTask(asGiven, { offline: asGiven.run.offline });
  const config = await new RunChecker().resolve(given, task);
  const file = trial.reported && "validation" in trial.reported ? trial.reported.validation : undefined;
  const own = await new Identifier().identify(withAbsolutePaths(config), task, file);
  for (const [part, called] of Object.entries(PARTS) as [keyof TrialIdentity, string][]) {
    if (JSON.stringify(own[part]) === JSON.stringify(trial.identity[part])) continue;
    throw new UserError(
      `${called} of trial ${trial.id} (${trial.label}) differ on this machine from where the study was planned; copy the same here, or let other workers take it`,
    );
  }
  if (trial.id !== trialId(own)) {
    throw new UserError(
      `trial ${trial.id} (${trial.label}) has another name in this version of aflora, ${trialId(own)}; use the study's version here, or let other workers take it`,
    );
  }
}

const PARTS: Record<keyof TrialIdentity, string> = {
  data: "the data",
  model: "the model's files",
  options: "the options, as this version of aflora reads them,",
};
