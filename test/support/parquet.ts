import { fileURLToPath } from "node:url";

/** A parquet file by oracle/parquet.py or oracle/media_parquet.py. */
export const parquetFile = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/parquet/${name}.parquet`, import.meta.url));
