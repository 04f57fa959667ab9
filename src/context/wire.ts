import type { TaskEnd } from '../model/attempt-end.ts'
import type { BatchPiece, BatchStart, RecordedItem } from '../model/batch-piece.ts'
import { defined } from '../model/defined.ts'
import { type ErrorCode, JobchartError, jobError } from '../model/error.ts'
import type { ItemReport } from '../model/item.ts'
import type { ProgressReport } from '../model/progress.ts'
import type { Json } from '../model/storable.ts'
import type { Progress } from '../model/task.ts'
import type { TaskJob } from '../model/task-job.ts'
import type { TaskChannel, TaskMessage, Work } from '../port/executor.ts'
import { Inbox } from './inbox.ts'
import { storableEvent, storableItem } from './storable-report.ts'

/**
 * The connection between an engine and code in another process (over IPC) or thread (over a port). Messages arrive in
 * order.
 */
export interface Wire<Out, In> {
  readonly post: (message: Out) => void
  readonly listen: (listener: (message: In) => void) => void
}

/** The description of a task that is sent to code in another process or thread. */
export interface WireWork {
  readonly job: TaskJob
  readonly task: string
  readonly function?: string
  readonly version?: string
  readonly input?: Json
  readonly attempt: number
  readonly idempotencyKey: string
  readonly reported?: Progress
  /** True: the work should begin nothing new. */
  readonly draining?: true
  readonly batch?: BatchStart
  readonly steps: readonly { readonly name: string; readonly result?: Json }[]
}

/** A message from the engine to the code. */
export type ToCode =
  | { readonly kind: 'work'; readonly work: WireWork }
  | { readonly kind: 'answer'; readonly to: number; readonly value?: unknown }
  | { readonly kind: 'refusal'; readonly to: number; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: 'message'; readonly message: TaskMessage }
  | { readonly kind: 'drain' }
  | { readonly kind: 'stop'; readonly code: ErrorCode; readonly message: string }

/** A report of the code that the engine must answer. */
export type Ask =
  | { readonly what: 'item'; readonly key: string; readonly report: ItemReport }
  | { readonly what: 'step'; readonly name: string; readonly result?: Json }
  | { readonly what: 'send'; readonly event: TaskMessage }
  | { readonly what: 'items'; readonly piece: BatchPiece }
  | { readonly what: 'recordedItems'; readonly range: { readonly from: number; readonly to: number } }
  | { readonly what: 'itemKeys'; readonly keys: readonly string[] }

/** A message from the code to the engine. */
export type ToEngine =
  | { readonly kind: 'progress'; readonly report: ProgressReport | number }
  | { readonly kind: 'log'; readonly text: string }
  | { readonly kind: 'ask'; readonly id: number; readonly ask: Ask }
  | { readonly kind: 'end'; readonly end: TaskEnd }

/**
 * Sends a task to code at the other end of a wire, and passes the reports of the code on to the work's channel.
 * Resolves with the end that the code reports, and never rejects. If the code ends without reporting an end, the
 * promise stays pending. The executor must notice that itself.
 *
 * @param told  the description of the task, as {@link wireWork} returns it.
 */
export function serveWork(work: Work, told: WireWork, wire: Wire<ToCode, ToEngine>): Promise<TaskEnd> {
  return new Promise((resolve) => {
    let hasEnded = false
    wire.listen((message) => {
      if (hasEnded) return
      if (message.kind === 'end') {
        hasEnded = true
        resolve(message.end)
      } else report(work.channel, message, wire)
    })
    wire.post({ kind: 'work', work: told })
    const stop = () => {
      const { code, message } = stopReason(work.signal)
      if (!hasEnded) wire.post({ kind: 'stop', code, message })
    }
    if (work.signal.aborted) stop()
    else work.signal.addEventListener('abort', stop, { once: true })
    const drain = () => !hasEnded && wire.post({ kind: 'drain' })
    if (work.draining.aborted && told.draining !== true) drain()
    else work.draining.addEventListener('abort', drain, { once: true })
    void passOn(work.channel.inbox, (message) => !hasEnded && wire.post({ kind: 'message', message }))
  })
}

/**
 * Makes the description of a task that is sent to its code, with the recorded steps. An executor calls this before it
 * starts the code.
 *
 * @throws {JobchartError} the recorded steps could not be read before the work was told to stop.
 */
export async function wireWork(work: Work): Promise<WireWork> {
  const { job, task, input, attempt, idempotencyKey, reported, version, batch, function: called } = work
  const steps = [...(await work.recordedSteps())]
  return {
    ...{ job, task, attempt, idempotencyKey },
    ...defined({ function: called, version, input, reported, batch }),
    ...(work.draining.aborted ? { draining: true as const } : {}),
    steps: steps.map(([name, result]) => (result === undefined ? { name } : { name, result })),
  }
}

function stopReason({ reason }: AbortSignal): { readonly code: ErrorCode; readonly message: string } {
  return reason instanceof JobchartError ? reason : { code: 'TASK_STOPPED', message: jobError(reason).message }
}

async function passOn(inbox: AsyncIterable<TaskMessage>, post: (message: TaskMessage) => void): Promise<void> {
  for await (const message of inbox) post(message)
}

