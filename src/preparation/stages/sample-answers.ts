import { UserError } from "../../errors.ts";
import { FineTunedModel } from "../../inference/fine-tuned-model.ts";
import type { Example } from "../../tasks/example.ts";
import { lineOfExample } from "../../tasks/findings.ts";
import { answerOf } from "../../tasks/prompt.ts";
import { findTaskKind } from "../../tasks/task-kinds.ts";
import { stageProgress } from "../../training/progress.ts";
import type { RunEnding, Stage } from "./stage.ts";

/** Held-out prompts that are answered. */
const PROMPTS = 5;

/** Limit on tokens per answer, and on the seconds of all answers: large models write what they can in that time. */
const LONGEST = 64;
const SECONDS = 30;

/** Writes answers to a few held-out prompts with the kept model, to show beside their references. */
export const sampleAnswers: Stage<RunEnding> = {
  name: "sample answers",
  needs(ending) {
    const { writing } = findTaskKind(ending.plan.encoded.task.kind);
    return writing !== undefined && !writing.rollout && referencesOf(ending).length > 0;
  },
  async run(ending, { signal, onProgress }) {
    const asked = referencesOf(ending);
    const onDone = stageProgress(onProgress, "answering held-out prompts", "answers");
    await onDone(0, asked.length);
    const timeUp = AbortSignal.timeout(SECONDS * 1000);
    const options = { maxNewTokens: LONGEST, signal: signal ? AbortSignal.any([signal, timeUp]) : timeUp };
    const model = await FineTunedModel.adapt(ending.base, ending.adapter, ending.plan.runtime);
    try {
      const answers = await model.answers(
        asked.map(({ example }) => model.promptOf(example)),
        options,
      );
      signal?.throwIfAborted();
      const rows = asked.map(({ example, reference }, i) =>
        [example.text, reference, answers[i]!.text].map((text) => lineOfExample({ text })),
      );
      const title = `Answers beside references, of at most ${LONGEST} tokens`;
      const table = { title, columns: ["prompt", "reference", "answer"], rows };
      return { ...ending, findings: { examples: rows.length, startsFitted: false, tables: [table] } };
    } catch (error) {
      // Neither a prompt that leaves no room for an answer nor a slow first answer is a reason to lose the run.
      if (error instanceof UserError || error === timeUp.reason) return ending;
      throw error;
    } finally {
      await model.release();
    }
  },
};

/** The first held-out examples that have an answer to compare with. */
function referencesOf({ fineTuning }: RunEnding): { example: Example; reference: string }[] {
  const [first] = fineTuning.training.validation;
  const found: { example: Example; reference: string }[] = [];
  for (const example of first?.examples ?? []) {
    const reference = answerOf(example);
    if (reference?.trim()) found.push({ example, reference });
    if (found.length === PROMPTS) break;
  }
  return found;
}
