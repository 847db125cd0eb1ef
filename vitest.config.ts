import { defineConfig } from "vitest/config";
import LongestFirst from "./test/support/longest-first.ts";

// As in a user's shell: `npm test` leaves what would make the command's hints say `npx aflora`.
delete process.env.npm_command;
// As aflora sets it: some tests run ONNX Runtime without aflora.
process.env.ORT_DISABLE_TELEMETRY = "1";

/** Tests by how they run; a file's name or folder says which of them it belongs to. */
const project = (
  name: string,
  include: string,
  more: { exclude?: string[]; globalSetup?: string | string[]; isolate?: boolean } = {},
) => ({
  extends: true as const,
  test: { name, include: [include], ...more },
});
const globalSetup = "./test/support/build.ts";

export default defineConfig({
  test: {
    projects: [
      // Files of these two share a process, which reads the sources once.
      project("unit", "test/**/*.test.ts", {
        exclude: ["test/**/*.{integration,alone,browser,endurance}.test.ts", "test/docs/**"],
        isolate: false,
      }),
      project("integration", "test/**/*.integration.test.ts", { globalSetup, isolate: false }),
      // Each file has a process to itself: it registers something there, or measures its memory.
      project("alone", "test/**/*.alone.test.ts", { globalSetup }),
      project("browser", "test/**/*.browser.test.ts", { globalSetup: [globalSetup, "./test/web/build-page.ts"] }),
      project("endurance", "test/**/*.endurance.test.ts", { globalSetup }),
      project("docs", "test/docs/*.test.ts", {
        exclude: ["**/*.browser.test.ts"],
        globalSetup: "./test/docs/install.ts",
      }),
    ],
    reporters: ["default", "./test/support/skipped-reporter.ts"],
    // For what hangs alone: a busy machine takes a multiple of a quiet one's time.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    expect: { poll: { timeout: 300_000 } },
    sequence: { sequencer: LongestFirst },
    // On two cores: each runs ONNX Runtime with one thread, and waits for disks and processes in a quarter of the time.
    maxWorkers: 3,
    // The projects read the same sources, which are compiled once.
    experimental: { fsModuleCache: true },
  },
});
