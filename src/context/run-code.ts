import type { TaskEnd } from '../model/attempt-end.ts'
import { JobchartError } from '../model/error.ts'
import type { Json } from '../model/storable.ts'
import type { TaskRun } from '../model/task.ts'
import { CodeContext, type ContextWork } from './task-context.ts'
import { codeEnd, failedEnd } from './task-end.ts'
import { receiveWork, type ToCode, type ToEngine, type Wire } from './wire.ts'

/** The exports of a module, by name. */
export interface CodeModule {
  readonly [name: string]: unknown
}

/**
 * Receives the task that comes over a wire, runs the module's function for it, and reports its end. The function is the
 * module's default export, or the export that the task's `function` names.
 */
export async function runCode(wire: Wire<ToEngine, ToCode>, load: () => Promise<CodeModule>): Promise<void> {
  const { work, channel, signal, draining, recordedSteps, end } = await receiveWork(wire)
  const { job, attempt, idempotencyKey, reported, batch, input, function: called } = work
  const given = { job, attempt, idempotencyKey, reported, batch, recordedSteps, signal, draining, channel }
  end(await runFunction(async () => functionOf(await load(), called), given, input))
}

/** Callbacks of {@link runFunction}. */
export interface RunListener {
  /** Called with each error with which a call of the context rejects. */
  readonly given?: (error: unknown) => void
  /** Called if the code has returned while a step of it still runs. The step should be stopped for this reason. */
  readonly stillRuns?: (why: string) => void
}

/** Runs a function with the context of its task. Resolves with the end of the task, and never rejects. */
export async function runFunction(
  find: () => TaskRun<unknown, unknown> | Promise<TaskRun<unknown, unknown>>,
  work: ContextWork,
  input: Json | undefined,
  listener: RunListener = {},
): Promise<TaskEnd> {
  const context = new CodeContext(work, listener.given)
  const returned = (given: TaskEnd): TaskEnd => {
    const { end, stillRuns } = context.returned(given)
    if (stillRuns !== undefined) listener.stillRuns?.(stillRuns)
    return end
  }
  try {
    const run = await find()
    return returned(codeEnd(await run(context.given(input))))
  } catch (thrown) {
    return returned(failedEnd(thrown))
  }
}

function functionOf(module: CodeModule, name = 'default'): TaskRun<unknown, unknown> {
  const run = module[name]
  if (typeof run === 'function') return run as TaskRun<unknown, unknown>
  const what = name === 'default' ? 'a function as its default' : `a function "${name}"`
  throw new JobchartError('INVALID_DEFINITION', `the module should export ${what}`)
}
