// Which texts a spreadsheet would run: OWASP's list of first characters, "CSV Injection"
// (https://owasp.org/www-community/attacks/CSV_Injection): = + - @ TAB CR LF. With their full-width forms ＝ ＋ － ＠, which
// Excel takes for the plain ones in a Japanese environment (OWASP/www-community issue 1088). Where a spreadsheet splits lines at
// another character than the comma, such as `;`, cells begin inside of texts, and no escaping in a CSV file can prevent that.

/** Whether the UTF-8 text in `start .. end` begins with such a character. */
export function opensFormula(data: Uint8Array, start: number, end: number): boolean {
  if (start === end) return false
  const kind = FIRST_BYTE[data[start] as number] as number
  return kind === OPENS || (kind === MAY_OPEN && FULL_WIDTH.has(codePoint(data, start, end)))
}

const OPENS = 1
const MAY_OPEN = 2

/** One look-up a cell, whatever the text. */
const FIRST_BYTE = new Uint8Array(256)
for (const character of '=+-@\t\r\n') FIRST_BYTE[character.charCodeAt(0)] = OPENS
/** All full-width forms begin with it (U+F000 to U+FFFF). */
FIRST_BYTE[0xef] = MAY_OPEN

const FULL_WIDTH: ReadonlySet<number> = new Set([...'＝＋－＠'].map((character) => character.charCodeAt(0)))

/** Of a character of three bytes; 0 when the text ends before. */
function codePoint(data: Uint8Array, start: number, end: number): number {
  if (end - start < 3) return 0
  return 0xf000 | (((data[start + 1] as number) & 0x3f) << 6) | ((data[start + 2] as number) & 0x3f)
}
