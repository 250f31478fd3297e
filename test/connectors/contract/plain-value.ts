// One spelling for values that readers of different destinations show in different ones: what is equal by its type becomes the same text.
import type { Column } from '../../../topics/columns.ts'

/** The value in plain text; null for NULL. Throws when the text is none of the column's type. */
export function plainValue(column: Column, value: unknown): string | null {
  if (value === null || value === undefined) return null
  const text = String(value)
  switch (column.kind) {
    case 'bool':
      return oneOf(text.toLowerCase(), {
        t: 'true',
        true: 'true',
        '1': 'true',
        f: 'false',
        false: 'false',
        '0': 'false',
      })
    case 'int16':
    case 'int32':
    case 'int64':
      return String(BigInt(text))
    case 'float32':
      return String(Math.fround(toNumber(text)))
    case 'float64':
      return String(toNumber(text))
    case 'decimal':
    case 'numeric':
      return plainDecimal(text)
    case 'json':
    case 'jsonb':
      return JSON.stringify(JSON.parse(text))
    case 'binary':
      return text.replace(/^\\x/, '').toLowerCase()
    case 'uuid':
      return text.toLowerCase()
    case 'date':
    case 'timestamp':
    case 'timestamptz':
      return plainTime(text)
    case 'utf8':
      return text
  }
}

function oneOf(text: string, spellings: Readonly<Record<string, string>>): string {
  const found = spellings[text]
  if (found === undefined) throw new TypeError(`expected one of ${Object.keys(spellings).join(', ')}, got ${text}`)
  return found
}

function toNumber(text: string): number {
  if (/^[+-]?inf(inity)?$/i.test(text))
    return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  if (/^nan$/i.test(text)) return Number.NaN
  if (text.trim() === '' || Number.isNaN(Number(text)))
    throw new TypeError(`expected a number, got ${JSON.stringify(text)}`)
  return Number(text)
}

/** 1.50 and 1.5 are the same number; no digit may be lost on the way. */
function plainDecimal(text: string): string {
  if (/^(nan|[+-]?inf(inity)?)$/i.test(text)) return String(toNumber(text))
  const parts = /^(-?)0*(\d+?)(?:\.(\d*?)0*)?$/.exec(text)
  if (!parts) throw new TypeError(`expected a decimal number, got ${JSON.stringify(text)}`)
  const [, sign, whole, fraction] = parts
  return `${sign}${whole}${fraction ? `.${fraction}` : ''}`
}

/** ISO 8601 or SQL, in UTC; a fraction without zeros at its end. */
function plainTime(text: string): string {
  return text
    .replace('T', ' ')
    .replace(/(Z|\+00(:?00)?)$/, '')
    .replace(/(\.\d*?)0+$/, '$1')
    .replace(/\.$/, '')
}
