/** The recorded items of a batch, with those of the jobs that its job retries. */
import type { ItemsToRetry, RecordedItem } from '../model/batch-piece.ts'
import { batchStart } from '../model/batch-record.ts'
import { JobchartError } from '../model/error.ts'
import { BATCH_NUMBERS, batchNumber } from '../model/item.ts'
import type { AgainRun, BatchAgain, BatchRun, Job } from '../model/job.ts'
import { stepAddress } from '../model/step-key.ts'
import type { Task } from '../model/task.ts'
import type { StorageConnection, StoredItem } from '../port/storage.ts'

/** One invocation of a batch, and its job. */
export interface BatchOf {
  readonly jobId: string
  readonly invocation: number
}

/** How many rows of one job are merged with those of others at a time. */
const ITEMS_AT_ONCE = 1_000
/** How many items are read at a time. Each may have an input and an output of 1 MiB, of which nothing is kept. */
const READ_AT_ONCE = 100

/** What is kept of an item. */
type Row = Pick<StoredItem, 'number' | 'invocation' | 'key' | 'status' | 'attempts'>

/**
 * The batch of a task, then those of the jobs that its job retries, nearest first.
 *
 * @throws {JobchartError} `INVALID_STATE` one of these jobs was deleted, so nobody knows which items are to run.
 */
export async function batchesOf(storage: StorageConnection, job: Job, task: Task): Promise<readonly BatchOf[]> {
  const own = { jobId: job.id, invocation: task.invocation }
  if (batchStart(job, task).again === undefined) return [own]
  const { jobs, isWhole } = await retriedJobs(storage, job)
  if (!isWhole) throw retriedGone(job, 'so nobody knows which items of the batch are to run')
  return [own, ...batchesIn(jobs, { invoke: stepAddress(job, task), ordinal: task.ordinal })]
}

/** The jobs that a job retries, nearest first. `isWhole`: none of them was deleted. */
interface RetriedJobs {
  readonly jobs: readonly Job[]
  readonly isWhole: boolean
}

// A retry that runs all items again has nothing to do with the items of the job that it retries.
async function retriedJobs(storage: StorageConnection, { again, retryOf }: Job): Promise<RetriedJobs> {
  const jobs: Job[] = []
  for (let next = retryOf; jobs.length < (again?.jobs ?? 0); ) {
    const retried = next === undefined ? undefined : await storage.get(next)
    if (retried === undefined || retried.deletedAt !== undefined) return { jobs, isWhole: false }
    jobs.push(retried)
    next = retried.retryOf
  }
  return { jobs, isWhole: true }
}

function retriedGone({ id }: Job, what: string): JobchartError {
  return new JobchartError('INVALID_STATE', `a job that this one retries was deleted, ${what}`, { jobId: id })
}

function batchesIn(
  jobs: readonly Job[],
  { invoke, ordinal }: Pick<BatchRun, 'invoke' | 'ordinal'>,
): readonly BatchOf[] {
  return jobs.flatMap(({ id: jobId, batches = [] }) => {
    const run = batches.find((each) => each.invoke === invoke && each.ordinal === ordinal)
    return run === undefined ? [] : [{ jobId, invocation: run.invocation }]
  })
}

/** The items with indexes from `from` to `to`, by index. If several jobs have an item, that of the first one counts. */
export async function itemsBetween(
  storage: StorageConnection,
  batches: readonly BatchOf[],
  from: number,
  to: number,
): Promise<readonly RecordedItem[]> {
  const [own] = batches
  const pages = await pagesOf(storage, batches, from, to, to - from + 1)
  const newest = newestOf(batches, pages, to)
  return [...newest].sort(([a], [b]) => a - b).map(([index, { item, batch }]) => recorded(index, item, batch !== own))
}

/** The indexes of the waiting items of a task's batch after the one with this index. */
export async function rowsAhead(
  storage: StorageConnection,
  { id: jobId }: Job,
  { invocation }: Task,
  index: number,
): Promise<readonly number[]> {
  const found: number[] = []
  for (let from = index + 1; ; ) {
    const page = await rowsOf(storage, { jobId, invocation }, from, BATCH_NUMBERS - 1, ITEMS_AT_ONCE)
    for (const item of page) if (item.status === 'waiting') found.push(indexOf(item))
    const end = endOfPage(page)
    if (end === Number.POSITIVE_INFINITY) return found
    from = end + 1
  }
}

interface Newest {
  readonly item: Row
  readonly batch: BatchOf
}

function newestOf(
  batches: readonly BatchOf[],
  pages: readonly (readonly Row[])[],
  to: number,
): ReadonlyMap<number, Newest> {
  const newest = new Map<number, Newest>()
  for (const [place, batch] of batches.entries()) {
    for (const item of pages[place] ?? []) {
      const index = indexOf(item)
      if (index <= to && !newest.has(index)) newest.set(index, { item, batch })
    }
  }
  return newest
}

