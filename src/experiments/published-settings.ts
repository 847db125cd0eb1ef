import { AFLORA_RECIPES, type Recipe } from "../training/recipes.ts";

/** What a method's authors trained a GLUE task with. */
export interface PublishedSetting extends Recipe {
  batchSize: number;
}

/** A method's published settings by GLUE task, and where they stand. */
export interface PublishedSettings {
  source: string;
  tasks: Readonly<Record<string, PublishedSetting>>;
}

/** One learning rate for everything, as most authors have it. */
function setting(epochs: number, batchSize: number, learningRate: number, headLearningRate = learningRate) {
  return { epochs, batchSize, learningRate, headLearningRate };
}

const aflora = Object.fromEntries(
  Object.entries(AFLORA_RECIPES).map(([task, recipe]) => {
    // QNLI, MNLI and QQP ran on four devices with 64 examples each.
    return [task, { ...recipe, batchSize: ["qnli", "mnli", "qqp"].includes(task) ? 256 : 64 }];
  }),
);

/** `--preset paper`: tasks that a method's authors have not published are absent. */
export const PUBLISHED_SETTINGS: Readonly<Record<string, PublishedSettings>> = {
  aflora: { source: "AFLoRA (arXiv 2403.13269) and its released scripts, DeBERTaV3-base", tasks: aflora },
  lora: {
    source: "LoRA (arXiv 2106.09685), appendix D, RoBERTa-base; its authors have no settings for DeBERTaV3-base",
    tasks: {
      cola: setting(80, 32, 4e-4),
      sst2: setting(60, 16, 5e-4),
      mrpc: setting(30, 16, 4e-4),
      stsb: setting(40, 16, 4e-4),
      rte: setting(80, 32, 5e-4),
      qnli: setting(25, 32, 4e-4),
      mnli: setting(30, 16, 5e-4),
      qqp: setting(25, 16, 5e-4),
    },
  },
  elora: {
    source: "VeRA (arXiv 2310.11454), appendix, RoBERTa-base, rank 1024; nothing for MNLI and QQP",
    tasks: {
      cola: setting(80, 64, 1e-2, 1e-2),
      sst2: setting(60, 64, 4e-3, 4e-3),
      mrpc: setting(30, 64, 1e-2, 4e-3),
      stsb: setting(80, 64, 1e-2, 1e-2),
      rte: setting(160, 64, 4e-3, 1e-2),
      qnli: setting(25, 64, 1e-2, 4e-3),
    },
  },
  adalora: {
    source: "AdaLoRA's released scripts (github.com/QingruZhang/AdaLoRA, NLU/scripts), DeBERTaV3-base",
    tasks: {
      cola: setting(25, 32, 8e-4),
      sst2: setting(24, 32, 8e-4),
      mrpc: setting(30, 32, 1e-3),
      stsb: setting(25, 32, 2.2e-3),
      rte: setting(50, 32, 1.2e-3),
      qnli: setting(5, 32, 5e-4),
      mnli: setting(7, 32, 5e-4),
      qqp: setting(5, 32, 8e-4),
    },
  },
  sora: {
    source:
      "SoRA's released script (github.com/TsinghuaC3I/SoRA, scripts/run_glue_sora_no_schedule.sh), DeBERTaV3-base; given for STS-B alone",
    tasks: { stsb: setting(20, 8, 8e-4) },
  },
  full: {
    source:
      "DeBERTa's released scripts (github.com/microsoft/DeBERTa, experiments/glue): MNLI for DeBERTaV3-base, the others for DeBERTa-base",
    tasks: {
      cola: setting(6, 32, 2e-5),
      sst2: setting(6, 32, 2e-5),
      mrpc: setting(6, 32, 2e-5),
      stsb: setting(6, 32, 2e-5),
      rte: setting(6, 32, 2e-5),
      qnli: setting(4, 32, 2e-5),
      mnli: setting(3, 64, 1.5e-5),
      qqp: setting(8, 64, 2e-5),
    },
  },
};
