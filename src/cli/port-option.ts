import { z } from "zod";

/** The port option of a command that serves. @param usual default port */
export const portOption = (usual: number) =>
  z.int().min(0).max(65_535).default(usual).describe("port to listen at; 0 takes any free port");
