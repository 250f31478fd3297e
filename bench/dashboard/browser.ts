// A real browser to measure in: Chromium from npm.
import chrome from '@sparticuz/chromium'
import { type Browser, chromium } from 'playwright-core'

export async function launchBrowser(): Promise<Browser> {
  const executablePath = await chrome.executablePath()
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
}
