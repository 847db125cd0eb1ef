import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { describeModel } from "../../src/architectures/families.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { readFolderConfig } from "../../src/checkpoints/model-folder-node.ts";
import { elementsOf } from "../../src/graph/tensor.ts";
import { frozenFraction } from "../../src/methods/freezing/schedule.ts";
import { METHODS } from "../../src/methods/methods.ts";
import { flatOptions, presetNote, resolveConfig } from "../../src/preparation/run-options-node.ts";
import { methodCosts } from "../../src/studies/method-cost.ts";
import { GLUE_TASKS } from "../../src/tasks/glue.ts";

type Given = Record<string, unknown>;

/** An option, its value, and where the authors set it. */
type Setting = readonly [option: string, value: unknown, source: string];

const resolved = (given: Given): Given => {
  const {
    data: _,
    preset: _preset,
    ...options
  } = flatOptions(resolveConfig({ data: "data", preset: "paper", ...given }));
  return options;
};
const named = (settings: readonly Setting[]): Given =>
  Object.fromEntries(settings.map(([option, value]) => [option, value]));

/** How and where a run computes, which no published script decides. */
const COMPUTING: readonly Setting[] = [
  ["base", "float32", "run_glue.py loads float32; finetune.py float16, which is not repeated"],
  ["tokenBudget", 512, "splits a batch without changing it"],
  ["recompute", false, "changes no number"],
  ["device", "cpu", "changes no number but for rounding"],
  ["checkpointEvery", "60s", "changes no number"],
  ["freezeBlocks", "off", "whole blocks never freeze there"],
  ["contrastive", false, "cross-entropy"],
  ["headStart", "new", "new random classifier"],
];

/** AFLoRA's released code, in files of glue/. ΔT is the default of a run of 100 steps or more: 10, as `deltaT` in utils.py. */
const ON_GLUE: readonly Setting[] = [
  ...COMPUTING,
  ["method", "aflora", "ipt_*.sh: --mode elora --trainable_uv 1 --freeze_by_ipt true"],
  ["head", "classifier", "run_glue.py: modules_to_save classifier; every other weight is frozen by PEFT"],
  ["weightDecay", 0.1, "ipt_*.sh: --weight_decay 0.1; args.py: classifier_wd 0.1"],
  ["maxGradNorm", 0.1, "ipt_*.sh: --max_grad_norm 0.1"],
  ["warmupRatio", 0.06, "ipt_*.sh: --warmup_ratio 0.06"],
  ["maxLength", 256, "ipt_*.sh: --max_seq_length 256"],
  ["seed", 42, "ipt_*.sh: --seed 42"],
  ["dropout", true, "run_glue.py: cls_dropout None, so the config's rates"],
  ["attentionMatrices", "frozen", "peft/tuners/lora_layer.py: in_features == out_features freezes both"],
  ["ffnMatrices", "adaptive", "utils.py: whether_freeze_para"],
  ["vectors", true, "peft/tuners/lora_layer.py: lora_d, lora_db"],
  ["freezeRule", "element-quantile", "utils.py: kthvalue over all elements"],
  ["freezeScore", "gradient", "utils.py: |sign(p) · p.grad|"],
  ["freezeWindowed", true, "utils.py: update_ipt_with_local_window"],
  ["freezeCurve", "cubic", "utils.py: mul_coeff ** 3"],
  ["freezeFinal", "70%", "utils.py: final_warmup 14 of 20 epochs, or 7 of 10"],
  ["beta1", 0.85, "utils.py: beta1"],
  ["beta2", 0.95, "utils.py: beta2"],
];

/** Epochs, batch (4 devices of 64 where torchrun has --nproc_per_node=4), rates of adapter and head, rank, ti: initial_warmup 1 epoch. */
const SCRIPTS = {
  cola: [20, 64, 1e-2, 4e-2, 4, "5%"],
  sst2: [10, 64, 4e-3, 4e-3, 4, "10%"],
  mrpc: [20, 64, 1e-2, 8e-2, 4, "5%"],
  stsb: [20, 64, 2e-2, 2e-2, 4, "5%"],
  rte: [20, 64, 1e-2, 4e-2, 4, "5%"],
  qnli: [10, 256, 1e-3, 4e-3, 4, "10%"],
  mnli: [10, 256, 1e-2, 4e-3, 1024, "10%"],
  qqp: [10, 256, 4e-3, 4e-3, 1024, "10%"],
} as const;

