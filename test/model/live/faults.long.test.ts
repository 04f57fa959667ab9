/**
 * Tests the law itself: the model is built with one line changed, and the law must find each such fault.
 */
import { mkdir, readFile, rm } from 'node:fs/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { checkLaw, LawBroken } from './law.ts'
import { ops, plans } from './plans.ts'
import type { Model } from './stored-side.ts'

interface Fault {
  readonly what: string
  readonly file: string
  readonly text: string
  readonly with: string
}

const faults: readonly Fault[] = [
  {
    what: 'a history is not restored',
    file: 'transition.ts',
    text: 'snapshot.historyValue === undefined ? {} : this.#history(snapshot.historyValue)',
    with: '{}',
  },
  {
    what: 'the context is not taken from the next snapshot',
    file: 'transition-record.ts',
    text: 'job.context = snapshot.context',
    with: 'job.context = job.revision === 0 ? snapshot.context : job.context',
  },
  {
    what: 'references are not made alive',
    file: 'transition.ts',
    text: 'hasRefs ? revivedCopy(value, this.#machine.scope.turn.refTo) : jsonCopy(value)',
    with: 'jsonCopy(value)',
  },
  {
    what: 'a child is addressed by its former invocation',
    file: 'xstate-internals.ts',
    text: 'isSamePath(path.slice(0, -1), this.path) ? path.at(-1) : undefined',
    with: 'isSamePath(path.slice(0, -1), this.path) ? Math.max(1, (path.at(-1) ?? 1) - 1) : undefined',
  },
  {
    what: 'a later transition does not know a system id',
    file: 'xstate-internals.ts',
    text: 'return path === undefined ? undefined : this.#ref(path, child?.id)',
    with: 'return undefined',
  },
  {
    what: 'a spawned child does not start',
    file: 'xstate-internals.ts',
    text: 'this.spawn(this.#unstarted ?? NAMELESS, true)',
    with: 'this.spawn(undefined, true)',
  },
  {
    what: 'a timer is not cancelled when its state is left',
    file: 'draft.ts',
    text: 'this.job.timers = this.job.timers.filter(({ id }) => id !== action.id)',
    with: 'this.job.timers = [...this.job.timers]',
  },
  {
    what: 'a send to a child that starts in the same transition is dropped',
    file: 'draft.ts',
    text: 'this.#early.get(invocation)?.push(event)',
    with: 'this.#early.get(invocation)',
  },
  {
    what: 'a delayed send to the parent is lost',
    file: 'timer.ts',
    text: "...(to === 'self' ? {} : { to }),",
    with: "...(typeof to === 'string' ? {} : { to }),",
  },
  {
    what: 'a child stays when its invoke is left',
    file: 'chart-action.ts',
    text: "return { kind: 'leave', invocation }",
    with: "return { kind: 'cancelTimer', id: '' }",
  },
  {
    what: 'a raise without a delay is a timer',
    file: 'xstate-internals.ts',
    text: "if (typeof params.delay === 'number') this.captured.push({ kind: 'raise', ...this.#sent(params, params.delay) })",
    with: "this.captured.push({ kind: 'raise', ...this.#sent(params, typeof params.delay === 'number' ? params.delay : 5) })",
  },
  {
    what: 'a delay is cut to seconds',
    file: 'chart-action.ts',
    text: 'Math.max(0, Math.ceil(delay))',
    with: 'Math.max(0, Math.floor(delay / 1_000) * 1_000)',
  },
  {
    what: 'the actions of a transition run in reverse',
    file: 'draft.ts',
    text: 'for (const action of move.actions) this.#act(action)',
    with: 'for (const action of [...move.actions].reverse()) this.#act(action)',
  },
  {
    what: 'the number of invocations does not rise',
    file: 'draft.ts',
    text: 'this.job.counter += move.created',
    with: 'this.job.counter += move.created > 0 ? 1 : 0',
  },
  {
    what: 'the failure of a child is reported as its done event',
    file: 'record.ts',
    text: 'type: `xstate.error.actor.',
    with: 'type: `xstate.done.actor.',
  },
  {
    what: 'the output of a child is not reported',
    file: 'record.ts',
    text: 'doneEvent(id, end.output)',
    with: 'doneEvent(id, undefined)',
  },
  {
    what: 'transition logic restarts with each event',
    file: 'inline.ts',
    text: 'return logic.transition(snapshot, alive(event as unknown as Json, inert), inert)',
    with: 'return logic.transition(logic.getInitialSnapshot(inert, task.input), event, inert)',
  },
  {
    what: 'a message to the parent goes to the child itself',
    file: 'xstate-internals.ts',
    text: "return 'parent'",
    with: "return 'self'",
  },
  {
    what: 'a reference inside the context is stored without conversion',
    file: 'references.ts',
    text: 'return { [MARK]: 1, id, path } satisfies Marked',
    with: "return { [MARK]: 1, id: '', path: [] } satisfies Marked",
  },
  {
    what: 'a busy machine takes an event during another',
    file: 'draft.ts',
    text: 'if (!this.#isMoving) this.#drain()',
    with: 'this.#drain()',
  },
]

