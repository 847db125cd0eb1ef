import type { HubOptions } from "../checkpoints/hub-repository-node.ts";
import { loadDatasetTask } from "../datasets/dataset-node.ts";
import { loadNamedTask } from "../datasets/named-task-node.ts";
import { loadTableTask } from "../datasets/table-node.ts";
import type { OnRead } from "../datasets/text-pieces-node.ts";
import type { TaskData } from "../tasks/example.ts";
import { withoutSmallClasses } from "../tasks/small-classes.ts";
import { holdOut, sampleExamples } from "../tasks/split.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { type DataFingerprint, refuseNewFiles } from "./data-fingerprint-node.ts";
import type { GivenConfig } from "./run-options-node.ts";

/**
 * Reads the data that a run's options name.
 * @param recorded fingerprint of an existing run's data: a data set on the hub is read at the recorded commit
 * @throws UserError if the data cannot be read or hold only one class
 */
export async function loadTask(
  { source, run }: Pick<GivenConfig, "source" | "run">,
  hub: HubOptions = {},
  recorded?: DataFingerprint,
  onRead?: OnRead,
): Promise<TaskData> {
  const { validationSplit, maxTrainSamples, text, textPair, label, kind, seed, minClassRows, smallClasses } = run;
  if ("task" in source) {
    const task = sampleExamples(await loadNamedTask(source.task, source.data, seed), maxTrainSamples);
    const joined = withoutSmallClasses(task, { minClassRows, smallClasses });
    return validationSplit === undefined ? joined : holdOut(joined, validationSplit, seed);
  }
  const given = { seed, validationSplit, maxTrainSamples, text, textPair, label, kind, minClassRows, smallClasses };
  if ("train" in source) {
    const task = await loadTableTask({ ...given, ...source, onRead });
    if (recorded && findTaskKind(task.kind).reads !== undefined) refuseNewFiles(task, recorded);
    return task;
  }
  const { dataset, datasetConfig: configuration } = source;
  return loadDatasetTask({ ...given, dataset, configuration }, { ...hub, revision: recorded?.revision });
}
