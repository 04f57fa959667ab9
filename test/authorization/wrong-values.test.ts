import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import {
  defineJob,
  type Executor,
  JobchartError,
  memoryStorage,
  rolePolicy,
  type Session,
  type SessionPrincipal,
  type Storage,
} from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { afterAll, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { Stage } from './stage.ts'
import { type Named, type PlacedCall, placedCalls } from './value-places.ts'
import { cursorsFrom, type Make, wrongValues } from './wrong-values.ts'

const AT_ONCE = 100
const folders: string[] = []

/** No code runs and few jobs are stored, because only the arguments are tested. */
const full: Executor = { room: () => 0, start: () => new Promise(() => {}), close: async () => {} }
const note = { actions: () => {} }
const open = defineJob({
  type: 'open',
  lifecycle: createMachine({ initial: 'on', states: { on: { on: { note, cancel: 'off' } }, off: { type: 'final' } } }),
  commands: { note: z.object({ text: z.unknown().optional() }), cancel: z.object({ reason: z.unknown().optional() }) },
})
const sink = defineJob({ type: 'sink', executor: 'full', execute: () => 1, limits: { queued: 30 } })

const SECRET = 'the-secret-of-others'

async function staged(
  disk: Storage,
): Promise<{ readonly stage: Stage; readonly named: Named; readonly values: readonly Make[] }> {
  const stage = await Stage.open({ jobs: [open, sink], executors: { full } }, disk)
  const bob = { id: 'bob', tenant: 'acme' }
  let cursors: readonly string[] = []
  const hidden = await stage.freely({ id: 'ada', tenant: 'acme' }, async (ada) => {
    const labels = { team: SECRET }
    const jobs = await Promise.all(
      ['a', 'b', 'c'].map((name) => ada.submit(open, `${name}-${SECRET}`, { labels, pipeline: `${name}-${SECRET}` })),
    )
    await ada.cancel(jobs[1]?.id ?? '', { reason: SECRET })
    for (const id of ['hidden', 'held']) await ada.pipelines.define({ id, job: sink, input: SECRET, labels })
    const pages = [await ada.list({ limit: 1 }), await ada.pipelines.list({ limit: 1 })]
    cursors = pages.flatMap(({ nextCursor = [] }) => nextCursor)
    return jobs[0]?.id ?? ''
  })
  await stage.freely({ id: 'eve', tenant: 'other' }, (eve) => eve.submit(open, SECRET, { labels: { team: SECRET } }))
  const own = await stage.freely(bob, async (session) => {
    const { id } = await session.submit(open, 1)
    await session.cancel(id)
    await session.pipelines.define({ id: 'mine', job: sink, input: 1 })
    return id
  })
  stage.policy = rolePolicy({ resources: { team: { see: ['owner'] } } })
  return {
    stage,
    named: { own, hidden, pipeline: 'hidden', type: sink },
    values: [...wrongValues, ...cursorsFrom(cursors)],
  }
}

/** The stored jobs and pipelines of everybody except the attacker. */
async function othersIn(stage: Stage): Promise<string> {
  const { jobs, pipelines } = JSON.parse(await stage.contents()) as {
    readonly jobs: readonly { readonly createdBy: string }[]
    readonly pipelines: readonly { readonly createdBy: string }[]
  }
  return JSON.stringify([jobs, pipelines].map((all) => all.filter(({ createdBy }) => createdBy !== 'bob')))
}

/** The fault in the result of a call; undefined: there is none. */
async function wrongWith(call: Promise<unknown>): Promise<string | undefined> {
  try {
    return told(await call)
  } catch (error) {
    if (isGivenUp(error)) return undefined
    if (!(error instanceof JobchartError)) return `throws what is not typed: ${String(error)}`
    const { code, issues, jobId, path, message } = error
    if (typeof code !== 'string') return 'throws an error without a code'
    return told({ issues, jobId, path, message })
  }
}

// An aborted signal rejects with its own reason.
function isGivenUp(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError'
}

function told(value: unknown): string | undefined {
  const text = textOfAny(value)
  return text.includes(SECRET) ? `tells of others: ${text.slice(0, 500)}` : undefined
}

// An error names the requested id as it was given, whatever it is.
function textOfAny(value: unknown): string {
  const plain = (_: string, each: unknown) => {
    if (each instanceof Map) return [...each]
    return typeof each === 'bigint' ? String(each) : each
  }
  try {
    return JSON.stringify(value, plain) ?? ''
  } catch {
    return ''
  }
}

interface Attack {
  readonly call: PlacedCall
  readonly make: Make
}

/** The faults of many calls at once, by the name of the call. */
async function wrongsOf(stage: Stage, session: Session, named: Named, attacks: readonly Attack[]) {
  const wrongs: string[] = []
  const waiting = new Set<string>()
  const all = attacks.map(async ({ call, make }) => {
    waiting.add(call.name)
    const value = make()
    const wrong = await wrongWith(call.run(session, value, named))
    waiting.delete(call.name)
    if (wrong !== undefined) wrongs.push(`${call.name}: ${wrong}`)
  })
  const over = Promise.all(all)
  for (let turn = 0; turn < 200 && waiting.size > 0; turn++) await stage.bench.clock.settle()
  if (waiting.size > 0) wrongs.push(...[...waiting].map((name) => `${name}: never answers`))
  else await over
  return wrongs
}

const disks: readonly (readonly [string, () => Storage, number])[] = [
  ['in memory', () => memoryStorage(), 100],
  ['on SQLite', newFile, 30],
]

function newFile(): Storage {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-wrong-values-'))
  folders.push(folder)
  return sqliteStorage(join(folder, 'jobs.db'), { durability: 'normal' })
}

test.each(disks)(
  'a wrong value in any place of any method is accepted or refused by a typed error, and reveals nothing hidden: %s',
  async (_, make, batches) => {
    const { stage, named, values } = await staged(make())
    const session = stage.engine.as({ id: 'bob', tenant: 'acme', role: 'editor' })
    const before = await othersIn(stage)
    const value = fc.oneof(
      { weight: 9, arbitrary: fc.nat(values.length - 1).map((index) => values[index] ?? (() => undefined)) },
      { weight: 1, arbitrary: anything().map((each) => () => each) },
    )
    const attack = fc.record({ call: fc.constantFrom(...placedCalls), make: value })
    let calls = 0
    await fc.assert(
      fc.asyncProperty(fc.array(attack, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (attacks) => {
        expect(await wrongsOf(stage, session, named, attacks)).toEqual([])
        calls += attacks.length
      }),
      { numRuns: batches, endOnFailure: true },
    )
    expect(calls).toBe(batches * AT_ONCE)
    expect(await othersIn(stage)).toBe(before)
  },
)

function anything(): fc.Arbitrary<unknown> {
  return fc.anything({
    maxDepth: 4,
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withObjectString: true,
    withNullPrototype: true,
    withTypedArray: true,
    withSparseArray: true,
    withUnicodeString: true,
  } as fc.ObjectConstraints)
}

const principals: readonly (readonly [string, string])[] = [
  ['a kind', '{"id":"bob","tenant":"acme","role":"editor","kind":"system"}'],
  ['the word system', '{"id":"bob","tenant":"acme","role":"system","system":true}'],
  ['an own __proto__', '{"id":"bob","tenant":"acme","role":"editor","__proto__":{"kind":"system","role":"admin"}}'],
  ['relations with an own __proto__', '{"id":"bob","tenant":"acme","relations":{"__proto__":"owner"}}'],
  [
    'relations named like parts of an object',
    '{"id":"bob","tenant":"acme","relations":{"constructor":"owner","team:constructor":"owner"}}',
  ],
  ['a role named like a part of an object', '{"id":"bob","tenant":"acme","role":"constructor"}'],
  ['a role that is __proto__', '{"id":"bob","tenant":"acme","role":"__proto__"}'],
]

test.each(principals)('a principal parsed from JSON with %s sees nothing more', async (_, text) => {
  const { stage, named } = await staged(memoryStorage())
  const principal = JSON.parse(text) as SessionPrincipal
  for (const session of [stage.engine.as(principal), stage.engine.as(() => principal)]) {
    expect(await wrongWith(session.get(named.hidden))).toBe(undefined)
    expect(await wrongWith(session.list())).toBe(undefined)
    await expect(session.get(named.hidden)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
  }
})

afterAll(() => {
  // Every engine of this file has stopped by now.
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})
