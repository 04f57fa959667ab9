/**
 * Laws over every chart and every order of events: jobs of generated charts are walked at random, and each step is
 * checked.
 */
import { describe, expect, test } from 'vitest'
import type { ChartEvent, ChartScope, ChartSnapshot } from '../../../src/model/chart.ts'
import { due, end, release } from '../../../src/model/decision.ts'
import { claimableTasks, isBusy, wakeAt } from '../../../src/model/job.ts'
import { storableCopy } from '../../../src/model/storable.ts'
import { createChart } from '../../../src/model/transition.ts'
import { listed } from '../../../src/model/xstate-internals.ts'
import { machineOf, typeOf } from './machines.ts'
import {
  byJob,
  changesOf,
  contextAt,
  dataOf,
  decide,
  forWalks,
  freeze,
  isAtWork,
  jobIn,
  lifeOf,
  treeIn,
  typeIn,
  walk,
} from './walk.ts'

describe('walks over generated charts', () => {
  test('I10 revision, event count and label equal the sum of each job’s changes', () => {
    forWalks((steps) => {
      for (const changes of byJob(steps)) {
        let revision = 0
        let eventCount = 0
        let label: string | undefined
        for (const { job, events } of changes) {
          revision++
          eventCount += events.length
          for (const event of events) {
            if (event.type === 'job.transitioned') expect(event.from).toBe(label)
            if (event.type === 'job.transitioned' || event.type === 'job.created') label = event.to
          }
          expect(job).toMatchObject({ revision, eventCount, status: label })
        }
        const types = changes.flatMap(({ events }) => events.map(({ type }) => type))
        expect([types.indexOf('job.created'), types.lastIndexOf('job.created')]).toEqual([0, 0])
      }
    })
  })

  test('a job that a decision did not change is returned as it was, without an event', () => {
    forWalks((steps) => {
      for (const { decision } of steps) {
        if (decision.job.revision !== decision.before?.revision) continue
        const { job, before, events, inputs, logs, changed, others } = decision
        expect({ job, events, inputs, logs }).toEqual({ job: before, events: [], inputs: [], logs: [] })
        expect(changed).toBe(others.length > 0)
      }
    })
  })

  test('I10 state and context are the fold of the recorded inputs', () => {
    forWalks((steps, { plan }) => {
      for (const changes of byJob(steps)) {
        const { parentInvoke, input } = changes[0]?.job ?? {}
        const chart = createChart(machineOf(plan, parentInvoke === undefined ? 'parent' : 'child'))
        const scope: ChartScope = {
          children: listed([]),
          nextInvocation: 1,
          ...(parentInvoke === undefined ? {} : { parentInvoke }),
        }
        let snapshot: ChartSnapshot | undefined
        let hasEnded = false
        for (const { job, inputs } of changes) {
          for (const event of JSON.parse(JSON.stringify(inputs)) as readonly ChartEvent[]) {
            expect(hasEnded).toBe(false)
            const result = snapshot === undefined ? chart.start(input, scope) : chart.transition(snapshot, event, scope)
            snapshot = result.snapshot
            hasEnded = result.end !== undefined
          }
          const { state, context, status } = job
          expect({ state, context }).toEqual({ state: snapshot?.state, context: snapshot?.context })
          // A child whose parent left it is stopped in any state.
          expect(job.phase === 'settled').toBe(hasEnded || status === 'stopped')
        }
      }
    })
  })

  test('I12 a decision is pure: equal arguments give an equal result, and a frozen job is not changed', () => {
    forWalks((steps) => {
      for (const { world, type, op, decision } of steps) {
        const before = new Map([...world].map(([id, job]) => [id, freeze(structuredClone(job))]))
        for (const other of [0, 1].map(() => decide(type, before, op))) expect(dataOf(other)).toEqual(dataOf(decision))
        expect(before).toEqual(world)
      }
    })
  })

  test('I13 a job that is stored and loaded between any two changes goes the same way', () => {
    forWalks((steps, { plan, ops }) => {
      const stored = walk(typeOf(plan), ops, (job) => JSON.parse(JSON.stringify(job)))
      expect(stored.map(({ decision }) => dataOf(decision))).toEqual(steps.map(({ decision }) => dataOf(decision)))
    })
  })

  test('I48 every record, event and input is plain JSON', () => {
    forWalks((steps) => {
      for (const { job, events, inputs } of changesOf(steps)) {
        for (const [name, value] of Object.entries({ job, events, inputs })) storableCopy(value, name, true)
      }
    })
  })

  test('times never fall within a record, under any clock', () => {
    forWalks((steps) => {
      for (const { before, job } of changesOf(steps)) {
        const { createdAt, startedAt, endedAt, updatedAt, timers, tasks } = job
        const times = [createdAt, startedAt ?? createdAt, endedAt ?? updatedAt, updatedAt]
        expect([...times].sort((a, b) => a - b)).toEqual(times)
        expect(updatedAt).toBeGreaterThanOrEqual(before?.updatedAt ?? 0)
        const later = [...timers.map(({ dueAt }) => dueAt), ...tasks.map(({ availableAt }) => availableAt)]
        expect([...times, ...later].filter((time) => !Number.isSafeInteger(time))).toEqual([])
      }
    })
  })

  test('fields that are set once stay: creation, first start, end and outcome', () => {
    forWalks((steps) => {
      for (const { before, job } of changesOf(steps)) {
        for (const key of ['createdAt', 'startedAt', 'endedAt', 'outcome', 'output', 'parentId'] as const) {
          if (before?.[key] !== undefined) expect(job[key]).toEqual(before[key])
        }
      }
    })
  })

  test('I16 tokens rise with each claim, and no token or invocation repeats within a job', () => {
    forWalks((steps) => {
      for (const changes of byJob(steps)) {
        const tokens: number[] = []
        const entries: number[] = []
        for (const { before, job } of changes) {
          expect(new Set(job.tasks.map(({ invocation }) => invocation)).size).toBe(job.tasks.length)
          for (const { invocation, token } of job.tasks) {
            const earlier = before?.tasks.find((each) => each.invocation === invocation)
            if (earlier === undefined) {
              expect(entries).not.toContain(invocation)
              entries.push(invocation)
            }
            if (token === (earlier?.token ?? 0)) continue
            expect(token).toBeGreaterThan(tokens.at(-1) ?? 0)
            tokens.push(token)
          }
        }
      }
    })
  })

  test('I16 a report under a token that is not running is refused', () => {
    forWalks(
      (steps) => {
        for (const { world, type, op } of steps) {
          const job = world.get(op.id)
          if (job === undefined) continue
          const good = new Set(job.tasks.filter(isAtWork).map(({ token }) => token))
          for (let token = 0; token <= job.counter + 1; token++) {
            if (good.has(token)) continue
            expect(end(typeIn(type, job), job, token, { ok: true }, op, treeIn(type, world))).toBeUndefined()
            expect(release(typeIn(type, job), job, token, op, treeIn(type, world)).changed).toBe(false)
          }
        }
      },
      { numRuns: 30 },
    )
  })

  test('I20 an attempt is counted once for each claim that was not given back', () => {
    forWalks((steps) => {
      const counted = new Map<string, number>()
      for (const { before, job, op } of changesOf(steps)) {
        for (const { invocation, attempt, claims, status } of job.tasks) {
          const earlier = before?.tasks.find((each) => each.invocation === invocation)
          const isReleased = op.kind === 'release' && earlier?.status === 'claimed' && status === 'available'
          const key = `${job.id} ${invocation}`
          counted.set(key, (counted.get(key) ?? 0) + claims - (earlier?.claims ?? 0) - (isReleased ? 1 : 0))
          expect(attempt).toBe(counted.get(key))
        }
      }
    })
  })

  test('the code of an invoke never runs beside that of its earlier invocation', () => {
    forWalks((steps) => {
      for (const { job } of changesOf(steps)) {
        const busy = job.tasks.filter((task) => isAtWork(task) && task.child === undefined).map(({ id }) => id)
        expect(new Set(busy).size).toBe(busy.length)
      }
    })
  })

  test('stopping work ends only by its report, its loss, or its grace, and an event says so', () => {
    forWalks((steps) => {
      for (const { before, job, op, events } of changesOf(steps)) {
        for (const gone of before?.tasks.filter(({ status, child }) => status === 'stopping' && !child) ?? []) {
          if (job.tasks.some(({ invocation }) => invocation === gone.invocation)) continue
          expect(['end', 'lose', 'due']).toContain(op.kind)
          expect(events).toContainEqual(expect.objectContaining({ task: gone.id }))
        }
        for (const { status, stopBy, holder, child } of job.tasks) {
          const isBusy = (status === 'claimed' || status === 'stopping') && child === undefined
          expect(holder !== undefined).toBe(isBusy)
          if (status !== 'stopping') expect(stopBy).toBeUndefined()
        }
      }
    })
  })

  test('a job is settled exactly when it has an end and an outcome, and then nothing of it can start', () => {
    forWalks((steps) => {
      for (const { job } of changesOf(steps)) {
        const { phase, endedAt, outcome, timers, tasks } = job
        const isSettled = phase === 'settled'
        expect([endedAt !== undefined, outcome !== undefined]).toEqual([isSettled, isSettled])
        if (!isSettled) continue
        expect(timers).toEqual([])
        expect(tasks.filter(({ status }) => status !== 'stopping')).toEqual([])
      }
    })
  })

  test('I9 a settled job never changes, except that its last work ends', () => {
    forWalks((steps) => {
      for (const { before, job, inputs } of changesOf(steps)) {
        if (before?.phase !== 'settled') continue
        expect(lifeOf(job)).toEqual(lifeOf(before))
        expect(inputs).toEqual([])
        expect(isBusy(before)).toBe(true)
      }
    })
  })

  test('I29 a child lives while its parent is in the invoke, and has a task there until its own work is gone', () => {
    forWalks((steps) => {
      for (const { after } of steps) {
        for (const child of after.values()) {
          if (child.parentId === undefined) continue
          const [stand, ...more] = jobIn(after, child.parentId).tasks.filter((each) => each.child === child.id)
          expect(more).toEqual([])
          const expected = child.phase !== 'settled' ? 'claimed' : isBusy(child) ? 'stopping' : undefined
          expect(stand?.status).toBe(expected)
        }
      }
    })
  })

  test('I19 a waiting job is woken: what was due is no longer due afterwards', () => {
    forWalks(
      (steps) => {
        for (const { type, after } of steps) {
          for (const job of after.values()) {
            const wake = wakeAt(job)
            if (wake === undefined) continue
            expect(Number.isSafeInteger(wake)).toBe(true)
            const at = Math.max(wake, job.updatedAt)
            const next = due(typeIn(type, job), job, contextAt(at), treeIn(type, after))
            expect(next.changed).toBe(true)
            expect(wakeAt(next.job) ?? Number.POSITIVE_INFINITY).toBeGreaterThan(at)
          }
        }
      },
      { numRuns: 30 },
    )
  })

  // A fixed seed, because rare ends would sometimes be missed. This shows what the generators reach.
  test('the walks reach every kind of change', () => {
    const seen = new Map<string, number>()
    const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1)
    forWalks(
      (steps) => {
        for (const { before, job, events, op } of changesOf(steps)) {
          for (const { type } of events) note(type)
          if (before?.phase !== job.phase) note(`${job.phase} ${job.outcome ?? ''} ${job.error?.code ?? ''}`.trim())
          if (job.tasks.some(({ status }) => status === 'available') && claimableTasks(job).length === 0)
            note('blocked')
          if (job.historyValue !== undefined) note('history')
          if (job.status === 'stopped') note('stopped')
          for (const { status, child, inbox } of job.tasks)
            note(`${status}${child === undefined ? '' : ' child'}${inbox.length > 0 ? ' told' : ''}`)
          if (op.id !== job.id && before !== undefined) note('moved by a relative')
        }
      },
      { numRuns: 300, seed: 3 },
    )
    const least = [
      'job.created',
      'job.transitioned',
      'job.emitted',
      'task.started',
      'task.retried',
      'task.lost',
      'task.released',
      'task.stopped',
      'task.abandoned',
      'settled success',
      'settled failure',
      'settled cancelled',
      'settled failure NOT_STORABLE',
      'settled failure POISON',
      'settled failure TASK_LOST',
      'indeterminate',
      'blocked',
      'history',
      'stopped',
      'lost',
      'inline',
      'claimed child',
      'stopping child',
      'claimed told',
      'moved by a relative',
    ]
    expect(least.filter((what) => !seen.has(what))).toEqual([])
  })
})
