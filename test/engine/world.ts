import { defineJob, JobchartError, type JobEvent, type Storage, task } from 'jobchart'
import type { Job } from 'jobchart/port'
import { expect } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { Bench, type Host, Work } from './bench.ts'
import type { Happening } from './happenings.ts'

/** Number of rounds after the faults. A round ends all running code and lasts 3 seconds. */
const HEALING_ROUNDS_MAX = 40

type Doing<Kind extends Happening['do']> = Extract<Happening, { readonly do: Kind }>

/** Two engines on one storage, the answers that their callers got, and the invariants to check. */
export class World {
  readonly #bench: Bench
  readonly #work = new Work()
  readonly #types = { function: functionType(this.#work), machine: machineType(this.#work) }
  readonly #hosts: Host[] = []
  readonly #promised = new Set<string>()
  readonly #keys = new Map<string, string>()
  readonly #cancelled = new Set<string>()
  readonly #settled = new Map<string, string>()
  readonly #untyped: unknown[] = []
  #serial = 0

  constructor(disk?: Storage) {
    this.#bench = new Bench(disk)
  }

  async begin(): Promise<void> {
    for (const index of [0, 1]) this.#hosts[index] = await this.#start()
  }

  async happen(happening: Happening): Promise<void> {
    await this.#do(happening)
    await this.#bench.clock.settle()
    await this.#check()
  }

