import { urlFiles } from "../../src/checkpoints/model-files.ts";
import { webRuntime } from "../../src/runtime/runtime-web.ts";
import { answerPage } from "./answer.ts";
import { type FiveSteps, fiveSteps } from "./five-steps.ts";

/** What the page asks for. */
export interface FiveStepsRequest {
  threads: number;
  /** Address of the model's folder. */
  model: string;
  /** Address of the data. */
  data: string;
}

answerPage(async ({ threads, model, data }: FiveStepsRequest): Promise<FiveSteps> => {
  const tsv = await (await fetch(data)).text();
  return fiveSteps(await webRuntime({ threads }), urlFiles(model), tsv);
});