test.each(Object.entries(SCRIPTS))(
  "the preset of %s has all options of ipt_deberta_base_*.sh and no other",
  (task, own) => {
    const [epochs, batchSize, learningRate, headLearningRate, rank, freezeInitial] = own;
    const script = { task, epochs, batchSize, learningRate, headLearningRate, rank, freezeInitial };
    expect(resolved({ task })).toEqual({ ...named(ON_GLUE), ...script });
  },
);

/** Files of gsm8k/ in AFLoRA's released code; `Trainer` stands for a default of Hugging Face's trainer, which finetune.py keeps. */
const ON_MATH: readonly Setting[] = [
  ...COMPUTING,
  ["task", "gsm8k", "llama_7b_math_aflora.sh: --data_path ft-training_set/math_10k.json, evaluated on gsm8k"],
  ["epochs", 3, "llama_7b_math_aflora.sh: --num_epochs 3"],
  ["warmupSteps", 100, "finetune.py: warmup_steps 100"],
  ["warmupRatio", 0.06, "has no effect beside warmupSteps"],
  ["weightDecay", 0, "Trainer: weight_decay 0"],
  ["maxGradNorm", 1, "Trainer: max_grad_norm 1.0"],
  ["maxLength", 256, "llama_7b_math_aflora.sh: --cutoff_len 256"],
  ["evaluateEvery", 80, "llama_7b_math_aflora.sh: --eval_step 80"],
  ["lossOn", "all", "finetune.py: train_on_inputs True"],
  ["promptTemplate", "alpaca", "finetune.py: generate_prompt"],
  ["head", "new", "a language model has no new head"],
  ["dropout", true, "finetune.py: lora_dropout; LLaMA itself has none"],
  ["seed", 42, "Trainer: seed 42"],
  ["rank", 32, "llama_7b_math_aflora.sh: --lora_r 32"],
  ["alpha", 64, "llama_7b_math_aflora.sh: --lora_alpha 64"],
  ["adapterDropout", 0.05, "finetune.py: lora_dropout 0.05"],
  [
    "targetModules",
    ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"],
    "llama_7b_math_aflora.sh: --target_modules",
  ],
];

test("the preset of GSM8K has all options of finetune.py, trainer.py and utils.py, and no other", () => {
  const aflora: readonly Setting[] = [
    ["method", "aflora", "llama_7b_math_aflora.sh: --adapter_name aflora"],
    ["batchSize", 1, "llama_7b_math_aflora.sh: --batch_size 1"],
    ["learningRate", 2e-3, "llama_7b_math_aflora.sh: --learning_rate 2e-3"],
    ["headLearningRate", 2e-3, "trains nothing"],
    ["attentionMatrices", "adaptive", "peft/tuners/lora.py: requires_grad_(True) for all"],
    ["ffnMatrices", "adaptive", "peft/tuners/lora.py: requires_grad_(True) for all"],
    ["vectors", true, "peft/tuners/lora.py: lora_d, lora_db"],
    ["freezeRule", "element-quantile", "utils.py: kthvalue over all elements"],
    ["freezeScore", "gradient", "utils.py: |sign(p) · p.grad|"],
    ["freezeWindowed", true, "utils.py: update_ipt_with_local_window"],
    ["freezeCurve", "quadratic", "utils.py: threshold 1 - mul_coeff ** 2"],
    ["freezeInitial", "30%", "trainer.py: initial_warmup 0.3"],
    ["freezeFinal", "30%", "trainer.py: final_warmup 0.3"],
    ["beta1", 0.85, "trainer.py: beta1"],
    ["beta2", 0.95, "trainer.py: beta2"],
  ];
  expect(resolved({ task: "gsm8k" })).toEqual(named([...ON_MATH, ...aflora]));
});

test("LoRA's preset of GSM8K is LLM-Adapters' run, as the released llama_7b_math_lora.sh cannot start", () => {
  const lora: readonly Setting[] = [
    ["method", "lora", "math_running_commands: --adapter_name lora"],
    ["batchSize", 16, "math_running_commands: --batch_size 16; llama_7b_math_lora.sh has 1 in parts of 4"],
    ["learningRate", 3e-4, "both: --learning_rate 3e-4"],
    ["headLearningRate", 3e-4, "trains nothing"],
    ["freezeA", false, "LoRA"],
    ["initLoraWeights", "kaiming", "LoRA"],
    ["loraplusLrRatio", 1, "LoRA"],
    ["useDora", false, "LoRA"],
    ["useRslora", false, "LoRA"],
  ];
  expect(resolved({ task: "gsm8k", method: "lora" })).toEqual(named([...ON_MATH, ...lora]));
});

