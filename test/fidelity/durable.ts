import { createEngine, defineJob, type Engine, JobchartError, type Storage } from 'jobchart'
import type { Job, StorageConnection } from 'jobchart/port'
import { virtualClock } from 'jobchart/testing'
import { z } from 'zod'
import { FaultyStorage } from '../engine/faulty-storage.ts'
import type { Build } from './live.ts'
import { Outside } from './outside.ts'
import { type Picture, plain, withoutPaths } from './picture.ts'
import type { Happening } from './script.ts'

/**
 * How the engine stops before an event: in order; by the death of its process; or in order, and it stays away while
 * time passes.
 */
export type Restart = 'stop' | 'crash' | 'away'

/** A machine as a job type, with the events that a person may send it. */
export interface Subject {
  readonly build: Build
  readonly input?: unknown
  readonly commands: readonly string[]
}

// A month of virtual time has 26 million polls of 100 ms. These runs do not need them.
const RARELY = { poll: '1d', sweep: '1d', heartbeat: '1d' } as const

/** The label of a machine that ended by an error, outside its own states. */
const THREW = '(threw)'

/** A job whose engines are replaced again and again on one storage. */
export class DurableRun {
  readonly #subject: Subject
  readonly #storage: Storage
  readonly #clock = virtualClock()
  readonly #outside = new Outside()
  readonly #emitted: unknown[] = []
  #probe: StorageConnection | undefined
  #engine: Engine | undefined
  #faults: FaultyStorage | undefined
  #id = ''

  constructor(subject: Subject, storage: Storage) {
    this.#subject = subject
    this.#storage = storage
  }

  /** The first process submits the job. */
  async submit(): Promise<void> {
    this.#probe = await this.#storage.open({ clock: this.#clock, instance: 'probe' })
    const { engine, type } = await this.#open()
    const job = await engine.as({ id: 'ada', role: 'editor' }).submit(type, this.#subject.input)
    this.#id = job.id
    await this.#clock.settle()
  }

  /** Starts a new process, then applies the happening. */
  async after(restart: Restart, happening: Happening): Promise<void> {
    await this.#close(restart)
    const isAway = restart === 'away' && happening.kind === 'wait'
    if (isAway) await this.#clock.advance(happening.ms)
    const { engine } = await this.#open()
    await this.#clock.settle()
    if (happening.kind === 'command') await this.#send(engine, happening.event)
    else if (happening.kind === 'outside') happening.happen(this.#outside)
    else if (!isAway) await this.#clock.advance(happening.ms)
    await this.#clock.settle()
  }

  /** The stored job. */
  async job(): Promise<Job> {
    return await this.#stored(this.#id)
  }

  async picture(): Promise<Picture> {
    return await this.#pictureOf(await this.job())
  }

  get emitted(): readonly unknown[] {
    return this.#emitted
  }

  get effects(): readonly string[] {
    return this.#outside.effects
  }

  async end(): Promise<void> {
    await this.#close('stop')
    await this.#probe?.close()
  }

  async #open() {
    const { build, commands } = this.#subject
    const schemas = Object.fromEntries(commands.map((name) => [name, z.looseObject({})]))
    const labels = { error: THREW }
    const type = defineJob({ type: 'machine', lifecycle: build(this.#outside), commands: schemas, labels })
    this.#faults = new FaultyStorage(this.#storage)
    const engine = await createEngine({ jobs: [type], storage: this.#faults, clock: this.#clock, ...RARELY })
    engine.on('job.emitted', ({ jobId, event }) => {
      // The first events of a job are published before its submit is answered.
      if (this.#id === '' || this.#id === jobId) this.#emitted.push(event)
    })
    this.#engine = engine
    return { engine, type }
  }

  async #close(restart: Restart): Promise<void> {
    if (restart === 'crash') await this.#faults?.cut()
    else {
      const stopping = this.#engine?.stop({ timeout: 0 })
      await this.#clock.advance(0)
      await stopping
    }
    this.#outside.forget()
  }

  // A live actor ignores an event that its state does not take. A command of a person is refused instead.
  async #send(engine: Engine, event: { readonly type: string }): Promise<void> {
    try {
      await engine.as({ id: 'ada', role: 'editor' }).send(this.#id, event)
    } catch (error) {
      const codes: readonly unknown[] = ['INVALID_STATE', 'ALREADY_SETTLED']
      if (!(error instanceof JobchartError && codes.includes(error.code))) throw error
    }
  }

  async #stored(id: string): Promise<Job> {
    const job = await this.#probe?.get(id)
    if (job === undefined) throw new Error(`there is no job ${id}`)
    return job
  }

  async #pictureOf({ phase, status, state, context, output, error, tasks }: Job): Promise<Picture> {
    const end = status === THREW ? 'error' : 'done'
    const active = phase === 'settled' ? [] : tasks.filter(({ status }) => status !== 'stopping')
    const children = active.map(async ({ id, child, status, snapshot }) => {
      if (child !== undefined) return [id, await this.#pictureOf(await this.#stored(child))] as const
      const inline = snapshot as { readonly context?: Picture } | undefined
      return [id, status === 'inline' ? (inline?.context ?? null) : null] as const
    })
    return {
      status: phase === 'settled' ? end : 'active',
      value: plain(state),
      context: withoutPaths(plain(context)),
      ...(output === undefined ? {} : { output: plain(output) }),
      ...(end === 'done' ? {} : { error: error?.message }),
      children: Object.fromEntries(await Promise.all(children)),
    }
  }
}
