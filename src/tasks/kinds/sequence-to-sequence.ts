import { z } from "zod";
import { opt, UserError } from "../../errors.ts";
import { int32 } from "../../graph/tensor.ts";
import type { Encoding, Tokenizer } from "../../inputs/tokenizer.ts";
import { sentencesOf } from "../metrics/sentences.ts";
import { type Columns, cellError, list, type Table, textOf } from "../rows.ts";
import { shortenUntilFits, truncateOption } from "../shortened-prompt.ts";
import type { TaskKind } from "../task-kind.ts";
import { type EncodedText, type TextLikelihood, writtenTokens } from "../written-tokens.ts";

const LAYOUTS: readonly (readonly [text: string, label: string])[] = [
  ["document", "summary"],
  ["article", "highlights"],
  ["dialogue", "summary"],
  ["text", "summary"],
  ["source", "target"],
];

const layoutIn = ({ columns }: Table) => LAYOUTS.find((layout) => layout.every((name) => columns.includes(name)));

const options = z.object({
  prefix: z.string().optional().describe('text to put before each input, such as "summarize: " for T5'),
  maxTargetLength: z
    .int()
    .positive()
    .default(128)
    .describe("limit on tokens per target text; longer ones are truncated"),
  truncate: truncateOption,
});

function targetOf(tokenizer: Tokenizer, text: string, maxLength: number): { ids: number[]; cut: boolean } {
  const { eos } = tokenizer.specialTokens;
  const { inputIds, cut = false } = tokenizer.encode(text, undefined, maxLength);
  const ids = [...inputIds];
  if (!eos || ids.at(-1) === eos.id) return { ids, cut };
  return { ids: [...ids.slice(0, maxLength - 1), eos.id], cut: cut || ids.length === maxLength };
}

export const sequenceToSequence: TaskKind<TextLikelihood, typeof options> = {
  ...writtenTokens,
  name: "sequence-to-sequence",
  summary: "a new text for each text, such as a summary or a translation",
  modelKind: "encoder-decoder",
  options,
  recipe: { epochs: 3, batchSize: 8, maxLength: 1024 },
  huggingFace: {
    autoClass: "AutoModelForSeq2SeqLM",
    className: "ForConditionalGeneration",
    problemType: null,
    peftTaskType: "SEQ_2_SEQ_LM",
    pipeline: "summarization",
    readme: { outputs: () => "The model writes text." },
  },
  recognition: {
    order: 1,
    fitsRows: () => false,
    // In a table with a label column, a summary may be an ordinary column.
    fitsColumns: (table) => layoutIn(table) !== undefined && !table.columns.includes("label"),
    labelsOfHead: () => [],
  },

  optionsFor: ({ prefix, maxTargetLength, truncate }, _task, { maxLength }) => ({
    ...(prefix && { prefix }),
    maxTargetLength: Math.min(maxTargetLength, maxLength),
    truncate,
  }),
  notesOf(examples, encoded, { maxTargetLength }) {
    const cut = encoded.filter(({ decoderCut }) => decoderCut).length;
    if (cut === 0) return [];
    return [
      `the targets of ${cut} of ${examples.length} training examples are longer than ${maxTargetLength} tokens and are truncated (${opt("maxTargetLength")})`,
    ];
  },
  columnsIn(table, given): Columns {
    const { source, columns } = table;
    if (given.textPair !== undefined) {
      throw new UserError(
        `this kind of task has one input text: leave ${opt("textPair")} out, and name the target's column with ${opt("label")}`,
      );
    }
    const known = layoutIn(table) ?? LAYOUTS.find(([text]) => columns.includes(text));
    const text = given.text ?? known?.[0] ?? (columns.length <= 2 ? columns[0] : undefined);
    const own = text === known?.[0] ? known?.[1] : undefined;
    const label = given.label ?? own ?? (columns.length === 2 ? columns.find((name) => name !== text) : undefined);
    if (text !== undefined && (label !== undefined || columns.length === 1)) {
      return { text, label: label ?? LAYOUTS[0]![1] };
    }
    throw new UserError(
      `${source} has the columns ${list(columns)}; name the column of the text with ${opt("text")} and that of the target with ${opt("label")}`,
    );
  },
  exampleOfRow({ text, label }) {
    const example = { place: text.place, text: textOf(text) };
    if (!label) return example;
    const textPair = textOf(label);
    if (textPair.trim() === "") throw cellError(label, "an empty text", "; there is nothing to learn from it");
    return { ...example, textPair };
  },
  exampleOfInput: ({ text, textPair }) => ({ text, ...(textPair !== undefined && { textPair }) }),
  encode(
    { index, text, textPair = "" },
    tokenizer,
    maxLength,
    given: Partial<z.output<typeof options>> = {},
  ): EncodedText {
    const start = tokenizer.specialTokens.decoderStart?.id;
    if (start === undefined) {
      throw new UserError(
        "the model's config.json names no decoder_start_token_id, the token with which an encoder-decoder begins its text; add it",
      );
    }
    const { prefix = "", maxTargetLength, truncate } = options.parse(given);
    const encodingOf = (shown: string, most: number): Encoding => tokenizer.encode(prefix + shown, undefined, most);
    const whole = encodingOf(text, maxLength);
    const shortened =
      whole.cut && truncate !== "end"
        ? shortenUntilFits(
            [text],
            truncate,
            tokenizer,
            ([shown]) => encodingOf(shown!, Number.MAX_SAFE_INTEGER),
            ({ inputIds }) => inputIds.length - maxLength,
          )
        : undefined;
    const encoding = shortened ?? whole;
    const target = targetOf(tokenizer, textPair, maxTargetLength);
    // The decoder reads each target token one position later, and predicts the next token at each position.
    const inputIds = Int32Array.from([start, ...target.ids.slice(0, -1)]);
    return {
      index,
      encoding,
      decoder: { inputIds, tokenTypeIds: new Int32Array(inputIds.length) },
      rows: Int32Array.from(inputIds.keys()),
      targets: int32([inputIds.length], Int32Array.from(target.ids)),
      cut: whole.cut ?? false,
      decoderCut: target.cut,
    };
  },
  writing: {
    baselines: { lead3: (text) => sentencesOf(text).slice(0, 3).join("\n") },
    bySentence: true,
    countedParts: ({ encoding, targets }: EncodedText, tokenizer) => [
      { text: `${tokenizer.decode([...encoding.inputIds])} → `, counts: false },
      { text: tokenizer.decode([...targets.data]), counts: true },
    ],
  },
};
