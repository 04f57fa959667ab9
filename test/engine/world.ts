import fc from 'fast-check'
import { defineJob, type Job, JobchartError } from 'jobchart'
import { expect } from 'vitest'
import { Bench, type Host, Work } from './bench.ts'

/** What can happen to two engines on one storage. `host` says at which of the two. */
export type Happening =
  | { readonly do: 'submit'; readonly host: number; readonly pipeline: number | null; readonly key: number | null }
  | { readonly do: 'cancel'; readonly host: number; readonly job: number }
  | { readonly do: 'finish' | 'fail' | 'report'; readonly run: number }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'crash' | 'restart' | 'down' | 'up' | 'mute' | 'lose'; readonly host: number }
  | { readonly do: 'spoil'; readonly host: number; readonly method: Writing; readonly fault: Fault }
  | { readonly do: 'refuse'; readonly host: number; readonly method: Reading }

type Writing = 'commit' | 'claim'
type Reading = 'get' | 'events' | 'steps' | 'held' | 'due' | 'others' | 'beat'
type Fault = 'refused' | 'unsent' | 'unheard'

const host = fc.nat({ max: 1 })
const any = fc.nat({ max: 30 })
const readings: readonly Reading[] = ['get', 'events', 'steps', 'held', 'due', 'others', 'beat']

function happening(lossWeight: number): fc.Arbitrary<Happening> {
  const happen = <Kind extends Happening['do']>(...kinds: readonly Kind[]) => ({ do: fc.constantFrom(...kinds) })
  const some = (max: number) => fc.option(fc.nat({ max }))
  return fc.oneof(
    { weight: 8, arbitrary: fc.record({ ...happen('submit'), host, pipeline: some(2), key: some(3) }) },
    { weight: 3, arbitrary: fc.record({ ...happen('cancel'), host, job: any }) },
    { weight: 8, arbitrary: fc.record({ ...happen('finish', 'fail', 'report'), run: any }) },
    {
      weight: 5,
      arbitrary: fc.record({ ...happen('advance'), ms: fc.constantFrom(1, 100, 250, 1_000, 3_000, 11_000) }),
    },
    { weight: 4, arbitrary: fc.record({ ...happen('crash', 'restart', 'down', 'up', 'mute'), host }) },
    {
      weight: 4,
      arbitrary: fc.record({
        ...happen('spoil'),
        host,
        method: fc.constantFrom<Writing>('commit', 'claim'),
        fault: fc.constantFrom<Fault>('refused', 'unsent', 'unheard'),
      }),
    },
    { weight: 4, arbitrary: fc.record({ ...happen('refuse'), host, method: fc.constantFrom(...readings) }) },
    { weight: lossWeight, arbitrary: fc.record({ ...happen('lose'), host }) },
  )
}

/** Anything that can happen while storage can always tell what became of a write. */
export const withTellingStorage = happening(0)
/** Anything that can happen, a write whose outcome nobody can tell included. */
export const withAnyStorage = happening(4)

