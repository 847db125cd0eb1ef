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

/** A method's published settings by task (GLUE's, `gsm8k`, `xsum`, or a pipeline such as `summarization`), and their source. */
export interface PublishedSettings {
  source: string;
  tasks: Readonly<Record<string, PublishedSetting>>;
  /** By task: what a run with these settings does not repeat, or where paper and code differ. */
  notes?: Readonly<Record<string, string>>;
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

/** AdaLoRA's released settings for DeBERTaV3-base (github.com/QingruZhang/AdaLoRA, `NLU/scripts`). */
export const adaloraOnGlue = {
  cola: setting(25, 32, 8e-4),
  sst2: setting(24, 32, 8e-4),
  mrpc: setting(30, 32, 1e-3),
  stsb: setting(25, 32, 2.2e-3),
  rte: setting(50, 32, 1.2e-3),
  qnli: setting(5, 32, 5e-4),
  mnli: setting(7, 32, 5e-4),
  qqp: setting(5, 32, 8e-4),
} as const;

/**
 * LLM-Adapters' run of LoRA on LLaMA-7B (github.com/AGI-Edgerunners/LLM-Adapters, `math_running_commands`, `finetune.py`), which AFLoRA's
 * released `gsm8k/finetune.py` keeps. Decay and clipping are the defaults of Hugging Face's trainer.
 */
export const mathRun = (batchSize: number, learningRate: number): PublishedSetting => ({
  ...setting(3, batchSize, learningRate),
  head: "new",
  promptTemplate: "alpaca",
  lossOn: "all",
  maxLength: 256,
  warmupSteps: 100,
  evaluateEvery: 80,
  weightDecay: 0,
  maxGradNorm: 1,
  adapterDropout: 0.05,
  rank: 32,
  alpha: 64,
  targetModules: ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"],
});

/** AdaLoRA's released runs of BART-large on eight devices (`NLG_QA/scripts/run_bart_*.sh`), without decay and clipping. */
const summaryRun = (epochs: number, batchSize: number, maxLength: number, maxTargetLength: number) => ({
  ...setting(epochs, batchSize, 5e-4),
  head: "new",
  warmupSteps: 3000,
  weightDecay: 0,
  maxGradNorm: 1e9,
  maxLength,
  maxTargetLength,
  truncate: "end",
});
export const summaryRuns = { cnnDailyMail: summaryRun(15, 32, 1024, 160), xsum: summaryRun(25, 64, 768, 64) } as const;

/** Converts a task's published setting to options. Only the last layer of a classifier's head trains, as in the released code. */
export const publishedOptions = (setting: PublishedSetting): Record<string, unknown> => ({
  head: "classifier",
  ...setting,
});
