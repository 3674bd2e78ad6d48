// The normal distribution, as far as the search needs it.

/** The probability that a standard normal variable lies from `a` to `b`, exact also far out in a tail. */
export function normalMass(a: number, b: number): number {
  // By symmetry everything is taken from the upper tail, where small differences are not lost beside 1.
  if (a > 0) return upperTail(a) - upperTail(b);
  if (b < 0) return upperTail(-b) - upperTail(-a);
  return 1 - upperTail(-a) - upperTail(b);
}

/** The value up to which the truncated standard normal on [a, b] has a share of its probability; by bisection. */
export function truncatedQuantile(share: number, a: number, b: number): number {
  const wanted = share * normalMass(a, b);
  let [low, high] = [a, b];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (normalMass(a, middle) < wanted) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** P(Z > x) for x >= 0. */
function upperTail(x: number): number {
  if (x === Infinity) return 0;
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (x < 3) return 0.5 - density * series(x);
  return density * continuedFraction(x);
}

/** x + x^3/3 + x^5/(3*5) + ... (Abramowitz and Stegun 26.2.11) */
function series(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 3; term > sum * 1e-17; n += 2) {
    term *= (x * x) / n;
    sum += term;
  }
  return sum;
}

/** 1/(x + 1/(x + 2/(x + 3/(x + ...)))) (Abramowitz and Stegun 26.2.14) */
function continuedFraction(x: number): number {
  let value = x;
  for (let n = 120; n > 0; n--) value = x + n / value;
  return 1 / value;
}
