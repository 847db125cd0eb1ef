import { UserError } from "../errors.ts";
import { concat, hits, logLikelihood } from "../graph/ops.ts";
import { int32, type Tensor } from "../graph/tensor.ts";
import { conversationOf } from "./conversation.ts";
import type { Prediction } from "./example.ts";
import { indexCrossEntropy } from "./objective.ts";
import { type Cell, type Columns, cellError, list, type Table, textOf } from "./rows.ts";
import type { EncodedExample, Metric, TaskKind } from "./task-kind.ts";
import { textsOf } from "./whole-text.ts";
import { writtenText } from "./written-text.ts";

/** How likely a text is to a language model, or what of it counts. */
export interface TextLikelihood {
  /** Number of tokens that count. */
  tokens: number;
  /** Logarithm of their probability, each after those before it. */
  logProbability: number;
  /** The inverse of their probabilities' geometric mean; 1 where the model foresees all. */
  perplexity: number;
}

/** A text with a row before each token that counts. */
interface EncodedText extends EncodedExample {
  rows: Int32Array;
  targets: Tensor<"int32">;
}

/** Columns in which people have examples, in the order in which they are looked for. */
const LAYOUTS: readonly (Columns & { optionalPair?: boolean })[] = [
  { text: "messages", textPair: "tools", optionalPair: true },
  { text: "conversations", textPair: "tools", optionalPair: true },
  { text: "prompt", label: "completion" },
  { text: "instruction", textPair: "input", label: "output", optionalPair: true },
];

function layoutIn({ columns }: Table): Columns | undefined {
  const has = (column: string | undefined) => column === undefined || columns.includes(column);
  const layout = LAYOUTS.find(({ text, label, textPair, optionalPair }) => {
    return has(text) && has(label) && (optionalPair || has(textPair));
  });
  if (!layout) return undefined;
  const { text, label, textPair } = layout;
  return { text, ...(label && { label }), ...(textPair && has(textPair) && { textPair }) };
}

const isConversation = ({ value, column }: Cell): boolean =>
  Array.isArray(value) || column === "messages" || column === "conversations";

/** Sums over all tokens that count. */
function totalOf(predictions: readonly Prediction[]): { tokens: number; logProbability: number; hits: number } {
  const total = { tokens: 0, logProbability: 0, hits: 0 };
  for (const { likelihood } of predictions) {
    total.tokens += likelihood!.tokens;
    total.logProbability += likelihood!.logProbability;
    total.hits += likelihood!.hits;
  }
  return total;
}

const ofTokens = (higherIsBetter: boolean, compute: (total: ReturnType<typeof totalOf>) => number): Metric => ({
  higherIsBetter,
  compute: (predictions) => compute(totalOf(predictions)),
});

const perplexityOf = ({ tokens, logProbability }: { tokens: number; logProbability: number }): number =>
  tokens === 0 ? 1 : Math.exp(-logProbability / tokens);

/** What was read of each row: the target's log-probability, and whether it was the likeliest. @param values `[rows, 2]` */
function scoresOf(values: Float32Array): NonNullable<Prediction["likelihood"]> {
  const scores = { tokens: values.length / 2, logProbability: 0, hits: 0 };
  for (let i = 0; i < values.length; i += 2) {
    scores.logProbability += values[i]!;
    scores.hits += values[i + 1]!;
  }
  return scores;
}

