import { defineJob, task } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { type AnyActorLogic, createMachine, sendTo, setup } from 'xstate'
import { z } from 'zod'
import { Bench, type Host, Work } from './bench.ts'

const kid = createMachine({ initial: 'done', states: { done: { type: 'final' } }, output: { secret: 1 } })
const parent = defineJob({
  type: 'parent',
  lifecycle: setup({ actors: { kid } }).createMachine({
    initial: 'a',
    states: { a: { invoke: { src: 'kid', onDone: 'b' } }, b: { type: 'final', tags: 'success' } },
  }),
})

test('deleting a job also deletes its child jobs that have ended, with their payloads', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [parent] })
  const { id } = await ada.submit(parent)
  await bench.clock.settle()
  const [child] = (await ada.list({ parentId: id })).items
  expect(child?.status).toBe('done')
  await ada.delete(id)
  await bench.clock.settle()
  expect(await ada.list({ type: 'parent/kid' })).toEqual({ items: [] })
  expect(JSON.stringify(await bench.log(child?.id ?? ''))).not.toContain('secret')
})

const end = z.object({})
const PARENTS = ['a parent that goes on', 'a parent that has ended', 'a parent that has left the child'] as const

/** A tree whose last job runs code that ignores its stop. On `END`, its child jobs end at once, from the last one up. */
function familyOf(depth: number, which: (typeof PARENTS)[number], work: Work) {
  let child: AnyActorLogic = createMachine({
    initial: 'on',
    on: { END: '.ended' },
    states: { on: { invoke: { src: 'work' } }, ended: { type: 'final' } },
  }).provide({ actors: { work: task({}, work.execute) } })
  const ending = { END: { actions: sendTo('child', { type: 'END' }) } }
  for (let below = 1; below < depth; below++) {
    child = setup({ actors: { child } }).createMachine({
      initial: 'on',
      on: ending,
      states: { on: { invoke: { id: 'child', src: 'child', onDone: 'ended' } }, ended: { type: 'final' } },
    })
  }
  const lifecycle = setup({ actors: { child } }).createMachine({
    initial: 'on',
    states: {
      on: {
        invoke: { id: 'child', src: 'child', onDone: which === 'a parent that has ended' ? 'ended' : 'rest' },
        on: which === 'a parent that has left the child' ? { END: 'rest' } : ending,
      },
      rest: {},
      ended: { type: 'final' },
    },
  })
  return defineJob({ type: 'top', lifecycle, commands: { END: end } })
}

interface Stage {
  readonly bench: Bench
  readonly work: Work
  readonly host: Host
  /** Another process of the same file. Without `work`, it claims nothing. */
  readonly another: (work?: boolean) => Promise<Host>
  readonly remove: (host: Host) => Promise<void>
}

const GRACE_AND_LOSS_MS = 60_000

/** When the code ends, and when the parent is deleted. */
const CASES: { readonly [name: string]: (stage: Stage) => Promise<void> } = {
  'the code ends before the deletion': async ({ work, bench, host, remove }) => {
    work.run().finish()
    await bench.clock.settle()
    await remove(host)
  },
  'the code ends after the deletion': async ({ work, host, remove }) => {
    await remove(host)
    work.run().finish()
  },
  'the code fails after the deletion': async ({ work, host, remove }) => {
    await remove(host)
    work.run().fail(new Error('late'))
  },
  'the code is abandoned after the deletion': async ({ bench, host, remove }) => {
    await remove(host)
    await bench.clock.advance(GRACE_AND_LOSS_MS)
  },
  'the code is abandoned before the deletion': async ({ bench, host, remove }) => {
    await bench.clock.advance(GRACE_AND_LOSS_MS)
    await remove(host)
  },
  'the process dies before the deletion': async ({ bench, host, another, remove }) => {
    await host.crash()
    await remove(await another())
    await bench.clock.advance(GRACE_AND_LOSS_MS)
  },
  'the process dies after the deletion': async ({ bench, host, another, remove }) => {
    await remove(host)
    await host.crash()
    await another()
    await bench.clock.advance(GRACE_AND_LOSS_MS)
  },
  'the process is dead at the deletion, and a new one comes later': async ({ bench, host, another, remove }) => {
    const front = await another(false)
    await host.crash()
    await remove(front)
    await front.crash()
    await another()
    await bench.clock.advance(GRACE_AND_LOSS_MS)
  },
}

describe.each(PARENTS)('an ended child job whose code still runs is removed with %s', (which) => {
  describe.each([1, 2])('at depth %i', (depth) => {
    test.each(Object.entries(CASES))('%s', async (_, run) => {
      const bench = new Bench()
      const work = new Work()
      const type = familyOf(depth, which, work)
      const host = await bench.start({ jobs: [type] })
      const { id } = await host.ada.submit(type)
      await bench.clock.settle()
      await host.ada.send(id, { type: 'END' })
      const ids = [...new Set((await bench.log()).map(({ jobId }) => jobId))]
      expect(ids).toHaveLength(depth + 1)
      for (const child of ids.slice(1)) expect(await bench.row(child)).toMatchObject({ phase: 'settled' })
      const another = (does = true) => bench.start({ jobs: [type], work: does })
      await run({ bench, work, host, another, remove: (by) => by.ada.delete(id) })
      await bench.clock.settle()
      const probe = await bench.probe()
      for (const job of ids) expect(await probe.get(job)).toBeUndefined()
    })
  })
})
