/**
 * One decision over a job and its relatives.
 *
 * A chart may invoke machines, send to them and hear from them. Each is a job with a row of its own, and what one event
 * causes among them is one unit. This runs them as XState's own actor system does: each has a mailbox; one that is busy
 * finishes its event first; what a transition asks for is done in the order of its actions, right after it.
 *
 * Nothing is loaded here: a relative that is needed and was not given is asked for by {@link MissingJob}, and the caller
 * decides again from the start with it. That is safe because a decision has no effect until it is committed.
 */

import type { Decision, DecisionContext } from './decision.ts'
import type { AnyJobType } from './definition.ts'
import { Draft } from './draft.ts'
import { JobchartError } from './error.ts'
import { isBusy, type Job } from './job.ts'
import { forgetChild } from './kinship.ts'
import { isLeft } from './stop.ts'
import type { Child } from './transition.ts'

/** Events that one decision may cause: beyond, charts send to each other without end. */
const EVENTS_MAX = 10_000

/** The stored jobs that a decision may need, and ids for those that it makes. */
export interface Relatives {
  /** The job and its type, or undefined: it was not loaded. */
  readonly get: (id: string) => { readonly type: AnyJobType; readonly job: Job } | undefined
  readonly newId: () => string
}

/** No relatives are known. */
export const NO_RELATIVES: Relatives = {
  get: () => undefined,
  newId: () => {
    throw new MissingJob('(new)')
  },
}

/** A decision needs a stored job that it was not given, or an id for a new one. */
export class MissingJob extends Error {
  readonly id: string

  constructor(id: string) {
    super(`the decision needs job "${id}"`)
    this.id = id
  }
}

/** A job with its relatives, while a decision is made of them. */
export class Family {
  readonly moment: DecisionContext
  readonly #relatives: Relatives
  readonly #drafts = new Map<string, Draft>()
  #events = 0
  #missing: unknown

  constructor(moment: DecisionContext, relatives: Relatives) {
    this.moment = moment
    this.#relatives = relatives
  }

  /** Takes a stored or new job into the decision. */
  open(type: AnyJobType, job: Job): Draft {
    const draft = new Draft(this, type, job)
    this.#drafts.set(job.id, draft)
    if (job.revision === 0) return draft
    // One version after the other, as far as each moves it.
    for (let { successor } = type; successor !== undefined && draft.type !== successor; { successor } = successor) {
      draft.migrate(successor)
      if (draft.type !== successor) break
    }
    return draft
  }

  /** @throws {MissingJob} it was not given. */
  draft(id: string): Draft {
    const known = this.#drafts.get(id)
    if (known !== undefined) return known
    const relative = this.#relatives.get(id)
    if (relative === undefined) throw new MissingJob(id)
    return this.open(relative.type, relative.job)
  }

  /** The children of a job's chart that it has not left; where a child job stands is looked at by whoever asks. */
  childrenOf({ tasks }: Job): readonly Child[] {
    const known = tasks.filter((task) => !isLeft(task))
    return known.map((task) => (task.child === undefined ? task : { ...task, look: this.#lookAt(task.child) }))
  }

  /** @throws {MissingJob} a guard asked for a job that was not given: it could not be heard from inside the machine. */
  throwMissing(): void {
    if (this.#missing !== undefined) throw this.#missing
  }

  #lookAt(id: string): () => unknown {
    return () => {
      try {
        const { type, job } = this.draft(id)
        return type.chart.look(job)
      } catch (error) {
        this.#missing = error
        throw error
      }
    }
  }

  /** A new id for a child job. */
  newId(): string {
    return this.#relatives.newId()
  }

  /** Counts an event. @throws {JobchartError} `INVALID_DEFINITION` there is no end of them. */
  count(): void {
    if (++this.#events <= EVENTS_MAX) return
    throw new JobchartError(
      'INVALID_DEFINITION',
      `one event caused more than ${EVENTS_MAX} others: charts send in a circle`,
    )
  }

  /** What was decided of `first`, with what became of its relatives. */
  decision(first: Draft): Decision {
    for (let isFurther = true; isFurther; ) {
      isFurther = [...this.#drafts.values()].some((draft) => this.#tellParent(draft))
    }
    const others = [...this.#drafts.values()].filter((draft) => draft !== first && draft.isChanged)
    return first.decision(others.map((draft) => draft.decision()))
  }

  // A child that has settled stands in its parent's tasks until its own work is gone.
  #tellParent({ job, isChanged }: Draft): boolean {
    const isOver = job.phase === 'settled' || job.deletedAt !== undefined
    if (job.parentId === undefined || !isChanged || !isOver || isBusy(job)) return false
    return forgetChild(this.draft(job.parentId), job.id)
  }
}
