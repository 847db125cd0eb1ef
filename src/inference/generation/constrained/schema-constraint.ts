import { UserError } from "../../../errors.ts";
import { isDeep } from "../../../files/json.ts";
import type { Tokenizer } from "../../../inputs/tokenizer.ts";
import { inSlices } from "../../../runtime/slices.ts";
import { AnswerConstraint } from "./answer-constraint.ts";
import { ByteAutomaton, expressionsOf } from "./byte-automaton.ts";
import type { Expression } from "./expressions.ts";
import { grammarOfSchema } from "./json-schema.ts";
import { KeptMemory } from "./kept-memory.ts";
import { refused } from "./schema-values.ts";
import { LONGEST_TOKEN, Vocabulary } from "./vocabulary.ts";

/** A JSON schema, whose keywords are in docs/language-models.md. */
export type JsonSchema = boolean | Readonly<Record<string, unknown>>;

const KEPT_SCHEMAS = 8;
/** Maximum cached memory of these and of the schemas of running answers, in bytes. */
const KEPT_BYTES = 160e6;
const KEEPERS = 16;

interface Known {
  vocabulary: Promise<Vocabulary>;
  /** By the schema as JSON. The most recently used are last. */
  constraints: Map<string, AnswerConstraint>;
}

const sharedMemory = new KeptMemory(KEPT_BYTES, KEEPERS);
const bytesOf = new WeakMap<Tokenizer, readonly (Uint8Array | undefined)[]>();
const knownOf = new WeakMap<Tokenizer, Known>();

export function tokenBytesOf(tokenizer: Tokenizer): readonly (Uint8Array | undefined)[] {
  const bytes = bytesOf.get(tokenizer) ?? tokenizer.tokenBytes();
  bytesOf.set(tokenizer, bytes);
  return bytes;
}

function knownFor(tokenizer: Tokenizer): Known {
  let known = knownOf.get(tokenizer);
  if (!known) {
    const vocabulary = inSlices(Vocabulary.build(tokenBytesOf(tokenizer))) as Promise<Vocabulary>;
    known = { vocabulary, constraints: new Map() };
    knownOf.set(tokenizer, known);
  }
  return known;
}

export async function constraintOf(
  schema: JsonSchema,
  tokenizer: Tokenizer,
  ended?: () => boolean,
): Promise<AnswerConstraint | undefined> {
  if (isDeep(schema)) throw new UserError("the JSON schema has values nested more than 100 deep; make it flatter");
  const { vocabulary, constraints } = knownFor(tokenizer);
  const key = JSON.stringify(schema);
  const constraint = constraints.get(key) ?? (await newConstraint(schema, await vocabulary, sharedMemory, ended));
  if (!constraint) return undefined;
  constraints.delete(key);
  constraints.set(key, constraint);
  if (constraints.size > KEPT_SCHEMAS) constraints.delete(constraints.keys().next().value!);
  return constraint;
}

export async function newConstraint(
  schema: JsonSchema,
  vocabulary: Vocabulary,
  memory: KeptMemory,
  ended?: () => boolean,
): Promise<AnswerConstraint | undefined> {
  const compiled = await inSlices(grammarOfSchema(schema), ended);
  if (!compiled) return undefined;
  const { grammar, root } = compiled;
  const refusal = (expressions: readonly Expression[], why: string): UserError =>
    refused(grammar.placeOf(expressions) ?? "#", why);
  const automaton = new ByteAutomaton(grammar, root, LONGEST_TOKEN, (expressions) =>
    refusal(expressions, "can be read in too many ways at once; make it simpler"),
  );
  return new AnswerConstraint(automaton, vocabulary, memory, ({ continuations }) =>
    refusal(expressionsOf(continuations), "takes too long to follow; make it simpler"),
  );
}
