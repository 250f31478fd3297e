// e to the power of a float32, with the C library's last digit: a score passes through it in ONNX Runtime, so that predictions
// come out the same to the bit.
// Source: glibc 2.28 and later, sysdeps/ieee754/flt-32/e_expf.c and e_exp2f_data.c: 32 steps between powers of two, a
// polynomial of third degree within a step, all in double precision; at most 0.502 units in the last place off.

const STEPS = 32
const STEPS_PER_E = STEPS / Math.LN2
/** Of 2^(r/32) - 1 for |r| <= 1/2, the coefficients of r, r² and r³. */
const C1 = 0.6931471806916203 / STEPS
const C2 = 0.2402284522445722 / STEPS ** 2
const C3 = 0.05550361559341535 / STEPS ** 3

/** 2^(i/32). */
const POWERS = Float64Array.from({ length: STEPS }, (_, i) => 2 ** (i / STEPS))
/** Less than half of the smallest float32. */
const UNDERFLOW = -104

/** e^`x` of a float32 `x` of at most 0, as a float32. NaN stays NaN. */
export function expOfNegative(x: number): number {
  if (x < UNDERFLOW) return 0
  const steps = x * STEPS_PER_E
  const whole = roundHalfEven(steps)
  const r = steps - whole
  const step = whole & (STEPS - 1)
  const scale = (POWERS[step] as number) * 2 ** ((whole - step) / STEPS)
  return Math.fround(((C3 * r + C2) * (r * r) + (C1 * r + 1)) * scale)
}

/** To the nearest integer as the processor rounds, by a number so large that a double has no digits behind its point. */
function roundHalfEven(x: number): number {
  const shift = 1.5 * 2 ** 52
  return x + shift - shift
}
