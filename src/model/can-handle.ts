import type { ChartEvent } from './chart.ts'
import type { DecisionContext, JobTree } from './decision-data.ts'
import type { Job } from './job.ts'
import { TreeDecision } from './job-tree.ts'
import type { AnyJobType } from './job-type.ts'
import { typeWhenTouched } from './migration.ts'
import type { TaskSettings } from './task.ts'

/**
 * The version of its job type under which a job takes commands. This is the version that the job will have after its
 * next change, because a change first migrates the job. `undefined`: the migration fails, so the job cannot change.
 */
export function typeThatHandles(type: AnyJobType, job: Job): AnyJobType | undefined {
  try {
    return typeWhenTouched(type, job)
  } catch {
    return undefined
  }
}

/**
 * Whether the job's chart takes a command now. The command's fields are not known yet: if a guard reads them, the
 * answer is `true`, because the guard may allow some values of the fields. Nothing is written.
 */
export function canHandle(
  type: AnyJobType,
  job: Job,
  command: string,
  context: DecisionContext,
  tree: JobTree,
): boolean {
  if (job.phase === 'settled' || job.deletedAt !== undefined) return false
  let isLookedAt = false
  const event = watched(command, () => {
    isLookedAt = true
  })
  try {
    return new TreeDecision(context, tree).open(type, job).canHandle(event) || isLookedAt
  } catch {
    return false
  }
}

/** Whether a task's code may send an event of this type to the chart. */
export function maySend(type: AnyJobType, { events, kind }: TaskSettings, eventType: string): boolean {
  if (events !== undefined) return events.includes(eventType)
  const isOurs = eventType.startsWith('task.') || eventType.startsWith('xstate.')
  // Callbacks and observables are part of the machine, so they may send its commands as well.
  return !isOurs && (kind !== 'promise' || !Object.hasOwn(type.commands, eventType))
}

// The command without its fields. `looked` is called when a guard reads a field.
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