function report(channel: TaskChannel, message: ToEngine, wire: Wire<ToCode, ToEngine>): void {
  if (message.kind === 'progress') channel.progress(message.report)
  else if (message.kind === 'log') channel.log(message.text)
  else if (message.kind === 'ask') void answer(channel, message.id, message.ask, wire)
}

async function answer(channel: TaskChannel, to: number, ask: Ask, wire: Wire<ToCode, ToEngine>): Promise<void> {
  try {
    const value = await asked(channel, ask)
    wire.post(value === undefined ? { kind: 'answer', to } : { kind: 'answer', to, value })
  } catch (thrown) {
    const code = thrown instanceof JobchartError ? thrown.code : 'STORAGE_UNAVAILABLE'
    wire.post({ kind: 'refusal', to, code, message: jobError(thrown).message })
  }
}

function asked(channel: TaskChannel, ask: Ask): Promise<unknown> {
  if (ask.what === 'item') return channel.item(ask.key, ask.report)
  if (ask.what === 'step') return channel.step(ask.name, ask.result)
  if (ask.what === 'items') return channel.items(ask.piece)
  if (ask.what === 'recordedItems') return channel.recordedItems(ask.range)
  if (ask.what === 'itemKeys') return channel.itemKeys(ask.keys)
  return channel.send(ask.event)
}

/** A task as its code receives it over a wire. The channel sends reports back over the same wire. */
export interface ReceivedWork {
  readonly work: WireWork
  readonly recordedSteps: () => Promise<ReadonlyMap<string, Json | undefined>>
  readonly signal: AbortSignal
  readonly draining: AbortSignal
  readonly channel: TaskChannel
  readonly end: (end: TaskEnd) => void
}

/** Waits for the task that comes over a wire. Each wire carries one task. */
export function receiveWork(wire: Wire<ToEngine, ToCode>): Promise<ReceivedWork> {
  return new Promise((resolve) => {
    const channel = new WireChannel(wire)
    const abort = new AbortController()
    const drain = new AbortController()
    wire.listen((message) => {
      if (message.kind === 'work') {
        const { work } = message
        if (work.draining === true) drain.abort()
        resolve({
          work,
          recordedSteps: async () => new Map(work.steps.map(({ name, result }) => [name, result])),
          signal: abort.signal,
          draining: drain.signal,
          channel,
          end: (end) => wire.post({ kind: 'end', end }),
        })
      } else if (message.kind === 'stop') {
        channel.inbox.close()
        abort.abort(new JobchartError(message.code, message.message))
      } else if (message.kind === 'drain') drain.abort()
      else channel.hear(message)
    })
  })
}

class WireChannel implements TaskChannel {
  readonly #wire: Wire<ToEngine, ToCode>
  readonly #asks = new Map<
    number,
    { readonly done: (value: unknown) => void; readonly failed: (error: Error) => void }
  >()
  readonly inbox = new Inbox()
  #lastAsk = 0

  constructor(wire: Wire<ToEngine, ToCode>) {
    this.#wire = wire
  }

  // Does nothing, because the executor has already reported the start.
  readonly started = async (): Promise<void> => {}

  readonly progress = (report: ProgressReport | number): void => this.#wire.post({ kind: 'progress', report })

  readonly log = (text: string): void => this.#wire.post({ kind: 'log', text: `${text}` })

  readonly item = async (key: string, report: ItemReport = {}): Promise<void> => {
    await this.#ask({ what: 'item', key, report: storableItem(key, report) })
  }

  readonly step = async (name: string, result: Json | undefined): Promise<void> => {
    await this.#ask({ what: 'step', name, ...(result === undefined ? {} : { result }) })
  }

  readonly send = async (event: TaskMessage): Promise<boolean> => {
    return (await this.#ask({ what: 'send', event: storableEvent(event) })) === true
  }

  readonly items = async (piece: BatchPiece): Promise<void> => {
    await this.#ask({ what: 'items', piece })
  }

  // The casts are safe: the other end answers with the result of the same call of its own channel.
  readonly recordedItems = async (range: { readonly from: number; readonly to: number }) => {
    return (await this.#ask({ what: 'recordedItems', range })) as readonly RecordedItem[]
  }

  readonly itemKeys = async (keys: readonly string[]) => {
    return (await this.#ask({ what: 'itemKeys', keys })) as readonly { readonly key: string; readonly index: number }[]
  }

  /** Handles a message from the engine. */
  hear(message: ToCode): void {
    if (message.kind === 'message') this.inbox.add(message.message)
    else if (message.kind === 'answer') this.#take(message.to)?.done(message.value)
    else if (message.kind === 'refusal') {
      this.#take(message.to)?.failed(new JobchartError(message.code, message.message))
    }
  }

  #ask(ask: Ask): Promise<unknown> {
    const id = ++this.#lastAsk
    return new Promise((done, failed) => {
      this.#asks.set(id, { done, failed })
      this.#wire.post({ kind: 'ask', id, ask })
    })
  }

  #take(id: number) {
    const ask = this.#asks.get(id)
    this.#asks.delete(id)
    return ask
  }
}
