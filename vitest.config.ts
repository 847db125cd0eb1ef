import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Two workers: each test file runs ONNX Runtime with a thread of its own.
    maxWorkers: 2,
  },
});
