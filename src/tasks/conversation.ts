import { didYouMean, type UserError } from "../errors.ts";
import type { ChatMessage } from "../inputs/chat-template.ts";
import { type Cell, cellError } from "./rows.ts";

/** Known roles in a conversation. The model's chat template decides which of them the model supports. */
const ROLES = ["system", "developer", "user", "assistant", "tool"];

/** ShareGPT's names of these roles. */
const OLDER_ROLES: Readonly<Record<string, string>> = { human: "user", gpt: "assistant" };

export interface Conversation {
  messages: ChatMessage[];
  tools?: unknown[];
}

/**
 * Reads a conversation from a cell: a list of `{ role, content }`, as in OpenAI and Hugging Face formats, or of `{
 * from, value }`, as in ShareGPT. Contents are texts or lists of text parts.
 */
export function conversationOf(cell: Cell, tools?: Cell): Conversation {
  const messages = messagesIn(cell);
  if (!messages.some(({ role }) => role === "assistant")) {
    throw cellError(cell, "the assistant has no turn to learn from");
  }
  const given = toolsOf(tools);
  return { messages, ...(given && { tools: given }) };
}

export function messagesIn(cell: Cell): ChatMessage[] {
  const turns = cell.value;
  if (!Array.isArray(turns) || turns.length === 0) {
    throw cellError(cell, "no conversation", '; write a list of {"role": "user", "content": "…"}');
  }
  return turns.map((turn, i) => messageOf(cell, turn, i + 1));
}

function messageOf(cell: Cell, turn: unknown, number: number): ChatMessage {
  const refuse = (what: string, help = ""): UserError => cellError(cell, `turn ${number} has ${what}`, help);
  if (typeof turn !== "object" || turn === null) throw refuse('no form {"role": …, "content": …}');
  const { from, value, ...fields } = turn as Record<string, unknown>;
  const named = fields.role ?? from;
  const role = OLDER_ROLES[String(named)] ?? named;
  if (typeof role !== "string" || !ROLES.includes(role)) {
    throw refuse(
      `the unknown role "${role ?? ""}"`,
      `; roles are ${ROLES.join(", ")}${didYouMean(String(role), ROLES)}`,
    );
  }
  const content = contentOf(fields.content ?? value ?? null);
  if (content === undefined) throw refuse("content that is not text");
  // A turn may consist of tool calls only.
  if (role === "assistant" && !content?.trim() && !hasCalls(fields)) throw refuse("an empty answer of the assistant");
  return { ...fields, role, content };
}

const hasCalls = ({ tool_calls: calls }: Record<string, unknown>): boolean => Array.isArray(calls) && calls.length > 0;

function contentOf(content: unknown): string | null | undefined {
  if (content === null || typeof content === "string") return content;
  if (!Array.isArray(content)) return undefined;
  const parts = content.map((part) => (part?.type === "text" && typeof part.text === "string" ? part.text : undefined));
  return parts.includes(undefined) ? undefined : parts.join("");
}

function toolsOf(cell: Cell | undefined): unknown[] | undefined {
  let value = cell?.value;
  if (typeof value === "string" && value.trim() !== "") {
    try {
      value = JSON.parse(value);
    } catch {
      throw cellError(cell!, "tools that are not JSON");
    }
  }
  if (!value || (Array.isArray(value) && value.length === 0)) return undefined;
  if (Array.isArray(value)) return value;
  throw cellError(cell!, "tools that are not a list");
}
