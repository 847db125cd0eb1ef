import { ELEMENT_TYPE, type Value } from "../graph.ts";
import { quantizeMatrix } from "../quantize.ts";
import { float32 } from "../tensor.ts";
import { define, fail, requireIndices, requireType } from "./define.ts";
import { like, type TableFormat } from "./weight-format.ts";

const LOOKUP_INT8 = define<[Value, Value, Value]>({
  name: "LookupInt8",
  infer(inputs) {
    const [bytes, scales, indices] = inputs;
    requireType("LookupInt8", [bytes], ["int8"]);
    requireType("LookupInt8", [scales], ["float32"]);
    requireIndices("LookupInt8", inputs, [indices]);
    if (bytes.shape.length !== 2 || scales.shape.join() !== [bytes.shape[0], 1].join()) {
      fail("LookupInt8", inputs, "takes a table [rows, width] with scales [rows, 1]");
    }
    return [{ dtype: "float32", shape: [...indices.shape, bytes.shape[1]!] }];
  },
  onnx({ inputs: [bytes, scales, indices], outputs }, emitter) {
    const attributes = { axis: 0 };
    const rows = emitter.emit("Gather", [bytes, indices], { attributes });
    const numbers = emitter.emit("Cast", [rows], { attributes: { to: ELEMENT_TYPE.float32 } });
    emitter.emit("Mul", [numbers, emitter.emit("Gather", [scales, indices], { attributes })], { outputs });
  },
});

/** Tables in 8 bits with a scale for each row. */
export const rows8: TableFormat<"bytes" | "scales"> = {
  parts: (rows, width) => ({ bytes: like("int8", rows, width), scales: like("float32", rows, 1) }),
  quantize({ shape, data }) {
    const [rows, width] = shape as [number, number];
    const { values, scales } = quantizeMatrix(data, width);
    return { bytes: { ...like("int8", rows, width), data: values }, scales: float32([rows, 1], scales) };
  },
  lookup: ({ bytes, scales }, indices) => bytes.graph.apply(LOOKUP_INT8, [bytes, scales, indices], {}),
};