  /** The faults end: every promise to a caller settles, and nothing is left running. */
  async heal(): Promise<void> {
    for (const { faults } of this.#hosts) faults.heal()
    for (let round = 0; round < HEALING_ROUNDS_MAX && (round < 5 || (await this.#left()).length > 0); round++) {
      for (const { finish } of this.#work.runs) finish('healed')
      await this.#bench.clock.advance(3_000)
    }
    await this.#check()
    expect(await this.#left()).toEqual([])
    expect(this.#hosts.map(({ engine }) => engine.running())).toEqual([[], []])
  }

  async #do(happening: Happening): Promise<void> {
    switch (happening.do) {
      case 'submit':
        return this.#try(this.#submit(happening))
      case 'cancel':
        return this.#try(this.#cancel(happening))
      case 'command':
        return this.#try(this.#command(happening))
      case 'finish':
        return newest(this.#work.runs, happening.run)?.finish(happening.run)
      case 'fail':
        return newest(this.#work.runs, happening.run)?.fail(new Error(`run ${happening.run}`))
      case 'report':
        return this.#report(happening)
      case 'advance':
        return await this.#bench.clock.advance(happening.ms)
      default:
        return await this.#befall(happening, this.#host(happening.host))
    }
  }

  async #befall(
    happening: Doing<'crash' | 'restart' | 'down' | 'up' | 'mute' | 'lose' | 'spoil' | 'refuse'>,
    host: Host,
  ): Promise<void> {
    switch (happening.do) {
      case 'crash':
        await host.crash()
        this.#checkHeard(host, await this.#numbered())
        this.#hosts[happening.host] = await this.#start()
        return
      case 'restart':
        return await this.#restart(host)
      case 'down':
      case 'up':
        host.faults.isDown = happening.do === 'down'
        return
      case 'mute':
        host.faults.isMute = true
        return
      case 'lose':
        // The commit is stored, but its answer is lost, and neither its outcome nor the current rows can be read.
        host.faults.plan('commit', 'unheard')
        host.faults.plan('landed', 'refused')
        host.faults.plan('many', 'refused')
        return
      case 'spoil':
        return host.faults.plan(happening.method, happening.fault)
      case 'refuse':
        return host.faults.plan(happening.method, 'refused')
    }
  }

  async #restart({ engine, faults }: Host): Promise<void> {
    const stopping = engine.stop({ timeout: '1s' })
    await this.#bench.clock.advance(1_000)
    await stopping
    faults.heal()
    await engine.start()
  }

  async #submit({ host, type, pipeline, key }: Doing<'submit'>): Promise<void> {
    const input = key === null ? `serial ${this.#serial++}` : `key ${key}`
    const options = {
      ...(pipeline === null ? {} : { pipeline: `p${pipeline}` }),
      ...(key === null ? {} : { idempotencyKey: `k${key}` }),
    }
    const { id } = await this.#host(host).ada.submit(this.#types[type], input, options)
    this.#promised.add(id)
    // I2, I35: a caller that repeats a key gets the same job.
    const scope = `${type} ${key}`
    if (key !== null) expect(this.#keys.get(scope) ?? id).toBe(id)
    if (key !== null) this.#keys.set(scope, id)
  }

  async #cancel({ host, job }: Doing<'cancel'>): Promise<void> {
    const id = newest([...this.#promised], job)
    if (id === undefined) return
    await this.#host(host).ada.cancel(id)
    this.#cancelled.add(id)
  }

  async #command({ host, job, name }: Doing<'command'>): Promise<void> {
    const id = newest([...this.#promised], job)
    if (id !== undefined) await this.#host(host).ada.send(id, { type: name })
  }

  #report({ run }: Doing<'finish' | 'fail' | 'report'>): void {
    const context = newest(this.#work.runs, run)?.context
    context?.progress({ completed: run })
    context?.log(`run ${run}`)
  }

  // A caller may get a refusal, but never an error without a code.
  #try(call: Promise<unknown>): void {
    call.catch((error: unknown) => {
      if (!(error instanceof JobchartError)) this.#untyped.push(error)
    })
  }

  async #check(): Promise<void> {
    expect(this.#untyped).toEqual([])
    await this.#bench.checkLog()
    const rows = await this.#rows()
    const holders = new Map<string, string>()
    for (const job of rows) {
      const { id, pipeline } = job
      // I14.
      if (pipeline !== undefined && holdsSlot(job)) {
        expect(holders.get(pipeline)).toBe(undefined)
        holders.set(pipeline, id)
      }
      if (job.phase === 'settled') this.#checkEnd(job)
      // I26.
      if (this.#cancelled.has(id)) expect(job.status).toBe('cancelled')
    }
    // I1.
    const stored = new Set(rows.map(({ id }) => id))
    for (const id of this.#promised) expect(stored.has(id)).toBe(true)
    const numbered = await this.#numbered()
    for (const host of this.#hosts) this.#checkHeard(host, numbered)
  }

  // I9, I21.
  #checkEnd({ id, status, outcome, output, error, endedAt, startedAt, input }: Job): void {
    const end = JSON.stringify({ status, outcome, output, error, endedAt, startedAt, input })
    expect(this.#settled.get(id) ?? end).toBe(end)
    this.#settled.set(id, end)
    if (outcome === 'success') expect(this.#work.runs.some(({ context }) => context.job.id === id)).toBe(true)
  }

  // I41, I40: each published event was committed, has the stored numbers, and is published once.
  #checkHeard({ heard }: Host, numbered: ReadonlyMap<number, string>): void {
    expect(new Set(heard.map(({ sequence }) => sequence)).size).toBe(heard.length)
    for (const event of heard) expect(nameOf(event, event.jobId)).toBe(numbered.get(event.sequence))
  }

  async #numbered(): Promise<ReadonlyMap<number, string>> {
    const log = await this.#bench.log()
    return new Map(
      log.flatMap(({ sequence, events, jobId }) =>
        events.map((event, index) => [sequence + index, nameOf(event, jobId)] as const),
      ),
    )
  }

  async #left(): Promise<readonly unknown[]> {
    const rows = await this.#rows()
    const left = rows.filter(({ phase, tasks }) => phase !== 'settled' || tasks.length > 0)
    return left.map(({ id, type, status, pipeline, tasks, timers }) => ({ id, type, status, pipeline, tasks, timers }))
  }

  async #rows(): Promise<readonly Job[]> {
    const ids = new Set((await this.#bench.log()).map(({ jobId }) => jobId))
    return await Promise.all([...ids].map((id) => this.#bench.row(id)))
  }

  #host(index: number): Host {
    const host = this.#hosts[index]
    if (host === undefined) throw new Error(`there is no host ${index}`)
    return host
  }

  #start(): Promise<Host> {
    return this.#bench.start({ jobs: Object.values(this.#types), concurrency: 2, deadAfter: '10s' })
  }
}

/** Counted back from the newest and wrapping around, so that every number names a job. */
function newest<Item>(items: readonly Item[], back: number): Item | undefined {
  return items.at(-1 - (back % Math.max(1, items.length)))
}

function holdsSlot({ phase, vacates, tasks }: Job): boolean {
  return (phase !== 'settled' && !vacates) || tasks.some(({ status }) => status !== 'available')
}

function nameOf(event: Pick<JobEvent, 'type'> | { readonly type: string }, jobId: string): string {
  return `${jobId} ${event.type}`
}

/** One function in two steps, retried once. */
function functionType(work: Work) {
  return defineJob({
    type: 'function',
    retry: { limit: 1, backoff: '500ms' },
    killGrace: '1s',
    execute: async (context) => {
      await context.step('begin', () => context.attempt)
      return await work.execute(context)
    },
  })
}

/**
 * Works for 8 seconds at most, can be restarted, and can be parked outside its slot, from where it comes back by
 * itself.
 */
function machineType(work: Work) {
  const machine = createMachine({
    initial: 'working',
    on: { cancel: '.cancelled' },
    states: {
      working: {
        invoke: { id: 'work', src: 'work', onDone: 'done', onError: 'failed' },
        after: { 8000: 'failed' },
        on: { park: 'parked', anew: { target: 'working', reenter: true } },
      },
      parked: { tags: ['vacates'], after: { 2000: 'working' }, on: { back: 'working' } },
      done: { type: 'final' },
      failed: { type: 'final', tags: ['failure'] },
      cancelled: { type: 'final', tags: ['cancelled'] },
    },
  })
  const command = z.object({})
  return defineJob({
    type: 'machine',
    lifecycle: machine.provide({ actors: { work: task({ killGrace: '1s' }, work.execute) } }),
    commands: { park: command, back: command, anew: command, cancel: command },
  })
}
