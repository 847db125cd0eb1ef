/** Zero crossings of the sinc on each side, and the part of the lower rate's band to keep: torchaudio's defaults. */
const ZERO_CROSSINGS = 6;
const ROLLOFF = 0.99;

/**
 * Resamples a sound with a Hann-windowed sinc (torchaudio's `functional.resample`, after Smith's bandlimited interpolation).
 * @param from integer sampling rate of the input in Hz, `to` of the result
 */
export function resampleSound(samples: Float32Array, from: number, to: number): Float32Array {
  if (from === to) return samples;
  const common = divisor(from, to);
  const [step, phases] = [from / common, to / common];
  const base = Math.min(step, phases) * ROLLOFF;
  const width = Math.ceil((ZERO_CROSSINGS * step) / base);
  const kernels = Array.from({ length: phases }, (_, phase) => kernelOf(phase / phases, step, base, width));
  const result = new Float32Array(Math.ceil((samples.length * phases) / step));
  for (let i = 0; i < result.length; i++) {
    const phase = i % phases;
    const { first, weights } = kernels[phase]!;
    const start = Math.floor(i / phases) * step + first;
    let sum = 0;
    for (let k = Math.max(0, -start); k < weights.length && start + k < samples.length; k++) {
      sum += weights[k]! * samples[start + k]!;
    }
    result[i] = sum;
  }
  return result;
}

/** Returns the weights of the samples around a position, from sample `first` on. @param place position in steps */
function kernelOf(place: number, step: number, base: number, width: number): { first: number; weights: Float64Array } {
  const first = Math.ceil(place * step) - width;
  const weights = Float64Array.from({ length: 2 * width + 1 }, (_, k) => {
    const at = ((first + k) / step - place) * base;
    if (Math.abs(at) >= ZERO_CROSSINGS) return 0;
    const window = Math.cos((at * Math.PI) / ZERO_CROSSINGS / 2) ** 2;
    return ((at === 0 ? 1 : Math.sin(Math.PI * at) / (Math.PI * at)) * window * base) / step;
  });
  return { first, weights };
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}
