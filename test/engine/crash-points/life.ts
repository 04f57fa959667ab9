import {
  type AnyJobType,
  JobchartError,
  type JobView,
  type PipelineOptions,
  type SubmitOptions,
  type TaskContext,
} from 'jobchart'
import type { Bench, Host, HostOptions } from '../bench.ts'
import { FaultyStorage } from '../faulty-storage.ts'
import type { Ledger } from './ledger.ts'
import { never, type Point, Points } from './points.ts'
import type { Scenario } from './scenario.ts'

/**
 * Number of times that a client repeats a call that the storage could not answer, and that a supervisor repeats a
 * start.
 */
const TRIES_MAX = 5
/** A poll takes 500 ms, because every case waits for several. */
const TIMES: Partial<HostOptions> = { poll: '500ms', sweep: '1s', heartbeat: '2s' }

/** The code of the jobs of one process. It stops when the process dies. */
export class Code {
  readonly #bench: Bench
  readonly #points: Points
  readonly #ledger: Ledger
  readonly #inside = new Set<string>()

  constructor(bench: Bench, points: Points, ledger: Ledger) {
    this.#bench = bench
    this.#points = points
    this.#ledger = ledger
  }

  /** A task's function. */
  task<Input, Output>(run: (context: TaskContext<Input>) => Promise<Output>) {
    return async (context: TaskContext<Input>): Promise<Output> => {
      const key = context.idempotencyKey
      this.#ledger.began()
      if (this.#inside.has(key)) this.#ledger.faults.push(`I14 ${key} runs twice in one process`)
      this.#inside.add(key)
      try {
        const output = await run(context)
        this.#ledger.returned(context)
        return output
      } finally {
        this.#inside.delete(key)
      }
    }
  }

  /** Waits; a given signal ends the wait when it is aborted. */
  async pause(ms: number, signal?: AbortSignal): Promise<void> {
    await new Promise<void>((resume, fail) => {
      const cancel = this.#bench.clock.timer(ms, resume)
      const stop = () => {
        cancel()
        fail(signal?.reason)
      }
      if (signal?.aborted === true) stop()
      else signal?.addEventListener('abort', stop, { once: true })
    })
    await this.#points.going()
  }

  /** A step that is recorded in the ledger. */
  async step(context: TaskContext, name: string): Promise<string> {
    await this.#points.going()
    const result = await context.step(name, async () => {
      await this.#points.going()
      this.#ledger.stepped(context, name)
      return `result of ${name}`
    })
    if (result !== `result of ${name}`) this.#ledger.faults.push(`I22 step "${name}" gave ${result}`)
    return result
  }
}

/** One process from its start to its end, with the client that calls it. */
export class Life {
  readonly points: Points
  readonly #bench: Bench
  readonly #ledger: Ledger
  readonly #scenario: Scenario
  readonly #types: readonly AnyJobType[]
  #host: Host | undefined
  #advancing: Promise<void> = Promise.resolve()
  /** Whether an earlier client may have made the same calls. */
  #isRepeat: boolean

  constructor(bench: Bench, ledger: Ledger, scenario: Scenario, options: LifeOptions = {}) {
    this.#bench = bench
    this.#ledger = ledger
    this.#scenario = scenario
    this.points = new Points(bench.disk, ledger, options.point)
    this.#types = scenario.jobs(new Code(bench, this.points, ledger), options.isBefore === true)
    this.#isRepeat = options.isRepeat === true
  }

  get isDead(): boolean {
    return this.points.isDead
  }

  /** The events that its listeners received. */
  get heard(): Host['heard'] {
    return this.#host?.heard ?? []
  }

  /** Resolves when the script of the process is done, or its death or freeze cut it off. */
  async until(course: Promise<void>): Promise<'done' | 'dead' | 'frozen'> {
    const dead = this.points.died.then(() => 'dead' as const)
    const frozen = this.points.froze.then(() => 'frozen' as const)
    const how = await Promise.race([course.then(() => 'done' as const), dead, frozen])
    // The clock belongs to no process: it finishes an advance before the next one.
    await this.#advancing
    return how
  }

  /** The process thaws. Another process may have done meanwhile what its client had asked for. */
  thaw(): void {
    this.#isRepeat = true
    this.points.thaw()
  }

  /** Starts the engine. A failed start is repeated, as a supervisor does. */
  async start(): Promise<void> {
    await this.#insist(async () => {
      const options = { ...TIMES, deadAfter: '10s', ...this.#scenario.options, jobs: this.#types }
      this.#host = await this.#bench.start(options, new FaultyStorage(this.points))
    })
  }

  async submit(key: string, type: string, options: Omit<SubmitOptions, 'signal'> = {}): Promise<void> {
    const job = this.type(type)
    const given = { ...options, idempotencyKey: key }
    const { id } = await this.#insist(() => this.#use().ada.submit(job, `input of ${key}`, given))
    this.#ledger.submitted(key, id)
  }

