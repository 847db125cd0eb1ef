import { z } from "zod";
import { METHODS } from "../methods/methods.ts";
import { runOptions } from "../preparation/run-options-node.ts";
import { TASK_KINDS } from "../tasks/task-kinds.ts";

/**
 * JSON Schema of a config file: the options of a run, and those of all kinds of task and methods, from which the flags are made too. An
 * option that several methods have takes what any of them takes.
 */
export function configSchema(): Record<string, unknown> {
  const parts = [
    runOptions,
    ...TASK_KINDS.all.flatMap(({ options }) => options ?? []),
    ...METHODS.all.map(({ options }) => options),
  ];
  const forms = new Map<string, Set<string>>();
  for (const part of new Set(parts)) {
    for (const [name, option] of Object.entries(part.shape)) {
      // A default belongs to one method, or depends on the data.
      const { $schema, default: _default, ...form } = z.toJSONSchema(option, { io: "input", unrepresentable: "any" });
      forms.set(name, (forms.get(name) ?? new Set()).add(JSON.stringify(form)));
    }
  }
  const properties = [...forms].map(([name, found]) => {
    const each = [...found].map((form): unknown => JSON.parse(form));
    return [name, each.length === 1 ? each[0] : { anyOf: each }];
  });
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Options of aflora train",
    type: "object",
    properties: { $schema: { type: "string" }, ...Object.fromEntries(properties) },
    additionalProperties: false,
  };
}
