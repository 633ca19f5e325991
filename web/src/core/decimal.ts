// Amounts as whole numbers of a tiny unit: added, compared and divided without a float.

/** `units / 10^scale`. */
export interface Decimal {
  readonly units: bigint;
  readonly scale: number;
}

export const ZERO: Decimal = { units: 0n, scale: 0 };

/** Reads what the server sends for a number; null where it is none. */
export function decimal(value: unknown): Decimal | null {
  if (typeof value === "number" && !Number.isInteger(value)) return null;
  const match = /^([+-]?)(\d+)(?:\.(\d+))?$/.exec(String(value));
  if (!match) return null;
  const fraction = match[3] ?? "";
  const units = BigInt(`${match[2]}${fraction}`);
  return { units: match[1] === "-" ? -units : units, scale: fraction.length };
}

function at(value: Decimal, scale: number): bigint {
  return value.units * 10n ** BigInt(scale - value.scale);
}

export function add(one: Decimal, other: Decimal): Decimal {
  const scale = Math.max(one.scale, other.scale);
  return { units: at(one, scale) + at(other, scale), scale };
}

/** Negative, zero or positive, as `one` is less than, equal to or more than `other`. */
export function compare(one: Decimal, other: Decimal): number {
  const scale = Math.max(one.scale, other.scale);
  const difference = at(one, scale) - at(other, scale);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** The change from `before` to `now` in tenths of a percent, rounded; null from nothing. */
export function changePerMille(now: Decimal, before: Decimal): number | null {
  if (before.units <= 0n) return null;
  const scale = Math.max(now.scale, before.scale);
  const [a, b] = [at(now, scale), at(before, scale)];
  const twice = ((a - b) * 2_000n) / b;
  return Number((twice + (twice < 0n ? -1n : 1n)) / 2n);
}

/** Digits as `Intl` takes them, without the zeros that say nothing. */
export function text(value: Decimal): string {
  const sign = value.units < 0n ? "-" : "";
  const digits = String(value.units < 0n ? -value.units : value.units).padStart(value.scale + 1, "0");
  const whole = digits.slice(0, digits.length - value.scale);
  const fraction = digits.slice(digits.length - value.scale).replace(/0+$/, "");
  return fraction ? `${sign}${whole}.${fraction}` : `${sign}${whole}`;
}

/** For places on a screen: bars and lines, never for figures. */
export function approximate(value: Decimal): number {
  return Number(text(value));
}
