/** Words that people search for, and pattern of the sections that answer them in other words. */
const SEARCHED: readonly [words: string, section: RegExp][] = [
  ["class weights imbalanced unbalanced classes minority", /--class-weights/],
  ["early stopping overfitting", /--patience/],
  ["multi-label multilabel several tags", /multi-label/i],
  ["GPU graphics card CUDA WebGPU accelerator", /--device|WebGPU/],
  ["NER named entity recognition tagging", /token-classification|CoNLL/i],
  ["few-shot few shot small data SetFit", /few rows|SetFit/i],
  ["zero-shot zero shot without labels", /aflora classify/],
  ["quantization quantize 8-bit 4-bit QLoRA", /--base/],
  ["RAG retrieval vector database semantic search", /aflora search/],
  ["sentiment analysis text classification", /aflora train --train tickets\.csv/],
  ["hyperparameter search grid tuning", /aflora tune|successive halving/i],
  ["checkpoint resume crash interrupted", /--resume/],
  ["RLHF alignment", /preference|GRPO/i],
  ["structured output function calling JSON mode", /--json-schema/],
  ["out of memory OOM gradient checkpointing", /--recompute|--token-budget/],
  ["confidence calibration threshold abstain", /--threshold/],
  ["upload download Hugging Face model hub token", /HF_TOKEN/],
];

/** A page's HTML for the search index: each section also has the words that people search it by. */
export function withSearchWords(html: string): string {
  return html.replace(/(<h[1-6][^>]*>[\s\S]*?<\/h[1-6]>)([\s\S]*?)(?=<h[1-6]|$)/g, (_, heading, section) => {
    const words = SEARCHED.filter(([, pattern]) => pattern.test(heading + section)).map(([each]) => each);
    return words.length === 0 ? heading + section : `${heading}${section}<p>${words.join(" ")}</p>`;
  });
}
