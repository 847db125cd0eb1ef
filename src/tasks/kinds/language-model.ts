import { z } from "zod";
import { opt, UserError } from "../../errors.ts";
import { int32 } from "../../graph/tensor.ts";
import { conversationOf } from "../conversation.ts";
import type { Example } from "../example.ts";
import { PROMPT_TEMPLATES, type PromptTemplate } from "../prompt-template.ts";
import { type Cell, type Columns, cellError, columnOf, list, type Table, textOf } from "../rows.ts";
import { shortenedToLength, type Truncate, truncateOption } from "../shortened-prompt.ts";
import type { TaskKind } from "../task-kind.ts";
import { textsOf } from "../whole-text.ts";
import { LOSS_ON, type LossOn, type WrittenText, writtenText } from "../written-text.ts";
import { type EncodedText, type TextLikelihood, writtenTokens } from "../written-tokens.ts";

const LAYOUTS: readonly (Columns & { optionalPair?: boolean })[] = [
  { text: "messages", textPair: "tools", optionalPair: true },
  { text: "conversations", textPair: "tools", optionalPair: true },
  { text: "prompt", label: "completion" },
  { text: "instruction", textPair: "input", label: "output", optionalPair: true },
  { text: "question", label: "answer" },
];

const ROWS_LOOKED_AT = 1000;

// With other columns, the question may be about one of them, or have a class in it; answers that recur are classes.
function answersAreTexts(table: Table): boolean {
  if (table.columns.length > 2) return false;
  const answers = columnOf(table, "answer").slice(0, ROWS_LOOKED_AT);
  return new Set(answers.map(({ value }) => value)).size * 2 > answers.length;
}

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

const options = z.object({
  lossOn: z
    .enum(LOSS_ON)
    .default("assistant")
    .describe("part of a text that the loss counts: every turn of the assistant, its last turn, or all"),
  truncate: truncateOption,
  promptTemplate: z
    .enum(PROMPT_TEMPLATES)
    .default("chat")
    .describe("form of prompts: the model's chat template if it has one, or Alpaca's, as in AFLoRA's runs on GSM8K"),
});

export const languageModel: TaskKind<TextLikelihood, typeof options> = {
  ...writtenTokens,
  name: "language-model",
  summary: "the text that follows: answers in conversations, completions of prompts, or whole texts",
  modelKind: "decoder",
  options,
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
    fitsColumns(table) {
      const layout = layoutIn(table);
      return layout !== undefined && (layout.label !== "answer" || answersAreTexts(table));
    },
    labelsOfHead: () => [],
  },

  columnsIn(table, { text, label, textPair }) {
    const { columns } = table;
    if (text !== undefined) return { text, ...(label && { label }), ...(textPair && { textPair }) };
    const layout = layoutIn(table);
    if (layout) return layout;
    if (columns.includes("text")) return { text: "text", ...(label && { label }), ...(textPair && { textPair }) };
    if (columns.length === 2) return { text: columns[0]!, label: columns[1]! };
    if (columns.length === 1) return { text: columns[0]! };
    throw new UserError(
      `${table.source} has the columns ${list(columns)}; name the column of the prompt with ${opt("text")} and that of the completion with ${opt("label")}`,
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
    const asked = more.trim() === "" ? { text: prompt } : { text: `${prompt}\n\n${more}`, context: more };
    if (!label) return { place, ...asked };
    const completion = textOf(label);
    if (completion.trim() === "") throw cellError(label, "an empty answer", "; there is nothing to learn from it");
    return { place, ...asked, textPair: completion };
  },
  exampleOfInput: ({ text, textPair }) => ({ text, ...(textPair !== undefined && { textPair }) }),
  encode(
    example,
    tokenizer,
    maxLength,
    {
      lossOn = "assistant",
      truncate = "middle",
      promptTemplate,
    }: { lossOn?: LossOn; truncate?: Truncate; promptTemplate?: PromptTemplate } = {},
  ): EncodedText {
    const write = (shown: Example): WrittenText => writtenText(shown, tokenizer, lossOn, promptTemplate);
    const whole = write(example);
    const cut = whole.ids.length > maxLength;
    const limits = { maxLength, lossOn, truncate };
    const { ids, counts } = cut ? shortenedToLength(example, whole, tokenizer, limits, write) : whole;
    // The output of a row predicts the next token.
    const targets = [...ids.keys()].filter((token) => token > 0 && counts[token]);
    return {
      index: example.index,
      encoding: { inputIds: Int32Array.from(ids), tokenTypeIds: new Int32Array(ids.length) },
      rows: Int32Array.from(targets, (token) => token - 1),
      targets: int32(
        [targets.length],
        Int32Array.from(targets, (token) => ids[token]!),
      ),
      cut,
    };
  },
  writing: {
    countedParts({ encoding, rows }: EncodedText, tokenizer) {
      const ids = [...encoding.inputIds];
      const counted = new Set(Array.from(rows, (row) => row + 1));
      const edges = [...ids.keys()].filter((token) => token === 0 || counted.has(token) !== counted.has(token - 1));
      // A part's text is the text that its tokens add: some tokenizers decode a token differently if it is the first.
      const upTo = (token: number): string => tokenizer.decode(ids.slice(0, token));
      return edges.map((start, i) => {
        const before = upTo(start);
        return { text: upTo(edges[i + 1] ?? ids.length).slice(before.length), counts: counted.has(start) };
      });
    },
  },
};
