import { prepareMetrics, sameAnswerScores } from "../../tasks/examples.ts";
import { evenly } from "../../tasks/list.ts";
import { findTaskKind } from "../../tasks/task-kinds.ts";
import { Predictor } from "../../training/prediction/predictor.ts";
import { stageProgress } from "../../training/progress.ts";
import type { RunEnding, Stage } from "./stage.ts";

/** Maximum number of examples that are answered for the tables; drawn evenly from more. */
const MOST_EXAMPLES = 5000;

/** Rows of a table that a run keeps. */
const MOST_ROWS = 200;

/** Dots of a picture that a run keeps. */
const MOST_POINTS = 1000;

/** Answers the held-out examples with the kept model, and describes where it is right and where it is wrong. */
export const findings: Stage<RunEnding> = {
  name: "findings",
  needs: ({ plan: { encoded } }) => findTaskKind(encoded.task.kind).review?.findings !== undefined,
  async run(ending, { signal, onProgress }) {
    const { plan, fineTuning, adapter } = ending;
    const { model, weights, task, validation, settings } = fineTuning.training;
    const kind = findTaskKind(task.kind);
    const { labels, options } = adapter.description.task;
    const held = validation.flatMap(({ examples, encoded }) =>
      examples.map((example, i) => [example, encoded[i]!] as const),
    );
    const chosen = evenly(held, MOST_EXAMPLES);
    const examples = chosen.map(([example]) => example);
    const answering = new Map([...weights, ...adapter.parameters]);
    const predictor = await Predictor.compile(model, answering, plan.runtime, { tokenBudget: settings.tokenBudget });
    try {
      const encodings = chosen.map(([, encoded]) => encoded);
      const onDone = stageProgress(onProgress, "looking for mistakes");
      const logits = await predictor.logits(encodings, undefined, signal, onDone);
      const predictions = logits.map((values, i) => kind.predict(labels, examples[i]!, encodings[i]!, values, options));
      const sameAnswer = sameAnswerScores(task, examples);
      await prepareMetrics(kind, predictions, examples, signal);
      const tables = kind.review!.findings!(predictions, examples, labels);
      return {
        ...ending,
        findings: {
          examples: examples.length,
          ...(sameAnswer && { sameAnswer }),
          startsFitted: fineTuning.startsFitted,
          tables: tables.map(({ rows, points, ...table }) => ({
            ...table,
            rows: rows.slice(0, MOST_ROWS),
            ...(points && { points: evenly(points, MOST_POINTS) }),
          })),
        },
      };
    } finally {
      await predictor.release();
    }
  },
};
