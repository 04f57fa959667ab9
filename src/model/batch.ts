/** Batches: tasks that run the same code for many items, and store each of them with its outcome. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { fromPromise, type PromiseActorLogic } from 'xstate'
import type { BatchCounts } from './batch-piece.ts'
import type { BatchSettings } from './batch-settings.ts'
import { JobchartError } from './error.ts'
import {
  anything,
  callback,
  checkOptions,
  isOptions,
  required,
  schema,
  timeLimit,
  wholeNumber,
} from './option-checks.ts'
import { parseRetry, type Retry, type RetryOptions } from './retry.ts'
import type { StorableReturn } from './storable.ts'
import { parseTask, TASK, type TaskOptions, type TaskRun, type TaskSettings, withSettings } from './task.ts'
import { plainContext } from './task-context.ts'
import type { TaskJob } from './task-job.ts'
import { type Duration, durationMs } from './time.ts'

/** The argument of the code of an item. */
export interface ItemContext<Item = unknown> {
  readonly item: Item
  readonly key: string
  /** The place of the item in the source, from 1. */
  readonly index: number
  /** The number of the attempt of this item: 1 for the first. Attempts that were lost do not count. */
  readonly attempt: number
  /**
   * Aborted when the batch is stopped, with the same reason as the signal of a task; or when the attempt exceeds the
   * `timeout` of items (`reason.code` is `TIMEOUT`).
   */
  readonly signal: AbortSignal
  /** Aborted when the batch begins no new item (`task.drain`). Items that run may go on to their end. */
  readonly draining: AbortSignal
  readonly job: TaskJob
  /** A key for external services. It is the same in every attempt of this item, also after a loss. */
  readonly idempotencyKey: string
  /** Adds a line to the job's log. */
  readonly log: (text: string) => void
}

/** The code of an item. */
export type ItemRun<Item, Output> = (context: ItemContext<Item>) => Output | PromiseLike<Output>

/** The items of a batch: their source, their key, and how they run. */
export interface BatchRunOptions<Item = unknown, Output = unknown, Input = unknown> {
  /** The items, from the input of the batch. Default: the input itself, which must then be a list. */
  readonly items?: (of: { readonly input: NoInfer<Input> }) => readonly unknown[]
  /**
   * The items, one after the other, e.g. the rows of a file or of a query. At most a few thousand of them are in memory
   * at a time, and fewer if they are large. After a loss the source is read again from its start, so it must give the
   * same items in the same order. `signal` is aborted when no more items are needed. Not together with `items`.
   */
  readonly source?: (of: {
    readonly input: NoInfer<Input>
    readonly signal: AbortSignal
  }) => AsyncIterable<unknown> | Iterable<unknown> | PromiseLike<AsyncIterable<unknown> | Iterable<unknown>>
  /** Checks each item; the code receives the parsed value. An item that does not fit fails, and the batch goes on. */
  readonly item?: StandardSchemaV1<unknown, Item>
  /**
   * The key of an item: text of 1 to 2,000 characters, unique in the batch. Default: the index. An item whose key is
   * invalid, or is taken by an item before it, fails, and the batch goes on.
   */
  readonly key?: (item: NoInfer<Item>, index: number) => string
  /** How many items run at once: a whole number from 1. Default 10. */
  readonly concurrency?: number
  /** How often a failed item is tried again. */
  readonly retry?: RetryOptions
  /**
   * The maximum time of one attempt of an item, more than 0. Then its `signal` is aborted, and the attempt fails with
   * code `TIMEOUT`. If its code has not ended 5 s later, the item fails without a retry. Default: no limit.
   */
  readonly timeout?: Duration
  /** Runs one item. Its result is stored as the item's output. */
  readonly each: ItemRun<NoInfer<Item>, Output> & StorableReturn<Output>
}

/** The options of a batch as a whole: those of {@link task} without those that items have. */
export type BatchTaskOptions<Input = unknown> = Omit<TaskOptions<Input>, 'output' | 'events' | 'retry' | 'timeout'>

/**
 * The options of `batch`: those of {@link task} for the batch as a whole, and those of its items. `function` and
 * `version` name code elsewhere, so they are refused beside `each`.
 */
export type BatchOptions<Item = unknown, Output = unknown, Input = unknown> = Omit<
  BatchTaskOptions<Input>,
  'function' | 'version'
> &
  BatchRunOptions<Item, Output, Input> & { readonly function?: never; readonly version?: never }

/**
 * The options of a batch whose items run outside the engine's process, by `batchRun` in an agent or in a module. It
 * needs a `function` or an `executor`. The default of `executor` is `'agents'`. Without a `function`, agents need one with
 * the name of the logic (the `src` of the invoke), and a module runs its default export.
 */
export type RemoteBatchOptions<Input = unknown> = BatchTaskOptions<Input> & {
  /** As in `batchRun`. It is needed in both places, because the engine counts the items when the batch begins. */
  readonly items?: BatchRunOptions<unknown, unknown, Input>['items']
  readonly each?: never
}

/** How the items of a batch run: {@link BatchRunOptions}, parsed. */
export interface ItemSettings {
  readonly items: ((of: { readonly input: unknown }) => unknown) | undefined
  readonly source: ((of: { readonly input: unknown; readonly signal: AbortSignal }) => unknown) | undefined
  readonly item: StandardSchemaV1 | undefined
  readonly key: ((item: unknown, index: number) => unknown) | undefined
  readonly concurrency: number
  readonly retry: Retry
  /** Null: no limit. */
  readonly timeoutMs: number | null
  readonly each: (context: ItemContext) => unknown
}

