import { adapterBytes, FineTunedModel, fineTune, UserError } from "aflora/web";

/** What the page is told. */
export interface Told {
  line: string;
  ended: boolean;
}

interface Asked {
  /** Address of the model's folder. */
  model: string;
  name: string;
  text: string;
}

const tell = (line: string, ended = false): void => self.postMessage({ line, ended } satisfies Told);

let abort = new AbortController();

self.onmessage = async ({ data }: MessageEvent<Asked | "stop">) => {
  if (data === "stop") return abort.abort();
  abort = new AbortController();
  try {
    await learn(data, abort.signal);
  } catch (error) {
    // A mistake that the visitor can mend is a sentence that says how.
    if (!(error instanceof UserError)) throw error;
    tell(error.message, true);
  }
};

async function learn({ model, name, text }: Asked, signal: AbortSignal): Promise<void> {
  const { finished } = await fineTune(
    {
      model,
      train: { name, text },
      text: "message",
      label: "team",
      epochs: 4,
      batchSize: 8,
      learningRate: 1e-2,
      headLearningRate: 1e-2,
    },
    {
      signal,
      async onEvent(event) {
        if (event.kind === "start") tell(`${event.totalSteps} steps`);
        if (event.kind === "evaluation") tell(`epoch ${event.epoch}: accuracy ${event.metrics.accuracy!.toFixed(2)}`);
        // Lets the page's "stop" in.
        await new Promise((resolve) => setTimeout(resolve));
      },
    },
  );
  if (!finished) return tell("stopped before the first epoch had ended", true);
  const { adapter, base, runtime } = finished;
  const tuned = await FineTunedModel.adapt(base, adapter, runtime);
  const { label } = await tuned.predict("My card was charged twice");
  await tuned.release();
  const bytes = adapterBytes(adapter)["adapter.safetensors"]!.length;
  tell(`My card was charged twice → ${label}; the adapter has ${bytes} bytes`, true);
}
