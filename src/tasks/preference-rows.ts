import { UserError } from "../errors.ts";
import type { ChatMessage } from "../inputs/chat-template.ts";
import { conversationOf, messagesIn } from "./conversation.ts";
import type { Example } from "./example.ts";
import type { PreferenceRows } from "./losses/preference-losses.ts";
import { type Cell, type Columns, cellError, columnOf, list, type Table, textOf } from "./rows.ts";

type PromptedAnswers = Pick<Example, "text" | "messages" | "tools" | "place"> & { answers: string[] };

const has = ({ columns }: Table, name: string): boolean => columns.includes(name);

export const holdsPairs = (table: Table): boolean => has(table, "chosen") && has(table, "rejected");

export const holdsJudged = (table: Table): boolean =>
  ["prompt", "completion", "label"].every((name) => has(table, name)) &&
  columnOf(table, "label").every((cell) => verdictOf(cell) !== undefined);

/**
 * Makes examples from pairs (`prompt`, `chosen`, `rejected`) or judged answers (`prompt`, `completion`, `label`), in
 * TRL's formats: texts, or lists of messages. Without a prompt column, the prompt is the common beginning of both
 * answers.
 */
export function preferenceExamples(
  table: Table,
  named: Partial<Columns>,
): { rows: PreferenceRows; examples: Omit<Example, "index">[] } {
  const judged = !holdsPairs(table) && (has(table, "completion") || named.textPair !== undefined);
  if (!judged && !holdsPairs(table)) {
    throw new UserError(
      `${table.source} has the columns ${list(table.columns)}; preferences need chosen and rejected, usually with prompt, or prompt, completion and label`,
    );
  }
  const prompt = named.text ?? "prompt";
  const prompts = named.text !== undefined || has(table, prompt) ? columnOf(table, prompt) : undefined;
  const tools = has(table, "tools") ? columnOf(table, "tools") : undefined;
  const answersIn = (columns: readonly string[]): PromptedAnswers[] => {
    const cells = columns.map((column) => columnOf(table, column));
    return table.rows.map((_, row) =>
      answeredBy(
        cells.map((column) => column.at(row)!),
        prompts?.at(row),
        tools?.at(row),
      ),
    );
  };
  if (!judged) return { rows: "pairs", examples: answersIn(["chosen", "rejected"]).map(exampleOf) };
  const verdicts = columnOf(table, named.label ?? "label").map((cell) => {
    const verdict = verdictOf(cell);
    if (verdict === undefined) throw cellError(cell, `"${cell.value ?? ""}" is neither true nor false`);
    return verdict;
  });
  const answered = answersIn([named.textPair ?? "completion"]);
  // The model's distance from its start is measured on answers to other prompts: each row uses that of the previous row.
  const examples = answered.map((each, row) => {
    const { answers: others } = answered.at(row - 1)!;
    return { ...exampleOf({ ...each, answers: [...each.answers, ...others] }), label: verdicts[row]! };
  });
  return { rows: "judged", examples };
}

/** 1 for a good answer, 0 for a bad one; undefined if a cell is neither. */
function verdictOf({ value }: Cell): 0 | 1 | undefined {
  const text = String(value ?? "")
    .trim()
    .toLowerCase();
  if (text === "true" || text === "1") return 1;
  return text === "false" || text === "0" ? 0 : undefined;
}

const isConversation = ({ value }: Cell): boolean => Array.isArray(value);

function answeredBy(answers: readonly Cell[], prompt: Cell | undefined, tools: Cell | undefined): PromptedAnswers {
  const [first] = answers as [Cell];
  if (isConversation(first) || (prompt && isConversation(prompt))) return conversationsWith(answers, prompt, tools);
  const texts = answers.map((cell) => {
    const text = textOf(cell);
    if (text.trim() === "") throw cellError(cell, "an empty answer", "; there is nothing to learn from it");
    return text;
  });
  if (prompt) return { place: prompt.place, text: textOf(prompt), answers: texts };
  // The prompt is the common beginning of both, up to its last white space.
  const shared = sharedText(texts);
  return { place: first.place, text: shared, answers: texts.map((text) => text.slice(shared.length)) };
}

function sharedText([first = "", ...others]: readonly string[]): string {
  let length = 0;
  while (length < first.length && others.every((other) => other[length] === first[length])) length++;
  return first.slice(0, first.slice(0, length).search(/\S*$/));
}

function conversationsWith(
  answers: readonly Cell[],
  prompt: Cell | undefined,
  tools: Cell | undefined,
): PromptedAnswers {
  const given = prompt && (isConversation(prompt) ? messagesIn(prompt) : [{ role: "user", content: textOf(prompt) }]);
  const turns = answers.map((cell) =>
    isConversation(cell) ? messagesIn(cell) : [{ role: "assistant", content: textOf(cell) }],
  );
  const asked = given ?? turns[0]!.slice(0, -1);
  const contents = turns.map((each, i) => {
    const own = given ? each : each.slice(asked.length);
    const isSame = given !== undefined || JSON.stringify(each.slice(0, -1)) === JSON.stringify(asked);
    const [answer] = own;
    if (isSame && own.length === 1 && answer?.role === "assistant" && answer.content?.trim()) return answer.content;
    throw cellError(
      answers[i]!,
      "no single answer of the assistant to the same prompt",
      '; write the turns before it as "prompt", and the answer alone here',
    );
  });
  const whole = { ...answers[0]!, value: [...asked, { role: "assistant", content: contents[0]! }] };
  const conversation = conversationOf(whole, tools);
  const question = asked.findLast(({ role }) => role === "user");
  return { place: answers[0]!.place, text: question?.content ?? "", ...conversation, answers: contents };
}

function exampleOf({ answers: [first, ...others], messages, ...asked }: PromptedAnswers): Omit<Example, "index"> {
  return { ...asked, ...(messages ? { messages } : { textPair: first! }), texts: others };
}

export function withAnswer(example: Example, which: number): Example {
  const { texts = [], ...first } = example;
  if (which === 0) return first;
  const answer = texts[which - 1]!;
  if (!first.messages) return { ...first, textPair: answer };
  const turn: ChatMessage = { role: "assistant", content: answer };
  return { ...first, messages: [...first.messages.slice(0, -1), turn] };
}
