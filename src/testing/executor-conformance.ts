import { fileURLToPath } from 'node:url'
import { runFunction } from '../context/run-code.ts'
import { JobchartError } from '../model/error.ts'
import { anything, callback, checkOptions, oneOf, required } from '../model/option-checks.ts'
import type { TaskRun } from '../model/task.ts'
import type { Executor, Work } from '../port/executor.ts'
import { inTime } from './authorization-answers.ts'
import { type ExecutorBench, executorChecks, type Started } from './executor-checks.ts'
import { RecordedChannel } from './recorded-channel.ts'
import type { RegisterTest } from './storage-conformance.ts'

// The file has the ending `.ts` in the source and `.js` in the build.
const CODE = new URL(`./executor-code.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)

/** The code that the executor runs in the suite. */
export interface ExecutorCode {
  /**
   * For executors that run modules. The module exports the function `run`, which takes the context of a task. Each work
   * of the suite names it in `function`.
   */
  readonly module: URL
}

/** Options of {@link executorConformance}. */
export interface ExecutorConformanceOptions {
  /** The `test` function of your runner. */
  readonly test: RegisterTest
  /** What the executor runs: functions of this process, modules in another process or thread, or programs. */
  readonly runs: 'functions' | 'modules' | 'programs'
  /**
   * Checks that this executor cannot pass: the name of each, with the reason. The reason is shown in the test's name.
   */
  readonly skip?: { readonly [check: string]: string }
}

/**
 * Checks an executor against the guarantees of its port. The name of each check begins with its number. The suite runs
 * real code, and takes some seconds.
 *
 * ```ts
 * executorConformance(({ module }) => childProcess({ module, concurrency: 2 }), { test, runs: 'modules' })
 * ```
 *
 * @param make  makes an executor that takes two tasks at once.
 */
export function executorConformance(
  make: (code: ExecutorCode) => Executor | Promise<Executor>,
  options: ExecutorConformanceOptions,
): void {
  const kinds = oneOf('functions', 'modules', 'programs')
  const rules = { test: required(callback), runs: required(kinds), skip: anything }
  checkOptions('executorConformance', options, rules, { form: 'executorConformance(make, { test, runs })' })
  const { test, runs, skip = {} } = options
  const names = Object.keys(executorChecks).map((name) => [name, anything] as const)
  checkOptions('executorConformance', skip, Object.fromEntries(names), { prefix: 'skip.' })
  for (const [name, { needs, check }] of Object.entries(executorChecks)) {
    if (needs !== undefined && !needs.includes(runs)) continue
    const reason = skip[name]
    if (reason !== undefined) {
      test(`${name} (not of this executor: ${reason})`, async () => {})
      continue
    }
    test(name, async () => {
      const executor = await make({ module: CODE })
      const started: Started[] = []
      const start: ExecutorBench['start'] = (does, value, change) => {
        const each = begin(
          executor,
          runs,
          { does, ...(value === undefined ? {} : { value }) },
          started.length + 1,
          change,
        )
        started.push(each)
        return each
      }
      try {
        await inTime(check({ executor, start }), CHECK_MS_MAX, 'something that the check waits for did not happen')
      } finally {
        for (const { stop, kill } of started) {
          stop()
          kill()
        }
        await inTime(executor.close(), CHECK_MS_MAX, 'the executor did not close')
      }
    })
  }
}

/** How long one check may take, in milliseconds: far longer than any executor needs, also on a busy machine. */
const CHECK_MS_MAX = 60_000

function begin(
  executor: Executor,
  runs: ExecutorConformanceOptions['runs'],
  input: { readonly does: string; readonly value?: string | number },
  token: number,
  change: Partial<Work> = {},
): Started {
  const [stopping, killing] = [new AbortController(), new AbortController()]
  const channel = new RecordedChannel()
  const { does, value = '' } = input
  const work: Work = {
    job: { id: 'job', type: 'conformance', trigger: 'manual' },
    ...{ task: 'work', function: 'run', version: undefined, input, attempt: 1, token },
    ...{ idempotencyKey: 'job:1', reported: undefined, recordedSteps: async () => new Map() },
    ...{ deadlineAt: undefined, killGraceMs: 5_000 },
    ...{ signal: stopping.signal, killSignal: killing.signal, draining: new AbortController().signal, channel },
    batch: undefined,
    program: () =>
      runs === 'programs' ? { command: process.execPath, args: [fileURLToPath(CODE), does, `${value}`] } : undefined,
    run: () => runFunction(codeOfSuite, work, input),
    ...change,
  }
  return {
    work,
    channel,
    end: executor.start(work),
    stop: () => stopping.abort(new JobchartError('TASK_STOPPED', 'told to stop by the suite')),
    kill: () => killing.abort(),
  }
}

async function codeOfSuite(): Promise<TaskRun<unknown, unknown>> {
  const module: { readonly run: TaskRun<unknown, unknown> } = await import(CODE.href)
  return module.run
}
