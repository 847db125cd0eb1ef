import type { HubOptions } from "../checkpoints/hub-repository-node.ts";
import { modelFiles } from "../checkpoints/model-folder-node.ts";
import type { Adapter } from "./adapter.ts";
import { readPooling } from "./base-model.ts";
import { describeModelAt } from "./describe-model-node.ts";
import { resolveModelFolder } from "./load-base-model-node.ts";
import { adapterOfUntuned } from "./untuned-adapter.ts";

export async function untunedAdapter(
  model: string,
  { kind, ...hub }: HubOptions & { kind?: string | undefined } = {},
): Promise<Adapter> {
  const directory = await resolveModelFolder(model, hub);
  const { raw, description } = await describeModelAt(directory);
  const pooling = await readPooling(await modelFiles(directory));
  return adapterOfUntuned(model, { raw, ...description, pooling }, { kind, revision: hub.revision });
}