const CONCURRENCY = 10

const RUN = {
  items: callback,
  source: callback,
  item: schema,
  key: callback,
  concurrency: wholeNumber(1),
  retry: anything,
  timeout: timeLimit,
  each: required(callback),
}

const { output: _, events: __, retry: ___, timeout: ____, ...WHOLE } = TASK

/**
 * Parses the options of `batchRun`.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
 */
export function parseItems<Item, Output, Input>(options: BatchRunOptions<Item, Output, Input>): ItemSettings {
  checkOptions('batchRun', options, RUN)
  return itemSettings(options)
}

function itemSettings<Item, Output, Input>(options: BatchRunOptions<Item, Output, Input>): ItemSettings {
  const { items, source, concurrency = CONCURRENCY, timeout } = options
  if (items !== undefined && source !== undefined) {
    throw new JobchartError('INVALID_DEFINITION', 'a batch should have items or a source, not both')
  }
  return {
    // The casts are safe: the functions are called only with values that the schemas have parsed.
    items: items as ItemSettings['items'],
    source: source as ItemSettings['source'],
    item: options.item,
    key: options.key as ItemSettings['key'],
    concurrency,
    retry: parseRetry(options.retry),
    timeoutMs: timeout === undefined ? null : durationMs(timeout, 'timeout'),
    each: options.each as ItemSettings['each'],
  }
}

/** The logic of a batch: promise logic whose output is the counts of the batch. */
export type BatchLogic<Input = unknown> = PromiseActorLogic<BatchCounts, Input>

/**
 * Makes the logic of a batch.
 *
 * @param code  makes the code of the batch from its parsed options.
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
 */
export function batchLogic<Item, Output, Input>(
  options: BatchOptions<Item, Output, Input> | RemoteBatchOptions<Input>,
  code: (settings: ItemSettings) => TaskRun<unknown, BatchCounts>,
): BatchLogic<Input> {
  const settings = parseBatch(options, code)
  const logic = fromPromise<BatchCounts, Input>(async ({ input, signal }) => {
    // The cast is safe: the code of a batch returns its counts.
    return (await settings.run(plainContext(input, signal))) as BatchCounts
  })
  return withSettings(logic, settings)
}

/** The default executor of a batch without `each`: agents run it. */
const AGENT_EXECUTOR = 'agents'

function parseBatch<Item, Output, Input>(
  options: BatchOptions<Item, Output, Input> | RemoteBatchOptions<Input>,
  code: (settings: ItemSettings) => TaskRun<unknown, BatchCounts>,
): TaskSettings {
  if (isRemote(options)) return parseRemoteBatch(options)
  checkOptions('batch', options, { ...WHOLE, ...RUN })
  const named = (['function', 'version'] as const).find((option) => options[option] !== undefined)
  if (named !== undefined) {
    throw new JobchartError('INVALID_DEFINITION', `${named} ${NOT_BESIDE_EACH}`, {
      issues: [{ message: NOT_BESIDE_EACH, path: [named] }],
    })
  }
  const { items, source, item, key, concurrency, retry, timeout, each, ...whole } = options
  const parsed = itemSettings<Item, Output, Input>(options)
  const settings = parseTask<unknown, BatchCounts>(whole as BatchTaskOptions<unknown>, code(parsed))
  return { ...settings, batch: { totalOf: totalBy(parsed.items, source !== undefined), isElsewhere: false } }
}

const NOT_BESIDE_EACH =
  'should not be given beside each: it names code of an agent or a module, and each is code of this process. Leave out one'
const NO_CODE =
  'a batch should have each, the code of an item; or function, the name of the code in an agent, or with executor in a module'

function isRemote<Item, Output, Input>(
  options: BatchOptions<Item, Output, Input> | RemoteBatchOptions<Input>,
): options is RemoteBatchOptions<Input> {
  return isOptions(options) && options.each === undefined
}

function parseRemoteBatch<Input>(options: RemoteBatchOptions<Input>): TaskSettings {
  checkOptions('batch', options, { ...WHOLE, ...RUN, each: anything })
  if (options.function === undefined && options.executor === undefined) {
    throw new JobchartError('INVALID_DEFINITION', NO_CODE, { issues: [{ message: NO_CODE, path: ['each'] }] })
  }
  checkOptions('a batch without each', options, { ...WHOLE, items: callback, each: anything })
  const { items, each, executor = AGENT_EXECUTOR, ...whole } = options
  const settings = parseTask<Input, BatchCounts>({ ...whole, executor }, () => {
    throw new JobchartError(
      'INVALID_DEFINITION',
      `a batch without each needs an executor with a module, or agents; "${executor}" runs functions: give each, or name another executor`,
    )
  })
  // The cast is safe: the function is called only with inputs that it was typed for.
  const batch = { totalOf: totalBy(items as ItemSettings['items'], false), isElsewhere: true }
  return { ...settings, isForAgents: executor === AGENT_EXECUTOR, batch }
}

function totalBy(items: ItemSettings['items'], hasSource: boolean): BatchSettings['totalOf'] {
  return (input) => {
    if (hasSource) return undefined
    try {
      const given = items === undefined ? input : items({ input })
      return Array.isArray(given) ? given.length : undefined
    } catch {
      // The code of the batch calls the function again, and then reports its error.
      return undefined
    }
  }
}
