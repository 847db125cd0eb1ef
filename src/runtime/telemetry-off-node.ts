import { createRequire } from "node:module";
import { ownUrl } from "../files/package-place-node.ts";

/**
 * On Linux and macOS, ONNX Runtime 1.29 and later report their use, under an id that they store, to Microsoft, unless
 * this variable is set before the first session (https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md).
 */
const NAME = "ORT_DISABLE_TELEMETRY";
process.env[NAME] ??= "1";

// Bun does not pass variables that a program sets to the C library, where native code reads them.
if ("bun" in process.versions && process.platform !== "win32") {
  const library = process.platform === "darwin" ? "/usr/lib/libSystem.B.dylib" : "libc.so.6";
  try {
    const { dlopen } = createRequire(ownUrl())("bun:ffi");
    const { setenv } = dlopen(library, { setenv: { args: ["cstring", "cstring", "int"], returns: "int" } }).symbols;
    setenv(Buffer.from(`${NAME}\0`), Buffer.from(`${process.env[NAME]}\0`), 1);
  } catch {
    console.warn(`ONNX Runtime may report to Microsoft what it runs; set ${NAME}=1 in the shell`);
  }
}
