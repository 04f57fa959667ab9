import type { TaskEnd } from '../model/attempt-end.ts'
import { JobchartError, jobError } from '../model/error.ts'
import { type Json, storableCopy } from '../model/storable.ts'
import type { StepContext, TaskContext } from '../model/task.ts'
import type { Clock } from '../port/clock.ts'
import type { Work } from '../port/executor.ts'
import { failedEnd } from './task-end.ts'

/**
 * The fields of a {@link Work} that the task's context needs. They are there wherever task code runs: in the engine's
 * process, a child process or a thread.
 */
export type ContextWork = Pick<
  Work,
  'job' | 'attempt' | 'idempotencyKey' | 'reported' | 'recordedSteps' | 'signal' | 'draining' | 'batch' | 'channel'
> & {
  /** Default: the machine's clock. */
  readonly clock?: Clock
}

const STEP_NAME_MAX = 200

// Registered, because the code and what runs it may use two copies of this package.
const WORK: unique symbol = Symbol.for('jobchart.work')

interface Given {
  readonly [WORK]: ContextWork
}

/** The work of a context that {@link CodeContext} made. `undefined`: it is the context of a plain XState actor. */
export function workOf(context: TaskContext): ContextWork | undefined {
  return (context as Partial<Given>)[WORK]
}

// Computed when they are read, because most code never reads them. All contexts share these getters: with getters of
// its own, each context would get a hidden class of its own, and that keeps the whole attempt in memory until a full
// collection.
const SIGNAL: PropertyDescriptor & ThisType<Given> = {
  enumerable: true,
  get() {
    return this[WORK].signal
  },
}
const DRAINING: PropertyDescriptor & ThisType<Given> = {
  enumerable: true,
  get() {
    return this[WORK].draining
  },
}
const INBOX: PropertyDescriptor & ThisType<Given> = {
  enumerable: true,
  get() {
    return this[WORK].channel.inbox
  },
}

/**
 * The context that the code of a task receives. It is the same in the engine's process, in a thread and in a child
 * process, because it reports only over the channel of its work.
 *
 * A call that fails and is not awaited does not end the process: its error becomes a line of the job's log. If a call
 * fails after the code has returned, its promise stays pending. After the return, no further step begins.
 */
export class CodeContext {
  readonly #work: ContextWork
  readonly #given: (error: unknown) => void
  #names: Set<string> | undefined
  /** The names of steps that run, or whose result is not stored yet. */
  #openSteps: Set<string> | undefined
  #recorded: Promise<ReadonlyMap<string, Json | undefined>> | undefined
  #hasReturned = false

  /** @param given  called with each error with which a call of the context rejects. */
  constructor(work: ContextWork, given: (error: unknown) => void = () => {}) {
    this.#work = work
    this.#given = given
  }

  /** The context for the code, with the parsed input. */
  given<Input>(input: Input): TaskContext<Input> {
    const work = this.#work
    const { job, attempt, idempotencyKey, reported } = work
    const context = {
      [WORK]: work,
      input,
      attempt,
      job,
      idempotencyKey,
      progress: (report) => work.channel.progress(report),
      ...(reported === undefined ? {} : { reported }),
      log: (text) => work.channel.log(text),
      item: (key, report) => this.#guarded(`item "${key}"`, () => work.channel.item(key, report)),
      step: (name, run) => this.#guarded(`step "${name}"`, () => this.#step(name, run)),
      send: (event) => this.#guarded('what was sent', () => work.channel.send(event)),
    } satisfies Omit<TaskContext<Input>, 'signal' | 'draining' | 'inbox'> & Given
    Object.defineProperty(context, 'signal', SIGNAL)
    Object.defineProperty(context, 'draining', DRAINING)
    return Object.defineProperty(context, 'inbox', INBOX) as TaskContext<Input> & Given
  }

  /**
   * Called when the code has returned or thrown. If the code has returned while a step still runs, the task ends with
   * an error and is not retried: the retry would run at the same time as that step. `stillRuns` is present if a step
   * still runs. The step should then be stopped, with this text as the reason.
   */
  returned(end: TaskEnd): { readonly end: TaskEnd; readonly stillRuns?: string } {
    this.#hasReturned = true
    const [open] = this.#openSteps ?? []
    if (open === undefined) return { end }
    const stillRuns = `the code returned while step "${open}" still ran; await each step`
    if (!end.ok) return { end, stillRuns }
    return { end: { ...failedEnd(new JobchartError('STEP_NOT_AWAITED', stillRuns)), isFinal: true }, stillRuns }
  }

  #guarded<Result>(what: string, run: () => Promise<Result>): Promise<Result> {
    const isLate = this.#hasReturned
    const guarded = new Promise<Result>((resolve, reject) => {
      run().then(resolve, (error: unknown) => {
        const { signal, channel } = this.#work
        if (!signal.aborted) channel.log(`${what}: ${jobError(error).message}`)
        if (this.#hasReturned && !isLate) return
        this.#given(error)
        reject(error)
      })
    })
    guarded.catch(() => {})
    return guarded
  }

  async #step<Result>(name: string, run: (step: StepContext) => Result | PromiseLike<Result>): Promise<Result> {
    if (typeof name !== 'string' || name === '' || name.length > STEP_NAME_MAX || !name.isWellFormed()) {
      throw new JobchartError('INVALID_INPUT', `a step should have a name of 1 to ${STEP_NAME_MAX} characters`)
    }
    this.#names ??= new Set()
    if (this.#names.has(name)) {
      throw new JobchartError('INVALID_INPUT', `step "${name}" was already run in this attempt; give each its own name`)
    }
    this.#names.add(name)
    this.#openSteps ??= new Set()
    this.#openSteps.add(name)
    try {
      return await this.#recordedOrRun(name, run)
    } finally {
      this.#openSteps.delete(name)
    }
  }

  async #recordedOrRun<Result>(
    name: string,
    run: (step: StepContext) => Result | PromiseLike<Result>,
  ): Promise<Result> {
    const { idempotencyKey, signal, channel } = this.#work
    this.#recorded ??= this.#work.recordedSteps()
    const recorded = await this.#recorded
    // The cast is safe: an earlier attempt recorded the value for the same step.
    if (recorded.has(name)) return recorded.get(name) as Result
    if (this.#hasReturned) {
      throw new JobchartError('STALE_CLAIM', 'the code of this attempt has returned: no step of it begins any more')
    }
    const result = await run({ key: `${idempotencyKey}:${name}`, signal })
    await channel.step(name, result === undefined ? undefined : storableCopy(result, `result of step "${name}"`, true))
    return result
  }
}
