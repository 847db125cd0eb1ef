import type { System } from "../device.ts";

/** Vendors by their PCI ids. */
const VENDORS: Readonly<Record<string, string>> = { "0x1002": "AMD", "0x8086": "Intel", "0x10de": "NVIDIA" };

/** Returns the name of the first GPU, or of its vendor, from Linux' files; undefined if they have neither. */
export function graphicsCard({ list, read }: System): string | undefined {
  const nvidia = "/proc/driver/nvidia/gpus";
  const models = list(nvidia).map((card) => /^Model:\s*(.*)$/m.exec(read(`${nvidia}/${card}/information`))?.[1]);
  const makers = list("/sys/class/drm").map((card) => VENDORS[read(`/sys/class/drm/${card}/device/vendor`).trim()]);
  return [...models, ...makers].find((name) => name !== undefined && name !== "");
}
