import type { FineTunedModel } from "../inference/fine-tuned-model.ts";
import { decimalsOf } from "../tasks/vectors.ts";
import type { EmbeddingsRequest, RerankRequest } from "./openai-requests.ts";

/**
 * Response of `POST /v1/embeddings` (https://platform.openai.com/docs/api-reference/embeddings).
 * @throws UserError as `FineTunedModel.embed`; the signal's reason
 */
export async function embeddingsAnswer(model: FineTunedModel, request: EmbeddingsRequest, signal: AbortSignal) {
  const { encoding_format, dimensions } = request;
  const ids = inputsOf(request.input).map((each) => (typeof each === "string" ? model.tokenIds(each) : each));
  const vectors = await model.embed(ids, { dimensions: dimensions ?? undefined, signal });
  const written = encoding_format === "base64" ? base64Of : decimalsOf;
  const prompt_tokens = ids.reduce((sum, { length }) => sum + length, 0);
  return {
    object: "list",
    data: vectors.map((vector, index) => ({ object: "embedding", index, embedding: written(vector) })),
    model: request.model,
    usage: { prompt_tokens, total_tokens: prompt_tokens },
  };
}

/** Turns a single text, or its tokens, into a list. */
function inputsOf(input: EmbeddingsRequest["input"]): readonly (string | readonly number[])[] {
  if (typeof input === "string") return [input];
  return typeof input[0] === "number" ? [input as number[]] : (input as string[] | number[][]);
}

/** Bytes of float32, as OpenAI's clients expect. */
const base64Of = ({ buffer, byteOffset, byteLength }: Float32Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString("base64");

/**
 * Response of `POST /v1/rerank`: documents sorted by how well they answer the query. `relevance_score` is the sigmoid of the logit, as
 * for other servers.
 * @throws UserError as `FineTunedModel.rerank`; the signal's reason
 */
export async function rerankAnswer(model: FineTunedModel, request: RerankRequest, signal: AbortSignal) {
  const { query, documents, top_n, return_documents } = request;
  const ranked = await model.rerank(query, documents, { signal });
  return {
    model: request.model,
    results: ranked.slice(0, top_n ?? documents.length).map(({ index, logit, sigmoid }) => ({
      index,
      relevance_score: sigmoid,
      logit,
      ...(return_documents && { document: { text: documents[index]! } }),
    })),
  };
}
