import { unitRandom } from '../context/unit-random.ts'
import type { Decision, DecisionContext, JobDecision } from '../model/decision.ts'
import { type AnyJobType, withVersions } from '../model/definition.ts'
import { hasCode, JobchartError } from '../model/error.ts'
import type { Actor } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import type { ParsedRule } from '../model/notification-rule.ts'
import type { Executor } from '../port/executor.ts'
import type { Logger } from '../port/logger.ts'
import type { Policy } from '../port/policy.ts'
import type { StorageConnection } from '../port/storage.ts'
import type { AgentDesk } from './agent-desk.ts'
import type { Alarm } from './alarm.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { DueRuns } from './due-runs.ts'
import type { EngineClock } from './engine-clock.ts'
import type { HealthWatch } from './health.ts'
import type { LeaseWatch } from './leases.ts'
import type { LogTail } from './log-tail.ts'
import type { Settings } from './options.ts'
import type { PolicyQuestion } from './policy-answer.ts'
import type { FindPrincipal } from './principal.ts'
import type { Publisher } from './publisher.ts'
import type { Pruning } from './retention.ts'
import type { LossWatch } from './sweeps.ts'
import type { Change, Ticks } from './tick.ts'
import type { WorkingSet } from './working-set.ts'

/** What the parts of a running engine share. Each start creates a new one. */
export interface Core {
  readonly instance: string
  readonly settings: Settings
  readonly clock: EngineClock
  readonly policy: Policy
  /** Finds a person's current rights, for work without a session. `undefined`: the host has no such function. */
  readonly findPrincipal: FindPrincipal | undefined
  /** Called when the policy fails. Never throws. */
  readonly policyFailed: (error: unknown, asked: PolicyQuestion) => void
  readonly executors: ReadonlyMap<string, Executor>
  readonly types: TypeRegistry
  readonly storage: StorageConnection
  readonly ticks: Ticks
  readonly publisher: Publisher
  readonly logger: Logger
  readonly tail: LogTail
  readonly health: HealthWatch
  readonly dispatcher: Dispatcher
  readonly desk: AgentDesk
  readonly losses: LossWatch
  readonly leases: LeaseWatch
  readonly pruning: Pruning
  readonly dueRuns: DueRuns
  readonly alarm: Alarm
  /** Aborted when the engine stops, so that waiting calls end. */
  readonly stopped: AbortSignal
}

/** The engine itself as the cause of an event. */
export const ENGINE: Actor = { kind: 'system', id: 'engine' }

/** Returns a decision context: with the times of the earlier one if it is given, otherwise with the current times. */
export function contextOf(core: Core, earlier?: Times): DecisionContext & Times {
  return new Now(core, earlier ?? { at: core.clock.now(), steadyAt: core.clock.steady() })
}

type Times = Required<Pick<DecisionContext, 'at' | 'steadyAt'>>

/** Draws its random number at the first use, because only retries need one. */
class Now implements DecisionContext {
  readonly at: number
  readonly steadyAt: number
  readonly heartbeatMs: number
  readonly instance: string
  readonly #core: Core
  #random: number | undefined

  constructor(core: Core, { at, steadyAt }: Times) {
    this.#core = core
    this.at = at
    this.steadyAt = steadyAt
    this.heartbeatMs = core.settings.heartbeatMs
    this.instance = core.instance
  }

  get random(): number {
    this.#random ??= unitRandom(this.#core.clock)
    return this.#random
  }
}

/** Marks the events of a decision as caused by the engine, because no caller asked for them. */
export function byEngine<Decided extends JobDecision>(decided: Decided): Decided {
  return { ...decided, events: decided.events.map((event) => ({ ...event, by: ENGINE })) }
}

/** The part of a change that decides one stored job. */
export function ofJob(
  id: string,
  decide: (type: AnyJobType, job: Job, context: DecisionContext, jobs: WorkingSet) => Decision | undefined,
): Pick<Change, 'jobs' | 'decide'> {
  return {
    jobs: [id],
    decide: (jobs, context) => {
      const job = jobs.require(id)
      return decide(jobs.typeOf(job), job, context, jobs)
    },
  }
}

/** Whether a claim was refused because its limit key has no free place. */
export function isFull(error: unknown): boolean {
  return hasCode(error, 'STALE_CLAIM')
}

/** The job types that this engine knows, by type and version. */
export class TypeRegistry {
  readonly #all: readonly AnyJobType[]
  /** The newest version of each type, by name. If the list has several versions of a type, the last one counts. */
  readonly #newest: ReadonlyMap<string, AnyJobType>
  /** The types of the engine itself. */
  readonly #own: readonly AnyJobType[]
  /** All types, by name and then version. Looked up at each change of a job. */
  readonly #found = new Map<string, Map<string, AnyJobType>>()
  /** The name of the type that has an alias, by the alias. */
  readonly #aliases = new Map<string, string>()
  readonly #safe = new Map<string, AnyJobType['safe'] | undefined>()

