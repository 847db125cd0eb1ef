import type { HubOptions } from "../checkpoints/hub-repository-node.ts";
import type { Adapter } from "../inference/adapter.ts";
import { type AddOptions, AdapterHost as Host } from "../inference/adapter-host.ts";
import type { FormatChoice } from "../inference/base-model.ts";
import { loadBaseModel } from "../inference/load-base-model-node.ts";
import { nodeRuntime } from "../runtime/runtime-node.ts";
import type { Runtime } from "../runtime/session.ts";
import { openAdapter } from "./open-adapter.ts";

/** One base model in memory that serves many adapters, which Node can load from folders. */
export class AdapterHost extends Host {
  /**
   * Loads a base model: a folder, the bundled model's name, or `owner/name` on the hub.
   * @param options `format`: how it is stored, in float32 where absent
   * @throws UserError where it is missing, damaged or not supported.
   */
  static async load(
    model: string,
    runtime: Runtime = nodeRuntime(),
    options: HubOptions & { format?: FormatChoice } = {},
  ): Promise<AdapterHost> {
    return new AdapterHost(await loadBaseModel(model, undefined, 0, options), runtime);
  }

  /**
   * Makes an adapter available under a name.
   * @param adapter run folder, adapter folder of aflora's or of Hugging Face PEFT's, or an adapter in memory
   * @throws UserError where it cannot be read or does not fit the base model, or the name is taken and `replace` not asked for.
   */
  override async add(name: string, adapter: string | Adapter, options: AddOptions = {}): Promise<void> {
    const { location } = this.base.files;
    const opened = typeof adapter === "string" ? await openAdapter(adapter, { model: location }) : adapter;
    await super.add(name, opened, options);
  }
}
