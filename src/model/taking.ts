import { type DecisionContext, MissingJob, send } from './decision.ts'
import type { AnyJobType } from './definition.ts'
import type { Job } from './job.ts'
import { typeWhenTouched } from './migration.ts'
import type { ChartEvent } from './transition.ts'

/** The type whose commands a job takes when it is touched next; undefined: it could not be touched. */
export function takingType(type: AnyJobType, job: Job): AnyJobType | undefined {
  try {
    return typeWhenTouched(type, job)
  } catch {
    return undefined
  }
}

/**
 * Whether the job's chart takes a command now, as far as can be known without its fields: where a guard looks at them, it
 * may. Nothing is written.
 */
export function takes(type: AnyJobType, job: Job, command: string, moment: DecisionContext): boolean {
  if (job.phase === 'settled' || job.deletedAt !== undefined) return false
  let isLookedAt = false
  const event = watched(command, () => {
    isLookedAt = true
  })
  try {
    return send(type, job, event, moment).handled || isLookedAt
  } catch (error) {
    // Only a chart that takes it asks for its relatives.
    return error instanceof MissingJob
  }
}

// The command without its fields, which tells when somebody looks for one.
function watched(type: string, looked: () => void): ChartEvent {
  const look = (key: string | symbol): void => {
    if (key !== 'type' && typeof key === 'string') looked()
  }
  return new Proxy<ChartEvent>(
    { type },
    {
      get: (event, key, receiver) => {
        look(key)
        return Reflect.get(event, key, receiver)
      },
      has: (event, key) => {
        look(key)
        return Reflect.has(event, key)
      },
      ownKeys: (event) => {
        looked()
        return Reflect.ownKeys(event)
      },
    },
  )
}
