import { nodeRuntime } from "../../src/runtime/runtime-node.ts";

/** ONNX Runtime on the CPU with one thread: tests run beside each other. */
export const runtime = nodeRuntime({ threads: 1 });