  /**
   * Collects the given types and their earlier versions.
   *
   * @param own  types of the engine itself, of which nobody can submit jobs.
   * @throws {JobchartError} `INVALID_DEFINITION` the same type and version is given twice.
   */
  constructor(types: readonly AnyJobType[], own: readonly AnyJobType[] = []) {
    const byKey = new Map<string, AnyJobType>()
    const given = new Set([...types, ...own].flatMap((each) => [...withVersions(each)]))
    if (new Set(types).size < types.length) throw givenTwice(types.find((each, index) => types.indexOf(each) < index))
    for (const type of given) {
      const key = keyOf(type)
      if (byKey.has(key)) throw givenTwice(type)
      byKey.set(key, type)
    }
    for (const successor of given) {
      if (successor.migrate === undefined) continue
      for (const type of successor.previous)
        byKey.set(
          keyOf(type),
          withSuccessor(type, () => byKey.get(keyOf(successor))),
        )
    }
    this.#all = [...byKey.values()]
    this.#newest = new Map(types.map((type) => [type.type, type]))
    this.#own = own
    for (const { type, aliases } of types) for (const alias of aliases) this.#addAlias(alias, type)
    for (const each of byKey.values()) {
      const versions = this.#found.get(each.type) ?? new Map<string, AnyJobType>()
      this.#found.set(each.type, versions.set(each.version, each))
    }
  }

  #addAlias(alias: string, type: string): void {
    const taken = this.#newest.has(alias) ? alias : this.#aliases.get(alias)
    if (taken !== undefined && taken !== type) {
      throw new JobchartError('INVALID_DEFINITION', `"${alias}" names both job type "${taken}" and "${type}"`)
    }
    this.#aliases.set(alias, type)
  }

  /** The stored name of a type, from a name or an alias. An unknown name is returned as it is. */
  nameOf(name: string): string {
    return this.#aliases.get(name) ?? name
  }

  /** All known job types. */
  all(): readonly AnyJobType[] {
    return this.#all
  }

  /** The newest version of each type that was given to the engine, and the types of the engine itself. */
  newest(): readonly AnyJobType[] {
    return [...this.#newest.values(), ...this.#own]
  }

  /** The stored name of a known type, also of one of the engine itself. @throws {JobchartError} `UNKNOWN_TYPE` */
  knownName(name: string): string {
    return (this.#own.find(({ type }) => type === name) ?? this.named(name)).type
  }

  /** The newest version of a type. @throws {JobchartError} `UNKNOWN_TYPE` it was not given to `createEngine`. */
  named(name: string): AnyJobType {
    const newest = this.#newest.get(this.nameOf(name))
    if (newest === undefined) throw unknownType(`"${name}"`)
    return newest
  }

  /** The type of a stored job. `undefined`: only other engines know it. */
  of(job: Pick<Job, 'type' | 'version'>): AnyJobType | undefined {
    return this.#found.get(job.type)?.get(job.version)
  }

  /**
   * The parts of a job that every known version of the type lists as `safe` (they never contain parts of the input).
   * `undefined`: this engine knows no version of the type.
   */
  safeOf(name: string): AnyJobType['safe'] | undefined {
    if (!this.#safe.has(name)) this.#safe.set(name, safeOfAll([...(this.#found.get(name)?.values() ?? [])]))
    return this.#safe.get(name)
  }

  /** The notification rules of the newest version of a type. */
  newestRulesOf(name: string): readonly ParsedRule[] {
    return this.#newest.get(name)?.notify ?? []
  }

  /** The notification rules of all known versions of a type. `undefined`: no version is known. */
  rulesOf(name: string): readonly ParsedRule[] | undefined {
    const versions = this.#found.get(name)
    return versions === undefined ? undefined : [...versions.values()].flatMap(({ notify }) => notify)
  }

  /**
   * The engine's job type with the type and version of a stored job, or of a job type that a caller passes.
   *
   * @throws {JobchartError} `UNKNOWN_TYPE` it was not given to `createEngine`; `INVALID_INPUT` the value is not a job
   * type.
   */
  require(job: Pick<Job, 'type' | 'version'>): AnyJobType {
    if (typeof job?.type !== 'string' || typeof job.version !== 'string') throw noType()
    const type = this.of(job)
    if (type !== undefined) return type
    throw unknownType(`"${job.type}" version "${job.version}"`)
  }
}

function unknownType(type: string): JobchartError {
  return new JobchartError(
    'UNKNOWN_TYPE',
    `this engine does not know job type ${type}; give it to createEngine({ jobs })`,
  )
}

function safeOfAll([first, ...others]: readonly AnyJobType[]): AnyJobType['safe'] | undefined {
  if (first === undefined) return undefined
  return new Set([...first.safe].filter((part) => others.every(({ safe }) => safe.has(part))))
}

// The successor is looked up at each use: the constructor may later replace it in `byKey` by a copy that has a
// successor itself.
function withSuccessor(type: AnyJobType, successor: () => AnyJobType | undefined): AnyJobType {
  return Object.defineProperty({ ...type }, 'successor', { get: successor, enumerable: true })
}

// The error for a value that is not a job type.
function noType(): JobchartError {
  return new JobchartError('INVALID_INPUT', 'a job type should be made by defineJob', {
    issues: [{ message: 'should be made by defineJob', path: ['type'] }],
  })
}

function givenTwice(type: AnyJobType | undefined): JobchartError {
  return new JobchartError('INVALID_DEFINITION', `job type "${type?.type}" version "${type?.version}" is given twice`)
}

function keyOf({ type, version }: Pick<Job, 'type' | 'version'>): string {
  return JSON.stringify([type, version])
}
