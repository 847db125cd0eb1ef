const segmenter = new Intl.Segmenter("en", { granularity: "sentence" });

/** The sentences of a text, by Unicode's rules (UAX 29); the end of a line ends one, too. */
export const sentencesOf = (text: string): string[] =>
  text
    .split("\n")
    .flatMap((line) => [...segmenter.segment(line)].map(({ segment }) => segment.trim()))
    .filter((sentence) => sentence !== "");
