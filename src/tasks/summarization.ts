import { sequenceToSequence } from "./kinds/sequence-to-sequence.ts";

/** Kind of task of the summarization data sets in AFLoRA's paper. */
export const SUMMARIZATION = sequenceToSequence.name;

/** Name of a summarization data set in published settings, by its name on the hub; undefined for other data sets. */
export const summarizationIn = (dataset: string): string | undefined =>
  /\/xsum(@|$)/i.test(dataset) ? "xsum" : /\/cnn_dailymail(@|$)/i.test(dataset) ? "summarization" : undefined;
