import fc from 'fast-check'
import { exitEnd, type TaskEnd } from 'jobchart'
import { statusOf, type TaskExecutionRow } from 'jobchart/presets'
import { expect, test } from 'vitest'
import { viewOf } from '../../src/engine/view.ts'
import {
  claim,
  create,
  type Decision,
  type DecisionContext,
  due,
  end,
  lose,
  type NewJob,
  release,
  started,
} from '../../src/model/decision.ts'
import { claimableTasks, type Job } from '../../src/model/job.ts'
import { executions, shell } from './workspace.ts'

/** Something that happens to an execution. */
type Step =
  | { readonly do: 'claim' | 'start' | 'lose' | 'release' }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'end'; readonly end: TaskEnd }

const ends: fc.Arbitrary<TaskEnd> = fc.oneof(
  fc.constant(exitEnd({ exitCode: 0 })),
  fc.integer({ min: 0, max: 255 }).map((exitCode) => exitEnd({ exitCode })),
  fc.constant(exitEnd({ exitCode: 137, signal: 'SIGKILL' })),
  // What is thrown may say any code of itself, or be nothing at all.
  fc.oneof(fc.jsonValue(), fc.record({ exitCode: fc.jsonValue() })).map((error) => ({ ok: false, error }) as TaskEnd),
)
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<Step>({ do: 'claim' }, { do: 'start' }, { do: 'lose' }, { do: 'release' }) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 61_000 }).map((ms): Step => ({ do: 'wait', ms })) },
  { weight: 1, arbitrary: ends.map((each): Step => ({ do: 'end', end: each })) },
)

const START = Date.parse('2026-01-01T00:00:00Z')
const seed: NewJob = {
  ...{ id: 'job', tenant: 'acme', createdBy: 'mia', trigger: 'manual', labels: {}, priority: 0 },
  input: { script: 'true', args: [] },
}

/** What becomes of a job by a step; undefined: it does not apply. */
function decisionOf(job: Job, step: Step, context: DecisionContext): Decision | undefined {
  const [task] = job.tasks
  const [free] = claimableTasks(job)
  switch (step.do) {
    case 'claim':
      return free && claim(shell, job, free.invocation, { holder: 'engine', startsLater: true, kills: true }, context)
    case 'start':
      return task && started(shell, job, task.token, undefined, context)
    case 'lose':
      return task && lose(shell, job, { invocation: task.invocation, reason: 'it died', steps: 0 }, context)
    case 'release':
      return task && release(shell, job, task.token, context)
    case 'end':
      return task && end(shell, job, task.token, step.end, context)
    case 'wait':
      return due(shell, job, context)
  }
}

/** The rows of a life, with the labels that the chart gave. */
function lived(all: readonly Step[]): readonly { readonly row: TaskExecutionRow; readonly label: string }[] {
  let at = START
  const context = () => ({ at, random: 0, heartbeatMs: 2_000 })
  let { job } = create(shell, seed, context())
  const shown = () => ({ row: executions.present(viewOf(job), { details: true }), label: job.status })
  const rows = [shown()]
  for (const step of all) {
    at += step.do === 'wait' ? step.ms : 1
    job = decisionOf(job, step, context())?.job ?? job
    rows.push(shown())
  }
  return rows
}

test('the status that is computed of a row is the label of the chart, whatever happens in whatever order', () => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(fc.array(steps, { size: 'max', maxLength: 20 }), (all) => {
      for (const { row, label } of lived(all)) {
        seen.add(label)
        expect([statusOf(row), row.status]).toEqual([label, label])
        const hasEnded = label === 'COMPLETE' || label === 'ERROR'
        expect([row.startTime !== null, row.endTime !== null, row.exitCode !== null]).toEqual([
          label !== 'UNKNOWN',
          hasEnded,
          hasEnded,
        ])
        if (hasEnded) expect((row.startTime ?? '') <= (row.endTime ?? '')).toBe(true)
        expect([row.errorMessage !== null, row.exitMessage !== null]).toEqual([label === 'ERROR', hasEnded])
      }
    }),
    { numRuns: 400 },
  )
  expect([...seen].sort()).toEqual(['COMPLETE', 'ERROR', 'RUNNING', 'UNKNOWN'])
})

test('an execution that has ended stays as it is', () => {
  fc.assert(
    fc.property(fc.array(steps, { size: 'max', maxLength: 20 }), (all) => {
      const rows = lived(all).map(({ row }) => row)
      const [first, ...later] = rows.filter(({ endTime }) => endTime !== null)
      for (const row of later) expect(row).toEqual(first)
    }),
    { numRuns: 100 },
  )
})
