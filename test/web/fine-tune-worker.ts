import { adapterBytes, FineTunedModel, fineTune, webRuntime } from "../../src/web.ts";
import { on } from "../support/on-event.ts";
import { answerPage } from "./answer.ts";
import { CONFIG, TEXTS, tablesOf } from "./five-steps.ts";

/** What the page asks for. */
export interface FineTuneRequest {
  threads: number;
  /** Address of the model's folder, with a slash at its end. */
  model: string;
  /** Address of the data. */
  data: string;
  /** How the base model is stored. */
  base?: "int8";
}

export interface FineTuneAnswer {
  /** Of each step, before it. */
  losses: number[];
  /** The adapter's files. */
  files: Record<string, Uint8Array>;
  labels: (string | undefined)[];
  /** Seconds of each step but the first, and tokens. */
  seconds: number;
  tokens: number;
}

answerPage(async ({ threads, model, data, base: format }: FineTuneRequest): Promise<FineTuneAnswer> => {
  const response = await fetch(data);
  if (!response.ok) throw new Error(`${data}: ${response.status}`);
  const losses: number[] = [];
  let [seconds, tokens] = [0, 0];
  const { finished } = await fineTune(
    { ...CONFIG, ...tablesOf(await response.text()), ...(format && { base: format }), model },
    {
      runtime: await webRuntime({ threads }),
      onEvent: on("step", (record) => {
        losses.push(record.loss);
        if (record.step === 0) return;
        seconds += record.seconds;
        tokens += record.tokens;
      }),
    },
  );
  const { adapter, base, runtime } = finished!;
  const tuned = await FineTunedModel.adapt(base, adapter, runtime);
  const predictions = await tuned.predict(TEXTS);
  await tuned.release();
  return { losses, files: adapterBytes(adapter), labels: predictions.map(({ label }) => label), seconds, tokens };
});
