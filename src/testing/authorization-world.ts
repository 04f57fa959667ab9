/** Makes an engine with a policy, and stores a job and a pipeline for each of the targets. */
import {
  type AnyJobType,
  type CommandSchemas,
  createEngine,
  defineJob,
  type Engine,
  memoryStorage,
  type Session,
  type SessionEvent,
  type SessionPrincipal,
} from 'jobchart'
import { createMachine } from 'xstate'
import type { Policy, Principal, Target } from '../port/policy.ts'
import { inTime, isPromiseLike, Late, type PolicyBench } from './authorization-answers.ts'
import { asPipeline, targetOf, unique } from './authorization-samples.ts'
import { type VirtualClock, virtualClock } from './virtual-clock.ts'

/** A stored job or pipeline, as a policy sees it. */
export interface Stored {
  readonly id: string
  readonly target: Target
}

/** What each check of a policy in an engine gets. */
export interface World {
  readonly clock: VirtualClock
  readonly engine: Engine
  /** The job types of the engine. The first one is the default type of targets, which always exists. */
  readonly types: readonly [AnyJobType, ...AnyJobType[]]
  readonly jobs: readonly Stored[]
  readonly pipelines: readonly Stored[]
  readonly sessionOf: (who: Principal) => Session
  /** Replaces the policy that the engine asks. */
  readonly answerBy: (policy: Policy) => void
  /** Resolves when the engine is idle and the policy has answered all its questions. */
  readonly quiet: () => Promise<void>
  /** All events that the session can read now. */
  readonly eventsOf: (session: Session) => Promise<readonly SessionEvent[]>
  /** All stored data and all events, as one text. Two equal texts mean that nothing was changed between them. */
  readonly stored: () => Promise<string>
}

/** At most this many targets are stored. If there are more, only every second, every third and so on is stored. */
const JOBS_MAX = 48

/** An id that no job and no pipeline has. */
export const ABSENT = '019b7654-0000-7000-8000-00000000abcd'

const anything: CommandSchemas[string] = {
  '~standard': { version: 1, vendor: 'jobchart', validate: (value) => ({ value }) },
}

/** A job type whose jobs run until they get a command. */
function sampleType(type: string): AnyJobType {
  return defineJob({
    type,
    lifecycle: createMachine({
      initial: 'open',
      states: {
        open: { on: { note: { actions: () => {} }, finish: 'done', cancel: 'cancelled' } },
        done: { type: 'final' },
        cancelled: { type: 'final', tags: 'cancelled' },
      },
    }),
    commands: { note: anything, finish: anything, cancel: anything },
  })
}

/** Runs a check in an engine of its own. */
export async function inWorld(bench: PolicyBench, check: (world: World) => Promise<void>): Promise<void> {
  const policy = new PunctualPolicy(bench)
  const world = await openWorld({ ...bench, policy })
  try {
    await check(world)
    if (policy.late !== undefined) throw policy.late
  } finally {
    const stopped = world.engine.stop()
    await world.clock.advance(20_000)
    await stopped
  }
}

async function openWorld({ policy, targets }: PolicyBench): Promise<World> {
  const clock = virtualClock()
  const watched = new WatchedPolicy(allowAll)
  const storable = someOf(targets.filter(isStorable))
  const plain = sampleType(targetOf({}).type)
  const names = unique(storable.map(({ type }) => type)).filter((name) => name !== plain.type)
  const types = [plain, ...names.map(sampleType)] as const
  const engine = await createEngine({ jobs: types, policy: watched, storage: memoryStorage(), clock })
  const asUser = (who: Pick<Principal, 'id' | 'tenant'>) => engine.as({ id: who.id, tenant: who.tenant })
  const jobs: Stored[] = []
  const pipelines: Stored[] = []
  for (const [index, target] of storable.entries()) {
    const type = types.find((each) => each.type === target.type) ?? plain
    jobs.push(await submitted(asUser({ id: target.createdBy, tenant: target.tenant }), type, target, index))
    pipelines.push(await defined(asUser({ id: target.createdBy, tenant: target.tenant }), type, target, index))
  }
  await clock.settle()
  watched.policy = policy
  const quiet = () => quietOf(clock, watched)
  return {
    clock,
    engine,
    types,
    jobs,
    pipelines,
    sessionOf: (who) => sessionOf(engine, who),
    answerBy: (other) => {
      watched.policy = other
    },
    quiet,
    eventsOf: (session) => toldNow(session, quiet),
    stored: async () => {
      const events = await toldNow(engine.system, () => clock.settle())
      const jobs = await Promise.all(unique(events.map(idIn)).map((id) => engine.system.get(id).catch(() => id)))
      return JSON.stringify([events, jobs, (await engine.system.pipelines.list({ limit: 100 })).items])
    },
  }
}

