import { UserError } from "../../errors.ts";
import { float32 } from "../../graph/tensor.ts";
import type { WordEncoding } from "../../inputs/tokenizer.ts";
import type { Example, Prediction } from "../example.ts";
import { type Finding, lineOfExample, MOST_SHOWN, scoresPerClass } from "../findings.ts";
import { classOptions } from "../losses/class-weights.ts";
import { crossEntropy } from "../losses/objective.ts";
import {
  accuracy,
  type Counts,
  type Entity,
  entitiesOf,
  entityCounts,
  f1Of,
  precisionOf,
  recallOf,
} from "../metrics/metrics.ts";
import { argmax, softmax } from "../probabilities.ts";
import { type Cell, cellError, distinctLabels, labelIndex, labelNameOf, textOf } from "../rows.ts";
import type { EncodedExample, Metric, TaskKind } from "../task-kind.ts";
import { locateWords, splitWords } from "../words.ts";

/** A part of a text: `[start, end)` in UTF-16 units, as in JavaScript. */
export interface Span {
  start: number;
  end: number;
}

/** A word of a text with its label. */
export interface WordPrediction extends Span {
  word: string;
  /** The likeliest label and its probability; undefined if the text was truncated before the word. */
  label?: string;
  probability?: number;
}

/** An entity of a text: adjacent words with one label. */
export interface EntityPrediction extends Span {
  /** `PER` of the labels `B-PER` and `I-PER`. */
  type: string;
  text: string;
  /** Mean probability of its words. */
  probability: number;
}

/** Predictions for the words of a text. */
export interface TaggedText {
  words: WordPrediction[];
  /** Groups of words that form a unit, such as a name. */
  entities: EntityPrediction[];
}

interface EncodedWords extends EncodedExample {
  encoding: WordEncoding;
  rows: Int32Array;
}

function wordStarts({ wordIds }: WordEncoding): Int32Array {
  return Int32Array.from(
    [...wordIds.keys()].filter((token) => wordIds[token]! >= 0 && wordIds[token] !== wordIds[token - 1]),
  );
}

function* wordsOf(
  { encoding, rows }: EncodedWords,
  values: Float32Array,
  width: number,
): Generator<[number, Float32Array]> {
  for (const [row, token] of rows.entries()) {
    yield [encoding.wordIds[token]!, values.subarray(row * width, (row + 1) * width)];
  }
}

/** Returns the given words, or splits a tagged text at spaces; an untagged text may be split later. */
function textAndWords(cell: Cell, tagged: boolean): Pick<Example, "text" | "words"> {
  if (!Array.isArray(cell.value) && !tagged) return { text: textOf(cell) };
  const words = Array.isArray(cell.value) ? cell.value.map(String) : textOf(cell).trim().split(/\s+/);
  return { text: words.join(" "), words };
}

function tagsOf(cell: Cell): string[] {
  if (!Array.isArray(cell.value)) throw cellError(cell, "no array of tags, one for each word,");
  return cell.value.map((value) => {
    const tag = labelNameOf(cell, value);
    if (!/^(O|[BIES](-.+)?)$/.test(tag)) throw cellError(cell, `"${tag}" is not a BIO tag such as B-PER, I-PER or O,`);
    return tag;
  });
}

/** Labels of all words by row. Words after the end of a truncated text count as outside. */
function tagRows(predictions: readonly Prediction[], examples: readonly Example[], labels: readonly string[]) {
  const outside = labels.indexOf("O");
  return {
    found: predictions.map((each, i) => examples[i]!.labels!.map((_, word) => each.labels![word] ?? outside)),
    truth: examples.map((example) => example.labels!),
  };
}

const ofEntities = (compute: (counts: Counts) => number): Metric => ({
  higherIsBetter: true,
  compute(predictions, examples, labels) {
    const { found, truth } = tagRows(predictions, examples, labels);
    const tags = (rows: number[][]) => rows.map((row) => row.map((index) => labels[index] ?? "O"));
    return compute(entityCounts(tags(found), tags(truth)));
  },
});