/** Two engines on one storage, what was promised to their callers, and what must hold. */
export class World {
  readonly #bench = new Bench()
  readonly #work = new Work()
  readonly #type = defineJob({
    type: 'w',
    retry: { limit: 1, backoff: '500ms' },
    killGrace: '1s',
    execute: async (context) => {
      await context.step('begin', () => context.attempt)
      return await this.#work.execute(context)
    },
  })
  readonly #hosts: Host[] = []
  readonly #promised = new Map<string, number>()
  readonly #keys = new Map<number, string>()
  readonly #cancelled = new Set<string>()
  readonly #settled = new Map<string, string>()
  readonly #untyped: unknown[] = []
  #serial = 0

  async begin(): Promise<void> {
    for (const index of [0, 1]) this.#hosts[index] = await this.#start()
  }

  async happen(happening: Happening): Promise<void> {
    await this.#do(happening)
    await this.#bench.clock.settle()
    await this.#check()
  }

  /** The faults end: everything that was promised settles, and nothing is left. */
  async heal(): Promise<void> {
    for (const { faults } of this.#hosts) {
      faults.heal()
    }
    for (let round = 0; round < 12; round++) {
      for (const { finish } of this.#work.runs) finish('healed')
      await this.#bench.clock.advance(3_000)
    }
    await this.#check()
    const left = (await this.#rows()).filter(({ phase, tasks }) => phase !== 'settled' || tasks.length > 0)
    expect(left.map(({ id, status, tasks }) => ({ id, status, tasks }))).toEqual([])
    expect(this.#hosts.map(({ engine }) => engine.running())).toEqual([[], []])
  }

  async #do(happening: Happening): Promise<void> {
    switch (happening.do) {
      case 'submit':
        this.#try(this.#submit(happening))
        return
      case 'cancel': {
        const id = [...this.#promised.keys()].at(-1 - happening.job)
        if (id !== undefined)
          this.#try(
            this.#host(happening.host)
              .ada.cancel(id)
              .then(() => this.#cancelled.add(id)),
          )
        return
      }
      case 'finish':
        this.#work.runs.at(-1 - happening.run)?.finish(happening.run)
        return
      case 'fail':
        this.#work.runs.at(-1 - happening.run)?.fail(new Error(`run ${happening.run}`))
        return
      case 'report': {
        const context = this.#work.runs.at(-1 - happening.run)?.context
        context?.progress({ completed: happening.run })
        context?.log(`run ${happening.run}`)
        return
      }
      case 'advance':
        await this.#bench.clock.advance(happening.ms)
        return
      case 'crash':
        await this.#host(happening.host).crash()
        this.#hosts[happening.host] = await this.#start()
        return
      case 'restart': {
        const { engine } = this.#host(happening.host)
        const stopping = engine.stop({ timeout: '1s' })
        await this.#bench.clock.advance(1_000)
        await stopping
        this.#host(happening.host).faults.heal()
        await engine.start()
        return
      }
      case 'down':
      case 'up':
        this.#host(happening.host).faults.isDown = happening.do === 'down'
        return
      case 'lose':
        // It lands, the answer does not come back, and whether it landed cannot be asked either.
        this.#host(happening.host).faults.plan('commit', 'unheard')
        this.#host(happening.host).faults.plan('landed', 'refused')
        return
      case 'mute':
        this.#host(happening.host).faults.isMute = true
        return
      case 'spoil':
        this.#host(happening.host).faults.plan(happening.method, happening.fault)
        return
      case 'refuse':
        this.#host(happening.host).faults.plan(happening.method, 'refused')
    }
  }

  async #submit({ host, pipeline, key }: Extract<Happening, { do: 'submit' }>): Promise<void> {
    const input = key === null ? `serial ${this.#serial++}` : `key ${key}`
    const { id } = await this.#host(host).ada.submit(this.#type, input, {
      ...(pipeline === null ? {} : { pipeline: `p${pipeline}` }),
      ...(key === null ? {} : { idempotencyKey: `k${key}` }),
    })
    this.#promised.set(id, this.#serial)
    // I2, I35: whoever repeats a key gets the same job.
    if (key !== null) expect(this.#keys.get(key) ?? id).toBe(id)
    if (key !== null) this.#keys.set(key, id)
  }

  // What a caller is told may be a refusal, but never an error without a code.
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
      // I14.
      if (
        job.pipeline !== undefined &&
        (job.phase !== 'settled' || job.tasks.some(({ status }) => status !== 'offered'))
      ) {
        expect(holders.get(job.pipeline)).toBe(undefined)
        holders.set(job.pipeline, job.id)
      }
      // I9.
      if (job.phase === 'settled') {
        const { status, outcome, output, error, endedAt, startedAt, input } = job
        const end = JSON.stringify({ status, outcome, output, error, endedAt, startedAt, input })
        expect(this.#settled.get(job.id) ?? end).toBe(end)
        this.#settled.set(job.id, end)
      }
      // I26.
      if (this.#cancelled.has(job.id)) expect(job.status).toBe('cancelled')
      // I21.
      if (job.status === 'completed') {
        expect(this.#work.runs.some(({ context }) => context.job.id === job.id)).toBe(true)
      }
    }
    // I1.
    const stored = new Set(rows.map(({ id }) => id))
    for (const id of this.#promised.keys()) expect(stored.has(id)).toBe(true)
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
    return this.#bench.start({ jobs: [this.#type], concurrency: 2 })
  }
}
