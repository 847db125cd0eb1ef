import {
  type EncodedExample,
  type Objective,
  type OwnHead,
  ops,
  rows,
  type TaskKind,
  type WordEncoding,
} from "../../src/extend.ts";
import { UserError } from "../../src/index.ts";

/** The word that a model picks in a text. */
export interface PickedWord {
  word: string;
  probability: number;
}

declare module "../../src/extend.ts" {
  interface TaskPredictions {
    pointer: PickedWord;
  }
}

interface EncodedWords extends EncodedExample {
  encoding: WordEncoding;
  rows: Int32Array;
}

/** A score for each word, by a head that no family has. */
const head: OwnHead = {
  name: "pointer",
  rows: "token",
  write(context, { hiddenSize }, hidden, outputs) {
    const inner = ops.tanh(context.dense(hidden, "pointer.dense", hiddenSize, hiddenSize));
    return context.dense(inner, "pointer.score", hiddenSize, outputs);
  },
};

/** Cross-entropy of the softmax over a text's words (pointer networks, Vinyals et al. 2015, arXiv 1506.03134). */
const overWords: Objective = {
  couples: "nothing",
  // A target is the number of the row's text.
  target: () => ({ dtype: "float32", shape: [1] }),
  loss(scores, texts, weights) {
    const ofSameText = ops.sub(1, ops.abs(ops.sign(ops.sub(texts, ops.transpose(texts, [1, 0])))));
    const total = ops.log(ops.gemm(ofSameText, ops.exp(scores)));
    return ops.sumAll(ops.mul(ops.sub(total, scores), weights));
  },
};

const likeliest = (scores: Float32Array): number => scores.indexOf(scores.reduce((a, b) => Math.max(a, b)));
const wordOf = ({ encoding, rows: tokens }: EncodedWords, row: number): number => encoding.wordIds[tokens[row]!]!;
const splitAtSpaces = (text: string): string[] => text.trim().split(/\s+/);

/** A made-up kind of a new shape: it has a head of its own, and chooses among the words of each text. */
export const pointer: TaskKind<PickedWord> = {
  name: "pointer",
  summary: "the word of a text that tells most",
  head,
  objective: overWords,
  metrics: {
    right_words: {
      higherIsBetter: true,
      compute: (predictions, examples) =>
        predictions.filter(({ label }, i) => label === examples[i]!.label).length / predictions.length,
    },
  },
  defaultMetrics: ["right_words"],
  huggingFace: {
    autoClass: "AutoModelForTokenClassification",
    problemType: null,
    peftTaskType: null,
    pipeline: "token-classification",
    readme: { outputs: () => "The one output of a token is the score of the word that begins with it." },
  },

  outputs: () => 1,
  labelsIn: () => [],
  exampleOfRow({ text, label }) {
    const words = splitAtSpaces(rows.textOf(text));
    const example = { text: words.join(" "), words, place: text.place };
    if (!label) return example;
    const place = words.indexOf(rows.textOf(label));
    if (place < 0) throw new UserError(`${label.place}: the text does not have the word in column "${label.column}"`);
    return { ...example, label: place };
  },
  exampleOfInput: ({ text }) => ({ text, words: splitAtSpaces(text) }),
  encode({ index, words }, tokenizer, maxLength): EncodedWords {
    const encoding = tokenizer.encodeWords(words!, maxLength);
    const { wordIds } = encoding;
    const starts = [...wordIds.keys()].filter((i) => wordIds[i]! >= 0 && wordIds[i] !== wordIds[i - 1]);
    return { index, encoding, rows: Int32Array.from(starts) };
  },
  targets({ index, label }, encoded: EncodedWords) {
    const count = encoded.rows.length;
    return {
      targets: { dtype: "float32", shape: [count, 1], data: new Float32Array(count).fill(index) },
      weights: Float32Array.from(encoded.rows, (_, row) => (wordOf(encoded, row) === label ? 1 : 0)),
    };
  },
  predict: (_labels, _example, encoded: EncodedWords, scores) => ({ label: wordOf(encoded, likeliest(scores)) }),
  describe(_labels, { words }, encoded: EncodedWords, scores) {
    const row = likeliest(scores);
    const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
    return { word: words![wordOf(encoded, row)]!, probability: Math.exp(scores[row]!) / total };
  },
  lineOf: ({ word, probability }) => `${word} ${probability.toFixed(3)}`,
};