/** AdaLoRA's NLG_QA/scripts/run_bart_cnndailymail.sh and run_bart_xsum.sh, whose eight devices make batches of 8 · 4 and 8 · 8. */
const SUMMARIES = [
  [{ dataset: "abisee/cnn_dailymail", datasetConfig: "3.0.0" }, [15, 32, 1024, 160]],
  [{ dataset: "EdinburghNLP/xsum" }, [25, 64, 768, 64]],
  [{ train: "articles.jsonl", kind: "sequence-to-sequence", data: undefined }, [15, 32, 1024, 160]],
] as const;

test.each(SUMMARIES)(
  "the preset of %j: AdaLoRA's run, rank 16, and for AFLoRA the schedule of language models",
  (source, own) => {
    const [epochs, batchSize, maxLength, maxTargetLength] = own;
    const run = { epochs, batchSize, maxLength, maxTargetLength, warmupSteps: 3000, weightDecay: 0, truncate: "end" };
    const shared = { ...run, kind: "sequence-to-sequence", rank: 16, alpha: 32 };
    const given = { data: undefined, ...source };
    expect(resolved(given)).toMatchObject({
      ...shared,
      method: "aflora",
      learningRate: 2e-3,
      maxGradNorm: 1,
      attentionMatrices: "adaptive",
      ffnMatrices: "adaptive",
      freezeCurve: "quadratic",
      freezeInitial: "30%",
      freezeFinal: "30%",
    });
    expect(resolved({ ...given, method: "lora" })).toMatchObject({ ...shared, learningRate: 5e-4 });
    expect(presetNote({ ...given, preset: "paper" })).toMatch(
      /^settings of AFLoRA .*; the paper gives only rank and parameters/,
    );
  },
);