const model = fileURLToPath(new URL('../../../src/model/', import.meta.url))
const builds = fileURLToPath(new URL('../../../node_modules/.cache/jobchart/', import.meta.url))
const folder = `${builds}law-${process.pid}/`

// fast-check: how many machines to try for a fault, and the seed.
const MACHINES = 2_000
const SEED = 7

const taken: string[] = []

beforeAll(async () => {
  // XState's development build warns about events for an ended actor.
  vi.spyOn(console, 'warn').mockImplementation(() => {})
  await mkdir(folder, { recursive: true })
})

afterAll(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true, force: true })
  console.log(`machines until a fault was found:\n${taken.join('\n')}`)
})

test('without a fault, the model that is built for it keeps the law', async () => {
  const result = await check(await modelWith('none'), 300)
  expect(result).toMatchObject({ failed: false, numRuns: 300 })
})

test.each(faults)('the law finds the fault where $what', async (fault) => {
  const { failed, numRuns, errorInstance } = await check(
    await modelWith(`fault-${faults.indexOf(fault)}`, fault),
    MACHINES,
  )
  taken.push(`${String(numRuns).padStart(6)}  ${fault.what}`)
  expect(failed).toBe(true)
  expect(errorInstance).toBeInstanceOf(LawBroken)
})

async function check(faulty: Model, machines: number) {
  const property = fc.asyncProperty(plans, ops, async (plan, list) => {
    await checkLaw(faulty, plan, list)
  })
  return await fc.check(property, { numRuns: machines, seed: SEED, endOnFailure: true })
}

async function modelWith(name: string, fault?: Fault): Promise<Model> {
  const outfile = `${folder}${name}.mjs`
  let applied = 0
  const plugin: Plugin = {
    name: 'fault',
    setup: ({ onLoad }) => {
      onLoad({ filter: /\/src\/model\/.*\.ts$/ }, async ({ path }) => {
        const source = await readFile(path, 'utf8')
        if (fault === undefined || path !== `${model}${fault.file}`) return { contents: source, loader: 'ts' }
        const parts = source.split(fault.text)
        applied = parts.length - 1
        return { contents: parts.join(fault.with), loader: 'ts' }
      })
    },
  }
  const exported = ['decision', 'definition'].map((file) => `export * from './${file}.ts'`).join('\n')
  await build({
    stdin: { contents: exported, resolveDir: model, loader: 'ts' },
    ...{ outfile, bundle: true, format: 'esm', packages: 'external', plugins: [plugin], logLevel: 'error' },
  })
  // A text that occurs nowhere, or twice, would plant no fault, or two.
  expect(applied).toBe(fault === undefined ? 0 : 1)
  return (await import(/* @vite-ignore */ pathToFileURL(outfile).href)) as Model
}