/** A BIO tag for each word of a text. The word's first token represents it, and metrics count whole entities. */
export const tokenClassification: TaskKind<TaggedText, typeof classOptions> = {
  name: "token-classification",
  summary: "a BIO tag for each word",
  options: classOptions,
  head: "token",
  labelsWords: true,
  objective: crossEntropy,
  metrics: {
    f1: ofEntities(f1Of),
    precision: ofEntities(precisionOf),
    recall: ofEntities(recallOf),
    accuracy: {
      higherIsBetter: true,
      compute(...given) {
        const { found, truth } = tagRows(...given);
        return accuracy(found.flat(), truth.flat());
      },
    },
  },
  defaultMetrics: ["f1", "precision", "recall", "accuracy"],
  huggingFace: {
    autoClass: "AutoModelForTokenClassification",
    problemType: null,
    peftTaskType: "TOKEN_CLS",
    pipeline: "token-classification",
    readme: {
      outputs: (names) => `Labels in order: ${names.join(", ")}.`,
      pipelineCall: 'classify("a text")',
    },
  },
  recognition: {
    order: 10,
    fitsRows: (texts) => texts.some(({ value }) => Array.isArray(value)),
    labelsOfHead: (outputs) => [...outputs],
  },

  outputs: (labels) => labels.length,
  labelsIn: (table, column) => distinctLabels(table, column, tagsOf),
  exampleOfRow(cells, labels) {
    const { label } = cells;
    const { text, words } = textAndWords(cells.text, label !== undefined);
    const textPair = cells.textPair && textOf(cells.textPair);
    const example = { text, ...(words && { words }), ...(textPair !== undefined && { textPair }) };
    if (!label) return example;
    const tags = tagsOf(label).map((tag) => labelIndex(label, tag, labels));
    if (tags.length !== words!.length) {
      throw new UserError(`${label.place}: ${words!.length} words but ${tags.length} tags`);
    }
    return { ...example, labels: tags };
  },
  exampleOfInput({ text, textPair, words }) {
    if (textPair !== undefined) throw new UserError("token classification takes single texts, not pairs");
    return { text, words: words ?? splitWords(text) };
  },
  encode({ index, words }, tokenizer, maxLength): EncodedWords {
    const encoding = tokenizer.encodeWords(words!, maxLength);
    return { index, encoding, rows: wordStarts(encoding) };
  },
  targets(example, encoded: EncodedWords, labels, classWeights) {
    const targets = float32([encoded.rows.length, labels.length]);
    const weights = new Float32Array(encoded.rows.length);
    let row = 0;
    for (const [word, target] of wordsOf(encoded, targets.data, labels.length)) {
      const label = example.labels![word]!;
      target[label] = 1;
      weights[row++] = classWeights?.[label] ?? 1;
    }
    return { targets, weights };
  },
  predict(labels, { words }, encoded: EncodedWords, logits) {
    const tags = words!.map(() => labels.indexOf("O"));
    for (const [word, values] of wordsOf(encoded, logits, labels.length)) tags[word] = argmax(values);
    return { labels: tags };
  },
  describe(labels, { text, words }, encoded: EncodedWords, logits) {
    const predicted = locateWords(text, words!).map((span, i): WordPrediction => ({ word: words![i]!, ...span }));
    for (const [word, values] of wordsOf(encoded, logits, labels.length)) {
      const probabilities = softmax(values);
      const likeliest = argmax(probabilities);
      Object.assign(predicted[word]!, { label: labels[likeliest], probability: probabilities[likeliest] });
    }
    const entities = entitiesOf(predicted.map(({ label }) => label ?? "O")).map(({ type, start, end }) => {
      const own = predicted.slice(start, end);
      const span = { start: own[0]!.start, end: own.at(-1)!.end };
      const probability = own.reduce((sum, word) => sum + word.probability!, 0) / own.length;
      return { type, text: text.slice(span.start, span.end), ...span, probability };
    });
    return { words: predicted, entities };
  },
  lineOf: ({ entities }) =>
    entities.map(({ text, type, probability }) => `${text} [${type} ${probability.toFixed(3)}]`).join(", ") || "none",
  cellsOf: ({ entities }) => ({ entities }),
  review: {
    findings(predictions, examples, labels) {
      const { found, truth } = tagRows(predictions, examples, labels);
      const entitiesIn = (row: readonly number[]) => entitiesOf(row.map((tag) => labels[tag] ?? "O"));
      const counts = new Map<string, Counts>();
      const countOf = (type: string): Counts => {
        const count = counts.get(type) ?? { truePositives: 0, falsePositives: 0, falseNegatives: 0 };
        counts.set(type, count);
        return count;
      };
      const mistakes: string[][] = [];
      examples.forEach(({ words = [] }, row) => {
        const spans = new Map<string, { truth: string[]; answer: string[] }>();
        const spanOf = ({ start, end }: Entity) => {
          const span = spans.get(`${start} ${end}`) ?? { truth: [], answer: [] };
          spans.set(`${start} ${end}`, span);
          return span;
        };
        for (const entity of entitiesIn(truth[row]!)) spanOf(entity).truth.push(entity.type);
        for (const entity of entitiesIn(found[row]!)) spanOf(entity).answer.push(entity.type);
        for (const [
          place,
          {
            truth: [type],
            answer: [answer],
          },
        ] of spans) {
          if (type !== undefined && type === answer) countOf(type).truePositives++;
          else {
            if (type !== undefined) countOf(type).falseNegatives++;
            if (answer !== undefined) countOf(answer).falsePositives++;
            const [start, end] = place.split(" ").map(Number);
            mistakes.push([
              words.slice(start, end).join(" "),
              type ?? "none",
              answer ?? "none",
              lineOfExample({ text: words.join(" ") }),
            ]);
          }
        }
      });
      const perEntity = scoresPerClass("entity", counts);
      const wrong: Finding = {
        title: "Entities that are wrong",
        columns: ["words", "true entity", "answer", "text"],
        rows: mistakes,
        most: MOST_SHOWN,
      };
      return mistakes.length === 0 ? [perEntity] : [perEntity, wrong];
    },
  },
  classesOf: ({ labels }) => labels!,
};
