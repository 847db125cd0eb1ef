/** The encoder that comes with aflora: sentence-transformers/all-MiniLM-L6-v2. */
export const BUNDLED_MODEL = "all-MiniLM-L6-v2";
export const BUNDLED_ON_HUB = `sentence-transformers/${BUNDLED_MODEL}`;

export const bundledUnless = (run: string | undefined): string | undefined =>
  run === undefined ? BUNDLED_MODEL : undefined;