/** Each text is to be written, token by token: conversations, completions of prompts, or texts as they are. */
export const languageModel: TaskKind<TextLikelihood> = {
  name: "language-model",
  summary: "the text that follows: answers in conversations, completions of prompts, or whole texts",
  head: "languageModel",
  objective: indexCrossEntropy,
  readout: {
    width: 2,
    write: (outputs, targets) => concat([logLikelihood(outputs, targets), hits(outputs, targets)], 1),
    loss: (values, weights) => weights.reduce((sum, weight, row) => sum - weight * values[2 * row]!, 0),
  },
  metrics: {
    perplexity: ofTokens(false, perplexityOf),
    token_accuracy: ofTokens(true, ({ tokens, hits }) => (tokens === 0 ? 0 : hits / tokens)),
  },
  defaultMetrics: ["perplexity", "token_accuracy"],
  recipe: { epochs: 3, batchSize: 8, maxLength: 1024 },
  huggingFace: {
    autoClass: "AutoModelForCausalLM",
    problemType: null,
    peftTaskType: "CAUSAL_LM",
    pipeline: "text-generation",
    readme: { outputs: () => "The model writes text." },
  },
  recognition: {
    order: 0,
    fitsRows: () => false,
    fitsColumns: (table) => layoutIn(table) !== undefined,
    labelsOfHead: () => [],
  },

  outputs: (_labels, config) => config!.vocabularySize,
  labelsIn: () => [],
  columnsIn(table, { text, label, textPair }) {
    const { columns } = table;
    if (text !== undefined) return { text, ...(label && { label }), ...(textPair && { textPair }) };
    const layout = layoutIn(table);
    if (layout) return layout;
    if (columns.includes("text")) return { text: "text", ...(label && { label }), ...(textPair && { textPair }) };
    if (columns.length === 2) return { text: columns[0]!, label: columns[1]! };
    if (columns.length === 1) return { text: columns[0]! };
    throw new UserError(
      `${table.source} has the columns ${list(columns)}; name the prompt's with --text and the completion's with --label`,
    );
  },
  exampleOfRow({ text, textPair, label }) {
    const { place } = text;
    if (isConversation(text)) {
      const conversation = conversationOf(text, textPair);
      const last = conversation.messages.findLast(({ role }) => role === "user");
      return { place, text: last?.content ?? "", ...conversation };
    }
    const { text: prompt, textPair: more = "" } = textsOf({ text, ...(textPair && { textPair }) });
    const whole = more.trim() === "" ? prompt : `${prompt}\n\n${more}`;
    if (!label) return { place, text: whole };
    const completion = textOf(label);
    if (completion.trim() === "") throw cellError(label, "an empty answer", "; there is nothing to learn from it");
    return { place, text: whole, textPair: completion };
  },
  exampleOfInput: ({ text, textPair }) => ({ text, ...(textPair !== undefined && { textPair }) }),
  encode(example, tokenizer, maxLength, lossOn = "assistant"): EncodedText {
    const { ids, counts } = writtenText(example, tokenizer, lossOn);
    const kept = ids.slice(0, maxLength);
    // The output of a row says what comes after it.
    const targets = [...kept.keys()].filter((token) => token > 0 && counts[token]);
    return {
      index: example.index,
      encoding: { inputIds: Int32Array.from(kept), tokenTypeIds: new Int32Array(kept.length) },
      rows: Int32Array.from(targets, (token) => token - 1),
      targets: int32(
        [targets.length],
        Int32Array.from(targets, (token) => ids[token]!),
      ),
      cut: kept.length < ids.length,
    };
  },
  targets: (_example, { rows, targets }: EncodedText) => ({ targets, weights: new Float32Array(rows.length).fill(1) }),
  predict: (_labels, _example, _encoded, values) => ({ likelihood: scoresOf(values) }),
  describe(_labels, _example, _encoded, values) {
    const { tokens, logProbability } = scoresOf(values);
    return { tokens, logProbability, perplexity: perplexityOf({ tokens, logProbability }) };
  },
  lineOf: ({ tokens, perplexity }) => `perplexity ${perplexity.toFixed(3)} of ${tokens} tokens`,
  detailsOf: (predictions) => {
    const { tokens, logProbability } = totalOf(predictions);
    return { metrics: { loss: tokens === 0 ? 0 : -logProbability / tokens } };
  },
  countedParts({ encoding, rows }: EncodedText, tokenizer) {
    const ids = [...encoding.inputIds];
    const counted = new Set(Array.from(rows, (row) => row + 1));
    const edges = [...ids.keys()].filter((token) => token === 0 || counted.has(token) !== counted.has(token - 1));
    // A part's text is what its tokens add: some tokenizers write a first token otherwise than the same one later.
    const upTo = (token: number): string => tokenizer.decode(ids.slice(0, token));
    return edges.map((start, i) => {
      const before = upTo(start);
      return { text: upTo(edges[i + 1] ?? ids.length).slice(before.length), counts: counted.has(start) };
    });
  },
};
