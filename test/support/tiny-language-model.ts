import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describeModel } from "../../src/architectures/families.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { writeSafetensors } from "../../src/checkpoints/safetensors-node.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { constant, normal, randomFor } from "../../src/methods/initializers.ts";
import { fineTune } from "./fine-tune.ts";

const CHAT = fileURLToPath(new URL("../fixtures/chat/", import.meta.url));

const CONFIG = {
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  vocab_size: 512,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
  tie_word_embeddings: true,
  rms_norm_eps: 1e-5,
};

/** Writes a small Llama of one block, of random weights, with the byte-level tokenizer of the fixtures. @param template by its name there; none where null */
export async function writeTinyLanguageModel(
  directory: string,
  { template = "smollm2", ...settings }: { template?: string | null } & Record<string, unknown> = {},
): Promise<string> {
  await mkdir(directory, { recursive: true });
  const config = { ...CONFIG, ...settings };
  const description = describeModel(config);
  const tensors = new Map<string, Tensor<"float32">>();
  for (const { name, shape } of traceModel(description, config.vocab_size, "languageModel").weights.values()) {
    const initialize = shape.length > 1 ? normal(0.2) : constant(1);
    const prefix = name.startsWith("lm_head") ? "" : `${description.architecture.prefix}.`;
    tensors.set(prefix + name, initialize(shape as number[], randomFor(1, name)));
  }
  await writeSafetensors(join(directory, "model.safetensors"), tensors);
  await writeFile(join(directory, "config.json"), JSON.stringify(config));
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) {
    await cp(join(CHAT, "tokenizer", file), join(directory, file));
  }
  if (template !== null) {
    await cp(join(CHAT, "templates", `${template}.jinja`), join(directory, "chat_template.jinja"));
  }
  return directory;
}

/** Questions with the answers that they have, as rows. */
export function questions(count: number): { prompt: string; completion: string }[] {
  const [things, places] = ["cat parcel card order sea".split(" "), ["on the mat", "late", "here", "in the rain"]];
  return Array.from({ length: count }, (_, i) => ({
    prompt: `Where is the ${things[i % 5]}?`,
    completion: `The ${things[i % 5]} is ${places[i % 4]}.`,
  }));
}

/** The same as conversations. */
export const chats = (count: number) =>
  questions(count).map(({ prompt, completion }) => ({
    messages: [
      { role: "user", content: prompt },
      { role: "assistant", content: completion },
      { role: "user", content: "Thank you" },
      { role: "assistant", content: "Hello!" },
    ],
  }));

export async function writeJsonl(path: string, rows: readonly object[]): Promise<string> {
  await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

/** What {@link trainedToAnswer} is taught. */
export const ANSWERS: readonly (readonly [question: string, answer: string])[] = [
  ["Where is the cat?", "The cat is on the mat."],
  ["Where is the parcel?", "The parcel is late."],
  ["Where is the sea?", "The sea is here."],
  ["What is new?", "Nothing at all."],
];

/** A conversation that it is taught, too. */
export const FOLLOWED_UP = [
  { role: "user", content: ANSWERS[0]![0] },
  { role: "assistant", content: ANSWERS[0]![1] },
  { role: "user", content: "And the card?" },
  { role: "assistant", content: "Lost in the rain." },
];

/**
 * Trains a small chat model until it knows {@link ANSWERS} and {@link FOLLOWED_UP}.
 * @param settings of its config.json
 * @returns the run folder, `run` in `home`
 */
export async function trainedToAnswer(home: string, settings: Record<string, unknown> = {}): Promise<string> {
  const conversations = ANSWERS.map(([question, answer]) => [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ]);
  const rows = [...conversations, FOLLOWED_UP].map((messages) => ({ messages }));
  const train = await writeJsonl(join(home, "answers.jsonl"), rows);
  const output = join(home, "run");
  await fineTune({
    model: await writeTinyLanguageModel(join(home, "model"), settings),
    train,
    validation: train,
    method: "full",
    learningRate: 0.01,
    maxGradNorm: 1,
    batchSize: 5,
    epochs: 80,
    threads: 1,
    output,
  });
  return output;
}
