import { callback, checkOptions, required } from '../model/option-checks.ts'
import type { Storage, StorageConnection } from '../port/storage.ts'
import type { Bench } from './storage-bench.ts'
import { agentChecks } from './storage-checks-agents.ts'
import { assigneeChecks } from './storage-checks-assignee.ts'
import { batchChecks } from './storage-checks-batches.ts'
import { claimingChecks } from './storage-checks-claiming.ts'
import { deletingChecks } from './storage-checks-deleting.ts'
import { instanceChecks } from './storage-checks-instances.ts'
import { itemChecks } from './storage-checks-items.ts'
import { leaseChecks } from './storage-checks-leases.ts'
import { limitChecks } from './storage-checks-limits.ts'
import { listChecks } from './storage-checks-lists.ts'
import { loadingChecks } from './storage-checks-loading.ts'
import { logChecks } from './storage-checks-log.ts'
import { newJobChecks } from './storage-checks-new-jobs.ts'
import { noteChecks } from './storage-checks-notes.ts'
import { notificationChecks } from './storage-checks-notifications.ts'
import { pauseChecks } from './storage-checks-pauses.ts'
import { pipelineChecks } from './storage-checks-pipelines.ts'
import { pruningChecks } from './storage-checks-pruning.ts'
import { queueChecks } from './storage-checks-queue.ts'
import { raceChecks } from './storage-checks-races.ts'
import { readingChecks } from './storage-checks-reading.ts'
import { readyChecks } from './storage-checks-ready.ts'
import { scheduleChecks } from './storage-checks-schedules.ts'
import { taskQueueChecks } from './storage-checks-task-queues.ts'
import { uniqueKeyChecks } from './storage-checks-unique-keys.ts'
import { waitingChecks } from './storage-checks-waiting.ts'
import { writingChecks } from './storage-checks-writing.ts'
import { virtualClock } from './virtual-clock.ts'

/** Registers one check as a test, e.g. `test` of Vitest. */
export type RegisterTest = (name: string, run: () => Promise<void>) => unknown

/** What you give to the suite: a new, empty storage for each check. */
export interface StorageUnderTest {
  readonly storage: Storage
  /**
   * Breaks the stored record of a job, so that it cannot be decoded. Leave it out if records of your storage cannot
   * break. Then the check of S23 passes without testing anything.
   */
  readonly damage?: (jobId: string) => Promise<void> | void
  /** Called after each check. Removes files and other things that the storage leaves. */
  readonly dispose?: () => Promise<void> | void
}

/** Options of {@link storageConformance}. */
export interface StorageConformanceOptions {
  /** The `test` function of your runner. */
  readonly test: RegisterTest
}

/**
 * Checks a storage against the guarantees of its port. The name of each check begins with the number of its guarantee.
 *
 * ```ts
 * storageConformance(() => ({ storage: myStorage() }), { test })
 * ```
 */
export function storageConformance(
  make: () => StorageUnderTest | Promise<StorageUnderTest>,
  options: StorageConformanceOptions,
): void {
  checkOptions(
    'storageConformance',
    options,
    { test: required(callback) },
    { form: 'storageConformance(make, { test })' },
  )
  const { test } = options
  const checks = {
    ...writingChecks,
    ...uniqueKeyChecks,
    ...noteChecks,
    ...claimingChecks,
    ...newJobChecks,
    ...readyChecks,
    ...limitChecks,
    ...queueChecks,
    ...taskQueueChecks,
    ...readingChecks,
    ...loadingChecks,
    ...listChecks,
    ...assigneeChecks,
    ...waitingChecks,
    ...deletingChecks,
    ...logChecks,
    ...itemChecks,
    ...batchChecks,
    ...pruningChecks,
    ...pauseChecks,
    ...pipelineChecks,
    ...scheduleChecks,
    ...notificationChecks,
    ...agentChecks,
    ...leaseChecks,
    ...instanceChecks,
    ...raceChecks,
  }
  for (const [name, check] of Object.entries(checks)) {
    test(name, async () => {
      const { storage, damage, dispose } = await make()
      const clock = virtualClock()
      const connections: StorageConnection[] = []
      const open = async (instance = 'me') => {
        const connection = await storage.open({ clock, instance })
        connections.push(connection)
        return connection
      }
      try {
        await check({ clock, open, ...(damage === undefined ? {} : { damage }) } satisfies Bench)
      } finally {
        for (const connection of connections) await connection.close()
        await dispose?.()
      }
    })
  }
}
