import { availableParallelism, totalmem } from "node:os";
import { Command } from "commander";
import { FAMILIES } from "../../architectures/families.ts";
import { METHODS } from "../../methods/methods.ts";
import { type FoundDevice, findDevices } from "../../runtime/devices-node.ts";
import { onnxRuntimeVersion } from "../../runtime/runtime-node.ts";
import { addExamples } from "../help.ts";
import { bytes, table } from "../terminal/format.ts";
import { print } from "../terminal/print.ts";
import { packageVersion } from "../version.ts";

/** `aflora info` */
export function infoCommand(): Command {
  const command = new Command("info").option("--json", "print JSON");
  return addExamples(command, ["aflora info", "aflora info --json"]).action(async ({ json }: { json?: boolean }) => {
    const info = {
      aflora: packageVersion(),
      node: process.versions.node,
      onnxRuntime: onnxRuntimeVersion(),
      devices: await findDevices(),
      cores: availableParallelism(),
      memory: totalmem(),
      methods: METHODS.names,
      modelTypes: FAMILIES.names,
    };
    const { devices, memory, ...others } = info;
    const rows = [
      ...Object.entries({ ...others, memory: bytes(memory) }).map(([name, value]) => {
        return [name, Array.isArray(value) ? value.join(", ") : String(value)];
      }),
      ...devices.map((device) => [device.device, described(device)]),
    ];
    print(json ? `${JSON.stringify(info, null, 2)}\n` : `${table([["", ""], ...rows]).trimStart()}\n`);
  });
}

function described({ usable, name = "usable", software, reason }: FoundDevice): string {
  if (!usable) return `not usable: ${reason}`;
  return software ? `${name} (software that imitates a GPU, slower than the CPU)` : name;
}