// Submits a job for the target. Every third job is ended. Runs of the same pipeline wait for each other.
async function submitted(owner: Session, type: AnyJobType, target: Target, index: number): Promise<Stored> {
  const { pipeline, assignee, labels } = target
  const run = pipeline === undefined ? {} : ({ pipeline, overlap: 'queue' } as const)
  const assigned = assignee === undefined ? {} : { assignee }
  const { id, status } = await owner.submit(type, { index }, { ...run, ...assigned, labels })
  if (index % 3 > 0) return { id, target: { ...target, jobId: id, status } }
  const ended = await owner.send(id, { type: index % 2 === 0 ? 'finish' : 'cancel' })
  return { id, target: { ...target, jobId: id, status: ended.status } }
}

async function defined(owner: Session, job: AnyJobType, target: Target, index: number): Promise<Stored> {
  const id = `${target.pipeline ?? 'nightly'}-${index}`.slice(-200)
  await owner.pipelines.define({ id, job, input: { index }, labels: target.labels })
  return { id, target: { ...asPipeline(target), pipeline: id } }
}

function sessionOf(engine: Engine, { id, tenant, role, relations }: Principal): Session {
  const principal: SessionPrincipal = { id, tenant, role, ...(relations === undefined ? {} : { relations }) }
  return engine.as(principal)
}

function idIn(event: SessionEvent): string {
  return 'jobId' in event ? (event.jobId ?? '') : ''
}

// Whether an engine accepts the names in the target. If a policy is also used outside an engine, the suite may ask it
// about other names.
function isStorable({ tenant, type, createdBy, assignee = 'p', pipeline = 'p', labels }: Target): boolean {
  const names = [tenant, type, createdBy, assignee, pipeline, ...Object.keys(labels)]
  const isName = (name: string) => name !== '' && name.length <= 200 && name.isWellFormed() && name !== '__proto__'
  return createdBy !== 'system' && names.every(isName) && Object.values(labels).every((value) => value.isWellFormed())
}

function someOf(targets: readonly Target[]): readonly Target[] {
  const step = Math.ceil(targets.length / JOBS_MAX)
  return targets.filter((_, index) => index % step === 0)
}

/** Allows everything, in every tenant. */
const allowAll: Policy = {
  authorize: () => 'allow',
  scope: ({ tenant }) => [{ tenant }],
}

/**
 * Gives a policy a time limit in real time. The engine's own limit would never end, because it uses the virtual clock
 * of the check.
 */
class PunctualPolicy implements Policy {
  late: Error | undefined
  readonly #policy: Policy
  readonly #answerMsMax: number

  constructor({ policy, answerMsMax }: PolicyBench) {
    this.#policy = policy
    this.#answerMsMax = answerMsMax
  }

  authorize(...question: Parameters<Policy['authorize']>): ReturnType<Policy['authorize']> {
    return this.#punctual(() => this.#policy.authorize(...question))
  }

  scope(...question: Parameters<Policy['scope']>): ReturnType<Policy['scope']> {
    return this.#punctual(() => this.#policy.scope(...question))
  }

  #punctual<Answer>(ask: () => Answer | PromiseLike<Answer>): Answer | PromiseLike<Answer> {
    if (this.late !== undefined) throw this.late
    const answer = ask()
    if (!isPromiseLike(answer)) return answer
    // If the policy gives a promise, it is a promise of an answer, so the cast is safe.
    return inTime(answer as PromiseLike<Answer>, this.#answerMsMax).catch((error: unknown) => {
      if (error instanceof Late) this.late ??= new Error(`the policy ${error.message}`)
      throw error
    })
  }
}

/** Passes questions to a policy, and records which ones it has not answered yet. */
class WatchedPolicy implements Policy {
  policy: Policy
  readonly #owed = new Set<PromiseLike<unknown>>()

  constructor(policy: Policy) {
    this.policy = policy
  }

  authorize(...question: Parameters<Policy['authorize']>): ReturnType<Policy['authorize']> {
    return this.#watched(this.policy.authorize(...question))
  }

  scope(...question: Parameters<Policy['scope']>): ReturnType<Policy['scope']> {
    return this.#watched(this.policy.scope(...question))
  }

  async answered(): Promise<boolean> {
    const owed = [...this.#owed]
    await Promise.allSettled(owed)
    return owed.length === 0
  }

  #watched<Answer>(answer: Answer): Answer {
    if (!isPromiseLike(answer)) return answer
    this.#owed.add(answer)
    const settled = () => {
      this.#owed.delete(answer)
    }
    answer.then(settled, settled)
    return answer
  }
}

async function quietOf(clock: VirtualClock, policy: WatchedPolicy): Promise<void> {
  do await clock.settle()
  while (!(await policy.answered()))
}

async function toldNow(session: Session, quiet: () => Promise<void>): Promise<readonly SessionEvent[]> {
  const told: SessionEvent[] = []
  const given = new AbortController()
  const reading = (async () => {
    for await (const event of session.events({ after: 0, signal: given.signal })) told.push(event)
  })()
  // Waits until the reading ends with an error, or until nothing more happens. `await reading` below throws the error.
  const over = reading.catch(() => {})
  await Promise.race([over, quiet()])
  given.abort()
  await reading
  return told
}
