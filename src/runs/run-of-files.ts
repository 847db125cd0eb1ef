import { join, resolve } from "node:path";
import { opt, UserError } from "../errors.ts";
import { refuseOtherData } from "../preparation/data-fingerprint-node.ts";
import {
  type PreparedFiles,
  type PrepareFilesOptions,
  prepareFromFiles,
} from "../preparation/prepare-from-files-node.ts";
import type { DataSource, RunConfig } from "../preparation/run-options-node.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { type FoundCheckpoint, findCheckpoint } from "./checkpoint-folder.ts";
import { type Machine, machineNote, thisMachine } from "./machine.ts";
import { savedRun } from "./saved-run.ts";

export interface RunOfFiles extends PreparedFiles {
  /** Absolute path of the run folder. A default name that is taken gets a number when the folder is made. */
  directory: string;
  machine: Machine;
  /** Set if the run resumes; `found` is undefined if the run was cut off before its first checkpoint. */
  saved?: { found: FoundCheckpoint | undefined } | undefined;
}

/**
 * Prepares a run that writes a run folder: a new run, or one that resumes from its newest checkpoint. Writes nothing.
 * @param given keys of `aflora train`'s config file
 */
export async function prepareRunOfFiles(
  given: Readonly<Record<string, unknown>>,
  {
    resume = false,
    isShared = false,
    ...options
  }: Omit<PrepareFilesOptions, "saved" | "checkKind"> & {
    resume?: boolean | undefined;
    isShared?: boolean | undefined;
  } = {},
): Promise<RunOfFiles> {
  const saved = resume ? await savedRun(given) : undefined;
  const found = saved && (await checkpointOf(saved));
  const prepared = await prepareFromFiles(given, {
    ...options,
    ...(saved && { saved: { ...saved, state: found?.state } }),
    ...(isShared && { checkKind: refuseUnlessTexts }),
  });
  const machine = thisMachine(prepared.runtime);
  const elsewhere = found && machineNote(found.machine, machine);
  return {
    ...prepared,
    directory: directoryOf(prepared.config),
    machine,
    saved: saved && { found },
    notes: [...prepared.notes, ...(found?.notes ?? []), ...(elsewhere ? [elsewhere] : [])],
  };
}

async function checkpointOf({
  config,
  dataFingerprint,
  stepsRecorded,
}: Awaited<ReturnType<typeof savedRun>>): Promise<FoundCheckpoint | undefined> {
  const directory = directoryOf(config);
  await refuseOtherData(dataFingerprint, `the run in ${directory}`, "restore the file or start a new run");
  return findCheckpoint(directory, stepsRecorded);
}

/** @throws UserError if a kind of task reads something other than texts, which messages to workers cannot hold */
function refuseUnlessTexts({ reads }: Pick<TaskKind, "reads">): void {
  if (reads)
    throw new UserError(`a run on many machines trains on texts; leave ${opt("queue")} out to train on ${reads}`);
}

function directoryOf({ source, method, run }: RunConfig): string {
  const time = new Date().toISOString().slice(0, 19).replace(/:/g, "").replace("T", "-");
  return resolve(run.output ?? join("runs", `${subjectOf(source).replace(/^.*[/\\]/, "")}-${method.name}-${time}`));
}

function subjectOf(source: DataSource): string {
  if ("task" in source) return source.task;
  if ("train" in source) return source.train.replace(/\.\w+$/, "");
  return source.datasetConfig ?? source.dataset.replace(/@.*$/, "");
}
