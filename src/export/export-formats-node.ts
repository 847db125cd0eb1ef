import type { z } from "zod";
import { Registry } from "../registry.ts";
import type { ExportFormat } from "./export-format.ts";
import { ggufFormat } from "./gguf/adapter-node.ts";
import { mergedFormat } from "./merged-node.ts";
import { onnxFormat } from "./onnx/format-node.ts";
import { peftFormat } from "./peft/format-node.ts";

/**
 * Options of each format (docs/exports.md). A program that registers a format declares its options here, so that they are checked:
 * `declare module "aflora/extend" { interface ExportFormats { … } }`.
 */
export interface ExportFormats {
  peft: z.input<typeof peftFormat.options>;
  onnx: z.input<typeof onnxFormat.options>;
  // No options: zod's type for them would forbid all other keys.
  merged: object;
  gguf: object;
}

/** A format to write, with its options. */
export type ExportOptions = {
  [Name in keyof ExportFormats]: {
    format: Name;
    /** Folder to write. It must be empty or missing. */
    output: string;
  } & ExportFormats[Name];
}[keyof ExportFormats];

export const EXPORT_FORMATS = new Registry<ExportFormat, keyof ExportFormats>("export format", [
  ...[peftFormat, mergedFormat, onnxFormat, ggufFormat],
]);

/**
 * Registers an export format in this process. `exportRun` and `aflora export` then accept its name.
 * @throws UserError if the name is taken
 */
export const registerExportFormat = (format: ExportFormat): void => EXPORT_FORMATS.register(format);
