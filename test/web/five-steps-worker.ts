import { webRuntime } from "../../src/runtime/runtime-web.ts";
import { answerPage } from "./answer.ts";
import { type FiveSteps, fiveSteps } from "./five-steps.ts";

/** What the page asks for. */
export interface FiveStepsRequest {
  threads: number;
  /** Address of the model's folder, with a slash at its end. */
  model: string;
  /** Address of the data. */
  data: string;
}

answerPage(async ({ threads, model, data }: FiveStepsRequest): Promise<FiveSteps> => {
  const runtime = await webRuntime({ threads });
  return fiveSteps(runtime, async (file) => {
    const address = file === "data.tsv" ? data : model + file;
    const response = await fetch(address);
    if (!response.ok) throw new Error(`${address}: ${response.status}`);
    return response.arrayBuffer();
  });
});
