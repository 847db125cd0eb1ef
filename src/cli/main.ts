#!/usr/bin/env node
import { runCommandLine } from "./program.ts";

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // A reader that closes early, such as head, is no error.
  if (error.code === "EPIPE") return;
  process.stderr.write(`error: cannot write the output: ${error.message}; free some space, or write it elsewhere\n`);
  process.exit(2);
});
// If stderr is closed, the command still does its work.
process.stderr.on("error", () => {});

await runCommandLine(process.argv.slice(2));
