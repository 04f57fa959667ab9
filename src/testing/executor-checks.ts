import assert from 'node:assert/strict'
import type { TaskEnd } from '../model/attempt-end.ts'
import type { Json } from '../model/storable.ts'
import type { Executor, Work } from '../port/executor.ts'
import type { RecordedChannel } from './recorded-channel.ts'

/** What each check of an executor gets. */
export interface ExecutorBench {
  readonly executor: Executor
  /** Starts a task. `does` names a function in `executor-code.ts`. */
  readonly start: (does: string, value?: string | number, change?: Partial<Work>) => Started
}

/** A task that was started. */
export interface Started {
  readonly work: Work
  readonly end: Promise<TaskEnd>
  readonly channel: RecordedChannel
  readonly stop: () => void
  readonly kill: () => void
}

type Runs = 'functions' | 'modules' | 'programs'

interface Check {
  /** The kinds of executors that the check applies to. Absent: all. */
  readonly needs?: readonly Runs[]
  readonly check: (bench: ExecutorBench) => Promise<void>
}

const CODE: readonly Runs[] = ['functions', 'modules']
const PLACES: readonly Runs[] = ['modules', 'programs']
const PROGRAMS: readonly Runs[] = ['programs']
const KEPT_OUTPUT_MAX = 20 * 1_048_576

