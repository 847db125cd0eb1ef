import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { ChatTemplate } from "../../src/inputs/chat-template.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import type { RunStart } from "../../src/runs/fine-tune-events.ts";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { promptOf } from "../../src/tasks/prompt.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { runtime } from "../support/runtime.ts";
import { chats, questions, writeJsonl, writeTinyLanguageModel } from "../support/tiny-language-model.ts";

const QUICK = { threads: 1, method: "lora", learningRate: 0.03, maxGradNorm: 1, epochs: 6 };

let home: string;
let model: string;
let plain: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-language-model-"));
  model = await writeTinyLanguageModel(join(home, "model"));
  plain = await writeTinyLanguageModel(join(home, "plain"), { template: null });
});
afterAll(() => rm(home, { recursive: true }));

describe("a chat model learns conversations", () => {
  const output = () => join(home, "chat");
  const config = () => ({ ...QUICK, model, train: join(home, "chat.jsonl"), output: output() });
  let start: RunStart;
  beforeAll(async () => {
    await writeJsonl(join(home, "chat.jsonl"), chats(40));
    await fineTune(config(), {
      onEvent: on("start", (given) => {
        start = given;
      }),
    });
  });

  test("the kind and its recipe follow from the columns", async () => {
    const { config: saved, result, evaluations } = await readRunRecords(output());
    expect(saved.run).toMatchObject({ batchSize: 8, maxLength: 1024 });
    expect(result!.trainable).toMatchObject({ head: 0 });
    const [before, after] = [evaluations[0]!, evaluations.at(-1)!];
    expect(Object.keys(before.metrics)).toEqual(["perplexity", "token_accuracy"]);
    for (const { metrics, loss } of evaluations) expect(Math.log(metrics.perplexity!)).toBeCloseTo(loss, 5);
    expect(after.loss).toBeLessThan(before.loss / 3);
    expect(after.metrics.token_accuracy).toBeGreaterThan(0.7);
    // Lower is better: the best epoch is one with the least.
    expect(result!.metrics.perplexity).toBe(
      Math.min(...evaluations.slice(1).map(({ metrics }) => metrics.perplexity!)),
    );
  });

  test("the sample marks what counts: the assistant's turns with their end tokens", () => {
    const counted = (start.sample ?? []).filter(({ counts }) => counts).map(({ text }) => text);
    expect(counted).toEqual([expect.stringMatching(/^The .*\.<\|im_end\|>$/), "Hello!<|im_end|>"]);
    expect(start.sample!.map(({ text }) => text).join("")).toMatch(/^<\|im_start\|>system\n.*Thank you<\|im_end\|>\n/s);
  });

  test("the saved run evaluates the same, and gives the likelihood of texts", async () => {
    const { result } = await readRunRecords(output());
    const [own] = await evaluateRun(output(), { threads: 1 });
    expect(own!.metrics).toMatchObject(result!.metrics);
    const loaded = await loadFineTunedModel(output(), runtime);
    try {
      const [seen, unseen] = await loaded.predict([
        ["Where is the cat?", "The cat is on the mat."],
        ["Where is the cat?", "rain three three days."],
      ]);
      expect(seen!.perplexity).toBeLessThan(unseen!.perplexity! / 10);
      expect(seen!.perplexity).toBeCloseTo(Math.exp(-seen!.logProbability! / seen!.tokens!), 5);
      // Without an assistant the whole text counts.
      const whole = await loaded.predict("Where is the cat?");
      expect(whole.tokens).toBeGreaterThan(4);
    } finally {
      await loaded.release();
    }
  });

  test("the report shows answers to held-out prompts beside their references", async () => {
    const { findings } = await readRunRecords(output());
    const [{ columns, rows }] = findings!.tables as [(typeof findings & object)["tables"][0]];
    expect(columns).toEqual(["prompt", "reference", "answer"]);
    expect(rows.length).toBeGreaterThan(0);
    for (const [prompt, reference, answer] of rows) {
      expect(String(prompt)).toMatch(/^(Where is the \w+\?|Thank you)$/);
      for (const each of [reference, answer]) expect(String(each)).toMatch(/\w/);
    }
  });

  test("a run that is cut off and resumed ends with the same adapter, to the bit", async () => {
    const abort = new AbortController();
    const other = { ...config(), output: join(home, "resumed") };
    const cut = await fineTune(other, {
      signal: abort.signal,
      onEvent: on("step", ({ step }) => {
        if (step === 7) abort.abort();
      }),
    });
    expect(cut.result).toBeUndefined();
    await fineTune({ output: other.output }, { resume: true });
    const adapterOf = (run: string) => readFile(join(run, "adapter", "adapter.safetensors"));
    expect(await adapterOf(other.output)).toEqual(await adapterOf(output()));
  });

  test("its adapter is exported to PEFT and as a merged model", async () => {
    const peft = await exportRun(output(), { format: "peft", output: join(home, "peft") });
    expect(peft.largestDifference).toBeLessThan(1e-4);
    const settings = JSON.parse(await readFile(join(home, "peft", "adapter_config.json"), "utf8"));
    expect(settings).toMatchObject({ task_type: "CAUSAL_LM", peft_type: "LORA", modules_to_save: [] });
    expect(settings.target_modules).toContain("self_attn.q_proj");
    const merged = await exportRun(output(), { format: "merged", output: join(home, "merged") });
    expect(merged.largestDifference).toBeLessThan(1e-4);
    expect(Object.keys(merged.files)).toContain("chat_template.jinja");
    const exported = JSON.parse(await readFile(join(home, "merged", "config.json"), "utf8"));
    expect(exported.architectures).toEqual(["LlamaForCausalLM"]);
    expect(exported.id2label).toBeUndefined();
  });
});

