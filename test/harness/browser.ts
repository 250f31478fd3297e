// A real browser for a test file: Chromium from npm. What its pages complain about is kept, for a test to look at.
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import chrome from '@sparticuz/chromium'
import { type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { whenFileEnds } from './file-end.ts'

export interface TestBrowser {
  /** A page in a profile of its own. */
  page(options?: BrowserContextOptions): Promise<TestPage>
}

export interface TestPage extends Page {
  /** Errors in the console and exceptions, so far. */
  readonly complaints: string[]
}

/** Call it in beforeAll; it is closed when the file ends. */
export async function openBrowser(baseURL: string): Promise<TestBrowser> {
  const executablePath = await chrome.executablePath()
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
  whenFileEnds(() => browser.close())
  return {
    page: async (options = {}) => {
      const context = await browser.newContext({ baseURL, locale: 'en-US', timezoneId: 'Europe/Berlin', ...options })
      const page = await context.newPage()
      page.setDefaultTimeout(60_000)
      const complaints: string[] = []
      page.on('console', (message) => {
        // That the API refused something is logged by the browser itself, whatever the page makes of it.
        const refused = /^Failed to load resource: the server responded with a status of 4/.test(message.text())
        if (message.type() === 'error' && !refused) complaints.push(message.text())
      })
      page.on('pageerror', (error) => complaints.push(error.message))
      return Object.assign(page, { complaints })
    },
  }
}

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

/** What axe-core finds wrong with the page that is serious: rule and element. `rules`: only these. */
export async function seriousIssues(
  page: Page,
  rules: readonly string[] = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'],
): Promise<string[]> {
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(await readFile(AXE, 'utf8'))
  return page.evaluate(async (runOnly) => {
    const axe = (globalThis as unknown as { axe: { run(options: object): Promise<AxeResult> } }).axe
    const { violations } = await axe.run({ runOnly })
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 200)}`))
  }, rules)
}

interface AxeResult {
  readonly violations: readonly { id: string; impact: string; nodes: readonly { html: string }[] }[]
}
