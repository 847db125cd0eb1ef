#!/usr/bin/env node
import { runCommandLine } from "./program.ts";

// A reader that has seen enough, such as head, is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

await runCommandLine(process.argv.slice(2));