describe("every row of every table starts by preset", () => {
  const ON_GLUE_TASKS = ["full", "lora", "adalora", "sora", "vera", "aflora"];
  test.each([...GLUE_TASKS.keys()])(
    "table 1, %s: all methods, with their authors' settings or others' by name",
    (task) => {
      for (const method of ON_GLUE_TASKS) {
        const { published } = METHODS.find(method);
        const { epochs, batchSize, learningRate, headLearningRate } = published!.tasks[task]!;
        const asked = { task, method };
        expect(resolved(asked)).toMatchObject({
          epochs,
          batchSize,
          learningRate,
          headLearningRate,
          head: "classifier",
        });
        expect(presetNote({ ...asked, data: "data", preset: "paper" })).toContain(published!.source);
      }
    },
  );

  test("MNLI and QQP say that text and scripts differ, other tasks have nothing to say", () => {
    const note = (task: string) => presetNote({ task, data: "glue", preset: "paper" });
    expect(note("mnli")).toMatch(/rank 1024 as in the released scripts, where the paper's text .* rank 4/);
    expect(note("qqp")).toBe(note("mnli"));
    expect(note("cola")).not.toContain(";");
    expect(presetNote({ task: "cola", data: "glue" })).toBeUndefined();
  });

  const MODES = ["frozen", "trained", "adaptive"];
  test("the ablations: attention × feed-forward, scores, rules and schedules override the preset", () => {
    const matrices = MODES.flatMap((attentionMatrices) =>
      MODES.map((ffnMatrices) => ({ attentionMatrices, ffnMatrices })),
    );
    const scores = ["gradient", "sensitivity", "magnitude"].map((freezeScore) => ({ freezeScore }));
    const schedules = [
      { freezeRule: "matrix-fraction" },
      { freezeInitial: "10%", freezeFinal: "50%" },
      { freezeCurve: "quadratic" },
      { freezeWindowed: false },
    ];
    for (const change of [...matrices, ...scores, ...schedules]) {
      expect(resolved({ task: "rte", ...change })).toEqual({ ...resolved({ task: "rte" }), ...change });
    }
  });
});

describe("trainable parameters of the tables, as `params` computes them", () => {
  const configOf = async (name: string) =>
    describeModel(await readFolderConfig(fileURLToPath(new URL(`../../studies/paper/${name}.json`, import.meta.url))));

  /** At the start, with all matrices frozen, and on average by the curve r(t) of the preset. */
  const countsOf = async (model: string, given: Given) => {
    const { method } = resolveConfig({ data: "data", preset: "paper", ...given });
    const { costs, average } = methodCosts(await configOf(model), METHODS.find(method.name), method.options, 8);
    return [...costs.map(({ trainable }) => trainable), ...(average === undefined ? [] : [average])];
  };

  test.each<[string, Given, number[]]>([
    ["AFLoRA, 20 epochs", { task: "cola" }, [451_872, 83_232, 124_704]],
    ["AFLoRA, 10 epochs", { task: "sst2" }, [451_872, 83_232, 138_528]],
    ["AFLoRA at the released scripts' rank", { task: "mnli" }, [94_528_512, 156_672, 14_312_448]],
    ["AFLoRA at the paper's rank", { task: "mnli", rank: 4 }, [451_872, 83_232, 138_528]],
    ["LoRA r = 8", { task: "cola", method: "lora" }, [1_327_104]],
    ["ELoRA r = 1024", { task: "cola", method: "vera" }, [156_672]],
    ["full", { task: "cola", method: "full" }, [183_831_552]],
  ])("DeBERTaV3-base, %s", async (_, given, counts) => {
    expect(await countsOf("deberta-v3-base", given)).toEqual(counts);
  });

  test("table 1: the printed 0.14 M is rank 4 in all tasks, of which the curve gives 0.12 to 0.14; rank 1024 gives 14 M", async () => {
    const tasks = Object.entries(SCRIPTS);
    const averages = await Promise.all(
      tasks.map(async ([task]) => (await countsOf("deberta-v3-base", { task, rank: 4 }))[2]!),
    );
    expect(averages.reduce((sum, count) => sum + count, 0) / tasks.length).toBe(131_616);
  });

  test("table 2: LLaMA-7B; the curve gives 32.7 M on average, so the printed 17.8 M is what is left if all freezes soon after ti", async () => {
    const [start, end, average] = (await countsOf("llama-7b", { task: "gsm8k" })) as [number, number, number];
    expect([start, end, average]).toEqual([56_980_480, 881_664, 32_670_993]);
    // However fast a rule freezes, all matrices train for ti = 30 % of the run.
    expect(end + 0.3 * (start - end)).toBeCloseTo(17.71e6, -4);
    expect(await countsOf("llama-7b", { task: "gsm8k", method: "lora" })).toEqual([56_098_816]);
  });

  describe("table 3: BART-large", () => {
    const data = undefined;
    const summaries = { data, train: "a.jsonl", kind: "sequence-to-sequence" };

    test("AFLoRA's 5.10 M: with frozen attention it is out of reach; all matrices, by language models' curve, leave 5.18 M", async () => {
      expect(await countsOf("bart-large", summaries)).toEqual([8_924_160, 273_408, 5_175_501]);
      const [start] = await countsOf("bart-large", { ...summaries, attentionMatrices: "frozen" });
      expect(start).toBe(4_205_568);
      const onGlue = { freezeCurve: "cubic", freezeInitial: "10%", freezeFinal: "70%" };
      expect((await countsOf("bart-large", { ...summaries, ...onGlue }))[2]).toBe(1_571_021);
      expect(await countsOf("bart-large", { ...summaries, method: "lora" })).toEqual([8_650_752]);
    });

    test("the average depends on whether wide or narrow matrices freeze first: 5.10 M is within", async () => {
      const model = await configOf("bart-large");
      const { method } = resolveConfig({ ...summaries, preset: "paper" });
      const { modules } = traceModel(model, model.config.vocabularySize, "languageModel");
      const { parameters, freezable = [] } = METHODS.find("aflora").adapt(method.options, modules);
      const sizes = freezable.map((name) => elementsOf(parameters.find((each) => each.name === name)!.shape));
      const schedule = {
        interval: 10,
        totalSteps: 1000,
        initialSteps: 300,
        finalSteps: 300,
        curve: "quadratic",
      } as const;
      const averageOf = (order: readonly number[]): number => {
        const left = Array.from({ length: 1000 }, (_, step) =>
          order.slice(Math.floor(frozenFraction(step, schedule) * order.length)).reduce((sum, size) => sum + size, 0),
        );
        return 273_408 + left.reduce((sum, size) => sum + size, 0) / left.length;
      };
      const narrowFirst = sizes.toSorted((a, b) => a - b);
      expect(averageOf(narrowFirst.toReversed())).toBeLessThan(5.095e6);
      expect(averageOf(narrowFirst)).toBeGreaterThan(5.105e6);
    });
  });
});
