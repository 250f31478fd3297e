// The calendar behind `date` and `timestamp` columns: what day a count of days since 1970-01-01 is. Pure.

/** A day of the proleptic Gregorian calendar; `year` is astronomical: 0 is 1 BC, -1 is 2 BC. */
export interface CivilDate {
  readonly year: number
  readonly month: number
  readonly day: number
}

/**
 * Also beyond JavaScript's own dates (PostgreSQL goes to the year 5874897), in eras of 400 years that begin on 1 March.
 * Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
 */
export function civilDate(days: number): CivilDate {
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  // From here on all is small and not negative: `| 0` cuts like `floor`, in integer arithmetic.
  const dayOfEra = (shifted - era * 146_097) | 0
  const leapDays = ((dayOfEra / 1460) | 0) - ((dayOfEra / 36_524) | 0) + ((dayOfEra / 146_096) | 0)
  const yearOfEra = ((dayOfEra - leapDays) / 365) | 0
  const dayOfYear = dayOfEra - (365 * yearOfEra + ((yearOfEra / 4) | 0) - ((yearOfEra / 100) | 0))
  const monthFromMarch = ((5 * dayOfYear + 2) / 153) | 0
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - (((153 * monthFromMarch + 2) / 5) | 0) + 1,
  }
}
