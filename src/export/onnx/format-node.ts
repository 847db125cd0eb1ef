import { z } from "zod";
import { dot, unitVector } from "../../tasks/vectors.ts";
import { difference, type ExportFormat } from "../export-format.ts";
import { diskFolder } from "../output-folder-node.ts";
import { type OnnxType, writeOnnxFolder } from "./folder.ts";
import { onnxOutputs } from "./outputs-node.ts";
import { ONNX_QUANTIZATIONS } from "./quantize.ts";

const options = z.object({
  dtype: z
    .enum(["float32", ...ONNX_QUANTIZATIONS])
    .default("float32")
    .describe("q8 and q4 also write a model with 8-bit or 4-bit weights"),
});

export const onnxFormat: ExportFormat<typeof options> = {
  name: "onnx",
  summary: "a folder for Transformers.js and ONNX Runtime",
  library: "transformers.js",
  options,
  merges: true,
  async write({ folder, base, adapter, weights, options: { dtype }, runtime, examples, expected, ...told }) {
    const quantization = dtype === "float32" ? undefined : dtype;
    await writeOnnxFolder(diskFolder(folder), base, adapter.description, weights, {
      quantization,
      onWriting: told.onWriting,
    });
    await told.onWritten();
    const outputsOf = (type: OnnxType) => onnxOutputs(folder, type, base, adapter, runtime, examples);
    const whole = await outputsOf("float32");
    const largestDifference = difference(expected, whole.values);
    if (!quantization) return { largestDifference };
    const { values, likeliest } = await outputsOf(quantization);
    const agreement =
      base.head === "pooled"
        ? { leastCosine: leastCosine(expected, values) }
        : { sameLabel: shareOfSameLabels(whole.likeliest, likeliest) };
    return { largestDifference, quantized: { dtype, largestDifference: difference(expected, values), ...agreement } };
  },
};

function shareOfSameLabels(expected: readonly Int32Array[], found: readonly Int32Array[]): number {
  const same = expected.flatMap((likeliest, i) => Array.from(likeliest, (output, row) => output === found[i]![row]));
  return same.filter(Boolean).length / same.length;
}

const leastCosine = (expected: readonly Float32Array[], found: readonly Float32Array[]): number =>
  Math.min(...expected.map((vector, i) => dot(unitVector(vector), unitVector(found[i]!))));
