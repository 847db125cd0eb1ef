import { randomUUID } from "node:crypto";
import { nowInSeconds } from "./choice-forms.ts";
import { callOf } from "./forced-calls.ts";
import type { ResponsesRequest } from "./responses-request.ts";
import type { SentEvent, ShownAnswer, Usage, WritingForm } from "./writing-form.ts";

/**
 * The form of OpenAI's responses: a list of items, or named events for a stream.
 * @param isCall whether an answer is a function call
 * @see https://platform.openai.com/docs/api-reference/responses
 */
export function responseForm(request: ResponsesRequest, isCall: boolean): WritingForm {
  return {
    body: (_, answers, used) => {
      const [answer] = answers as [ShownAnswer];
      return ended(beginning(request), answer, [item(answer, isCall, itemId(isCall))], used);
    },
    stream: () => streamOf(request, isCall),
  };
}

type Response = ReturnType<typeof beginning>;
type Item = ReturnType<typeof item>;

/** A response before its answer. */
const beginning = (request: ResponsesRequest) => ({
  id: `resp_${randomUUID()}`,
  object: "response",
  created_at: nowInSeconds(),
  status: "in_progress",
  error: null,
  incomplete_details: null as { reason: string } | null,
  instructions: request.instructions ?? null,
  max_output_tokens: request.max_output_tokens ?? null,
  metadata: request.metadata ?? {},
  model: request.model,
  output: [] as object[],
  parallel_tool_calls: false,
  previous_response_id: null,
  store: false,
  temperature: request.temperature ?? null,
  text: { format: request.text?.format ?? { type: "text" } },
  tool_choice: request.tool_choice ?? "auto",
  tools: request.tools ?? [],
  top_p: request.top_p ?? null,
  usage: null as object | null,
});

const ended = (response: Response, { reason }: ShownAnswer, output: Item[], used: Usage): Response => ({
  ...response,
  status: statusOf(reason),
  incomplete_details: reason === "length" ? { reason: "max_output_tokens" } : null,
  output,
  usage: {
    input_tokens: used.prompt_tokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: used.completion_tokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: used.total_tokens,
  },
});

const statusOf = (reason: string): string => (reason === "length" ? "incomplete" : "completed");
const itemId = (isCall: boolean): string => `${isCall ? "fc" : "msg"}_${randomUUID()}`;

/** An answer as an item: a call, or a message if it is none or was cut. */
function item(answer: ShownAnswer, isCall: boolean, id: string) {
  const status = statusOf(answer.reason);
  const call = isCall ? callOf(answer.text) : undefined;
  if (!call) return { id, type: "message", status, role: "assistant", content: [part(answer)] };
  return { id, type: "function_call", status, call_id: call.id, name: call.name, arguments: call.arguments };
}

const part = ({ text, logprobs }: Pick<ShownAnswer, "text" | "logprobs">) => ({
  type: "output_text",
  text,
  annotations: [],
  logprobs: logprobs ?? [],
});

function streamOf(request: ResponsesRequest, isCall: boolean) {
  const response = beginning(request);
  const id = itemId(isCall);
  let sequence = 0;
  const sent = (type: string, fields: object): SentEvent => ({
    event: type,
    data: { type, sequence_number: sequence++, ...fields },
  });
  const place = { output_index: 0, item_id: id, content_index: 0 };
  const added = (first: object): SentEvent => sent("response.output_item.added", { output_index: 0, item: first });
  const done = (last: Item): SentEvent => sent("response.output_item.done", { output_index: 0, item: last });
  const message = { id, type: "message", status: "in_progress", role: "assistant", content: [] };
  const begun = (): SentEvent[] => [
    added(message),
    sent("response.content_part.added", { ...place, part: part({ text: "", logprobs: null }) }),
  ];
  const textDone = (answer: ShownAnswer, last: Item): SentEvent[] => [
    sent("response.output_text.done", { ...place, text: answer.text, logprobs: answer.logprobs ?? [] }),
    sent("response.content_part.done", { ...place, part: part(answer) }),
    done(last),
  ];
  const callDone = (last: Item & { arguments: string }): SentEvent[] => [
    added({ ...last, status: "in_progress", arguments: "" }),
    sent("response.function_call_arguments.delta", { output_index: 0, item_id: id, delta: last.arguments }),
    sent("response.function_call_arguments.done", { output_index: 0, item_id: id, arguments: last.arguments }),
    done(last),
  ];
  return {
    opening: (): SentEvent[] => [
      sent("response.created", { response }),
      sent("response.in_progress", { response }),
      ...(isCall ? [] : begun()),
    ],
    piece: (_: number, delta: string, logprobs: ShownAnswer["logprobs"]): SentEvent[] =>
      // Only a complete answer shows whether it is a call.
      isCall || delta === "" ? [] : [sent("response.output_text.delta", { ...place, delta, logprobs: logprobs ?? [] })],
    /** A response has one answer, so the usage is known. */
    last(_: number, answer: ShownAnswer, used: Usage | undefined): SentEvent[] {
      const last = item(answer, isCall, id);
      const parts =
        last.arguments !== undefined ? callDone(last) : [...(isCall ? begun() : []), ...textDone(answer, last)];
      const name = answer.reason === "length" ? "response.incomplete" : "response.completed";
      return [...parts, sent(name, { response: ended(response, answer, [last], used!) })];
    },
  };
}
