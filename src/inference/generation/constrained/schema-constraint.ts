import { UserError } from "../../../errors.ts";
import { isDeep } from "../../../files/json.ts";
import type { Tokenizer } from "../../../tokenization/tokenizer.ts";
import { AnswerConstraint } from "./answer-constraint.ts";
import { ByteAutomaton } from "./byte-automaton.ts";
import { grammarOfSchema } from "./json-schema.ts";
import { LONGEST_TOKEN, Vocabulary } from "./vocabulary.ts";

/** A JSON schema, whose keywords are in docs/language-models.md. */
export type JsonSchema = boolean | Readonly<Record<string, unknown>>;

/** Schemas of a model whose states and costs are kept for the next answer. */
const KEPT_SCHEMAS = 8;

interface Known {
  vocabulary: Vocabulary;
  /** By the schema as JSON; those asked for last stand last. */
  constraints: Map<string, AnswerConstraint>;
}

const knownOf = new WeakMap<Tokenizer, Known>();

function knownFor(tokenizer: Tokenizer): Known {
  let known = knownOf.get(tokenizer);
  if (!known) {
    known = { vocabulary: new Vocabulary(tokenizer.tokenBytes()), constraints: new Map() };
    knownOf.set(tokenizer, known);
  }
  return known;
}

/** What a tokenizer's tokens write; kept for the next time. @throws UserError where its kind is not supported. */
export const vocabularyOf = (tokenizer: Tokenizer): Vocabulary => knownFor(tokenizer).vocabulary;

/**
 * What holds a model's answers to a JSON schema; kept for the next time.
 * @throws UserError where the schema has a keyword that is not supported, or the tokenizer is of a kind that is not.
 */
export function constraintOf(schema: JsonSchema, tokenizer: Tokenizer): AnswerConstraint {
  if (isDeep(schema)) throw new UserError("the JSON schema has values nested more than 100 deep; make it flatter");
  const { vocabulary, constraints } = knownFor(tokenizer);
  const key = JSON.stringify(schema);
  let constraint = constraints.get(key);
  if (!constraint) {
    const { grammar, root } = grammarOfSchema(schema);
    constraint = new AnswerConstraint(new ByteAutomaton(grammar, root, LONGEST_TOKEN), vocabulary);
  }
  constraints.delete(key);
  constraints.set(key, constraint);
  if (constraints.size > KEPT_SCHEMAS) constraints.delete(constraints.keys().next().value!);
  return constraint;
}
