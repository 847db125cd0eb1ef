/** Settings that the authors used for a task (spec section 4: DeBERTaV3-base, batch 64, 256 tokens, seed 42). */
export interface Recipe {
  epochs: number;
  learningRate: number;
  headLearningRate: number;
}

/** AFLoRA's published settings by GLUE task. */
export const AFLORA_RECIPES: Readonly<Record<string, Recipe>> = {
  cola: { epochs: 20, learningRate: 1e-2, headLearningRate: 4e-2 },
  sst2: { epochs: 10, learningRate: 4e-3, headLearningRate: 4e-3 },
  mrpc: { epochs: 20, learningRate: 1e-2, headLearningRate: 8e-2 },
  stsb: { epochs: 20, learningRate: 2e-2, headLearningRate: 2e-2 },
  rte: { epochs: 20, learningRate: 1e-2, headLearningRate: 4e-2 },
  qnli: { epochs: 10, learningRate: 1e-3, headLearningRate: 4e-3 },
  mnli: { epochs: 10, learningRate: 1e-2, headLearningRate: 4e-3 },
  qqp: { epochs: 10, learningRate: 4e-3, headLearningRate: 4e-3 },
};
