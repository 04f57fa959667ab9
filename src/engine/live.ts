import type { Inbox } from '../context/inbox.ts'
import { isPromiseLike, whenKnown } from '../context/soon.ts'
import type { TaskEnd } from '../model/attempt-end.ts'
import type { TaskReport } from '../model/decision.ts'
import type { AnyLogic, LogicKind } from '../model/logic.ts'
import { errorValue } from '../model/record.ts'
import type { Json } from '../model/storable.ts'
import { inert } from '../model/task.ts'
import type { TaskMessage } from '../port/executor.ts'

/** A callback or an observable (XState's `fromCallback`, `fromObservable`), and what it needs to run. */
export interface LiveRun {
  readonly kind: LogicKind
  readonly logic: AnyLogic
  readonly input: unknown
  readonly signal: AbortSignal
  readonly inbox: Inbox
  /** Sends a report to the chart. Reports arrive in the order of the calls. */
  readonly report: (said: TaskReport) => void
}

/** Runs a callback or an observable until it ends or is told to stop. Never rejects. */
export function runLive(run: LiveRun): Promise<TaskEnd> {
  return new Promise((resolve) => {
    const end = (result: TaskEnd) => {
      run.inbox.close()
      resolve(result)
    }
    const failed = (error: unknown) => end({ ok: false, error: errorValue(error) })
    try {
      const stop = run.kind === 'callback' ? startCallback(run, failed) : startObservable(run, end)
      const stopped = () => {
        try {
          notLost(
            whenKnown(stop(), () => end({ ok: true })),
            failed,
          )
        } catch (error) {
          failed(error)
        }
      }
      if (run.signal.aborted) stopped()
      else run.signal.addEventListener('abort', stopped, { once: true })
    } catch (error) {
      failed(error)
    }
  })
}

type Stop = () => unknown

// If an async function of the task rejects, that is the task's error. Nobody else handles the rejection, so it would
// end the process.
function notLost(returned: unknown, failed: (error: unknown) => void): void {
  if (isPromiseLike(returned)) Promise.resolve(returned).catch(failed)
}

function startCallback({ logic, input, inbox, report }: LiveRun, failed: (error: unknown) => void): Stop {
  // The `config` of callback logic is the function given to XState's fromCallback.
  const callback = logic.config as (scope: object) => unknown
  const cleanup = callback({
    ...inert,
    input,
    sendBack: (event: TaskMessage) => report({ kind: 'event', event }),
    receive: (listener: (message: TaskMessage) => unknown) =>
      inbox.listen((message) => {
        try {
          notLost(listener(message), failed)
        } catch (error) {
          failed(error)
        }
      }),
  })
  notLost(cleanup, failed)
  return () => (typeof cleanup === 'function' ? cleanup() : undefined)
}

interface Subscribable {
  readonly subscribe: (observer: {
    readonly next: (value: unknown) => void
    readonly error: (error: unknown) => void
    readonly complete: () => void
  }) => { readonly unsubscribe: () => void }
}

function startObservable({ kind, logic, input, report }: LiveRun, end: (result: TaskEnd) => void): Stop {
  const create = logic.config as (scope: object) => Subscribable
  const subscription = create({ ...inert, input }).subscribe({
    next: (value) =>
      report(
        kind === 'events' ? { kind: 'event', event: value as TaskMessage } : { kind: 'value', value: value as Json },
      ),
    error: (error) => end({ ok: false, error: errorValue(error) }),
    complete: () => end({ ok: true }),
  })
  return () => subscription.unsubscribe()
}
