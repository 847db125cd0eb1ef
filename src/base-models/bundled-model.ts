/** The encoder that comes with aflora: sentence-transformers/all-MiniLM-L6-v2. */
export const BUNDLED_MODEL = "all-MiniLM-L6-v2";

/** Its name on the hub. */
export const BUNDLED_ON_HUB = `sentence-transformers/${BUNDLED_MODEL}`;

/** Default model of a command: the bundled one, unless a run is named. */
export const bundledUnless = (run: string | undefined): string | undefined =>
  run === undefined ? BUNDLED_MODEL : undefined;
