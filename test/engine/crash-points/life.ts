import { type AnyJobType, JobchartError, type JobView, type SubmitOptions, type TaskContext } from 'jobchart'
import type { Bench, Host, HostOptions } from '../bench.ts'
import { FaultyStorage } from '../faulty-storage.ts'
import type { Ledger } from './ledger.ts'
import { never, type Point, Points } from './points.ts'
import type { Scenario } from './scenario.ts'

/** How often a client repeats what the storage could not answer, and a supervisor a start. */
const TRIES_MAX = 5
/** A poll is 500 ms, since every case has to wait for some. */
const TIMES: Partial<HostOptions> = { poll: '500ms', sweep: '1s', heartbeat: '2s' }

/** The code of the jobs of one process: once that is dead, none of it goes on. */
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

  /** Time passes; given a signal, until that is aborted. */
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

  /** A step that is noted in the ledger. */
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

/** One process from its start to its end, and the client that talks to it. */
export class Life {
  readonly points: Points
  readonly #bench: Bench
  readonly #ledger: Ledger
  readonly #scenario: Scenario
  readonly #types: readonly AnyJobType[]
  #host: Host | undefined
  #advancing: Promise<void> = Promise.resolve()
  /** What it asks for may have been asked for before. */
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

  /** What its listeners heard. */
  get heard(): Host['heard'] {
    return this.#host?.heard ?? []
  }

  /** Resolves when the course of the process is done, or cut off by its death or its freeze. */
  async until(course: Promise<void>): Promise<'done' | 'dead' | 'frozen'> {
    const dead = this.points.died.then(() => 'dead' as const)
    const frozen = this.points.froze.then(() => 'frozen' as const)
    const how = await Promise.race([course.then(() => 'done' as const), dead, frozen])
    // The clock belongs to no process: what it was asked for is done before anyone asks again.
    await this.#advancing
    return how
  }

  /** The process goes on; what its client asked for before, another may have done. */
  thaw(): void {
    this.#isRepeat = true
    this.points.thaw()
  }

  /** Starts the engine; one that could not start is started again, as a supervisor does. */
  async start(): Promise<void> {
    await this.#insist(async () => {
      const options = { ...TIMES, deadAfter: '10s', ...this.#scenario.options, jobs: this.#types }
      this.#host = await this.#bench.start(options, new FaultyStorage(this.points))
    })
  }

  async submit(key: string, type: string, options: Omit<SubmitOptions, 'signal'> = {}): Promise<void> {
    const job = this.#types.find((each) => each.type === type)
    if (job === undefined) throw new Error(`there is no job type "${type}"`)
    const given = { ...options, idempotencyKey: key }
    const { id } = await this.#insist(() => this.#use().ada.submit(job, `input of ${key}`, given))
    this.#ledger.submitted(key, id)
  }

  /** Submits again and again, until the slot of the pipeline is free. */
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

  /** Sends a command. One that may have been taken before may be refused now. */
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

  /** Waits for the end of a job, and is told of it soon after. */
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
    // A sweep, and a poll.
    await this.advance(2_000)
    if (told === 'STORAGE_UNAVAILABLE') await ask()
    if (told !== status) this.#ledger.faults.push(`I36 the job is ${status}, and who waits was told ${told}`)
  }

  /** Time passes until the job has ended, or stands where it is said to. */
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

  /** Stops the engine, in at most so much time. */
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
        // A command has no key: it may have been taken, and is sent again.
        this.#isRepeat = true
        await this.advance(200)
      }
    }
  }

  // What a dead process would have answered is heard by nobody.
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

/** How a process is started. */
export interface LifeOptions {
  /** Where it dies or fails. */
  readonly point?: Point
  /** It comes before the one that is looked at. */
  readonly isBefore?: boolean
  /** Its client repeats what another may have done. */
  readonly isRepeat?: boolean
}

function codeOf(error: unknown): string {
  return error instanceof JobchartError ? error.code : `not typed: ${String(error)}`
}
