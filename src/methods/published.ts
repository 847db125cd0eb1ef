/**
 * Settings with which a method's authors trained a task: run options, and method options that differ from the defaults, as
 * far as they are published.
 */
export interface PublishedSetting {
  epochs?: number;
  batchSize?: number;
  learningRate?: number;
  headLearningRate?: number;
  [option: string]: unknown;
}

/** Marks options that only reproduce papers (`.meta(repeatsPapers)`); `--help` lists them under a separate heading. */
export const repeatsPapers = { repeatsPapers: true };

/** A method's published settings by task, and their source. Tasks without published settings are left out. */
export interface PublishedSettings {
  source: string;
  tasks: Readonly<Record<string, PublishedSetting>>;
}

/** Published setting with one learning rate for everything, like most, or another one for the head. */
export function setting(
  epochs: number,
  batchSize: number,
  learningRate: number,
  headLearningRate = learningRate,
): Required<PublishedSetting> {
  return { epochs, batchSize, learningRate, headLearningRate };
}

/** Converts a task's published setting to options. Only the last layer of a classifier's head trains, as in the released code. */
export const publishedOptions = (setting: PublishedSetting): Record<string, unknown> => ({
  head: "classifier",
  ...setting,
});
