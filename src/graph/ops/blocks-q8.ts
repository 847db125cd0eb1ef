import { packBytes } from "../number-blocks.ts";
import { GROUP } from "../quantize.ts";
import { asFloat32, float32, type Tensor } from "../tensor.ts";
import { lookupBytes, multiplyBytes } from "./table-int8.ts";
import { type LayerFormat, type LinearFormat, like, type MatrixShape, type TableFormat } from "./weight-format.ts";

type Part = "bytes" | "scales";

const tensorsOf = (numbers: Int8Array, scales: Float32Array, [rows, width]: MatrixShape): Record<Part, Tensor> => ({
  bytes: { ...like("int8", rows, width), data: numbers as Int8Array<ArrayBuffer> },
  scales: float32([rows, width / GROUP], scales as Float32Array<ArrayBuffer>),
});

const multiply: LinearFormat<Part>["linear"] = (x, { bytes, scales }, _shape, bias) =>
  multiplyBytes(x, bytes, scales, true, bias);

/** GGUF's Q8_0: blocks of 32 numbers of a row in 8 bits, `scale · q`, for layers and for token embeddings. */
export const q8_0: LayerFormat<Part> & TableFormat<Part> = {
  takes: (width) => width % GROUP === 0,
  parts: (rows, width) => ({ bytes: like("int8", rows, width), scales: like("float32", rows, width / GROUP) }),
  quantize({ shape, data }) {
    const { numbers, scales } = packBytes(data);
    return tensorsOf(numbers as Int8Array, scales, shape as [number, number]);
  },
  fromBlocks: ({ bits, numbers, scales }, shape) =>
    bits === 8 ? tensorsOf(numbers as Int8Array, scales, shape) : undefined,
  dequantize({ bytes, scales }, shape) {
    const factors = asFloat32(scales).data;
    return float32(
      shape,
      Float32Array.from(bytes.data as Int8Array, (byte, i) => byte * factors[Math.floor(i / GROUP)]!),
    );
  },
  lookup: ({ bytes, scales }, indices) => lookupBytes(bytes, scales, indices),
  linear: multiply,
  joined: { linear: multiply },
};
