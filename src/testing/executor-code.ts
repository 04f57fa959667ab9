/**
 * The code that tasks run in `executorConformance`. Executors that run modules use it as a module. Executors that run
 * programs run it as a program: `node executor-code.js <does> <value>`.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { TaskContext } from '../model/task.ts'

/** The input of each task in the suite. */
export interface CodeInput {
  /** The name of one of the functions below. */
  readonly does: string
  readonly value?: string | number
}

type Context = TaskContext<CodeInput>

const FLOOD_CHUNKS = 3_200
const FLOOD_CHUNK = `${'x'.repeat(65_535)}\n`

/** The functions for modules. Each gets the context of its task. */
const code: { readonly [does: string]: (context: Context) => unknown } = {
  returns: ({ input }) => input.value,
  throws: () => {
    throw new TypeError('thrown on purpose')
  },
  rejects: () => Promise.reject(new RangeError('rejected on purpose')),
  waits: ({ signal, log }) => {
    log('waiting')
    return new Promise((resolve) => {
      // A timer keeps the process alive.
      const alive = setInterval(() => {}, 1_000)
      const stopped = () => {
        clearInterval(alive)
        resolve({ stopped: (signal.reason as { readonly code?: string }).code ?? null })
      }
      if (signal.aborted) stopped()
      else signal.addEventListener('abort', stopped)
    })
  },
  ignores: ({ log }) => {
    log('ignoring')
    return new Promise(() => setInterval(() => {}, 1_000))
  },
  computes: async ({ log }) => {
    log('computing')
    await new Promise((resolve) => setTimeout(resolve, 20))
    for (;;);
  },
  exits: ({ input }) => process.exit(Number(input.value)),
  crashes: () => {
    process.kill(process.pid, 'SIGSEGV')
    return new Promise(() => setInterval(() => {}, 1_000))
  },
  hoards: () => {
    const hoard: number[][] = []
    for (;;) hoard.push(new Array(100_000).fill(hoard.length))
  },
  forgets: () => {
    void Promise.reject(new Error('nobody handles this'))
    return new Promise(() => setInterval(() => {}, 1_000))
  },
  'returns what cannot be stored': () => ({ when: new Date(0) }),
  'returns too much': () => 'x'.repeat(2_000_000),
  reports: async ({ progress, log, item, step, send }) => {
    for (let completed = 1; completed <= 5; completed++) progress({ completed, total: 5 })
    log('one')
    log('two')
    await item('part', { status: 'failed', message: 'broken' })
    const first = await step('first', ({ key }) => key)
    const took = await send({ type: 'HELLO', first })
    return { first, took }
  },
  'records what is not JSON': async ({ item, send }) => {
    const codes: unknown[] = []
    const note = (error: { readonly code?: unknown }) => codes.push(error.code)
    await item('part', { output: new Date(0) as unknown }).catch(note)
    await send({ type: 'HELLO', at: 1n }).catch(note)
    return codes
  },
  'reports after its end': ({ progress, log }) => {
    setTimeout(() => {
      progress({ completed: 1 })
      log('too late')
    })
    return 'ended'
  },
  listens: async ({ inbox, log }) => {
    log('listening')
    for await (const message of inbox) return message
    return 'nothing came'
  },
  'starts another': async ({ log }) => {
    const other = spawn('sleep', ['1000'], { stdio: 'ignore' })
    log(`other ${other.pid}`)
    return await new Promise(() => setInterval(() => {}, 1_000))
  },
}

/** Runs the function that the input names. */
export async function run(context: Context): Promise<unknown> {
  const does = code[context.input.does]
  if (does === undefined) throw new Error(`the suite has no code "${context.input.does}"`)
  return await does(context)
}

/** The functions for programs. */
const programs: { readonly [does: string]: (value: string) => unknown } = {
  exits: (value) => process.exit(Number(value)),
  fails: () => {
    process.stderr.write('first\nwhat went wrong\n')
    process.exitCode = 3
  },
  writes: () => process.stdout.write('one\ntwo\n'),
  floods: async () => {
    for (let chunk = 0; chunk < FLOOD_CHUNKS; chunk++) {
      if (!process.stdout.write(FLOOD_CHUNK)) await new Promise((resolve) => process.stdout.once('drain', resolve))
    }
  },
  waits: () => {
    process.on('SIGTERM', () => process.exit(0))
    setInterval(() => {}, 1_000)
    process.stdout.write('waiting\n')
  },
  ignores: () => {
    process.on('SIGTERM', () => {})
    setInterval(() => {}, 1_000)
    process.stdout.write('ignoring\n')
  },
  crashes: () => process.kill(process.pid, 'SIGSEGV'),
  'starts another': () => {
    const other = spawn('sleep', ['1000'], { stdio: 'ignore' })
    process.stdout.write(`other ${other.pid}\n`)
    setInterval(() => {}, 1_000)
  },
  'leaves another': () => {
    const other = spawn('sleep', ['1000'], { stdio: 'ignore' })
    other.unref()
    process.stdout.write(`other ${other.pid}\n`)
  },
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , does = '', value = ''] = process.argv
  await programs[does]?.(value)
}
