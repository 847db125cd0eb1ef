import { adapterBytes } from "../../src/base-models/adapter.ts";
import { fitAdapter } from "../../src/base-models/fitted-adapter.ts";
import { writeOnnxFolder } from "../../src/export/onnx/folder.ts";
import { writePeftFolder } from "../../src/export/peft/write.ts";
import { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import { mergeWeights } from "../../src/methods/merge.ts";
import type { PageFineTuneOutcome } from "../../src/preparation/fine-tune-in-page.ts";
import type { TextPrediction } from "../../src/tasks/built-in-kinds.ts";
import type { TaskData } from "../../src/tasks/example.ts";
import type { GivenExamples } from "./given-examples.ts";
import { withinMemory } from "./page-memory.ts";
import { type WrongExample, wrongExamples } from "./wrong-examples.ts";
import { zipFolder } from "./zip-folder.ts";

export interface Asked {
  text: string;
  textPair?: string;
  /** The picture whose name is `text`. */
  picture?: Blob;
}

export interface Said {
  line: string;
  /** All labels with their probabilities, likeliest first, if the kind has them. */
  labels: { label: string; probability: number }[];
}

export type TakeFormat = "adapter" | "peft" | "onnx";

export class TunedModel {
  private constructor(
    readonly model: FineTunedModel,
    private readonly finished: Finished,
    private readonly run: TunedRun,
  ) {}

  static async of(finished: Finished, run: TunedRun): Promise<TunedModel> {
    const { adapter, base, runtime } = finished;
    return new TunedModel(await withinMemory(FineTunedModel.adapt(base, adapter, runtime)), finished, run);
  }

  async ask({ text, textPair, picture }: Asked): Promise<Said> {
    if (this.model.writes) {
      const [answer] = await this.model.answers([text], { maxNewTokens: 100 });
      return { line: answer!.text, labels: [] };
    }
    if (picture) this.run.asked.set(text, picture);
    try {
      const shown: TextPrediction = await this.model.predict(textPair ? { text, textPair } : text);
      return { line: this.model.kind.lineOf(shown), labels: shown.labels?.flatMap(withProbability) ?? [] };
    } finally {
      this.run.asked.delete(text);
    }
  }

  async wrong(): Promise<{ of: number; examples: WrongExample[] }> {
    const { examples } = this.run.task.validation[0]!;
    return { of: examples.length, examples: await wrongExamples(this.model, [...examples], this.run.pictures) };
  }

  async take(format: TakeFormat): Promise<Blob> {
    const adapter = this.finished.adapter;
    const { base } = this.model;
    if (format === "adapter")
      return zipFolder("adapter", async (folder) => {
        for (const [name, bytes] of Object.entries(adapterBytes(adapter))) await folder.write(name, bytes);
      });
    const fitted = fitAdapter(base, adapter);
    if (format === "peft")
      return zipFolder("peft-adapter", (folder) => writePeftFolder(folder, base, fitted, adapter.parameters));
    const weights = await mergeWeights(base.weights, fitted.adaptation, fitted.parameters, this.finished.runtime);
    return zipFolder("onnx-model", (folder) => writeOnnxFolder(folder, base, adapter.description, weights));
  }

  release(): Promise<void> {
    return this.model.release();
  }
}

type Finished = NonNullable<PageFineTuneOutcome["finished"]>;

interface TunedRun {
  task: TaskData;
  pictures: GivenExamples["pictures"];
  /** Map in which the model finds other pictures by name. */
  asked: Map<string, Blob>;
}

const withProbability = (entry: { label: string; probability?: number } | string) =>
  typeof entry === "object" && entry.probability !== undefined
    ? [{ label: entry.label, probability: entry.probability }]
    : [];
