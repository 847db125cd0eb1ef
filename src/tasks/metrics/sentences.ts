/** Created at first use, so that commands that do not need it start sooner. */
let segmenter: Intl.Segmenter | undefined;

/** Sentences of a text, by Unicode's rules (UAX 29). The end of a line also ends a sentence. */
export function sentencesOf(text: string): string[] {
  segmenter ??= new Intl.Segmenter("en", { granularity: "sentence" });
  const sentences = text.split("\n").flatMap((line) => [...segmenter!.segment(line)]);
  return sentences.map(({ segment }) => segment.trim()).filter((sentence) => sentence !== "");
}
