/** A batch whose code is the test: it writes pieces through the channel of its task, and ends the attempt. */
import { defineJob, task } from 'jobchart'
import type { Executor, Work } from 'jobchart/port'
import { assign, sendTo, setup } from 'xstate'
import { z } from 'zod'
import { taskSettings } from '../../src/model/task.ts'

type TaskEnd = Awaited<ReturnType<Executor['start']>>
type Piece = Parameters<Work['channel']['items']>[0]

/** One attempt of the batch. */
export interface Attempt {
  readonly work: Work
  readonly end: (end: TaskEnd) => void
}

/** Runs each attempt until the test ends it. */
export class Hands implements Executor {
  readonly attempts: Attempt[] = []
  isFull = false
  readonly room = () => (this.isFull ? 0 : 10)
  readonly start = (work: Work) => new Promise<TaskEnd>((end) => this.attempts.push({ work, end }))
  readonly close = async () => {}

  /** One of the attempts, by default the newest. */
  attempt(index = -1): Attempt {
    const attempt = this.attempts.at(index)
    if (attempt === undefined) throw new Error(`the batch had ${this.attempts.length} attempts only`)
    return attempt
  }
}

/** Items from `from` to `to`, as they are added. */
export function rows(from: number, to: number): Piece['added'] {
  return Array.from({ length: to - from + 1 }, (_, place) => ({ index: from + place, key: `page ${from + place}` }))
}

/** The ends of items. */
export function ends(status: 'completed' | 'failed' | 'skipped', ...indexes: readonly number[]): Piece['ended'] {
  return indexes.map((index) => ({ index, status, attempts: 1 }))
}

/** A piece; fields that are not given change nothing. */
export function piece(given: Partial<Piece>): Piece {
  return { added: [], ended: [], counts: { completed: 0, failed: 0, skipped: 0 }, running: 0, begun: 0, ...given }
}

/** The logic of a batch. Its items are the list that is its input, unless it has a source of unknown length. */
function logic(options: Parameters<typeof task>[0], hasSource: boolean) {
  const made = task({ executor: 'hands', ...options }, () => {
    throw new Error('the test runs the batch')
  })
  const totalOf = (input: unknown) => (hasSource || !Array.isArray(input) ? undefined : input.length)
  Object.assign(taskSettings(made) ?? {}, { batch: { totalOf } })
  return made
}

/** The options of {@link scrapeType}. */
export interface ScrapeOptions extends Partial<Parameters<typeof task>[0]> {
  readonly hasSource?: boolean
  /** True: the chart names `task.progress`. */
  readonly hears?: boolean
}

interface Context {
  readonly urls: unknown
  readonly end: unknown
  readonly counts: unknown
}

/** A job with a batch: it can be drained, left and stopped, and shows the end of the batch in its output. */
export function scrapeType({ hasSource = false, hears = false, ...options }: ScrapeOptions = {}) {
  const chart = setup({
    types: {
      context: {} as Context,
      events: {} as { type: 'cancel' | 'leave' | 'halt' | 'task.progress'; counts?: unknown },
    },
    actors: { scrape: logic(options, hasSource) },
  }).createMachine({
    context: ({ input }) => ({ urls: input, end: null, counts: null }),
    initial: 'scraping',
    states: {
      scraping: {
        invoke: {
          id: 'batch',
          src: 'scrape',
          input: ({ context }: { context: Context }) => context.urls,
          onDone: { target: 'done', actions: assign({ end: ({ event }) => event.output }) },
          onError: {
            target: 'broken',
            actions: assign({ end: ({ event }) => ({ counts: (event as { counts?: unknown }).counts ?? null }) }),
          },
        },
        on: {
          cancel: { target: '.cancelling', actions: sendTo('batch', { type: 'task.drain' }) },
          halt: { actions: sendTo('batch', { type: 'task.stop' }) },
          leave: 'again',
          ...(hears ? { 'task.progress': { actions: assign({ counts: ({ event }) => event.counts }) } } : {}),
        },
        initial: 'started',
        states: { started: {}, cancelling: {} },
      },
      again: { on: { cancel: 'scraping' } },
      done: { type: 'final', tags: ['success'] },
      broken: { type: 'final', tags: ['failure'] },
    },
    output: ({ context: { end, counts } }: { context: Context }) => ({ end, counts }),
  })
  return defineJob({
    type: 'scrape',
    lifecycle: chart,
    input: z.array(z.string()),
    commands: { cancel: z.object({}), leave: z.object({}), halt: z.object({}) },
  })
}
