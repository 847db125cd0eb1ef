import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { BaseModel } from "../../base-models/base-model.ts";
import type { ChatTemplate } from "../../inputs/chat-template.ts";

/**
 * Writes the file for `ollama create NAME -f Modelfile` (docs.ollama.com/modelfile): the base model, the adapter, and
 * the chat template as far as Ollama's templates can express it.
 */
export async function writeModelfile(folder: string, base: BaseModel, adapter: string): Promise<void> {
  const { chatTemplate, specialTokens } = base.tokenizer;
  const { bos } = specialTokens;
  // Ollama adds the first token itself.
  const begins = bos && base.tokenizer.encode("a", undefined, 8).inputIds[0] === bos.id;
  const written = chatTemplate && ollamaTemplate(chatTemplate, begins ? bos.text : "");
  const { location } = base.files;
  const lines = [
    "# ollama create NAME -f Modelfile",
    ...(location.endsWith(".gguf")
      ? []
      : [`# Trained on ${base.name}; FROM may also name that model in GGUF, or as Ollama calls it.`]),
    `FROM ${resolve(location)}`,
    `ADAPTER ./${adapter}`,
    ...(written ? [`TEMPLATE """${written.template}"""`] : []),
    ...(written?.system ? [`SYSTEM """${written.system}"""`] : []),
    ...(specialTokens.eos ? [`PARAMETER stop ${JSON.stringify(specialTokens.eos.text)}`] : []),
  ];
  await writeFile(join(folder, "Modelfile"), `${lines.join("\n")}\n`);
}

/** Markers for the texts of a conversation. Templates copy them, and no template contains them. */
const [SYSTEM, FIRST, ANSWER, SECOND] = ["\ufdd0s", "\ufdd0a", "\ufdd0b", "\ufdd0c"];

/**
 * Translates a chat template to Ollama's form (Go's text/template), which writes one exchange. Derived from rendered
 * conversations.
 */
export function ollamaTemplate(
  chat: ChatTemplate,
  bosToken: string,
): { template: string; system?: string } | undefined {
  const user = { role: "user", content: FIRST };
  const turns = [user, { role: "assistant", content: ANSWER }, { role: "user", content: SECOND }];
  const all = between(written(chat, turns, true), [FIRST, ANSWER, SECOND], bosToken);
  const ended = between(written(chat, turns.slice(0, 2), false), [FIRST, ANSWER], bosToken);
  const withSystem = between(
    written(chat, [{ role: "system", content: SYSTEM }, user], true),
    [SYSTEM, FIRST],
    bosToken,
  );
  if (!all || !ended) return undefined;
  const [start, toAnswer, next, prompt] = all as [string, string, string, string];
  const end = ended[2]!;
  const begin = next.slice(end.length);
  // A turn must look the same at each position.
  if (prompt !== toAnswer || !next.startsWith(end) || begin === "" || !start.endsWith(begin)) return undefined;
  const turn = `{{ if .Prompt }}${begin}{{ .Prompt }}${prompt}{{ end }}{{ .Response }}${end}`;
  const [open = "", toUser = ""] = withSystem ?? [];
  if (!toUser.endsWith(begin)) return start === begin ? { template: turn } : undefined;
  const close = toUser.slice(0, -begin.length);
  const template = `{{ if .System }}${open}{{ .System }}${close}{{ end }}${turn}`;
  // Text before the first turn without a system prompt is the template's default system prompt.
  const first = start.slice(0, -begin.length);
  if (first === "") return { template };
  if (!first.startsWith(open) || !first.endsWith(close)) return undefined;
  return { template, system: first.slice(open.length, first.length - close.length) };
}

function written(chat: ChatTemplate, messages: readonly { role: string; content: string }[], prompt: boolean) {
  try {
    return chat.render(messages, { addGenerationPrompt: prompt });
  } catch {
    // Some models have no system role.
    return undefined;
  }
}

function between(text: string | undefined, marks: readonly string[], bosToken: string): string[] | undefined {
  if (text === undefined) return undefined;
  const parts: string[] = [];
  let at = text.startsWith(bosToken) ? bosToken.length : 0;
  for (const mark of marks) {
    const found = text.indexOf(mark, at);
    if (found < 0) return undefined;
    parts.push(text.slice(at, found));
    at = found + mark.length;
  }
  return [...parts, text.slice(at)];
}
