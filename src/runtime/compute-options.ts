import { z } from "zod";
import { DEFAULT_DEVICE, DEVICES } from "./devices.ts";

/** Options that choose where to compute. */
export const computeOptions = z.object({
  threads: z.int().positive().max(1024).optional().describe("number of threads (default: all cores)"),
  device: DEVICES.option("device to compute on").default(DEFAULT_DEVICE.name),
});
