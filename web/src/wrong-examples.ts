import type { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import type { Example, Prediction } from "../../src/tasks/example.ts";

export interface WrongExample {
  text: string;
  /** The picture whose path is `text`. */
  picture?: Blob | undefined;
  label: string;
  said: string;
}

const SHOWN = { examples: 100, characters: 300 };

/** Finds the examples with wrong predictions; for numbers, those with the largest errors. Empty for kinds without labels. */
export async function wrongExamples(
  model: FineTunedModel,
  examples: readonly Example[],
  pictures: Readonly<Record<string, Blob>> = {},
): Promise<WrongExample[]> {
  const { labels } = model.description.task;
  if (!examples.some(({ label, labels: several }) => label !== undefined || several !== undefined)) return [];
  const predictions = await model.predictLabels(examples);
  const all = examples.map((example, i) => ({
    example,
    prediction: predictions[i]!,
    error:
      labels.length === 0
        ? Math.abs((example.label ?? 0) - (predictions[i]!.label ?? 0))
        : Number(differ(example, predictions[i]!)),
  }));
  return all
    .filter(({ error }) => error > 0)
    .sort((a, b) => b.error - a.error)
    .slice(0, SHOWN.examples)
    .map(({ example, prediction }) => ({
      picture: pictures[example.text],
      text: shortened([example.text, example.textPair].filter(Boolean).join(" ↔ ")),
      label: inWords(example, labels),
      said: inWords(prediction, labels),
    }));
}

/** Embeddings have no labels. */
const differ = (a: Prediction, b: Prediction): boolean =>
  b.vectors === undefined && (a.label !== b.label || JSON.stringify(a.labels) !== JSON.stringify(b.labels));

function inWords({ label, labels: several }: Prediction, names: readonly string[]): string {
  if (several) return several.map((index) => names[index]).join(", ") || "none";
  if (label === undefined) return "–";
  return names[label] ?? label.toPrecision(3);
}

const shortened = (text: string): string =>
  text.length > SHOWN.characters ? `${text.slice(0, SHOWN.characters)}…` : text;
