import { type Decision, type DecisionContext, type JobDecision, MissingJob, type Relatives } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { isUnreadable, jobNotFound } from '../model/error.ts'
import type { Actor } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import { type Core, ENGINE } from './core.ts'
import { newId } from './ids.ts'

/** Decides with the stored relatives that the decision asks for, each loaded once. */
export async function decideWith(core: Core, decide: (relatives: Relatives) => Decision): Promise<Decision> {
  const loaded = new Map<string, { readonly type: AnyJobType; readonly job: Job }>()
  const relatives: Relatives = { get: (id) => loaded.get(id), newId: () => newId(core) }
  for (;;) {
    try {
      return decide(relatives)
    } catch (error) {
      if (!(error instanceof MissingJob)) throw error
      const job = await load(core, error.id)
      loaded.set(job.id, { type: core.types.require(job), job })
    }
  }
}

/** The waiting run of a pipeline whose turn is next, of the types that this engine knows. */
export async function nextInTurn(
  { storage, types, clock }: Core,
  tenant: string,
  pipeline: string,
): Promise<Job | undefined> {
  return await storage.nextWaiting(types.all(), tenant, pipeline, clock.now())
}

/** A decision whose events nobody asked for: they are the engine's. */
export function byEngine<Decided extends JobDecision>(decided: Decided): Decided {
  return { ...decided, events: decided.events.map((event) => ({ ...event, by: ENGINE })) }
}

/** What the world looks like to a decision that is made now. */
export function moment(core: Core): DecisionContext {
  return new Now(core)
}

/** Chance is drawn when it is asked for, and once: only a retry needs it. */
class Now implements DecisionContext {
  readonly at: number
  readonly heartbeatMs: number
  readonly #core: Core
  #random: number | undefined

  constructor(core: Core) {
    this.#core = core
    this.at = core.clock.now()
    this.heartbeatMs = core.settings.heartbeatMs
  }

  get random(): number {
    this.#random ??= randomOf(this.#core)
    return this.#random
  }
}

function randomOf({ clock }: Core): number {
  const bytes = clock.randomBytes(4)
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32
}

/**
 * The stored job, as somebody wants it.
 *
 * @throws {JobchartError} `JOB_NOT_FOUND`; `JOB_UNREADABLE` for the engine itself.
 */
export async function load(core: Core, id: string, by: Actor['kind'] = 'system'): Promise<Job> {
  const job = await core.storage.get(id).catch((error: unknown) => {
    // Whether a person may see it cannot be asked, so that it is there is not told (I52).
    throw isUnreadable(error) && by !== 'system' ? jobNotFound(id) : error
  })
  if (job === undefined || (by !== 'system' && job.deletedAt !== undefined)) throw jobNotFound(id)
  return job
}
