import { basename } from "node:path";
import { type DataSource, namedTaskOf } from "../preparation/run-options-node.ts";
import { heldOutText } from "../tasks/split.ts";
import type { RunRecords } from "./read-run.ts";

export interface ScoredData {
  name: string;
  /** `90`: number of training examples. */
  trainedOn: string;
  /** `10 held out (10 %, drawn by seed 42)`: which examples were scored, and how many. */
  scoredOn: string;
}

export function scoredData(runs: readonly RunRecords[]): ScoredData {
  const { config, result } = runs[0]!;
  const { source } = config;
  const name = result && result.task !== "custom" ? result.task : sourceName(source);
  const known = runs.map(({ dataFingerprint }) => dataFingerprint.examples);
  const first = known[0]!;
  const seeds = distinct(known.flatMap(({ heldOut }) => heldOut?.seed ?? []));
  const which = (split: string): string => {
    if (!first.heldOut)
      return "train" in source && source.validation ? `of ${basename(source.validation)}` : `in the ${split} split`;
    return heldOutText(first.heldOut.fraction, seeds);
  };
  // Draws by several seeds may differ in size.
  const counted = (counts: readonly number[]): string =>
    distinct(counts.map((count) => count.toLocaleString("en-US"))).join(" or ");
  const scored = Object.keys(first.validation).map(
    (split) => `${counted(known.map(({ validation }) => validation[split]!))} ${which(split)}`,
  );
  return { name, trainedOn: counted(known.map(({ train }) => train)), scoredOn: scored.join(" and ") };
}

export const sourceName = (source: DataSource): string => namedTaskOf(source) ?? nameOf(source);

const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];

function nameOf(source: DataSource): string {
  if ("task" in source) return source.task;
  if ("train" in source) return basename(source.train);
  const { dataset, datasetConfig } = source;
  return datasetConfig === undefined ? dataset : `${dataset}, ${datasetConfig}`;
}

/** Identity of a run's data. It must be equal for scores to be comparable. */
export interface DataIdentity {
  /** Identity of the examples and of the rule that splits them. */
  examples: string;
  /** Identity of the validation examples if a seed draws them; otherwise empty. */
  draw: string;
}

export function dataIdentity({ dataFingerprint }: RunRecords): DataIdentity {
  const { heldOut, sha256 } = dataFingerprint.examples;
  return {
    examples: JSON.stringify([sha256.all, heldOut ? heldOut.fraction : sha256.validation]),
    draw: heldOut ? sha256.validation : "",
  };
}