describe("GSM8K as published", () => {
  const data = () => join(home, "gsm8k");
  beforeAll(async () => {
    await mkdir(data());
    const rows = Array.from({ length: 100 }, (_, i) => ({
      question: `How many apples are left of ${i + 5} after 5 were eaten?`,
      answer: `${i + 5} - 5 = <<${i + 5}-5=${i}>>${i}\n#### ${i}`,
    }));
    await writeJsonl(join(data(), "train.jsonl"), rows.slice(0, 60));
    await writeJsonl(join(data(), "test.jsonl"), rows.slice(60));
  });

  test("the paper's recipe: all matrices freeze gradually, and the adapter's scale is exported", async () => {
    const output = join(home, "gsm8k-run");
    const config = { model, task: "gsm8k", data: data(), preset: "paper", rank: 4, alpha: 8, threads: 1, output };
    let shown = "";
    let told: readonly string[] = [];
    await fineTune(config, {
      onEvent: on("start", ({ sample, notes }) => {
        shown = sample!.map(({ text, counts }) => (counts ? `⟦${text}⟧` : text)).join("");
        told = notes;
      }),
    });
    // Alpaca's prompt, although the model has a chat template.
    expect(shown).toMatch(
      /^B⟦elow is an instruction .*### Instruction:\s+How many apples.*### Response:.*#### \d+.*⟧$/s,
    );
    expect(told).toContainEqual(
      expect.stringMatching(/^settings of AFLoRA .*; all of the released finetune\.py but float16/),
    );
    expect(told).toContainEqual(expect.stringMatching(/^training on GSM8K's own rows: /));
    const { result, config: saved, freezing, evaluations, steps: taken } = await readRunRecords(output);
    expect(result).toMatchObject({ task: "gsm8k", steps: 3 * 54, epochs: 3, frozen: { count: 10, of: 10 } });
    expect(saved.run).toMatchObject({ preset: "paper", taskOptions: { lossOn: "all", promptTemplate: "alpaca" } });
    expect(saved.run).toMatchObject({ batchSize: 1, weightDecay: 0, maxGradNorm: 1 });
    const steps = Object.values(result!.frozenAtStep).map((step) => step!);
    // ti = 48 of 162 steps, and all that is left is frozen past T - tf = 114.
    expect(Math.min(...steps)).toBeGreaterThan(48);
    expect(Math.max(...steps)).toBeLessThanOrEqual(115);
    expect(new Set(steps).size).toBeGreaterThan(1);
    expect(evaluations.map(({ step }) => step)).toEqual([0, 80, 160, 162]);
    expect(taken[50]!.learningRate).toBeCloseTo(2e-3 / 2, 10);
    expect(freezing.find(({ step }) => step === 60)!.fraction).toBeCloseTo((12 / 66) ** 2, 10);
    const out = await exportRun(output, { format: "peft", output: join(home, "gsm8k-peft") });
    expect(out.largestDifference).toBeLessThan(1e-4);
    const settings = JSON.parse(await readFile(join(home, "gsm8k-peft", "adapter_config.json"), "utf8"));
    expect(settings).toMatchObject({ r: 4, lora_alpha: 8 });
    expect(settings.target_modules).not.toContain("self_attn.o_proj");
    // The published test split, by its two columns.
    const [tested] = await evaluateRun(output, { validation: join(data(), "test.jsonl"), threads: 1 });
    expect(tested).toMatchObject({ examples: 40 });
  });

  test("LoRA's row, on the rows of math_10k.json; answers to the test split are scored by their last number", async () => {
    const rows = Array.from({ length: 60 }, (_, i) => ({
      instruction: `How many apples are left of ${i + 5} after 5 were eaten?`,
      input: "",
      output: `${i + 5} - 5 = ${i}. The answer is ${i}.`,
      answer: `${i}.0`,
    }));
    const folder = join(home, "math");
    await mkdir(folder);
    await writeFile(join(folder, "math_10k.json"), JSON.stringify(rows));
    const output = join(home, "math-run");
    const given = {
      model,
      task: "gsm8k",
      data: folder,
      preset: "paper",
      method: "lora",
      rank: 4,
      threads: 1,
      output,
    } as const;
    await fineTune({ ...given, epochs: 1 });
    const { result } = await readRunRecords(output);
    expect(result).toMatchObject({
      steps: 4,
      notes: expect.arrayContaining(["training on math_10k.json of LLM-Adapters"]),
    });
    const validation = join(data(), "test.jsonl");
    const [tested] = await evaluateRun(output, {
      validation,
      generate: 3,
      answers: { numBeams: 4, maxNewTokens: 8 },
      threads: 1,
    });
    expect(tested!.answers).toHaveLength(3);
    expect(tested!.metrics.last_number).toBeGreaterThanOrEqual(0);
  });
});

describe("parts of an example that count", () => {
  const sampleOf = async (rows: readonly object[], options: object = {}, from = model): Promise<string> => {
    const train = await writeJsonl(join(home, "rows.jsonl"), rows);
    let shown = "";
    const config = {
      ...QUICK,
      model: from,
      train,
      epochs: 1,
      overwrite: true,
      output: join(home, "shown"),
      ...options,
    };
    const abort = new AbortController();
    const { overwrite, ...rest } = config;
    await fineTune(rest, {
      overwrite,
      signal: abort.signal,
      onEvent: on("start", ({ sample }) => {
        shown = sample!.map(({ text, counts }) => (counts ? `⟦${text}⟧` : text)).join("");
        abort.abort();
      }),
    });
    return shown;
  };
  const twice = <T>(row: T): T[] => new Array<T>(12).fill(row);

  test("a completion after its prompt, with and without a chat template", async () => {
    const rows = twice({ prompt: "How?", completion: "So." });
    const chat = await sampleOf(rows);
    expect(chat).toMatch(/How\?<\|im_end\|>\n<\|im_start\|>assistant\n⟦So\.<\|im_end\|>⟧\n$/);
    expect(await sampleOf(rows, {}, plain)).toBe("How?\n⟦So.<|im_end|>⟧");
    expect(await sampleOf(twice({ prompt: "How? ", completion: "So." }), {}, plain)).toBe("How? ⟦So.<|im_end|>⟧");
    // The first token follows nothing.
    expect(await sampleOf(rows, { lossOn: "all" }, plain)).toMatch(/^.{1,3}⟦.*\nSo\.<\|im_end\|>⟧$/s);
  });

  test("a text as a whole, and instructions with their inputs", async () => {
    expect(await sampleOf(twice({ text: "So it is." }), { kind: "language-model" }, plain)).toMatch(
      /^.{1,3}⟦.*\.<\|im_end\|>⟧$/,
    );
    const rows = twice({ instruction: "Add", input: "1 and 2", output: "3" });
    expect(await sampleOf(rows, {}, plain)).toBe("Add\n\n1 and 2\n⟦3<|im_end|>⟧");
    const others = twice({ question: "Add", answer: "3", unused: 1 });
    expect(await sampleOf(others, { kind: "language-model", text: "question", label: "answer" }, plain)).toBe(
      "Add\n⟦3<|im_end|>⟧",
    );
  });

  test("is formatted as the prompt before a completion in training", () => {
    const row = { text: "How?", textPair: "So." };
    expect(promptOf(row, { chatTemplate: undefined })).toEqual({ verbatim: "How?\n" });
    expect(promptOf(row, { chatTemplate: new ChatTemplate({ default: "" }, {}, "here") })).toBe("How?");
    const { messages } = chats(1)[0]!;
    expect(promptOf({ text: "", messages }, { chatTemplate: undefined })).toEqual({
      messages: messages.slice(0, 3),
    });
  });

  test("the last answer alone, or all", async () => {
    expect((await sampleOf(chats(12), { lossOn: "last" })).match(/⟦.*?⟧/gs)).toEqual(["⟦Hello!<|im_end|>⟧"]);
    expect((await sampleOf(chats(12), { lossOn: "all" })).match(/⟦.*?⟧/gs)).toHaveLength(1);
  });

  test("conversations with ShareGPT's names or the usual ones", async () => {
    const [names, turns] = [
      { user: "human", assistant: "gpt" } as Record<string, string>,
      [{ role: "system", content: "Be brief." }, ...chats(1)[0]!.messages],
    ];
    const conversations = turns.map(({ role, content }) => ({ from: names[role] ?? role, value: content }));
    for (const lossOn of ["assistant", "last", "all"]) {
      const shown = await sampleOf(twice({ conversations }), { lossOn });
      expect(shown).toBe(await sampleOf(twice({ messages: turns }), { lossOn }));
      expect(shown).toContain("Be brief.");
      expect(shown.match(/⟦/g)).toHaveLength(lossOn === "assistant" ? 2 : 1);
    }
  });

  test("two columns of a CSV file, whatever their names", async () => {
    const file = join(home, "two.csv");
    await writeFile(file, `frage,antwort\n${"How?,So.\n".repeat(12)}`);
    expect(await sampleOf(chats(1), { train: file, kind: "language-model" }, plain)).toBe("How?\n⟦So.<|im_end|>⟧");
  });
});

test("micro-batches make no difference to the loss and its gradient", async () => {
  const train = await writeJsonl(join(home, "cut.jsonl"), questions(16));
  const firstLoss = async (tokenBudget: number) => {
    const output = join(home, `budget-${tokenBudget}`);
    await fineTune({ ...QUICK, model, train, epochs: 1, batchSize: 14, tokenBudget, output });
    return (await readRunRecords(output)).steps[0]!;
  };
  const [whole, parts] = [await firstLoss(4000), await firstLoss(64)];
  expect(parts.loss).toBeCloseTo(whole.loss, 5);
  expect(parts.gradientNorm / whole.gradientNorm).toBeCloseTo(1, 4);
});

describe("long examples", () => {
  test("have their prompts shortened, with a count; those whose answer is too long are left out", async () => {
    const long = { prompt: "the cat ".repeat(200), completion: "So." };
    const half = { prompt: "How?", completion: "the cat ".repeat(100) };
    const train = await writeJsonl(join(home, "long.jsonl"), [...questions(12), long, half, long]);
    let notes: readonly string[] = [];
    const told: string[] = [];
    const validation = await writeJsonl(join(home, "held.jsonl"), questions(3));
    await fineTune(
      { ...QUICK, model, train, validation, epochs: 1, maxLength: 120, output: join(home, "long") },
      {
        onEvent(event) {
          if (event.kind === "note") told.push(event.text);
          if (event.kind !== "start") return;
          told.push("start");
          notes = event.notes;
        },
      },
    );
    // Before the model is read, too.
    expect(told).toEqual([
      "18 examples: 15 to train on, 3 to evaluate on",
      ...notes.filter((note) => note.includes("of 15 training examples")),
      "start",
    ]);
    expect(notes).toContain(
      '2 of 15 training examples are longer than 120 tokens and are shortened to that (option "maxLength")',
    );
    expect(notes).toContain("1 of 15 training examples has nothing that counts within 120 tokens and is left out");
    await expect(
      fineTune({ ...QUICK, model, train, validation, maxLength: 12, output: join(home, "none") }),
    ).rejects.toThrow(
      new UserError(
        'none of the 15 training examples has a token left that counts for the loss with option "maxLength" 12; raise it',
      ),
    );
  });
});

describe("examples that cannot be learned are refused, with their line", () => {
  const refused = async (row: object, from = model, options: object = {}) => {
    const train = await writeJsonl(join(home, "bad.jsonl"), [...chats(1), row]);
    return fineTune({ ...QUICK, ...options, validationSplit: 0.5, model: from, train, output: join(home, "bad") }).then(
      () => "trained",
      (error: Error) => {
        expect(error).toBeInstanceOf(UserError);
        return error.message.replaceAll(home, "");
      },
    );
  };
  const turn = (role: string, content: unknown) => ({ role, content });

  test.each([
    [
      [turn("user", "a"), turn("assitant", "b")],
      'turn 2 has the unknown role "assitant" in column "messages"; roles are',
    ],
    [[turn("user", "a"), turn("assistant", " ")], 'turn 2 has an empty answer of the assistant in column "messages"'],
    [[turn("user", "a")], 'the assistant has no turn to learn from in column "messages"'],
    ["hello", 'no conversation in column "messages"; write a list of'],
    [["hello"], 'turn 1 has no form {"role": …, "content": …} in column "messages"'],
    [[turn("user", [{ type: "image" }]), turn("assistant", "b")], "turn 1 has content that is not text"],
  ])("%j", async (messages, said) => {
    expect(await refused({ messages })).toContain(`/bad.jsonl, line 2: ${said}`);
  });

  test("an empty completion", async () => {
    const train = await writeJsonl(join(home, "empty.jsonl"), [...questions(2), { prompt: "How?", completion: "" }]);
    await expect(fineTune({ ...QUICK, model, train, output: join(home, "bad") })).rejects.toThrow(
      `${train}, line 3: an empty answer in column "completion"; there is nothing to learn from it`,
    );
  });

  test("a conversation that the template refuses, and one without a template", async () => {
    const strict = await writeTinyLanguageModel(join(home, "strict"), { template: "mistral" });
    const messages = [turn("assistant", "a"), turn("user", "b"), turn("assistant", "c")];
    expect(await refused({ messages }, strict)).toBe(
      "/bad.jsonl, line 2: /strict: the chat template fails: Conversation roles must alternate user/assistant/user/assistant/...",
    );
    // Where the template takes it, so does training.
    expect(await refused({ messages }, model, { epochs: 1 })).toBe("trained");
    await rm(join(home, "bad"), { recursive: true });
    expect(await refused({ messages }, plain)).toMatch(
      /^\/bad\.jsonl, line 1 is a conversation, but the model has no chat template; use one/,
    );
  });

  test("an encoder, which generates no text", async () => {
    const train = await writeJsonl(join(home, "chat2.jsonl"), chats(12));
    await expect(fineTune({ ...QUICK, train, output: join(home, "bad") })).rejects.toThrow(
      'task kind "language-model" is for decoders, and models of type "bert" are encoders',
    );
  });
});
