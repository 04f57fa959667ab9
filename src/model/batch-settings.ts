/** What the model knows of a batch. */
export interface BatchSettings {
  /** How many items a batch with this input has. `undefined`: that is known when its source has ended. Never throws. */
  readonly totalOf: (input: unknown) => number | undefined
  /** True: the batch has no `each`. Its items are run by `batchRun`, in an agent or in a module. */
  readonly isElsewhere: boolean
}

const batchCode = new WeakSet<object>()

/** Marks a function as made by `batchRun`, so that it is refused where it cannot run. */
export function markedAsBatchRun<Run extends object>(run: Run): Run {
  batchCode.add(run)
  return run
}

/** Whether a value was made by `batchRun`. */
export function isBatchRun(value: unknown): boolean {
  return typeof value === 'function' && batchCode.has(value)
}

/** Where the code that `batchRun` makes belongs, for error messages. */
export const BATCH_RUN_PLACE =
  'batchRun() makes the code of a batch in an agent or in a module. ' +
  "Here use batch({ function: 'name' }) if the code is there; to run the items in this process, batch({ each })"
