/** Made when first asked for, so that commands that need none start sooner. */
let segmenter: Intl.Segmenter | undefined;

/** The sentences of a text, by Unicode's rules (UAX 29); the end of a line ends one, too. */
export function sentencesOf(text: string): string[] {
  segmenter ??= new Intl.Segmenter("en", { granularity: "sentence" });
  const sentences = text.split("\n").flatMap((line) => [...segmenter!.segment(line)]);
  return sentences.map(({ segment }) => segment.trim()).filter((sentence) => sentence !== "");
}
