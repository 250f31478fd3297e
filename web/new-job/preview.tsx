// What would come of the draft: how its columns meet the model, how many rows, how long, and three of them scored.

import type { Model } from '../client/types.ts'
import { count, duration } from '../parts/format.ts'
import { RowsTable } from '../parts/rows-table.tsx'
import { Time } from '../parts/time.tsx'
import { usesOf } from './column-uses.ts'
import type { Validation } from './use-validation.ts'

export function Preview({ validation, model }: { validation: Validation; model: Model | undefined }) {
  const { asking, valid, faults } = validation
  return (
    <section class={`section preview ${asking ? 'asking' : ''}`} aria-busy={asking}>
      <div class="section-head">
        <h2>Preview</h2>
        <p class="muted" role="status">
          {asking ? 'checking…' : valid ? 'ready to submit' : faults.length ? 'not ready yet' : ''}
        </p>
      </div>
      {valid ? (
        <>
          <p>
            {valid.input_row_count_estimated ? 'About ' : ''}
            <strong class="number">{count(valid.input_row_count)}</strong> rows, done in about{' '}
            <strong class="number">{duration(valid.estimated_duration_minutes * 60_000)}</strong>, scored by{' '}
            {model?.model_id}@{valid.model_version}.
          </p>
          {valid.next_firings ? (
            <>
              <h3>Fires next</h3>
              <ol>
                {valid.next_firings.map((at) => (
                  <li key={at}>
                    <Time at={at} now={0} />
                  </li>
                ))}
              </ol>
            </>
          ) : null}
          <h3>Columns</h3>
          <ul class="uses">
            {usesOf(valid.query_columns, model).map(({ name, type, use }) => (
              <li key={name}>
                <span class="mono">{name}</span> <small>{type}</small>
                <span class={use === 'passes through' ? 'muted' : 'used'}>{use}</span>
              </li>
            ))}
          </ul>
          <h3>First rows, scored</h3>
          {valid.sample === null ? (
            <p class="muted">The query takes long to give its first rows, so none are shown.</p>
          ) : valid.sample.length ? (
            <RowsTable rows={valid.sample} label="The first rows, scored" />
          ) : (
            <p class="muted">The query gives no rows.</p>
          )}
          {valid.sample_errors.map((reason) => (
            <p key={reason} class="field-error">
              A row of the sample cannot be scored: {reason}
            </p>
          ))}
        </>
      ) : (
        <p class="muted">
          Choose a model, write a query and name a destination: this shows at once whether they fit, and the first rows.
        </p>
      )}
    </section>
  )
}
