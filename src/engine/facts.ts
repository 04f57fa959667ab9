/**
 * What a job type decides about a new job, besides its chart: labels that decide rights, and the assignee; and so,
 * whether the policy is asked about the job before or after its input is parsed.
 */
import { type Soon, whenKnown } from '../context/soon.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import type { AssigneeOf, FactsOf, NewJobScope } from '../model/job-type.ts'
import { isOptions } from '../model/option-checks.ts'
import type { Json } from '../model/storable.ts'
import type { Principal, Target } from '../port/policy.ts'
import { authorizeSubmit } from './authorization.ts'
import type { Core } from './core.ts'
import { assigneeSchema, labelsSchema } from './options.ts'

/** The labels and the assignee with which a job is stored. */
export interface Facts {
  readonly labels: { readonly [name: string]: string }
  readonly assignee?: string
}

/**
 * Asks the policy about a new job, and parses its input. If the type decides facts, the input is parsed first.
 * Otherwise the policy is asked first: whether an input fits is only for callers who may submit it.
 *
 * @param decide  makes the facts, as {@link factsOf} or {@link factsOfRetry}.
 * @returns the facts and the parsed input, and the mask for what the caller may see of the job.
 * @throws {JobchartError} as {@link authorizeSubmit}, `decide` and `parse`.
 */
export function authorizeNew(
  core: Core,
  who: Principal,
  type: AnyJobType,
  owned: Pick<Target, 'tenant' | 'createdBy' | 'pipeline'>,
  decide: (scope: FactsScope) => Facts,
  parse: () => Soon<Json | undefined>,
  signal: AbortSignal | undefined,
) {
  const authorized = (facts: Facts) => authorizeSubmit(core, who, { ...owned, ...facts, type: type.type }, signal)
  if (decidesFacts(type)) {
    return whenKnown(parse(), (input) => {
      const facts = decide({ ...owned, input })
      return whenKnown(authorized(facts), (mask) => ({ facts, input, mask }))
    })
  }
  const facts = decide(owned)
  return whenKnown(authorized(facts), (mask) => whenKnown(parse(), (input) => ({ facts, input, mask })))
}

function decidesFacts({ facts, assignee }: AnyJobType): boolean {
  return facts !== undefined || assignee !== undefined
}

/** The new job of which facts are decided. */
export type FactsScope = Partial<NewJobScope> & Pick<NewJobScope, 'tenant' | 'createdBy'>

/**
 * The facts of a new job.
 *
 * @param asked  the labels and the assignee that the caller gave. Those that the type decides replace them.
 * @throws {JobchartError} `INVALID_INPUT` `facts` or `assignee` of the type threw, or returned a value of the wrong
 * kind.
 */
export function factsOf(
  type: AnyJobType,
  { tenant, createdBy, input }: FactsScope,
  asked: { readonly labels: Facts['labels']; readonly assignee?: string | undefined },
): Facts {
  if (!decidesFacts(type)) return withAssignee(asked.labels, asked.assignee)
  // Copies, because the functions may change them.
  const scopeWith = (labels: Facts['labels']): NewJobScope => {
    return { input: structuredClone(input), tenant, createdBy, labels: { ...labels } }
  }
  const labels = type.facts === undefined ? asked.labels : labelsOf(type, type.facts, scopeWith(asked.labels))
  if (type.assignee === undefined) return withAssignee(labels, asked.assignee)
  return withAssignee(labels, assigneeOf(type, type.assignee, scopeWith(labels)))
}

function withAssignee(labels: Facts['labels'], assignee: string | undefined): Facts {
  return assignee === undefined ? { labels } : { labels, assignee }
}

/**
 * The facts of a retry. The type's `facts` is called again for the labels. The retry keeps the assignee of the job that
 * it retries, unless `asked` names another.
 *
 * @throws {JobchartError} as {@link factsOf}
 */
export function factsOfRetry(
  type: AnyJobType,
  scope: FactsScope,
  asked: {
    readonly labels: Facts['labels']
    readonly kept: string | undefined
    readonly assignee?: string | undefined
  },
): Facts {
  const { labels, kept, assignee = kept } = asked
  const facts = factsOf(type, scope, { labels })
  return assignee === undefined ? facts : { ...facts, assignee }
}

function labelsOf(type: AnyJobType, facts: FactsOf, scope: NewJobScope): Facts['labels'] {
  const asked = { ...scope.labels }
  const given = called(type, 'facts', () => facts(scope))
  const read = labelsSchema.safeParse(given === undefined || isOptions(given) ? { ...asked, ...given } : given)
  if (read.success) return read.data
  throw wrong(type, 'facts', read.error.issues[0]?.message ?? 'is not valid')
}

function assigneeOf(type: AnyJobType, assignee: AssigneeOf, scope: NewJobScope): string | undefined {
  const read = assigneeSchema.safeParse(called(type, 'assignee', () => assignee(scope)))
  if (read.success) return read.data
  throw wrong(type, 'assignee', 'should be the id of a person, text of 1 to 200 characters, or undefined')
}

function called(type: AnyJobType, name: string, run: () => unknown): unknown {
  try {
    const given = run()
    // If the function is async, the caller refuses its promise. The rejection is ignored, so that it does not end the
    // process.
    if (given instanceof Promise) given.catch(() => {})
    return given
  } catch (cause) {
    throw wrong(type, name, 'threw', cause)
  }
}

function wrong({ type }: AnyJobType, name: string, what: string, cause?: unknown): JobchartError {
  return new JobchartError('INVALID_INPUT', `${name} of job type "${type}": ${what}`, {
    issues: [{ message: what, path: [name] }],
    ...(cause === undefined ? {} : { cause }),
  })
}
