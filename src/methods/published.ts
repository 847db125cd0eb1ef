/** What a method's authors trained a task with. */
export interface PublishedSetting {
  epochs: number;
  batchSize: number;
  learningRate: number;
  headLearningRate: number;
}

/** A method's published settings by GLUE task, and where they stand; tasks that are not published are absent. */
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
): PublishedSetting {
  return { epochs, batchSize, learningRate, headLearningRate };
}
