import * as Plot from "@observablehq/plot";
import type { RunRecords } from "../runs/read-run.ts";
import { mean } from "../studies/statistics.ts";
import type { EvaluationRecord, StepRecord } from "../training/training-records.ts";
import { bins, draw } from "./drawing.ts";
import type { Picture, Table } from "./page.ts";
import { counted, number, tick } from "./quantities.ts";

const MOST_POINTS = 150;

/** Number of evaluations whose answers are shown: the first, the last, and some between them. */
const SHOWN = 5;

interface Point {
  step: number;
  value: number;
}

/** A property of answers, over steps and evaluations. */
interface Curve {
  title: string;
  /** Description of the value of one answer, for a sentence. */
  what: string;
  label: string;
  steps: readonly Point[];
  evaluations: readonly Point[];
}

function curve({ title, what, label, steps, evaluations }: Curve): Picture {
  const drawn = bins([...steps], MOST_POINTS).map((bin) => ({
    step: bin.at(-1)!.step,
    value: mean(bin.map(({ value }) => value)),
  }));
  const held = [...evaluations];
  const [first, last] = [drawn[0]!, drawn.at(-1)!];
  return {
    title,
    summary: `Answers that were sampled in training had ${what} ${number(first.value)} at the start and ${number(last.value)} at the end, over ${counted(steps.length, "step")}.`,
    legend: [
      { color: "var(--series-0)", label: "answers of a step" },
      ...(held.length > 0 ? [{ color: "var(--series-1)", label: "likeliest answers to held-out prompts (dots)" }] : []),
    ],
    svg: draw({
      height: 240,
      x: { label: "step" },
      y: { label, tickFormat: tick, grid: true },
      marks: [
        Plot.lineY(drawn, { x: "step", y: "value", stroke: "var(--series-0)" }),
        Plot.lineY(held, { x: "step", y: "value", stroke: "var(--series-1)" }),
        Plot.dot(held, { x: "step", y: "value", fill: "var(--series-1)", r: 3.5 }),
      ],
    }),
    numbers: {
      caption: title,
      columns: ["step", "drawn", "likeliest"],
      rows: [
        ...drawn.map(({ step, value }) => ({ step, cells: [number(value), ""] })),
        ...held.map(({ step, value }) => ({ step, cells: ["", number(value)] })),
      ]
        .sort((a, b) => a.step - b.step)
        .map(({ step, cells }) => [number(step), ...cells]),
    },
  };
}

const ofSteps = (steps: readonly StepRecord[], of: (answers: NonNullable<StepRecord["rollout"]>) => number | null) =>
  steps.flatMap(({ step, rollout }): Point[] => {
    const value = rollout && of(rollout);
    return value === null || value === undefined ? [] : [{ step, value }];
  });

/** @param place index of the metric among those of the kind */
const ofEvaluations = (evaluations: readonly EvaluationRecord[], place: number): Point[] =>
  evaluations.map(({ step, metrics }) => ({ step, value: Object.values(metrics)[place]! }));

/** Draws rewards and lengths of answers over the steps of a run that learns from rewards; empty for other runs. */
export function rewardPictures({ steps, evaluations }: Pick<RunRecords, "steps" | "evaluations">): Picture[] {
  return [
    {
      title: "Reward",
      what: "a mean reward of",
      label: "mean reward",
      steps: ofSteps(steps, ({ reward }) => reward),
      evaluations: ofEvaluations(evaluations, 0),
    },
    {
      title: "Length of answers",
      what: "a mean length in tokens of",
      label: "tokens",
      steps: ofSteps(steps, ({ answerTokens }) => answerTokens),
      evaluations: ofEvaluations(evaluations, 1),
    },
  ]
    .filter((each) => each.steps.length > 1)
    .map(curve);
}

/** Answers to the same held-out prompts over training; empty for a run that generates none. */
export function sampleTables({ evaluations }: Pick<RunRecords, "evaluations">): Table[] {
  const sampled = evaluations.filter(({ samples }) => samples?.length);
  if (sampled.length === 0) return [];
  const places = new Set(Array.from({ length: SHOWN }, (_, i) => Math.round((i * (sampled.length - 1)) / (SHOWN - 1))));
  const shown = sampled.filter((_, place) => places.has(place));
  const rows = shown[0]!.samples!.flatMap(({ prompt }, i) =>
    shown.map(({ step, samples = [] }) => {
      const { answer = "", reward = null } = samples[i] ?? {};
      return [prompt, number(step), answer, reward === null ? "none" : number(reward)];
    }),
  );
  return [
    { caption: "Likeliest answers to held-out prompts", columns: ["prompt", "steps", "answer", "its reward"], rows },
  ];
}
