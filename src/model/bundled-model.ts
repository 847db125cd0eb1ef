/** The encoder that comes with aflora: sentence-transformers/all-MiniLM-L6-v2. */
export const BUNDLED_MODEL = "all-MiniLM-L6-v2";

/** Its name on the hub. */
export const BUNDLED_ON_HUB = `sentence-transformers/${BUNDLED_MODEL}`;

/** The model of who names neither a run nor another. */
export const bundledUnless = (run: string | undefined): string | undefined =>
  run === undefined ? BUNDLED_MODEL : undefined;