  /** Stores a pipeline, as an app does at each start. */
  async define(options: Omit<PipelineOptions, 'job' | 'input'> & { readonly job: string }): Promise<void> {
    const job = this.type(options.job)
    await this.#insist(() => this.#use().ada.pipelines.define({ ...options, job, input: `input of ${options.id}` }))
  }

  /** A type of this process. */
  type(name: string): AnyJobType {
    const job = this.#types.find((each) => each.type === name)
    if (job === undefined) throw new Error(`there is no job type "${name}"`)
    return job
  }

  /** Submits repeatedly, until the slot of the pipeline is free. */
  async submitWhenFree(key: string, type: string, options: Omit<SubmitOptions, 'signal'>): Promise<void> {
    for (let round = 0; round < 100; round++) {
      try {
        return await this.submit(key, type, options)
      } catch (error) {
        if (codeOf(error) !== 'ALREADY_RUNNING') throw error
        await this.advance(70)
      }
    }
    throw new Error(`I14 the slot of "${key}" never was free`)
  }

  /** Sends a command. A command that may have been taken before may be refused now. */
  async send(key: string, command: string): Promise<void> {
    await this.#command(key, command, (id) => this.#use().ada.send(id, { type: command }))
  }

  async cancel(key: string): Promise<void> {
    await this.#command(key, 'cancel', (id) => this.#use().ada.cancel(id))
  }

  async #command(key: string, command: string, run: (id: string) => Promise<JobView>): Promise<void> {
    const id = this.#ledger.id(key)
    try {
      const { status } = await this.#insist(() => run(id))
      this.#ledger.commanded({ id, command, status })
    } catch (error) {
      if (!this.#isRepeat || !['INVALID_STATE', 'ALREADY_SETTLED'].includes(codeOf(error))) throw error
    }
  }

  /** Waits for the end of a job, and for its listeners to hear of it. */
  async result(key: string): Promise<void> {
    const id = this.#ledger.id(key)
    let told = 'nothing'
    const ask = async (): Promise<void> => {
      try {
        told = (await this.#hear(this.#use().ada.result(id))).status
      } catch (error) {
        told = codeOf(error)
      }
    }
    void ask()
    const { status } = await this.settled(key)
    // A sweep and a poll.
    await this.advance(2_000)
    if (told === 'STORAGE_UNAVAILABLE') await ask()
    if (told !== status) this.#ledger.faults.push(`I36 the job is ${status}, and who waits was told ${told}`)
  }

  /** Waits until the job has ended, or is in the given state. */
  async settled(key: string, status?: string) {
    for (let round = 0; round < 150; round++) {
      const job = await this.#bench.row(this.#ledger.id(key))
      if (this.isDead) return await never<typeof job>()
      if (job.phase === 'settled' || job.status === status) return job
      await this.advance(200)
    }
    throw new Error(`I19 "${key}" has not come to ${status ?? 'its end'}`)
  }

  async advance(ms: number): Promise<void> {
    this.#advancing = this.#bench.clock.advance(ms)
    await this.#advancing
    await this.points.going()
  }

  /** Stops the engine within the given time. */
  async stop(timeout: number): Promise<void> {
    const stopping = this.#hear(this.#use().engine.stop({ timeout }))
    await this.advance(timeout)
    await stopping
  }

  /** Starts the engine again. */
  async resume(): Promise<void> {
    await this.#insist(() => this.#use().engine.start())
  }

  async #insist<Result>(run: () => Promise<Result>): Promise<Result> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#hear(run())
      } catch (error) {
        if (!['STORAGE_UNAVAILABLE', 'OUTCOME_UNKNOWN'].includes(codeOf(error)) || tries === TRIES_MAX) throw error
        // A command has no key. It may have been taken, and is sent again.
        this.#isRepeat = true
        await this.advance(200)
      }
    }
  }

  // No one hears the answer of a dead process.
  async #hear<Result>(call: Promise<Result>): Promise<Result> {
    try {
      const result = await call
      return this.isDead ? await never() : result
    } catch (error) {
      if (this.isDead) return await never()
      throw error
    }
  }

  #use(): Host {
    if (this.#host === undefined) throw new Error('the process has not started')
    return this.#host
  }
}

/** Options of a process. */
export interface LifeOptions {
  /** The call at which it dies or fails. */
  readonly point?: Point
  /** Whether it runs before the process under test. */
  readonly isBefore?: boolean
  /** Whether its client repeats calls that another one may have made. */
  readonly isRepeat?: boolean
}

function codeOf(error: unknown): string {
  return error instanceof JobchartError ? error.code : `not typed: ${String(error)}`
}