/** The checks by name. A name begins with the number of the guarantee that it checks. */
export const executorChecks: { readonly [name: string]: Check } = {
  'E1 the executor takes two tasks at once, and its room returns when they end': {
    check: async ({ executor, start }) => {
      assert.equal(executor.room(), 2)
      const one = start('waits')
      assert.equal(executor.room(), 1)
      const two = start('waits')
      assert.equal(executor.room(), 0)
      await Promise.all([one.channel.line('waiting'), two.channel.line('waiting')])
      for (const { stop, end } of [one, two]) {
        stop()
        await end
      }
      assert.equal(executor.room(), 2)
    },
  },

  'E2 code runs once, and the start resolves with its result': {
    needs: CODE,
    check: async ({ start }) => {
      assert.deepEqual(await start('returns', 'made').end, { ok: true, output: 'made' })
    },
  },

  'E3 an error that code throws or rejects with is the error of its task': {
    needs: CODE,
    check: async ({ start }) => {
      for (const [does, name] of [
        ['throws', 'TypeError'],
        ['rejects', 'RangeError'],
      ] as const) {
        const error = errorOf(await start(does).end)
        assert.equal(error.name, name)
        assert.match(String(error.message), /on purpose/)
      }
    },
  },

  'E4 close ends what runs, and resolves when no task runs any more; then the executor is used again': {
    needs: PLACES,
    check: async ({ executor, start }) => {
      const { channel, end } = start('ignores')
      await channel.line('ignoring')
      await executor.close()
      assert.equal((await ended(end)).ok, false)
      assert.equal(executor.room(), 2)
      const again = start('waits')
      await again.channel.line('waiting')
      again.stop()
      assert.equal((await again.end).ok, true)
    },
  },

  'E5 code sees its stop by its signal, with the reason': {
    needs: CODE,
    check: async ({ start }) => {
      const { channel, stop, end } = start('waits')
      await channel.line('waiting')
      stop()
      assert.deepEqual(await end, { ok: true, output: { stopped: 'TASK_STOPPED' } })
    },
  },

  'E5 code that was told to stop before it ran sees the stop too': {
    needs: CODE,
    check: async ({ start }) => {
      const { stop, end } = start('waits')
      stop()
      assert.deepEqual(await end, { ok: true, output: { stopped: 'TASK_STOPPED' } })
    },
  },

  'E5 a program sees its stop by SIGTERM, and may still succeed': {
    needs: PROGRAMS,
    check: async ({ start }) => {
      const { channel, stop, end } = start('waits')
      await channel.line('waiting')
      stop()
      assert.deepEqual(await end, { ok: true, output: { exitCode: 0 }, exitCode: 0 })
    },
  },

  'E6 code that ignores its stop is ended after its grace': {
    needs: PLACES,
    check: async ({ executor, start }) => {
      assert.equal(executor.kills, true)
      const { channel, stop, kill, end } = start('ignores')
      await channel.line('ignoring')
      stop()
      kill()
      assert.equal((await ended(end)).ok, false)
    },
  },

  'E6 code that never yields is ended too': {
    needs: ['modules'],
    check: async ({ start }) => {
      const { channel, stop, kill, end } = start('computes')
      await channel.line('computing')
      stop()
      kill()
      assert.equal((await ended(end)).ok, false)
    },
  },

  'E6 processes that the code has started are ended with it': {
    needs: PLACES,
    check: async ({ start }) => {
      const { channel, stop, kill, end } = start('starts another')
      const line = await channel.line('other ')
      stop()
      kill()
      await ended(end)
      await untilGone(Number(line.slice('other '.length)))
    },
  },

  'E6 processes that a program leaves behind are ended when it ends': {
    needs: PROGRAMS,
    check: async ({ start }) => {
      const { channel, end } = start('leaves another')
      const line = await channel.line('other ')
      assert.equal((await end).ok, true)
      await untilGone(Number(line.slice('other '.length)))
    },
  },

  'E7 a start is reported once, before all other reports': {
    needs: PLACES,
    check: async ({ executor, start }) => {
      assert.equal(executor.reportsStart, true)
      const { channel, stop, end } = start('waits')
      await channel.line('waiting')
      stop()
      await end
      assert.equal(channel.reports[0]?.kind, 'started')
      assert.equal(channel.reports.filter(({ kind }) => kind === 'started').length, 1)
    },
  },

  'E8 reports arrive in order, and are answered': {
    needs: CODE,
    check: async ({ start }) => {
      const { channel, end } = start('reports')
      assert.deepEqual(await end, { ok: true, output: { first: 'job:1:first', took: true } })
      assert.deepEqual(
        channel.reports.filter(({ kind }) => kind !== 'started'),
        [
          ...[1, 2, 3, 4, 5].map((completed) => ({ kind: 'progress', report: { completed, total: 5 } })),
          { kind: 'log', text: 'one' },
          { kind: 'log', text: 'two' },
          { kind: 'item', key: 'part', report: { status: 'failed', message: 'broken' } },
          { kind: 'step', name: 'first', result: 'job:1:first' },
          { kind: 'send', event: { type: 'HELLO', first: 'job:1:first' } },
        ],
      )
    },
  },

  'E8 a recorded step is not run again': {
    needs: CODE,
    check: async ({ start }) => {
      const recordedSteps = async () => new Map([['first', 'recorded']])
      const { channel, end } = start('reports', undefined, { recordedSteps })
      assert.deepEqual(await end, { ok: true, output: { first: 'recorded', took: true } })
      assert.equal(
        channel.reports.some(({ kind }) => kind === 'step'),
        false,
      )
    },
  },

  'E8 code gets the messages that the chart sends': {
    needs: CODE,
    check: async ({ start }) => {
      const { channel, end } = start('listens')
      await channel.line('listening')
      channel.tell({ type: 'HELLO', to: 'you' })
      assert.deepEqual(await end, { ok: true, output: { type: 'HELLO', to: 'you' } })
    },
  },

  'E8 no report is made after the end': {
    needs: ['modules'],
    check: async ({ start }) => {
      const { channel, end } = start('reports after its end')
      assert.deepEqual(await end, { ok: true, output: 'ended' })
      const reports = channel.reports.length
      await start('returns', 1).end
      assert.equal(channel.reports.length, reports)
    },
  },

  'E9 an exit of its process is an error of the task': {
    needs: ['modules'],
    check: async ({ executor, start }) => {
      assert.equal((await start('exits', 7).end).ok, false)
      assert.deepEqual(await start('returns', 'on').end, { ok: true, output: 'on' })
      assert.equal(executor.room(), 2)
    },
  },

  'E9 a crash is an error of the task': {
    needs: PLACES,
    check: async ({ start }) => {
      const error = errorOf(await start('crashes').end)
      assert.deepEqual([error.name, error.exitCode, error.signal], ['ExitError', 139, 'SIGSEGV'])
    },
  },

  'E9 running out of memory is an error of the task': {
    needs: ['modules'],
    check: async ({ start }) => {
      assert.equal((await start('hoards').end).ok, false)
      assert.deepEqual(await start('returns', 'on').end, { ok: true, output: 'on' })
    },
  },

  'E9 an unhandled rejection is an error of the task': {
    needs: ['modules'],
    check: async ({ start }) => {
      assert.equal((await start('forgets').end).ok, false)
    },
  },

  'E9 an exit code, with the last lines of the standard error, is the error of the task': {
    needs: PROGRAMS,
    check: async ({ start }) => {
      const end = await start('fails').end
      const error = { name: 'ExitError', message: 'first\nwhat went wrong', exitCode: 3 }
      assert.deepEqual(end, { ok: false, error, exitCode: 3 })
      assert.deepEqual((await start('exits', 0).end).exitCode, 0)
    },
  },

  'E10 a result that cannot be stored is an error of the task that is not retried': {
    needs: CODE,
    check: async ({ start }) => {
      for (const [does, code] of [
        ['returns what cannot be stored', 'NOT_STORABLE'],
        ['returns too much', 'PAYLOAD_TOO_LARGE'],
      ] as const) {
        const end = await start(does).end
        assert.equal(errorOf(end).code, code)
        assert.equal(!end.ok && end.isFinal, true)
      }
    },
  },

  'E10 an item or an event that is not JSON is refused, and is not reported as another value': {
    needs: ['modules'],
    check: async ({ start }) => {
      const { channel, end } = start('records what is not JSON')
      assert.deepEqual(await end, { ok: true, output: ['NOT_STORABLE', 'NOT_STORABLE'] })
      assert.equal(
        channel.reports.some(({ kind }) => kind === 'item' || kind === 'send'),
        false,
      )
    },
  },

  'E3 recorded steps that cannot be read are an error of the task': {
    needs: ['modules'],
    check: async ({ executor, start }) => {
      const recordedSteps = () => Promise.reject(new Error('the storage does not answer'))
      assert.equal((await ended(start('returns', 'made', { recordedSteps }).end)).ok, false)
      assert.equal(executor.room(), 2)
    },
  },

  'E11 lines of output are lines of the log, each with its stream': {
    needs: PROGRAMS,
    check: async ({ start }) => {
      const written = start('writes')
      await written.end
      const failed = start('fails')
      await failed.end
      assert.deepEqual(
        [...written.channel.reports, ...failed.channel.reports].filter(({ kind }) => kind === 'log'),
        [
          { kind: 'log', text: 'one', stream: 'stdout' },
          { kind: 'log', text: 'two', stream: 'stdout' },
          { kind: 'log', text: 'first', stream: 'stderr' },
          { kind: 'log', text: 'what went wrong', stream: 'stderr' },
        ],
      )
    },
  },

  'E11 200 MB of output at once do not block the program, and only a part is kept': {
    needs: PROGRAMS,
    check: async ({ start }) => {
      const { channel, end } = start('floods')
      assert.equal((await end).ok, true)
      assert.ok(channel.lines.join('').length < KEPT_OUTPUT_MAX)
    },
  },

  'E12 a handle says whether its process runs, also to another executor': {
    needs: PROGRAMS,
    check: async ({ executor, start }) => {
      const { channel, stop, end } = start('waits')
      await channel.line('waiting')
      const [first] = channel.reports
      const handle = first?.kind === 'started' ? first.handle : undefined
      assert.notEqual(handle, undefined)
      assert.equal(await executor.isGone?.(handle ?? null), false)
      stop()
      await end
      assert.equal(await executor.isGone?.(handle ?? null), true)
    },
  },
}

// The end of a task. If its start rejects, that counts as an error of the task.
async function ended(end: Promise<TaskEnd>): Promise<TaskEnd> {
  return await end.catch((): TaskEnd => ({ ok: false, error: null }))
}

function errorOf(end: TaskEnd): { readonly [field: string]: Json | undefined } {
  assert.equal(end.ok, false)
  return end.ok ? {} : (end.error as { readonly [field: string]: Json | undefined })
}

async function untilGone(id: number): Promise<void> {
  assert.ok(Number.isSafeInteger(id))
  while (isAlive(id)) await new Promise((resolve) => setImmediate(resolve))
}

function isAlive(id: number): boolean {
  try {
    process.kill(id, 0)
    return true
  } catch {
    return false
  }
}
