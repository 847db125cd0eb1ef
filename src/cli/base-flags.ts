import { checkOptions } from "../errors.ts";
import { askingOptions } from "../fine-tuning/run-options-node.ts";
import type { BaseModel } from "../model/base-model.ts";
import type { BaseOptions } from "../model/open-adapter-node.ts";
import { BASE_FORMATS, type BaseFormat } from "../models/base-format.ts";
import { downloadLine } from "./terminal/download-line.ts";

/** What a command says of the base model of the run that it asks. */
export interface BaseFlags {
  model?: string | undefined;
  base?: BaseFormat | undefined;
  offline?: boolean | undefined;
}

/** The same as loading takes it, with a line that shows a download. @throws UserError where it is malformed. */
export function baseOptions({ model, offline, base }: BaseFlags): BaseOptions {
  const checked = checkOptions(askingOptions.pick({ base: true }), { base });
  return { model, offline, base: checked.base, onProgress: downloadLine() };
}

/** Says on stderr where a base is stored in fewer bits than float32's, and why. */
export function noteBaseFormat({ format }: Pick<BaseModel, "format">, { base }: BaseFlags): void {
  if (base !== undefined || format === "float32") return;
  const why = BASE_FORMATS.includes(format)
    ? "because float32 would not fit into free memory (--base float32 uses it anyway)"
    : "which is nearest to its file (--base float32 scales it back)";
  process.stderr.write(`note: the base model is in ${format}, ${why}\n`);
}
