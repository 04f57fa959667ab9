import type { TaskEnd } from '../model/decision.ts'
import { JobchartError, jobError } from '../model/error.ts'
import { type Json, storableCopy } from '../model/storable.ts'
import type { StepContext, TaskContext } from '../model/task.ts'
import type { Work } from '../port/executor.ts'
import { failedEnd } from './task-end.ts'

/** What a context is made of, wherever its code runs. */
export type ContextWork = Pick<
  Work,
  'job' | 'attempt' | 'idempotencyKey' | 'reported' | 'recordedSteps' | 'signal' | 'channel'
>

const STEP_NAME_MAX = 200

/**
 * What the code of a task is given: the same in the engine's process, in a thread and in a child process, over the channel
 * of its work.
 *
 * What the code does not await takes no process down: such an error is a line of the job's log. A call that is under way when
 * the code returns is not answered, and no further step begins.
 */
export class CodeContext {
  readonly #work: ContextWork
  readonly #given: (error: unknown) => void
  #names: Set<string> | undefined
  /** Steps that run, or whose result is on its way to the storage. */
  #openSteps: Set<string> | undefined
  #recorded: Promise<ReadonlyMap<string, Json | undefined>> | undefined
  #hasReturned = false

  /** @param given  hears of each error that the code is given. */
  constructor(work: ContextWork, given: (error: unknown) => void = () => {}) {
    this.#work = work
    this.#given = given
  }

  /** The context, with the input as it was parsed. */
  given<Input>(input: Input): TaskContext<Input> {
    const work = this.#work
    const { job, attempt, idempotencyKey, reported } = work
    return {
      input,
      get signal() {
        return work.signal
      },
      attempt,
      job,
      idempotencyKey,
      progress: (report) => work.channel.progress(report),
      ...(reported === undefined ? {} : { reported }),
      log: (text) => work.channel.log(text),
      item: (key, report) => this.#guarded(`item "${key}"`, () => work.channel.item(key, report)),
      step: (name, run) => this.#guarded(`step "${name}"`, () => this.#step(name, run)),
      send: (event) => this.#guarded('what was sent', () => work.channel.send(event)),
      get inbox() {
        return work.channel.inbox
      },
    }
  }

  /**
   * The code has returned, or thrown. Where a step still runs, that is the error of the task, and for good: made again, it
   * would run beside it. `stillRuns` then says why what runs should stop.
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
    const { signal, channel } = this.#work
    const guarded = new Promise<Result>((resolve, reject) => {
      run().then(resolve, (error: unknown) => {
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
    // The value was recorded from this very step, by an earlier attempt of the same code.
    if (recorded.has(name)) return recorded.get(name) as Result
    if (this.#hasReturned) {
      throw new JobchartError('STALE_CLAIM', 'the code of this attempt has returned: no step of it begins any more')
    }
    const result = await run({ key: `${idempotencyKey}:${name}`, signal })
    await channel.step(name, result === undefined ? undefined : storableCopy(result, `result of step "${name}"`, true))
    return result
  }
}
