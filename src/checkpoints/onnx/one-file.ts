import type { ModelFiles } from "../model-files.ts";
import { onnxFormat } from "./onnx-format.ts";

/**
 * Returns a model's files with one ONNX file as its weights, and no others.
 * @param path the ONNX file's name, with its folder unless config.json is beside it: `onnx/model_q4.onnx`
 */
export const filesWithOnnx = (folder: ModelFiles, path: string): ModelFiles => ({
  location: folder.location,
  formats: [onnxFormat(path)],
  open: async (name) => (/^(model\.safetensors|pytorch_model\.bin)/.test(name) ? undefined : folder.open(name)),
});
