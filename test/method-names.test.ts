import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { METHODS, PAPER_METHOD } from "../src/methods/methods.ts";

const SOURCE = fileURLToPath(new URL("../src", import.meta.url));

/** Names that mean other things too: a head is a part of a model as well, and LoRA a type of PEFT's and of GGUF's that any method may take. */
const OTHERWISE: Readonly<Record<string, RegExp>> = {
  head: /part|namesOf|TaskKind|RunConfig|RunSettings|"trace"|"features"|"trainable, average"|^\s*"head",$/,
  lora: /PEFT_FORMS = \["lora"\]|ADAPTER_TYPE = "lora"/,
};

test("outside of methods/ no source file names a method, except aflora, the name of the package", () => {
  const others = METHODS.names.filter((name) => name !== PAPER_METHOD.name);
  const found: string[] = [];
  for (const file of readdirSync(SOURCE, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".ts") || file.startsWith("methods")) continue;
    for (const line of readFileSync(join(SOURCE, file), "utf8").split("\n")) {
      const [, name] = new RegExp(`["'\`](${others.join("|")})["'\`]`).exec(line) ?? [];
      if (name !== undefined && !OTHERWISE[name]?.test(line)) found.push(`${file}: ${line.trim()}`);
    }
  }
  expect(found).toEqual([]);
});
