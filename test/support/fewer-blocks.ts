/** Keys of config.json that count blocks. */
const COUNTS = [
  ...["num_hidden_layers", "n_layers", "n_layer", "num_layers", "num_decoder_layers"],
  ...["encoder_layers", "decoder_layers"],
];

/** Returns a config.json with at most so many blocks. A graph of one block compiles in half the time of a graph of two. */
export function withFewerBlocks<Config extends object>(config: Config, most: number): Config {
  const fewer = Object.entries(config).map(([key, value]) => {
    if (COUNTS.includes(key)) return [key, Math.min(value, most)];
    return key === "layer_types" ? [key, value.slice(0, most)] : [key, value];
  });
  return Object.fromEntries(fewer) as Config;
}