function recorded(index: number, { key, status, attempts = 0 }: Row, isOfRetried: boolean): RecordedItem {
  return { index, key, status, attempts, ...(isOfRetried ? { isOfRetried } : {}) }
}

// The rows of each batch, one batch after the other.
async function pagesOf(
  storage: StorageConnection,
  batches: readonly BatchOf[],
  from: number,
  to: number,
  limit: number,
): Promise<readonly (readonly Row[])[]> {
  const pages: (readonly Row[])[] = []
  for (const batch of batches) pages.push(await rowsOf(storage, batch, from, to, limit))
  return pages
}

async function rowsOf(
  storage: StorageConnection,
  { jobId, invocation }: BatchOf,
  from: number,
  to: number,
  limit: number,
): Promise<readonly Row[]> {
  const last = batchNumber(invocation, Math.min(to, BATCH_NUMBERS - 1))
  const rows: Row[] = []
  for (let after: number | undefined = batchNumber(invocation, from) - 1; after !== undefined; ) {
    const most = Math.min(READ_AT_ONCE, limit - rows.length)
    const found: readonly StoredItem[] = await storage.items(jobId, { after, to: last, limit: most })
    for (const { input, output, error, ...row } of found) rows.push(row)
    after = found.length < most || rows.length >= limit ? undefined : found.at(-1)?.number
  }
  return rows
}

function indexOf({ number, invocation }: Row): number {
  return number - batchNumber(invocation, 0)
}

/**
 * Which items of a job's batches run again in its retry.
 *
 * @throws {JobchartError} `INVALID_STATE` there are no such `items`. Or nobody knows which items were completed.
 */
export async function retriedItems(
  storage: StorageConnection,
  job: Job,
  isFresh: boolean,
  items: ItemsToRetry | undefined,
): Promise<{ readonly again?: BatchAgain }> {
  if (items === undefined && (isFresh || job.outcome === 'success')) return {}
  const retried = await retriedJobs(storage, job)
  // Items that a deleted job has completed would run again.
  if (items !== 'failed' && !retried.isWhole) {
    throw retriedGone(job, "so nobody knows which items were completed; use items: 'failed', or fresh: true alone")
  }
  const jobs = [job, ...retried.jobs]
  const runs: AgainRun[] = []
  let isLeft = false
  for (const { invoke, ordinal, total = Number.POSITIVE_INFINITY } of allRuns(jobs)) {
    const batches = batchesIn(jobs, { invoke, ordinal })
    const counts = countsInRecord(job, batches) ?? (await countsOfRows(storage, batches))
    runs.push({ invoke, ordinal, ...counts })
    if (items === 'failed' ? counts.failed > 0 : counts.completed < total) isLeft = true
  }
  if (items !== undefined && !isLeft) throw noneLeft(job, items, runs)
  return runs.length === 0 ? {} : { again: { items: items ?? 'unfinished', runs, jobs: jobs.length } }
}

function noneLeft({ id: jobId }: Job, items: ItemsToRetry, runs: readonly AgainRun[]): JobchartError {
  const none = items === 'failed' ? 'no item of the job has failed' : 'all items of the job were completed'
  const why = runs.length === 0 ? 'the job has had no batch' : none
  return new JobchartError('INVALID_STATE', `${why}, so there is none to run again`, { jobId })
}

// The batches of all these jobs. A retry may have ended before it entered each batch of the job that it retries.
function allRuns(jobs: readonly Job[]): readonly BatchRun[] {
  const runs = new Map<string, BatchRun>()
  for (const { batches = [] } of jobs) for (const run of batches) runs.set(`${run.ordinal} ${run.invoke}`, run)
  return [...runs.values()]
}

type EndedCounts = Pick<AgainRun, 'completed' | 'failed'>

// A record has the counts of the newest batch of its job. They suffice if no other job has items of that batch.
function countsInRecord({ id, progress }: Job, [batch, ...others]: readonly BatchOf[]): EndedCounts | undefined {
  if (progress === undefined || others.length > 0) return undefined
  if (batch?.jobId !== id || batch.invocation !== progress.invocation) return undefined
  return { completed: progress.completed, failed: progress.failed }
}

async function countsOfRows(storage: StorageConnection, batches: readonly BatchOf[]): Promise<EndedCounts> {
  const counts = { completed: 0, failed: 0 }
  let from = 1
  for (;;) {
    const pages = await pagesOf(storage, batches, from, BATCH_NUMBERS - 1, ITEMS_AT_ONCE)
    // A full page may end before the others. Items behind that place are read with the next pages.
    const to = Math.min(...pages.map(endOfPage))
    for (const { item } of newestOf(batches, pages, to).values()) {
      if (item.status === 'completed' || item.status === 'failed') counts[item.status]++
    }
    if (to === Number.POSITIVE_INFINITY) return counts
    from = to + 1
  }
}

function endOfPage(page: readonly Row[]): number {
  const last = page.length < ITEMS_AT_ONCE ? undefined : page.at(-1)
  return last === undefined ? Number.POSITIVE_INFINITY : indexOf(last)
}
