import type { FineTunedModel } from "../inference/fine-tuned-model.ts";
import { decimalsOf } from "../tasks/vectors.ts";
import type { EmbeddingsRequest, RerankRequest } from "./openai-requests.ts";

/**
 * What `POST /v1/embeddings` answers (https://platform.openai.com/docs/api-reference/embeddings).
 * @throws UserError as `FineTunedModel.embed`; the signal's reason.
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

/** A text alone, or the tokens of one, are a list of one. */
function inputsOf(input: EmbeddingsRequest["input"]): readonly (string | readonly number[])[] {
  if (typeof input === "string") return [input];
  return typeof input[0] === "number" ? [input as number[]] : (input as string[] | number[][]);
}

/** Bytes of float32, as OpenAI's clients read them. */
const base64Of = ({ buffer, byteOffset, byteLength }: Float32Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString("base64");

/**
 * What `POST /v1/rerank` answers: documents by how well they answer the query, the best first. `relevance_score` is the logit's
 * sigmoid, as other servers have it.
 * @throws UserError as `FineTunedModel.rerank`; the signal's reason.
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
