import {
  type BatchLogic,
  type BatchOptions,
  type BatchRunOptions,
  batchLogic,
  type ItemSettings,
  parseItems,
  type RemoteBatchOptions,
} from '../model/batch.ts'
import type { BatchCounts } from '../model/batch-piece.ts'
import { markedAsBatchRun } from '../model/batch-settings.ts'
import { JobchartError } from '../model/error.ts'
import type { TaskContext } from '../model/task.ts'
import type { TaskChannel } from '../port/executor.ts'
import { BatchRun } from './batch-run.ts'
import { systemClock } from './system-clock.ts'
import { type ContextWork, workOf } from './task-context.ts'

/**
 * Logic for `invoke` that runs the same code for many items. Each item is stored with its key, its attempts and its
 * outcome, so no completed item runs again after a crash. The done event has the counts as its output: `total`,
 * `completed`, `failed` and `skipped`. A failed item does not fail the batch. If the source fails, or the batch cannot
 * go on, the error event has the `counts`.
 *
 * Without `each`, the items run elsewhere: {@link batchRun} is then the `run` of an agent's function, or the export of a
 * module that an executor runs.
 *
 * ```ts
 * const scrape = batch({
 *   item: z.object({ url: z.url() }),
 *   key: (item) => item.url,
 *   concurrency: 20,
 *   retry: { limit: 2 },
 *   timeout: '30s',
 *   each: async ({ item, signal }) => ({ status: (await fetch(item.url, { signal })).status }),
 * })
 * ```
 *
 * In a plain XState actor it runs as promise logic, and no item is stored.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
 */
export function batch<Item = unknown, Output = unknown, Input = unknown>(
  options: BatchOptions<Item, Output, Input> | RemoteBatchOptions<Input>,
): BatchLogic<Input> {
  return batchLogic(options, codeOf)
}

/**
 * The code of a batch that runs in an agent or in a module: the `run` of an agent's function, or an export of the
 * module. The invoke is a {@link batch} without `each`.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
 */
export function batchRun<Item = unknown, Output = unknown, Input = unknown>(
  // Here, nothing but `items` and `source` says what the input is.
  options: Omit<BatchRunOptions<Item, Output>, 'items' | 'source'> & {
    readonly items?: (of: { readonly input: Input }) => readonly unknown[]
    readonly source?: (of: { readonly input: Input; readonly signal: AbortSignal }) => unknown
  },
): (context: TaskContext<Input>) => Promise<BatchCounts> {
  // The cast is safe: the functions are called only with inputs of the invoke that they were typed for.
  return markedAsBatchRun(codeOf(parseItems(options as BatchRunOptions<Item, Output>)))
}

const NO_BATCH =
  "batchRun() runs batches, and this task is not one: in the machine, invoke batch({ function: 'its name' })"

function codeOf(settings: ItemSettings): (context: TaskContext) => Promise<BatchCounts> {
  return async (context) => {
    const own = workOf(context)
    if (own !== undefined && own.batch === undefined) throw new JobchartError('INVALID_DEFINITION', NO_BATCH)
    const work = own ?? plainWork(context)
    return await new BatchRun(settings, work, context.input, work.clock ?? systemClock()).run()
  }
}

// A plain XState actor stores nothing.
function plainWork({ job, attempt, idempotencyKey, signal, draining, log, inbox }: TaskContext): ContextWork {
  const channel: TaskChannel = {
    ...{ log, inbox, progress: () => {}, started: async () => {}, item: async () => {}, items: async () => {} },
    recordedItems: async () => [],
    itemKeys: async () => [],
    step: async () => {},
    send: async () => false,
  }
  const recordedSteps = async () => new Map()
  return {
    job,
    attempt,
    idempotencyKey,
    signal,
    draining,
    channel,
    recordedSteps,
    batch: undefined,
    reported: undefined,
  }
}
