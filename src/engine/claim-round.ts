import { claim, type Decision, isSuspect } from '../model/decision.ts'
import { eventRow } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { JobWrite } from '../port/storage.ts'
import { claimAlone, runEffects, sideWrites } from './advance.ts'
import { type Core, ENGINE } from './core.ts'
import { moment } from './deciding.ts'

/** What one claim of the storage makes of the tasks that it is shown. */
export class ClaimRound {
  readonly #core: Core
  readonly #claimed: Decision[] = []
  /**
   * The task that the claim stopped at: its chart sends to relatives when its work starts, which takes a unit over them
   * all. It is the next in order, so nothing after it goes first.
   */
  related: { readonly job: Job; readonly invocation: number } | undefined

  /** A suspect was left, since another one runs. */
  hasLeft = false
  #hasSuspect: boolean
  readonly #refused: ReadonlySet<string>

  /**
   * @param hasSuspect  work that was lost with its process again and again runs here now.
   * @param refused  ids of jobs whose claim over relatives was refused a moment ago.
   */
  constructor(core: Core, hasSuspect: boolean, refused: ReadonlySet<string>) {
    this.#core = core
    this.#refused = refused
    this.#hasSuspect = hasSuspect
  }

  /** The claimed job. One row that cannot be claimed keeps no other of its round from it (I36). */
  claim(job: Job, task: Task): JobWrite | 'leave' | 'stop' {
    const core = this.#core
    const type = core.types.of(job)
    if (type === undefined || this.#refused.has(job.id)) return 'leave'
    if (isSuspect(task) && this.#hasSuspect) {
      this.hasLeft = true
      return 'leave'
    }
    try {
      const decision = claimAlone(() => claim(type, job, task.invocation, core.instance, moment(core)))
      if (decision === undefined) {
        this.related = { job, invocation: task.invocation }
        return 'stop'
      }
      this.#claimed.push(decision)
      this.#hasSuspect ||= isSuspect(task)
      const events = eventRow(decision.job, ENGINE, decision.events, decision.inputs)
      return { job: decision.job, events, also: sideWrites(core, decision) }
    } catch {
      return 'leave'
    }
  }

  /** Runs the machines' own actions, after the claim was committed. */
  runEffects(): void {
    for (const decision of this.#claimed) runEffects(this.#core, decision)
  }
}
