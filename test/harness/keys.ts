// API keys for a test's service, by their clear text.
import { hashOf, type Scope } from '../../src/api/access/api-key.ts'

/** What API_KEYS or its file has for these keys: key → tenant, who may do everything, or tenant and scopes. */
export function keySetting(
  keys: Record<string, string | { tenant: string; scopes: Scope[]; expires?: string }>,
): string {
  return JSON.stringify(
    Object.entries(keys).map(([key, of]) => ({
      ...(typeof of === 'string' ? { tenant: of, scopes: ['admin'] } : of),
      hash: `sha256:${hashOf(key)}`,
    })),
  )
}
