#!/usr/bin/env node
import { runCommandLine } from "./program.ts";

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // A reader that has seen enough, such as head, is no error.
  if (error.code === "EPIPE") return;
  process.stderr.write(`error: cannot write the output: ${error.message}; free some space, or write it elsewhere\n`);
  process.exit(2);
});
// Where nobody can be told, the command does its work all the same.
process.stderr.on("error", () => {});

await runCommandLine(process.argv.slice(2));
