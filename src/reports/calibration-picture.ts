import * as Plot from "@observablehq/plot";
import type { RunRecords } from "../runs/read-run.ts";
import { calibrationError, type ReliabilityBin } from "../tasks/metrics/calibration.ts";
import { draw } from "./drawing.ts";
import type { Picture } from "./page.ts";
import { number, tick } from "./quantities.ts";

/** Compares the probabilities of the validation examples with the share that was right; empty if there are none. */
export function calibrationPictures({ result }: Partial<Pick<RunRecords, "result">>): Picture[] {
  if (!result?.calibration) return [];
  const { temperature, before, after } = result.calibration;
  const series = { before, after };
  const color = { before: "var(--series-1)", after: "var(--series-0)" } as const;
  const points = (bins: readonly ReliabilityBin[], stroke: string) => [
    Plot.lineY(bins, { x: "confidence", y: "accuracy", stroke }),
    Plot.dot(bins, { x: "confidence", y: "accuracy", fill: stroke, r: 3 }),
  ];
  const sure = temperature > 1 ? "too sure" : "not sure enough";
  return [
    {
      title: "Calibration of the probabilities",
      summary: `The model was ${sure}: its outputs are divided by ${number(temperature)}. The expected calibration error on the validation examples, to which the temperature was fitted, changed from ${number(calibrationError(before))} to ${number(calibrationError(after))}. On the diagonal, predictions are correct as often as their probability says.`,
      legend: [
        { color: color.before, label: "before" },
        { color: color.after, label: "after" },
      ],
      svg: draw({
        height: 240,
        x: { label: "probability", domain: [0, 1], tickFormat: tick },
        y: { label: "share of correct predictions", domain: [0, 1], tickFormat: tick, grid: true },
        marks: [
          Plot.line(
            [
              [0, 0],
              [1, 1],
            ],
            { stroke: "currentColor", strokeDasharray: "3 3", strokeOpacity: 0.5 },
          ),
          ...points(before, color.before),
          ...points(after, color.after),
        ],
      }),
      numbers: {
        caption: "Predictions by their probability",
        columns: ["", "predictions", "mean probability", "share right"],
        rows: Object.entries(series).flatMap(([when, bins]) =>
          bins.map(({ count, confidence, accuracy }) => [when, number(count), number(confidence), number(accuracy)]),
        ),
      },
    },
  ];
}
