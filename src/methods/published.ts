/**
 * What a method's authors trained a task with: options of a run, and where they are not the defaults the method's own; as
 * far as it is published.
 */
export interface PublishedSetting {
  epochs?: number;
  batchSize?: number;
  learningRate?: number;
  headLearningRate?: number;
  [option: string]: unknown;
}

/** Of options that only repeat what papers published (`.meta(repeatsPapers)`): help shows them under a heading of their own. */
export const repeatsPapers = { repeatsPapers: true };

/** A method's published settings by task, and where they stand; tasks that are not published are absent. */
export interface PublishedSettings {
  source: string;
  tasks: Readonly<Record<string, PublishedSetting>>;
}

/** One published learning rate for everything, as most authors have it, or another for the head. */
export function setting(
  epochs: number,
  batchSize: number,
  learningRate: number,
  headLearningRate = learningRate,
): Required<PublishedSetting> {
  return { epochs, batchSize, learningRate, headLearningRate };
}

/** A task's published setting as options. Of a classifier's head the last layer's matrix alone trains, as in the papers. */
export const publishedOptions = (setting: PublishedSetting): Record<string, unknown> => ({
  head: "classifier",
  ...setting,
});
