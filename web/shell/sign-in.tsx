// Asks for an API key where the service wants one. It is kept for this tab only.
import { useState } from 'preact/hooks'
import { type ApiProblem, access, keyFault, request, signIn } from '../client/api.ts'
import { useStore } from '../client/store.ts'

export function SignIn() {
  const { reason } = useStore(access)
  const [key, setKey] = useState('')
  const [refused, setRefused] = useState<string | null>(reason)
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    const headers = { authorization: `Bearer ${key.trim()}` }
    try {
      await request('/api/v1/models', { headers })
      signIn(key.trim())
    } catch (error) {
      setRefused(keyFault(error as ApiProblem))
    }
  }
  return (
    <main class="sign-in">
      <form class="card" onSubmit={submit}>
        <img src="/icon.svg" alt="" width="40" height="40" />
        <h1>Scoreline</h1>
        <p class="muted">This service wants an API key. It stays in this tab, and is forgotten when you close it.</p>
        <label for="key">API key</label>
        <input
          id="key"
          type="password"
          autocomplete="current-password"
          required
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
          aria-describedby={refused ? 'refused' : undefined}
          aria-invalid={refused !== null}
        />
        {refused ? (
          <p id="refused" class="field-error" role="alert">
            {refused}
          </p>
        ) : null}
        <button type="submit" class="button primary">
          Sign in
        </button>
      </form>
    </main>
  )
}
